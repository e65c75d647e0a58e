"""A link whose service is asked once more, over another connection, when it owes something.

How it works. A connection that is lost is followed by another one, which is told from memory what
is owed. One that is open and late is not given up: it may be slow and well. Another one is asked
beside it, for the same, and whichever of the two answers first is the only one from then on. What
the other one told meanwhile is dropped, so nothing is heard twice.

Only what is late or lost opens another connection, and all of a process who use a service share a
budget for that. So many attempts in a while, then the link ends, or waits on if it is only late.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, cast

from beluga_voice.audio.formats import AudioFormat, is_digital_silence
from beluga_voice.errors import (
    BelugaError,
    ConfigurationError,
    Overloaded,
    ProviderError,
    where,
)
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    ErrorCategory,
    LinkClosed,
    LinkReady,
    SendAudio,
    ServiceFailed,
    SpeechAudio,
    SpeechDone,
    Transcript,
    UsageReported,
)
from beluga_voice.interfaces import Link, Provider
from beluga_voice.resilience.backoff import Backoff
from beluga_voice.resilience.breaker import Outcome
from beluga_voice.resilience.budget import RetryBudget
from beluga_voice.resilience.held import Held, close_all, race
from beluga_voice.resilience.notices import Switched, tell
from beluga_voice.resilience.progress import Progress, ProgressSettings
from beluga_voice.resilience.relay import Relay
from beluga_voice.resilience.second_opinion import REASON, Doubting, SecondOpinion
from beluga_voice.resilience.switching import Carry
from beluga_voice.resilience.watched import Watched

log = logging.getLogger(__name__)

type Release = Callable[[], None]
SLOWER = 2.0
"""How much more time a service gets that was late, and then answered after all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AfreshSettings:
    """When another connection is made. Raises `ConfigurationError` for what makes no sense."""

    progress: ProgressSettings = field(default_factory=ProgressSettings)
    """When an answer is late."""
    connect_ms: float = 3000
    """When a connection that does not come about gets another one beside it."""
    local_factor: float = 2.0
    """What runs on this machine gets so many times as long to answer: asked twice, it is slower."""
    attempts: int = 3
    """How many connections are made in `within_seconds` in place of others."""
    within_seconds: float = 30.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first_ms=100, max_ms=2000))
    """Between them, but not before the first."""

    def __post_init__(self) -> None:
        for name in ("connect_ms", "local_factor", "within_seconds"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{name} should be above 0", op="afresh")
        if self.attempts < 1:
            raise ConfigurationError("attempts is at least 1", op="afresh")


class MarkedCarry[S, R, M](Carry[S, R], Protocol):
    """A memory that can go back to where it was before a service was told again."""

    def mark(self) -> M: ...

    def back(self, mark: M, /) -> None: ...


@dataclass(slots=True, kw_only=True)
class Means:
    """What a link needs to make connections."""

    settings: AfreshSettings
    budget: RetryBudget
    connect_seconds: float | None
    """`None` for one whose connecting nobody hurries."""
    progress: ProgressSettings | None
    """`None` for one that is watched elsewhere."""
    is_streaming: bool
    sound: AudioFormat
    """That of the link."""
    on_switch: Callable[[Switched], None] | None


class BesideLink[O, S, R]:
    """See above. It has no outbox but those of the connections."""

    def __init__(
        self,
        provider: Provider[O, S, R],
        options: O,
        carry: MarkedCarry[S, R, Any],
        means: Means,
    ) -> None:
        self._provider = provider
        self._options = options
        self._carry = carry
        self._means = means
        self._progress = means.progress
        self._loop = asyncio.get_running_loop()
        self._relay: Relay[R] = Relay()
        self._present: Watched[S, R] | None = None
        self._late: Watched[S, R] | None = None
        """The one before the present one, while it is not known which of them answers."""
        self._mark: Any = None
        """Where the memory was before the present one was told again."""
        self._kept: list[R] = []
        """What the present one told while that is not known."""
        self._reason = ""
        self._opened: list[Held[O, S, R]] = []
        """Links that are not closed yet."""
        self._task: asyncio.Task[None] | None = None
        self._attempts: deque[float] = deque()
        self._mute: set[ContextId] = set()
        """Contexts that ended without a sound."""
        self._doubting = Doubting()
        self._opinion: SecondOpinion[S, R] | None = None
        """What another connection is asked about."""
        self._was_ready = False

    # ── the link ────────────────────────────────────────────────────────────────────────────

    def send(self, command: S, /) -> None:
        """To the present connection, to one that is late, or to the next."""
        if self._relay.is_closed:
            return
        self._carry.sent(command)
        told: object = command
        if isinstance(told, SendAudio) and self._late is None and self._opinion is None:
            if self._present is not None:
                self._present.send(command)  # as nearly always: spare the rest
            return
        if isinstance(command, CancelSpeech):
            self._mute.discard(command.context_id)
            self._kept = [one for one in self._kept if not _is_of(one, command.context_id)]
        for one in (self._late, self._present, self._opinion):
            if one is not None:
                one.send(command)
        if self._late is not None and not self._late.owes and self._present is not None:
            self._decide(self._present)

    def attach(self, deliver: Callable[[R], None], /) -> None:
        """Deliver by call."""
        self._relay.attach(deliver)

    def __aiter__(self) -> AsyncIterator[R]:
        return aiter(self._relay)

    # ── its life ────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def living(self) -> AsyncGenerator[Self]:
        """Open until left; raises what kept the service from connecting."""
        self._means.budget.called(self._loop.time())
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._leave)
            link, release = await self._first(stack)
            try:
                self._use(link, release)
                yield self
            finally:
                # What closes from here on is not to be followed by anything.
                self._put_down()

    def _put_down(self) -> None:
        self._put_off()
        self._forget_opinion()
        for one in (self._late, self._present):
            if one is not None:
                one.stop()
        self._present = self._late = None

    async def _leave(self) -> None:
        try:
            await close_all(self._opened)
        finally:
            if not self._relay.is_closed:
                self._end(LinkClosed(is_clean=True))

    # ── connecting ──────────────────────────────────────────────────────────────────────────

    async def _first(self, stack: AsyncExitStack) -> tuple[Link[S, R], Release | None]:
        """The first connection, and how to close it before the end if that can be.

        It is opened in place, so that a link of which nothing fails has no task; only who opened it
        can close it then, when the link is left.
        """
        beside: Held[O, S, R] | None = None
        limit = asyncio.timeout(None)
        is_awaited = True

        def try_beside() -> None:
            nonlocal beside
            if self._means.budget.spend(self._loop.time()):
                beside = self._begin()
                beside.link.add_done_callback(ready)

        def ready(link: asyncio.Future[Link[S, R]]) -> None:
            if is_awaited and not link.cancelled() and link.exception() is None:
                limit.reschedule(self._loop.time())

        seconds = self._means.connect_seconds
        timer = None if seconds is None else self._loop.call_later(seconds, try_beside)
        try:
            async with limit:
                link = await stack.enter_async_context(self._provider.connect(self._options))
        except Exception:
            if beside is None:
                raise
            found = await race([beside])
            return found.link.result(), found.release
        finally:
            is_awaited = False
            if timer is not None:
                timer.cancel()
        if beside is not None:
            beside.release()
        return link, None

    async def _open(self) -> Held[O, S, R]:
        """A connection; beside one that does not come about, another one is tried."""
        begun = [self._begin()]
        try:
            await asyncio.wait([begun[0].link], timeout=self._means.connect_seconds)
            if not begun[0].link.done() and self._means.budget.spend(self._loop.time()):
                begun.append(self._begin())
            found = await race(begun)
        except BaseException:
            for one in begun:
                one.release()
            raise
        for one in begun:
            if one is not found:
                one.release()
        return found

    def _begin(self) -> Held[O, S, R]:
        left: list[Held[O, S, R]] = []
        for one in self._opened:
            if not one.is_closed:
                left.append(one)
            elif one.link.done():
                one.failure()  # it may be that nobody asked
        held = Held(self._provider, self._options)
        self._opened = [*left, held]
        return held

    def _use(self, link: Link[S, R], release: Release | None) -> None:
        """This one is the present one from here, beside the last one if that is only late."""
        previous, mark = self._present, self._carry.mark()
        commands, owed = self._carry.again()
        self._present = present = self._watched(link, commands, release)
        if previous is not None and previous.is_late and commands:
            self._late, self._mark = previous, mark
        else:
            if previous is not None:
                previous.stop()
            self._tell()
        for event in owed:
            self._relay.put(event)
        present.begin(self._hear)

    def _watched(self, link: Link[S, R], again: list[S], release: Release | None) -> Watched[S, R]:
        progress, sound = None, self._means.sound
        if self._progress is not None:
            progress = Progress(
                self._progress,
                is_streaming=self._means.is_streaming,
                encoding=sound.encoding,
            )
        return Watched(
            link,
            again,
            release=release,
            bytes_per_second=sound.rate * sound.block_bytes,
            progress=progress,
            late=self._is_late,
        )

    # ── hearing ─────────────────────────────────────────────────────────────────────────────

    def _hear(self, one: Watched[S, R], event: R) -> None:
        if self._opinion is not None and one is self._opinion.other:
            one.received(event)
            self._opinion.hear_other(event)
            return
        if one is not self._present and one is not self._late:
            return
        match event:
            case LinkClosed():
                self._lose(one, event.reason or "its connection ended")
            case ServiceFailed(is_fatal=True):
                self._lose(one, event.message, event.category)
            case LinkReady():
                if not self._was_ready:
                    self._was_ready = True
                    self._relay.put(event)
            case ServiceFailed() | UsageReported():
                self._relay.put(event)
            case _:
                self._weigh(one, event)

    def _weigh(self, one: Watched[S, R], event: R) -> None:
        """Something that a service tells of its work."""
        was_late = one.is_late
        outcome = one.received(event)
        if isinstance(event, SpeechDone) and outcome is Outcome.FAILED:
            if event.context_id not in self._mute:
                self._mute.add(event.context_id)
                self._lose(one, one.reason, ErrorCategory.TIMEOUT)
                return
            self._mute.discard(event.context_id)
        if self._late is not None:
            if not self._is_answer(event):
                if one is self._present:
                    self._kept.append(event)
                return
            self._decide(one)
        elif was_late and not one.is_late:
            self._answered_late(one)
        if self._opinion is not None:
            self._opinion.hear_first(event)
        elif isinstance(event, Transcript) and self._is_doubted(event):
            self._doubt(event)
        else:
            self._pass(event)

    def _is_doubted(self, event: R) -> bool:
        """Whether another connection is to be asked about it."""
        is_free = self._task is None and self._doubting.may(self._loop.time())
        return is_free and self._carry.doubts(event) and self._may_try()

    def _pass(self, event: R) -> None:
        self._doubting.understood(event)
        for one in self._carry.received(event):
            self._relay.put(one)

    def _decide(self, one: Watched[S, R]) -> None:
        """Of two that were asked, this one answers."""
        late, present = self._late, self._present
        kept, self._kept = self._kept, []
        self._late = None
        if one is late:
            self._present = late
            if present is not None:
                present.stop()
            self._carry.back(self._mark)
            self._answered_late(one)
        elif late is not None:
            late.stop()
            self._tell()
            for event in kept:
                self._pass(event)

    def _answered_late(self, one: Watched[S, R]) -> None:
        """It is slow, and well: another one is not wanted, and not so soon the next time."""
        if self._opinion is None:
            self._put_off()
        if self._progress is not None and one.progress is not None:
            self._progress = one.progress.settings = one.progress.settings.times(SLOWER)

    def _is_answer(self, event: R) -> bool:
        """Whether that is what a service is asked for."""
        match event:
            case SpeechAudio():
                return not is_digital_silence(event.pcm, self._means.sound.encoding)
            case Transcript():
                return event.is_final and event.utterance_id is not None
            case SpeechDone():
                return True
            case _:
                return False

    # ── once more ───────────────────────────────────────────────────────────────────────────

    def _work_ends(self) -> None:
        """Unless it was put off, and other work has begun."""
        if self._task is asyncio.current_task():
            self._task = None

    def _put_off(self) -> None:
        """What is being connected is not wanted."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _is_late(self, one: Watched[S, R]) -> None:
        opinion = self._opinion
        if opinion is not None and one is opinion.other:
            self._decided(False)
        elif opinion is None and one is self._present and self._late is None:
            self._renew(one.reason, ErrorCategory.TIMEOUT)

    def _lose(
        self,
        one: Watched[S, R],
        reason: str,
        category: ErrorCategory = ErrorCategory.RETRYABLE,
    ) -> None:
        one.stop()
        if one is self._late and self._present is not None:
            self._decide(self._present)
            return
        if self._opinion is not None and self._opinion.other is not None:
            self._take_other(self._opinion, reason)
            return
        if self._opinion is not None:
            self._opinion = None
            self._put_off()
        self._present, self._late = self._late, None
        self._kept.clear()
        if self._present is not None:
            self._carry.back(self._mark)
        self._renew(reason, category)

    def _renew(self, reason: str, category: ErrorCategory) -> None:
        if self._task is None:
            self._reason = reason
            name = f"beluga-voice afresh {self._provider.name}"
            self._task = self._loop.create_task(self._connect_again(category), name=name)

    async def _connect_again(self, category: ErrorCategory) -> None:
        try:
            problem = await self._try_again()
        finally:
            self._work_ends()
        if problem and self._present is None:
            message = f"{self._provider.name}: {self._reason}, and {problem}"
            self._fail(category, message, is_fatal=True)
            self._end(LinkClosed(is_clean=False, reason=message))

    async def _try_again(self) -> str:
        """Use another connection; gives the problem if none comes about."""
        asked: float | None = None
        while self._may_try():
            attempt = len(self._attempts) - 1
            if attempt:
                delay_ms = self._means.settings.backoff.delay_ms(
                    attempt, random.random(), retry_after_seconds=asked
                )
                await asyncio.sleep(delay_ms / 1000)
            try:
                held = await self._open()
            except Exception as error:
                # A service may let nobody in while the one before is there.
                if self._present is not None:
                    self._present.stop()
                    self._present = None
                problem = _told(error)
                asked = error.retry_after if isinstance(error, Overloaded) else None
                is_wait_too_long = (asked or 0) * 1000 > self._means.settings.backoff.max_ms
                if not getattr(error, "is_retryable", False) or is_wait_too_long:
                    return problem
            else:
                self._use(held.link.result(), held.release)
                return ""
        return "it has failed too often"

    def _may_try(self) -> bool:
        """Whether another connection may be made now; if so, that is noted."""
        now, settings = self._loop.time(), self._means.settings
        while self._attempts and self._attempts[0] <= now - settings.within_seconds:
            self._attempts.popleft()
        if len(self._attempts) >= settings.attempts or not self._means.budget.spend(now):
            return False
        self._attempts.append(now)
        return True

    # ── a second opinion ────────────────────────────────────────────────────────────────────

    def _doubt(self, empty: Transcript) -> None:
        """The present one understood nothing of a loud utterance: ask another."""
        self._opinion = SecondOpinion(empty, decided=self._decided, passes_on=self._relay.put)
        name = f"beluga-voice afresh {self._provider.name}"
        self._task = self._loop.create_task(self._ask_another(self._opinion), name=name)

    async def _ask_another(self, opinion: SecondOpinion[S, R]) -> None:
        held: Held[O, S, R] | None = None
        try:
            held = await self._open()
        except Exception as error:
            log.info("nobody else to ask: %s", _told(error))
        finally:
            self._work_ends()
        if opinion is not self._opinion:
            if held is not None:
                held.release()  # it was decided meanwhile
        elif held is None:
            self._decided(False)
        else:
            again, _ = self._carry.again()
            link = held.link.result()
            opinion.ask(self._watched(link, again, held.release), self._hear)

    def _decided(self, has_words: bool) -> None:
        opinion, present = self._opinion, self._present
        if opinion is None:
            return
        if has_words:
            self._take_other(opinion, REASON)
            return
        self._forget_opinion()
        self._doubting.believed(self._loop.time())
        for event in opinion.kept:
            self._pass(event)
        if present is not None and present.is_late:
            self._is_late(present)

    def _take_other(self, opinion: SecondOpinion[S, R], reason: str) -> None:
        """The other connection is the present one from here."""
        if self._present is not None:
            self._present.stop()
        self._present, self._opinion, self._reason = opinion.other, None, reason
        self._tell()
        for event in opinion.told:
            self._pass(event)

    def _forget_opinion(self) -> None:
        if self._opinion is not None and self._opinion.other is not None:
            self._opinion.other.stop()
        self._opinion = None

    # ── telling ─────────────────────────────────────────────────────────────────────────────

    def _tell(self) -> None:
        """It goes on over another connection."""
        if not self._reason:
            return  # this is the first one
        name, reason = self._provider.name, self._reason
        log.info("%s goes on over another connection: %s", name, reason)
        switched = Switched(
            previous=name, following=name, reason=reason, is_mid_call=True, is_renewal=True
        )
        tell(self._means.on_switch, switched)
        self._fail(ErrorCategory.RETRYABLE, f"{name}: {reason}; another connection of it goes on")

    def _fail(self, category: ErrorCategory, message: str, *, is_fatal: bool = False) -> None:
        failed = ServiceFailed(category=category, message=message, is_fatal=is_fatal)
        self._relay.put(cast("R", failed))  # every kind of link has this event

    def _end(self, closed: LinkClosed) -> None:
        self._relay.close(cast("R", closed))  # and ends with this one


def _is_of(event: object, context_id: ContextId) -> bool:
    return getattr(event, "context_id", None) == context_id


def _told(error: Exception) -> str:
    if isinstance(error, BelugaError):
        code = error.code if isinstance(error, ProviderError) else type(error).__name__
        return f"it does not connect again ({code})"
    log.error("a provider failed: %s", where(error))
    return f"connecting again failed ({type(error).__name__})"
