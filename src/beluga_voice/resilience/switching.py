"""A link that stays open while the services beneath it come and go.

How it works. Commands go to the present service, and into a memory of what it has not done yet.
When its link ends, another service is connected, in a task, and told from memory what is owed; what
is commanded meanwhile is in the memory too.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, Self, cast

from beluga_voice.errors import BelugaError
from beluga_voice.events import (
    ErrorCategory,
    LinkClosed,
    LinkReady,
    ServiceFailed,
    Transcript,
    UsageReported,
)
from beluga_voice.resilience.choosing import Chooser, Chosen
from beluga_voice.resilience.held import Held, close_all
from beluga_voice.resilience.notices import Switched, tell
from beluga_voice.resilience.relay import Relay
from beluga_voice.resilience.second_opinion import REASON, Doubting, SecondOpinion
from beluga_voice.resilience.watched import Watched

log = logging.getLogger(__name__)


class Carry[S, R](Protocol):
    """A memory of what a service was asked for and has not done."""

    def sent(self, command: S, /) -> None: ...

    def received(self, event: R, /) -> Sequence[R]: ...

    def again(self) -> tuple[list[S], list[R]]: ...

    def doubts(self, event: R, /) -> bool: ...


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
        self._bytes_per_second = bytes_per_second
        self._on_switch = on_switch
        self._loop = asyncio.get_running_loop()
        self._relay: Relay[R] = Relay()
        self._present: Chosen[O, S, R] | None = None
        self._opened: list[Held[O, S, R]] = []
        """Links that are not closed yet."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed_at: dict[int, float] = {}
        """Who failed in this link, and when."""
        self._way: Watched[S, R] | None = None
        """The connection to the present service."""
        self._doubting = Doubting()
        self._opinion: SecondOpinion[S, R] | None = None
        """What another service is asked about,"""
        self._other: Chosen[O, S, R] | None = None
        """and which one that is."""
        self._was_ready = False

    # ── the link ────────────────────────────────────────────────────────────────────────────

    def send(self, command: S, /) -> None:
        """To the present service, or to the next one."""
        if self._relay.is_closed:
            return
        self._carry.sent(command)
        if self._way is not None:
            self._way.send(command)
        if self._opinion is not None:
            self._opinion.send(command)

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
            self._forget_opinion()
            self._leave()
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
        way, owed = self._way_to(chosen)
        self._way = way
        for event in owed:
            self._relay.put(event)
        way.begin(self._hear)

    def _way_to(self, chosen: Chosen[O, S, R]) -> tuple[Watched[S, R], list[R]]:
        """A connection that is to be told from memory what is owed; and what is owed without it."""
        self._opened = [*(one for one in self._opened if not one.is_closed), chosen.held]
        commands, owed = self._carry.again()
        way: Watched[S, R] = Watched(
            chosen.held.link.result(),
            commands,
            release=chosen.held.release,
            bytes_per_second=self._bytes_per_second,
        )
        return way, owed

    def _leave(self) -> None:
        """Nobody is the present one from here."""
        self._present = None
        if self._way is not None:
            self._way.stop()
            self._way = None

    # ── hearing ─────────────────────────────────────────────────────────────────────────────

    def _hear(self, way: Watched[S, R], event: R) -> None:
        """An event of a service; of one that is not the present one any more it is of no use."""
        if self._opinion is not None and way is self._opinion.other:
            self._opinion.hear_other(event)
            return
        chosen = self._present
        if way is not self._way or chosen is None:
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
            case ServiceFailed() | UsageReported():
                self._relay.put(event)
            case _ if self._opinion is not None:
                self._opinion.hear_first(event)
            case Transcript() if self._doubting.may(self._loop.time()) and self._carry.doubts(
                event
            ):
                self._doubt(chosen, event)
            case _:
                self._pass(event)

    def _pass(self, event: R) -> None:
        self._doubting.understood(event)
        for one in self._carry.received(event):
            self._relay.put(one)

    def _lose(
        self,
        chosen: Chosen[O, S, R],
        reason: str,
        is_clean: bool,
        category: ErrorCategory = ErrorCategory.RETRYABLE,
    ) -> None:
        if self._opinion is not None and self._opinion.other is not None:
            self._take_other(chosen, reason)
            return
        self._forget_opinion()
        self._leave()
        self._failed_at[chosen.one] = self._loop.time()
        if not is_clean:
            self._chooser.lost(chosen.one)
        self._begin(self._switch(chosen, reason, category))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work, name=f"beluga-voice fallback {self._name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _switch(self, lost: Chosen[O, S, R], reason: str, category: ErrorCategory) -> None:
        try:
            chosen = await self._next([])
        except BelugaError as error:
            self._switched(lost.one, None, reason, is_mid_call=True)
            message = f"{self._name}: {reason}, and no other service is left ({error.code})"
            self._fail(category, message, is_fatal=True)
            self._end(LinkClosed(is_clean=False, reason=message))
            return
        for one, _ in chosen.failed:
            self._failed_at[one] = self._loop.time()
        self._goes_on(lost, chosen, reason, category)
        self._use(chosen)

    async def _next(self, without: Sequence[int]) -> Chosen[O, S, R]:
        """One that has not failed in this link, or not of late."""
        limit = self._loop.time() - self._chooser.rest_seconds
        failed = [one for one, at in self._failed_at.items() if at > limit]
        return await self._chooser.choose(self._ask, without=[*failed, *without], is_mid_call=True)

    # ── a second opinion ────────────────────────────────────────────────────────────────────

    def _doubt(self, chosen: Chosen[O, S, R], empty: Transcript) -> None:
        """The present one understood nothing of a loud utterance: ask another."""

        def decided(has_words: bool) -> None:
            if has_words:
                self._take_other(chosen, REASON)
            else:
                self._believe()

        opinion: SecondOpinion[S, R] = SecondOpinion(
            empty, decided=decided, passes_on=self._relay.put
        )
        self._opinion = opinion
        self._begin(self._ask_another(chosen, opinion))

    async def _ask_another(self, chosen: Chosen[O, S, R], opinion: SecondOpinion[S, R]) -> None:
        try:
            other = await self._next([chosen.one])
        except BelugaError:
            if opinion is self._opinion:
                self._believe()
            return
        way, _ = self._way_to(other)
        if opinion is self._opinion:
            self._other = other
            opinion.ask(way, self._hear)
        else:
            way.stop()  # it was decided meanwhile

    def _take_other(self, chosen: Chosen[O, S, R], reason: str) -> None:
        """The other one is the present one from here."""
        opinion, other, self._opinion = self._opinion, self._other, None
        if opinion is None or other is None:
            return
        self._leave()
        self._present, self._way = other, opinion.other
        self._failed_at[chosen.one] = self._loop.time()
        self._chooser.lost(chosen.one)
        self._goes_on(chosen, other, reason, ErrorCategory.RETRYABLE)
        for event in opinion.told:
            self._pass(event)

    def _believe(self) -> None:
        """The present one was right, or nobody knows better."""
        opinion = self._opinion
        self._forget_opinion()
        if opinion is not None:
            self._doubting.believed(self._loop.time())
            for event in opinion.kept:
                self._pass(event)

    def _forget_opinion(self) -> None:
        if self._opinion is not None and self._opinion.other is not None:
            self._opinion.other.stop()
        self._opinion = self._other = None

    # ── telling ─────────────────────────────────────────────────────────────────────────────

    def _goes_on(
        self,
        lost: Chosen[O, S, R],
        chosen: Chosen[O, S, R],
        reason: str,
        category: ErrorCategory,
    ) -> None:
        self._switched(lost.one, chosen.one, reason, is_mid_call=True)
        message = f"{self._chooser.name(lost.one)} failed, {chosen.held.name} goes on: {reason}"
        self._fail(category, message)

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
