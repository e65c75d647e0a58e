"""A provider whose failures are noticed, and which is left alone while it fails.

How it works. A breaker, which all links to a service share, counts how connecting and answering
went. While it is open, connecting raises `Refused` at once, with the seconds to wait. Failure is
one idea: an error, no link in time, no useful answer in time, speech without a sound, a fatal
`ServiceFailed`, a lost connection. A link that does not answer is as good as lost, so it ends:
`ServiceFailed`, the responses that are owed, and `LinkClosed`; whoever holds it connects again.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import cast

from beluga_voice.audio.formats import AudioFormat
from beluga_voice.errors import (
    ConfigurationError,
    Misuse,
    Overloaded,
    ProviderError,
    Unreachable,
)
from beluga_voice.events import (
    ErrorCategory,
    LinkClosed,
    NoResponse,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    ServiceFailed,
    SpeechAudio,
    SpeechDone,
    ToolCalled,
    Transcript,
)
from beluga_voice.interfaces import Capabilities, Link, Provider, output_format_of
from beluga_voice.resilience.boards import shared_board
from beluga_voice.resilience.breaker import (
    ORDINARY,
    BreakerSettings,
    BreakerState,
    Outcome,
    Permit,
)
from beluga_voice.resilience.health import Board, Standing
from beluga_voice.resilience.nesting import guards, warmed
from beluga_voice.resilience.notices import BreakerChanged, Once
from beluga_voice.resilience.progress import Progress, ProgressSettings
from beluga_voice.resilience.refusal import Refused
from beluga_voice.resilience.relay import Relay

CONNECT_MS = 3000.0
"""How long connecting may take: less than a session waits, so that a next provider has its time."""


class Guarded[O, S, R]:
    """Connects to the provider unless its breaker is open.

    Breakers are shared by `key`, the provider's name unless told otherwise, on `board`: that of the
    running loop unless told otherwise. The first one with a key decides on `breaker`; a later one
    that gives other settings gets a `ConfigurationError` from `connect`, and one around a provider
    that is guarded with the same key gets it at once. `on_change` is told when
    this provider finds the breaker in another state.

    Connecting raises `Refused`, an `Overloaded`, while the breaker is open or enough others try,
    and `Unreachable` for what takes longer than `connect_ms`.
    """

    def __init__(
        self,
        provider: Provider[O, S, R],
        *,
        breaker: BreakerSettings | None = None,
        progress: ProgressSettings | None = None,
        connect_ms: float = CONNECT_MS,
        key: str | None = None,
        board: Board | None = None,
        on_change: Callable[[BreakerChanged], None] | None = None,
    ) -> None:
        if connect_ms <= 0:
            raise ConfigurationError("connect_ms is above 0", op="guarded")
        self._provider = provider
        self._breaker = breaker
        self._progress = progress or ProgressSettings()
        self._connect_ms = connect_ms
        self._key = key or provider.name
        if self._key in guards(provider):
            raise ConfigurationError(
                f"{self._key} is guarded already, and one breaker cannot be passed twice: "
                "give this one another key",
                op="guarded",
            )
        self._board = board
        closed = BreakerChanged(provider=self._key, state=BreakerState.CLOSED)
        self._changes = Once(on_change, closed)

    @property
    def name(self) -> str:
        """The provider's own."""
        return self._provider.name

    @property
    def capabilities(self) -> Capabilities:
        """The provider's own."""
        return self._provider.capabilities

    @property
    def breaker_key(self) -> str:
        """Under which name its breaker is shared."""
        return self._key

    @property
    def inside(self) -> tuple[Provider[O, S, R], ...]:
        """What is wrapped."""
        return (self._provider,)

    def warm(self) -> AbstractAsyncContextManager[None]:
        """Keep what it loads (models, processes) for as long as the context lasts."""
        return warmed(self.inside)

    @asynccontextmanager
    async def connect(self, options: O, /) -> AsyncGenerator[Link[S, R]]:
        """A link of the provider that ends when it fails; cancelling is safe."""
        standing = (self._board or shared_board()).of(self._key, self._breaker)
        calls = _Calls(standing, self._changes)
        calls.begin(self.name)
        async with AsyncExitStack() as stack:
            stack.callback(calls.end)
            able = self.capabilities
            wanted: AudioFormat | None = getattr(options, "output_format", None)
            # Recognisers give no sound, and have no format of it.
            speaks = wanted is not None or bool(able.output_formats)
            output = output_format_of(able, wanted) if speaks else AudioFormat()
            progress = Progress(
                self._progress, is_streaming=able.is_streaming, encoding=output.encoding
            )
            link: GuardedLink[S, R] = GuardedLink(self.name, calls, progress)
            stack.callback(link.close)
            inner = await self._open(stack, options, calls)
            link.over(inner)
            stack.callback(link.leave)
            yield link

    async def _open(self, stack: AsyncExitStack, options: O, calls: "_Calls") -> Link[S, R]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        limit = asyncio.timeout(self._connect_ms / 1000)
        try:
            async with limit:
                link = await stack.enter_async_context(self._provider.connect(options))
        except (ConfigurationError, Misuse, Refused):
            raise
        except TimeoutError as error:
            if not limit.expired():
                calls.failed("it failed to connect: TimeoutError")
                raise
            message = f"{self.name} did not connect within {self._connect_ms:g} ms"
            calls.failed(message)
            raise Unreachable(message, op="connect", provider=self.name) from error
        except ProviderError as error:
            calls.failed(error.code)
            if isinstance(error, Overloaded) and error.retry_after is not None:
                calls.rest(error.retry_after)
            raise
        except Exception as error:
            calls.failed(type(error).__name__)
            raise
        slow_ms = self._connect_ms * self._progress.slow_share
        calls.connected(is_slow=(loop.time() - began) * 1000 > slow_ms)
        return link


