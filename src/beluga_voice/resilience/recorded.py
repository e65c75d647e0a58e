"""A provider whose conversations are written down, redacted: see `redaction`.

The form is lines of JSON. The first is a header, with a version. Each of the others has `t`, the
milliseconds since the recording began, by the loop's clock; `is`, what it is; and `link`, which of
the connections, counted from 1:

| `is` | means |
| --- | --- |
| `connect` | a connection is being opened, with these `options` |
| `open` | there is one |
| `failed` | none came about: the `error`'s name, and what it says |
| `sent` | a command to the service: `type`, and its fields |
| `heard` | an event of the service: `type`, and its fields |
| `left` | we do not use the connection any more |
| `ears`, `voice` | the voice detector's frames, and what it found in each: see `Recorded.ears` |
| `dropped`, `full` | so many lines are missing; the file has reached its bound |
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from pathlib import Path

import msgspec

from beluga_voice.errors import BelugaError, Overloaded
from beluga_voice.interfaces import Capabilities, Link, Provider, VoiceActivityDetector
from beluga_voice.resilience.nesting import warmed
from beluga_voice.resilience.recorder import MAX_BYTES, MAX_WAITING_BYTES, Recorder
from beluga_voice.resilience.redaction import masked, scrubbed, told

VERSION = 1
HEADER = "beluga_voice_recording"
"""The header's field with the version."""


class Recorded[O, S, R]:
    """Connects to the provider, and writes to a new file what goes over its links.

    Sound is told by length and hash unless `keep_audio`, words by their length unless `keep_words`;
    secrets are never kept. One of these is for one call: reconnecting goes into the same file.
    `max_bytes` bounds the file, and 4 MB of memory what waits for a slow disk. Connecting raises
    `ConfigurationError` if the file is there already or cannot be made. Later troubles with it are
    logged, and end the recording only.
    """

    def __init__(
        self,
        provider: Provider[O, S, R],
        *,
        to: Path | str,
        keep_audio: bool = False,
        keep_words: bool = False,
        max_bytes: int = MAX_BYTES,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._provider = provider
        self._keeps_audio = keep_audio
        self._keeps_words = keep_words
        self._links = 0
        self._recorder = Recorder(
            Path(to), max_bytes=max_bytes, max_waiting_bytes=max_waiting_bytes
        )

    @property
    def name(self) -> str:
        """The provider's own."""
        return self._provider.name

    @property
    def capabilities(self) -> Capabilities:
        """The provider's own."""
        return self._provider.capabilities

    @property
    def inside(self) -> tuple[Provider[O, S, R], ...]:
        """What is wrapped."""
        return (self._provider,)

    def warm(self) -> AbstractAsyncContextManager[None]:
        """Keep what it loads (models, processes) for as long as the context lasts."""
        return warmed(self.inside)

    def ears(self, detector: VoiceActivityDetector) -> VoiceActivityDetector:
        """The detector, with what it hears in the recording: probabilities, no sound.

        A session that is given it can be replayed with the person's turns, to the frame.
        """
        return _RecordedEars(detector, self._recorder)

    @asynccontextmanager
    async def connect(self, options: O, /) -> AsyncGenerator[Link[S, R]]:
        """A link of the provider; all that was said is in the file when it is left."""
        await self._recorder.begin(self._header(options))
        self._links += 1
        number = self._links
        self._write(number, "connect", options=self._told(options))
        try:
            async with self._connected(options, number) as link:
                yield link
        finally:
            await self._recorder.drain()

    @asynccontextmanager
    async def _connected(self, options: O, number: int) -> AsyncGenerator[Link[S, R]]:
        is_open = False
        try:
            async with self._provider.connect(options) as inner:
                is_open = True
                self._write(number, "open")
                try:
                    yield RecordedLink(inner, lambda what, item: self._pass(number, what, item))
                finally:
                    self._write(number, "left")
        except BaseException as error:
            if not is_open:
                self._failed(number, error)
            raise

    def _failed(self, number: int, error: BaseException) -> None:
        text = error.message if isinstance(error, BelugaError) else ""
        self._write(
            number,
            "failed",
            error=type(error).__name__,
            message=scrubbed(text) if self._keeps_words else masked(text),
            retry_after=error.retry_after if isinstance(error, Overloaded) else None,
        )

    def _pass(self, number: int, what: str, item: object) -> None:
        self._write(number, what, type=snake(type(item).__name__), **self._told(item))

    def _write(self, link: int, what: str, **fields: object) -> None:
        self._recorder.write({"link": link, "is": what, **fields})

    def _told(self, item: object) -> dict[str, object]:
        return told(item, keeps_words=self._keeps_words, keeps_audio=self._keeps_audio)

    def _header(self, options: object) -> dict[str, object]:
        return {
            HEADER: VERSION,
            "provider": self.name,
            "options": type(options).__name__,
            "capabilities": msgspec.to_builtins(self.capabilities),
            "keeps_audio": self._keeps_audio,
            "keeps_words": self._keeps_words,
        }


@cache
def snake(name: str) -> str:
    """The `type` of a class."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class RecordedLink[S, R]:
    """Passes everything on, and writes it down. Its outbox is that of the service's link."""

    def __init__(self, inner: Link[S, R], write: Callable[[str, object], None]) -> None:
        self._inner = inner
        self._write = write

    def send(self, command: S, /) -> None:
        """Pass it on."""
        self._write("sent", command)
        self._inner.send(command)

    def attach(self, deliver: Callable[[R], None], /) -> None:
        """Deliver by call."""

        def hear(event: R) -> None:
            self._write("heard", event)
            deliver(event)

        self._inner.attach(hear)

    async def __aiter__(self) -> AsyncIterator[R]:
        async for event in self._inner:
            self._write("heard", event)
            yield event


class _RecordedEars:
    """A voice detector whose findings are written down."""

    def __init__(self, detector: VoiceActivityDetector, recorder: Recorder) -> None:
        self._detector = detector
        self._recorder = recorder
        self._is_told = False
        self.rate = detector.rate
        self.frame_samples = detector.frame_samples

    def process(self, frame: bytes, /) -> float:
        """What the detector says."""
        probability = self._detector.process(frame)
        if not self._is_told:
            self._is_told = True
            shape = {"rate": self.rate, "frame_samples": self.frame_samples}
            self._recorder.write({"is": "ears", **shape})
        self._recorder.write({"is": "voice", "p": round(probability, 6)})
        return probability

    def reset(self) -> None:
        """Begin anew."""
        self._detector.reset()
