"""A recorded service as a provider: it says what it said, when it is told what it was told.

How it works. The events of a recorded connection follow its orders (all commands but sound). An
event comes as long after the last order before it as it did in the recording, and after the
connection was opened if there was none. So a session that is quicker or slower than the recorded
one is answered in time; and in one that does as the recorded one did, all is at the same
millisecond. Time is the running loop's, simulated or not.

An order that is another one than was recorded, that was not, or that does not come, is a mismatch:
`mismatches` names each. The service goes on as recorded nevertheless.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from beluga_voice.errors import (
    Denied,
    Misuse,
    Overloaded,
    ProviderError,
    Rejected,
    Silent,
    Unreachable,
)
from beluga_voice.events import LinkClosed, SendAudio
from beluga_voice.interfaces import Capabilities
from beluga_voice.resilience.recorded import snake
from beluga_voice.resilience.redaction import told
from beluga_voice.testing.faults.promises import Promises
from beluga_voice.testing.recording.reading import SOUND, Line, Recording, read
from beluga_voice.testing.scripted import Unexpected
from beluga_voice.transports.feed import Feed

PATIENCE_SECONDS = 5.0
"""How much later than in the recording an order may come."""
AHEAD = 4
"""How many orders may have been left out before one that comes."""
MEASURED = frozenset({"heard_samples", "heard_text", "say_id"})
"""Fields that depend on the clock, or are made up anew: they are not compared."""
GIVEN_UP = asyncio.CancelledError.__name__
"""What a connection failed with that nobody waited for any longer."""

_ERRORS: dict[str, type[ProviderError]] = {
    one.__name__: one for one in (Denied, Overloaded, Rejected, Silent, Unreachable)
}


class Replayed:
    """Plays a recording as a provider: its first connection first, and so on.

    It has the name and the capabilities of the recorded one. A connection that failed fails again;
    one more than was recorded raises `Unreachable`. With `keeps_audio` false, also sound that was
    kept is made up from its hash. Raises `ConfigurationError` for a file that cannot be read, and
    `Misuse` for one that is no recording.
    """

    def __init__(
        self,
        recording: Recording | Path | str,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        keeps_audio: bool = True,
    ) -> None:
        self.recording = recording if isinstance(recording, Recording) else read(recording)
        self.patience_seconds = patience_seconds
        self.keeps_audio = keeps_audio
        self.mismatches: list[str] = []
        """What was otherwise than recorded, in order."""
        self.given: list[Any] = []
        """The events that it gave, on all connections."""
        self._links = 0
        self._began: float | None = None
        """When the first connection was asked for."""

    @property
    def name(self) -> str:
        """The recorded provider's."""
        return self.recording.provider

    @property
    def capabilities(self) -> Capabilities:
        """The recorded provider's."""
        return self.recording.capabilities

    @asynccontextmanager
    async def connect(self, options: Any, /) -> "AsyncGenerator[ReplayedLink]":
        """The next recorded connection; cancelling is safe."""
        self._check(options)
        number = self._links
        self._links += 1
        now = asyncio.get_running_loop().time()
        self._began = now if self._began is None else self._began
        if number >= len(self.recording.links):
            if now - self._began <= self.recording.seconds:  # what comes after is another matter
                self.mismatches.append(f"connection {number + 1} was not recorded")
            message = f"the recording has {number} connections, and this is one more"
            raise Unreachable(message, op="connect", provider=self.name)
        lines = self.recording.links[number]
        await self._open(lines)
        link = ReplayedLink(self, number + 1, lines)
        try:
            yield link
        finally:
            link.leave()

    def finish(self) -> None:
        """Raise `Unexpected` if anything was otherwise than recorded."""
        unused = len(self.recording.links) - self._links
        problems = [*self.mismatches, *["a connection was never made"] * unused]
        if problems:
            raise Unexpected("; ".join(problems))

    def _check(self, options: object) -> None:
        wanted = self.recording.options_type
        if type(options).__name__ != wanted:
            message = f"it was connected to with {wanted}, and this is {type(options).__name__}"
            raise Misuse(message, op="replay")

    async def _open(self, lines: tuple[Line, ...]) -> None:
        """Take as long as it took, and fail as it failed."""
        began = lines[0].at if lines else 0.0
        result = next((line for line in lines if line.what in ("open", "failed")), None)
        if result is None or result.fields.get("error") == GIVEN_UP:
            await asyncio.get_running_loop().create_future()
            return
        await asyncio.sleep(result.at - began)
        if result.what == "failed":
            raise self._error(result)

    def _error(self, failed: Line) -> ProviderError:
        kind = _ERRORS.get(failed.fields["error"], ProviderError)
        message = failed.fields["message"] or failed.fields["error"]
        if kind is Overloaded:
            retry_after = failed.fields["retry_after"]
            return Overloaded(message, op="connect", provider=self.name, retry_after=retry_after)
        return kind(message, op="connect", provider=self.name)