class _Calls:
    """What one link reports to the breaker it shares."""

    def __init__(self, standing: Standing, changes: Once[BreakerChanged]) -> None:
        self._standing = standing
        self._changes = changes
        self._loop = asyncio.get_running_loop()
        self._permit: Permit = ORDINARY
        self.is_probe = False
        """Whether the breaker waits to hear how this one went."""

    def begin(self, name: str) -> None:
        """Ask for leave; raises `Refused`."""
        now, breaker = self._loop.time(), self._standing.breaker
        permit = breaker.admit(now)
        self._tell()
        if permit is None:
            wait = breaker.retry_after(now)
            when = "others try it now" if wait is None else f"it is asked again in {wait:g} s"
            message = f"{name} failed too often: {when}"
            raise Refused(message, op="connect", provider=name, retry_after=wait)
        self._permit = permit
        self.is_probe = permit != ORDINARY
        self._standing.links += 1

    def end(self) -> None:
        """The link is gone."""
        self._standing.links -= 1
        self._standing.breaker.give_back(self._permit)

    def connected(self, *, is_slow: bool) -> None:
        """There is a link. A probe is judged by what it answers, unless it was slow already."""
        if is_slow:
            self.record(Outcome.SLOW)
        elif not self.is_probe:
            self.record(Outcome.GOOD)

    def failed(self, reason: str) -> None:
        """It failed."""
        self._standing.failed(reason, self._loop.time())
        self.record(Outcome.FAILED)

    def record(self, outcome: Outcome) -> None:
        """Something went well, or did not."""
        self.is_probe = False
        self._standing.breaker.record(self._permit, outcome, self._loop.time())
        self._tell()

    def rest(self, seconds: float) -> None:
        """The service asked to be left alone for so long."""
        now = self._loop.time()
        self._standing.breaker.rest(now + seconds, now)
        self._tell()

    def _tell(self) -> None:
        state = self._standing.breaker.state
        self._changes.tell(BreakerChanged(provider=self._standing.name, state=state))


