"""A link that stays open while the services beneath it come and go.

How it works. Commands go to the present service, and into a memory of what it has not done yet.
When its link ends, another service is connected, in a task, and told from memory what is owed; what
is commanded meanwhile is in the memory too. Sound is told again by pieces, much faster than it was
spoken, and new sound waits behind it: a wire holds only so much at once, and drops the oldest.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol, Self, cast

from beluga_voice.errors import BelugaError
from beluga_voice.events import ErrorCategory, LinkClosed, LinkReady, SendAudio, ServiceFailed
from beluga_voice.resilience.choosing import Chooser, Chosen
from beluga_voice.resilience.held import Held, close_all
from beluga_voice.resilience.notices import Switched, tell
from beluga_voice.resilience.relay import Relay

log = logging.getLogger(__name__)

AT_ONCE_SECONDS = 4.0
"""So much sound is told again in one go,"""
PAUSE_SECONDS = 0.05
"""and then, after this pause, so much more."""


class Carry[S, R](Protocol):
    """A memory of what a service was asked for and has not done."""

    def sent(self, command: S, /) -> None: ...

    def received(self, event: R, /) -> Sequence[R]: ...

    def again(self) -> tuple[list[S], list[R]]: ...


class SwitchingLink[O, S, R]:
    """A link over the first of several providers that works, at every moment.

    It has no outbox but those of the services' links, and what waits while one is told again what
    it missed, which is bounded by the memory.
    """

    def __init__(
        self,
        name: str,
        chooser: Chooser[O, S, R],
        ask: Callable[[int], O],
        carry: Carry[S, R],
        *,
        bytes_per_second: int,
        on_switch: Callable[[Switched], None] | None,
    ) -> None:
        self._name = name
        self._chooser = chooser
        self._ask = ask
        self._carry = carry
        self._at_once = int(bytes_per_second * AT_ONCE_SECONDS)
        self._on_switch = on_switch
        self._loop = asyncio.get_running_loop()
        self._relay: Relay[R] = Relay()
        self._present: Chosen[O, S, R] | None = None
        self._opened: list[Held[O, S, R]] = []
        """Links that are not closed yet."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed_at: dict[int, float] = {}
        """Who failed in this link, and when."""
        self._to_tell: deque[S] = deque()
        """What the present service has yet to be told again, and what came after it."""
        self._timer: asyncio.TimerHandle | None = None
        self._was_ready = False

    # ── the link ────────────────────────────────────────────────────────────────────────────

    def send(self, command: S, /) -> None:
        """To the present service, or to the next one."""
        if self._relay.is_closed:
            return
        self._carry.sent(command)
        if self._present is None:
            return
        if self._to_tell:
            self._to_tell.append(command)
        else:
            self._present.held.link.result().send(command)

    def attach(self, deliver: Callable[[R], None], /) -> None:
        """Deliver by call."""
        self._relay.attach(deliver)

    def __aiter__(self) -> AsyncIterator[R]:
        return aiter(self._relay)

    # ── its life ────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def living(self) -> AsyncGenerator[Self]:
        """Open until left; raises what kept all services from connecting."""
        try:
            chosen = await self._chooser.choose(self._ask)
            if chosen.failed:
                one, error = chosen.failed[0]
                self._switched(one, chosen.one, str(error.code), is_mid_call=False)
            self._use(chosen)
            yield self
        finally:
            self._present = None
            self._stop_telling()
            await self._close()
            if not self._relay.is_closed:
                self._end(LinkClosed(is_clean=True))

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            if self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            await close_all(self._opened)

    def _use(self, chosen: Chosen[O, S, R]) -> None:
        """This service is the present one from here."""
        self._present = chosen
        self._opened = [*(one for one in self._opened if not one.is_closed), chosen.held]
        commands, owed = self._carry.again()
        self._to_tell = deque(commands)
        chosen.held.link.result().attach(partial(self._hear, chosen))
        for event in owed:
            self._relay.put(event)
        self._tell_again()

    # ── hearing ─────────────────────────────────────────────────────────────────────────────

    def _hear(self, chosen: Chosen[O, S, R], event: R) -> None:
        """An event of a service; of one that is not the present one any more it is of no use."""
        if chosen is not self._present:
            return
        match event:
            case LinkClosed():
                self._lose(chosen, event.reason or "its connection ended", event.is_clean)
            case ServiceFailed(is_fatal=True):
                self._lose(chosen, event.message, is_clean=False, category=event.category)
            case LinkReady():
                if not self._was_ready:
                    self._was_ready = True
                    self._relay.put(event)
            case _:
                for one in self._carry.received(event):
                    self._relay.put(one)

    def _lose(
        self,
        chosen: Chosen[O, S, R],
        reason: str,
        is_clean: bool,
        category: ErrorCategory = ErrorCategory.RETRYABLE,
    ) -> None:
        self._present = None
        self._stop_telling()
        chosen.held.release()
        self._failed_at[chosen.one] = self._loop.time()
        if not is_clean:
            self._chooser.lost(chosen.one)
        name = f"beluga-voice fallback {self._name}"
        task = self._loop.create_task(self._switch(chosen, reason, category), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _switch(self, lost: Chosen[O, S, R], reason: str, category: ErrorCategory) -> None:
        limit = self._loop.time() - self._chooser.rest_seconds
        without = [one for one, at in self._failed_at.items() if at > limit]
        try:
            chosen = await self._chooser.choose(self._ask, without=without, is_mid_call=True)
        except BelugaError as error:
            self._switched(lost.one, None, reason, is_mid_call=True)
            message = f"{self._name}: {reason}, and no other service is left ({error.code})"
            self._fail(category, message, is_fatal=True)
            self._end(LinkClosed(is_clean=False, reason=message))
            return
        for one, _ in chosen.failed:
            self._failed_at[one] = self._loop.time()
        self._switched(lost.one, chosen.one, reason, is_mid_call=True)
        message = f"{self._chooser.name(lost.one)} failed, {chosen.held.name} goes on: {reason}"
        self._fail(category, message)
        self._use(chosen)

    # ── telling ─────────────────────────────────────────────────────────────────────────────

    def _tell_again(self) -> None:
        """Tell the present service more of what it missed."""
        self._timer = None
        present, left = self._present, self._at_once
        while self._to_tell and present is not None and present is self._present:
            command = self._to_tell[0]
            if isinstance(command, SendAudio):
                if left <= 0:
                    self._timer = self._loop.call_later(PAUSE_SECONDS, self._tell_again)
                    return
                left -= len(command.pcm)
            self._to_tell.popleft()
            present.held.link.result().send(command)

    def _stop_telling(self) -> None:
        self._to_tell.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _switched(
        self, previous: int, following: int | None, reason: str, *, is_mid_call: bool
    ) -> None:
        switched = Switched(
            previous=self._chooser.name(previous),
            following=None if following is None else self._chooser.name(following),
            reason=reason,
            is_mid_call=is_mid_call,
        )
        log.info("%s: %s to %s", self._name, switched.previous, switched.following)
        tell(self._on_switch, switched)

    def _fail(self, category: ErrorCategory, message: str, *, is_fatal: bool = False) -> None:
        failed = ServiceFailed(category=category, message=message, is_fatal=is_fatal)
        self._relay.put(cast("R", failed))  # every kind of link has this event

    def _end(self, closed: LinkClosed) -> None:
        self._relay.close(cast("R", closed))  # and ends with this one
