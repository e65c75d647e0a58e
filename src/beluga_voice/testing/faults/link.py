"""A link on which faults strike.

How it works. What is sent and what is told is looked at for the phase that it may begin, then goes
through the effects of its direction, then down a lane that takes its time. At the far end of the
lane from the service stands what keeps the promises of links. Nothing that a fault does by itself
happens within `send`: it comes in the next turn of the loop, as from any service.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import cast

from beluga_voice.events import GoingAway, LinkClosed, ServiceFailed
from beluga_voice.interfaces import Link
from beluga_voice.resilience.relay import Relay
from beluga_voice.testing.faults.fault import DOWN, UP, Deed, Effect, Fault, Kind
from beluga_voice.testing.faults.lane import Lane
from beluga_voice.testing.faults.phases import Phases
from beluga_voice.testing.faults.pieces import Final
from beluga_voice.testing.faults.promises import Promises
from beluga_voice.testing.faults.trigger import Trigger
from beluga_voice.testing.faults.when import Phase
from beluga_voice.testing.network import DirectionName


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault on this link: its effect, and its moment."""

    fault: Fault
    effect: Effect
    trigger: Trigger


class FaultyLink[S, R]:
    """See above. Its outbox is that of the service's link, and what faults hold back."""

    def __init__(self, kind: Kind) -> None:
        self._loop = asyncio.get_running_loop()
        self._phases = Phases(kind)
        self._promises = Promises()
        self._relay: Relay[R] = Relay()
        self._lanes = {UP: Lane(self._reach_service), DOWN: Lane(self._reach_session)}
        self._strikes: list[Strike] = []
        self._inner: Link[S, R] | None = None
        self._is_ending = False
        """Nothing passes any more, in either direction."""
        self._timers: set[asyncio.TimerHandle] = set()

    # ── the link ────────────────────────────────────────────────────────────────────────────

    def send(self, command: S, /) -> None:
        """Pass it on, as far as faults let it."""
        if not self._is_ending:
            self._promises.sent(command)
            self._pass(command, UP)

    def attach(self, deliver: Callable[[R], None], /) -> None:
        """Deliver by call."""
        self._relay.attach(deliver)

    def __aiter__(self) -> AsyncIterator[R]:
        return aiter(self._relay)

    # ── its life ────────────────────────────────────────────────────────────────────────────

    def suffer(self, strike: Strike) -> None:
        """One fault more."""
        self._strikes.append(strike)

    async def connecting(self) -> None:
        """What happens before there is a link; raises what a fault refuses it with."""
        self._reach(Phase.CONNECTING)
        struck = [one.effect for one in self._strikes if one.trigger.is_on]
        seconds = sum(one.connect_seconds() for one in struck)
        if seconds == math.inf:
            await self._loop.create_future()
        elif seconds:
            await asyncio.sleep(seconds)
        for effect in struck:
            if (error := effect.refusal()) is not None:
                raise error

    def over(self, inner: Link[S, R]) -> None:
        """Begin to pass on what the service's link gives."""
        self._inner = inner
        self._reach(Phase.OPEN)
        inner.attach(self._hear)

    def close(self) -> None:
        """Nothing follows."""
        self._end(LinkClosed(is_clean=True))

    # ── what effects can do ─────────────────────────────────────────────────────────────────

    def tell(self, event: ServiceFailed | GoingAway | Final) -> None:
        """See `Wire`."""
        if not self._is_ending:
            self._loop.call_soon(self._lanes[DOWN].push, event)

    def end(self, closed: LinkClosed, *, is_abrupt: bool) -> None:
        """See `Wire`."""
        if self._is_ending:
            return
        self._is_ending = True
        if is_abrupt:
            for lane in self._lanes.values():
                lane.clear()
            self._loop.call_soon(self._end, closed)
        else:
            self._loop.call_soon(self._lanes[DOWN].push, closed)

    def hold(self, direction: DirectionName, until: float) -> None:
        """See `Wire`."""
        self._lanes[direction].hold(until)

    def later(self, seconds: float, deed: Deed) -> None:
        """See `Wire`."""
        self._timers.add(self._loop.call_later(seconds, deed))

    # ── what passes ─────────────────────────────────────────────────────────────────────────

    def _hear(self, event: R) -> None:
        if not self._is_ending:
            self._pass(event, DOWN)

    def _pass(self, item: object, direction: DirectionName) -> None:
        phase = self._phases.begun_by(item)
        if phase is not None:
            self._reach(phase)
        if self._is_ending:
            return
        concerned = [one for one in self._strikes if one.fault.direction is direction]
        items: Sequence[object] = (item,)
        late = 0.0
        for strike in concerned:
            effect = strike.effect
            if strike.trigger.is_on:
                items = [one for each in items for one in effect.alter(each)]
                late += effect.late_seconds()
            else:
                items = [one for each in items for one in effect.spare(each)]
        lane = self._lanes[direction]
        for one in items:
            lane.push(one, late)
        for strike in concerned:
            strike.trigger.passed()

    def _reach(self, phase: Phase) -> None:
        for strike in self._strikes:
            strike.trigger.reached(phase)
            if strike.trigger.is_on:
                strike.effect.reached(phase)

    def _reach_service(self, item: object) -> None:
        if self._inner is not None:
            self._inner.send(cast("S", item))  # what effects make of a command is one

    def _reach_session(self, item: object) -> None:
        if isinstance(item, LinkClosed):
            self._end(item)
        elif self._promises.lets(item):
            self._relay.put(cast("R", item))  # what effects make of an event is one

    def _end(self, closed: LinkClosed) -> None:
        self._is_ending = True
        for strike in self._strikes:
            strike.trigger.stop()
        for timer in self._timers:
            timer.cancel()
        for lane in self._lanes.values():
            lane.close()
        if self._relay.is_closed:
            return
        for done in self._promises.owed(closed.reason):
            self._relay.put(cast("R", done))  # responses are of a link that has some
        self._relay.close(cast("R", closed))  # every kind of link ends with it