class GuardedLink[S, R]:
    """A link that ends when its service does not answer. Its outbox is that of the service's."""

    def __init__(self, name: str, calls: _Calls, progress: Progress) -> None:
        self._name = name
        self._calls = calls
        self._progress = progress
        self._loop = asyncio.get_running_loop()
        self._relay: Relay[R] = Relay()
        self._inner: Link[S, R] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._responses: set[ResponseId] = set()
        """Those that are not done."""
        self._has_failed = False
        self._is_left = False

    # ── the link ────────────────────────────────────────────────────────────────────────────

    def send(self, command: S, /) -> None:
        """Pass it on."""
        if self._relay.is_closed or self._inner is None:
            return
        self._progress.sent(command, self._loop.time())
        self._arm()
        self._inner.send(command)

    def attach(self, deliver: Callable[[R], None], /) -> None:
        """Deliver by call."""
        self._relay.attach(deliver)

    def __aiter__(self) -> AsyncIterator[R]:
        return aiter(self._relay)

    # ── its life ────────────────────────────────────────────────────────────────────────────

    def over(self, inner: Link[S, R]) -> None:
        """Begin to pass on what the service's link gives."""
        self._inner = inner
        inner.attach(self._hear)

    def leave(self) -> None:
        """Nobody uses it any more: what ends now ends in order."""
        self._is_left = True

    def close(self) -> None:
        """Nothing follows."""
        self._end(LinkClosed(is_clean=True))

    def _hear(self, event: R) -> None:
        if self._relay.is_closed:
            return
        match event:
            case LinkClosed():
                if not event.is_clean:
                    self._failed(event.reason or "the connection was lost")
                self._end(event)
                return
            case ServiceFailed():
                if event.is_fatal:
                    self._failed(event.message)
                if event.retry_after_seconds is not None:
                    self._calls.rest(event.retry_after_seconds)
            case ResponseStarted():
                self._responses.add(event.response_id)
            case ResponseDone():
                self._responses.discard(event.response_id)
            case _:
                pass
        outcome = self._progress.received(event, self._loop.time())
        if outcome is Outcome.FAILED:
            self._calls.failed(self._progress.reason)
            if isinstance(event, SpeechDone):
                self._give_up(self._progress.reason)
                return
        elif outcome is not None:
            self._calls.record(outcome)
        elif self._calls.is_probe and isinstance(event, _USEFUL):
            self._calls.record(Outcome.GOOD)
        self._relay.put(event)

    def _failed(self, reason: str) -> None:
        """The link fails, which is counted once."""
        if not self._has_failed and not self._is_left:
            self._has_failed = True
            self._calls.failed(reason)

    # ── deadlines ───────────────────────────────────────────────────────────────────────────

    def _arm(self) -> None:
        """Look when something may be overdue: one timer, for deadlines only move away."""
        due = self._progress.deadline
        if due is not None and self._timer is None and not self._relay.is_closed:
            self._timer = self._loop.call_at(due, self._look, due)

    def _look(self, now: float) -> None:
        """It is `now`, if perhaps not to the last bit of the loop's clock."""
        self._timer = None
        due = self._progress.deadline
        if due is None or due > now:
            self._arm()
        elif not self._is_left:
            self._failed(self._progress.reason)
            self._give_up(self._progress.reason)

    def _give_up(self, reason: str) -> None:
        """The service is as good as gone."""
        message = f"{self._name}: {reason}"
        self._put(ServiceFailed(category=ErrorCategory.TIMEOUT, message=message, is_fatal=True))
        for response_id in sorted(self._responses):
            failed = ResponseStatus.FAILED
            self._put(ResponseDone(response_id=response_id, status=failed, reason=reason))
        self._end(LinkClosed(is_clean=False, reason=message))

    def _put(self, event: ServiceFailed | ResponseDone) -> None:
        # Failures are events of every kind of link, and responses are of this one if it has any.
        self._relay.put(cast("R", event))

    def _end(self, event: LinkClosed) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._relay.is_closed:
            self._relay.close(cast("R", event))  # every kind of link ends with it


_USEFUL = (Transcript, SpeechAudio, ResponseAudio, ResponseText, ToolCalled, NoResponse)
"""What a service gives only when it works."""