class ReplayedLink:
    """See `Replayed`. It takes any amount of orders, and keeps no sound."""

    def __init__(self, provider: Replayed, number: int, lines: tuple[Line, ...]) -> None:
        self._provider = provider
        self._number = number
        self._loop = asyncio.get_running_loop()
        self._feed: Feed[Any] = Feed()
        self._promises = Promises()
        self._script = deque(_script(lines))
        self._seen: deque[tuple[str, dict[str, Any]]] = deque()
        """Orders that have come, and have not been compared yet."""
        self._timer: asyncio.TimerHandle | None = None
        opened = next(line.at for line in lines if line.what == "open")
        self._recorded_until = lines[-1].at
        self._offset = self._loop.time() - opened
        """What is added to the time of an event."""
        self._go_on()

    # ── the link ────────────────────────────────────────────────────────────────────────────

    def send(self, command: Any, /) -> None:
        """Take a command, and compare it with what was recorded, unless it is sound."""
        if self._feed.is_closed or isinstance(command, SendAudio):
            return
        self._promises.sent(command)
        words = self._provider.recording.keeps_words
        self._seen.append((snake(type(command).__name__), told(command, keeps_words=words)))
        # An answer never comes within `send`.
        self._wake(self._loop.time())

    def attach(self, deliver: Callable[[Any], None], /) -> None:
        """Deliver by call."""
        self._feed.attach(deliver)

    def __aiter__(self) -> AsyncIterator[Any]:
        return aiter(self._feed)

    def leave(self) -> None:
        """Nobody uses it any more: orders that were recorded after this are not missed."""
        self._stop()
        for kind, _ in self._seen:
            self._differs(f"{kind} was not expected")
        self._seen.clear()
        self._close(LinkClosed(is_clean=True))

    # ── its life ────────────────────────────────────────────────────────────────────────────

    def _go_on(self, due: float = 0.0) -> None:
        """Do what is due, until something has to be waited for."""
        self._timer = None
        now = max(due, self._loop.time())
        while not self._feed.is_closed:
            if not self._script:
                self._left_over()
                return
            line = self._script[0]
            if line.what == "sent":
                if self._seen:
                    self._compare(now)
                elif now < (late := line.at + self._offset + self._provider.patience_seconds):
                    self._wake(late)
                    return
                else:
                    self._differs(f"{line.kind} did not come")
                    self._script.popleft()
            elif line.at + self._offset > now:
                self._wake(line.at + self._offset)
                return
            else:
                self._script.popleft()
                self._give(line)

    def _compare(self, now: float) -> None:
        """Hold the order that came against the one that was recorded."""
        kind, fields = self._seen.popleft()
        orders = [line for line in self._script if line.what == "sent"][: AHEAD + 1]
        found = next((line for line in orders if line.kind == kind), None)
        if found is None:
            self._differs(f"{kind} was not expected, but {orders[0].kind}")
            return
        while (line := self._script.popleft()) is not found:
            if line.what == "sent":
                self._differs(f"{line.kind} did not come before {kind}")
            else:
                self._give(line)
        for name, value in found.fields.items():
            if name not in MEASURED and fields.get(name) != value:
                self._differs(f"{kind} has another {name}")
        self._offset = now - found.at

    def _left_over(self) -> None:
        """All that was said in the recording is over; what comes after its end is not judged."""
        is_recorded = self._loop.time() <= self._recorded_until + self._offset
        while self._seen:
            kind, _ = self._seen.popleft()
            if is_recorded:
                self._differs(f"{kind} was not expected, but nothing any more")

    def _give(self, line: Line) -> None:
        provider = self._provider
        event = provider.recording.event(line, keeps_audio=provider.keeps_audio)
        if not self._promises.lets(event):
            return
        provider.given.append(event)
        if isinstance(event, LinkClosed):
            self._close(event)
        else:
            self._feed.put(event)

    def _close(self, closed: LinkClosed) -> None:
        if self._feed.is_closed:
            return
        self._stop()
        for done in self._promises.owed(closed.reason):
            self._feed.put(done)
        self._feed.put(closed)
        self._feed.close()

    def _differs(self, what: str) -> None:
        at_ms = self._loop.time() * 1000
        self._provider.mismatches.append(f"at {at_ms:.0f} ms on connection {self._number}: {what}")

    def _wake(self, due: float) -> None:
        """Go on then, or when the next order comes."""
        self._stop()
        self._timer = self._loop.call_at(due, self._go_on, due)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _script(lines: tuple[Line, ...]) -> Iterator[Line]:
    """What is to happen: orders and events, up to when the connection was left."""
    for line in lines:
        if line.what == "left":
            return
        if line.what == "heard" or (line.what == "sent" and line.kind != SOUND):
            yield line
