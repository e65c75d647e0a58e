"""A provider whose line of sound never breaks off.

How it works. For some services our sound is their clock: where it stops, as it does with a muted
microphone or a call on hold, they find no end of a turn, say nothing more, and hang up after a
while. So where the line brings nothing, silence is sent in its stead, at the pace of time. What was
not sent in time is not made up for: sound that comes late would only come later.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast

from beluga_voice.audio.formats import AudioFormat, pcm16, to_samples
from beluga_voice.errors import ConfigurationError
from beluga_voice.events import SendAudio
from beluga_voice.interfaces import Capabilities, Link, Provider, input_format_of
from beluga_voice.resilience.nesting import warmed

IDLE_MS = 500.0
"""A line that brings nothing for so long brings silence: networks make shorter holes."""
PIECE_MS = 100.0


class Unbroken[O, S, R]:
    """Sends silence where nothing was sent for `idle_ms`, in pieces of a tenth of a second.

    Of use for speech to text and speech to speech. Raises `ConfigurationError` for times that are
    not above 0.
    """

    def __init__(self, provider: Provider[O, S, R], *, idle_ms: float = IDLE_MS) -> None:
        if idle_ms <= 0:
            raise ConfigurationError("idle_ms is above 0", op="unbroken")
        self._provider = provider
        self._idle_seconds = idle_ms / 1000

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

    @asynccontextmanager
    async def connect(self, options: O, /) -> AsyncGenerator[Link[S, R]]:
        """A link of the provider; cancelling is safe."""
        # Options of voices have none of these, and voices take no sound.
        wanted = cast("AudioFormat | None", getattr(options, "input_format", None))
        silence = _silence(input_format_of(self.capabilities, wanted))
        async with self._provider.connect(options) as inner:
            link: UnbrokenLink[S, R] = UnbrokenLink(inner, silence, self._idle_seconds)
            try:
                yield link
            finally:
                link.stop()


class UnbrokenLink[S, R]:
    """See `Unbroken`. Its outbox is that of the link inside."""

    def __init__(self, inner: Link[S, R], silence: SendAudio, idle_seconds: float) -> None:
        self._inner = inner
        self._silence = silence
        self._idle_seconds = idle_seconds
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        """When sound was sent last, silence of ours or the line's own."""
        self._is_filling = False
        self._timer = self._loop.call_at(self._next, self._look, self._next)

    def send(self, command: S, /) -> None:
        """Pass it on."""
        if isinstance(command, SendAudio):
            self._last = self._loop.time()
            self._is_filling = False
        self._inner.send(command)

    def attach(self, deliver: Callable[[R], None], /) -> None:
        """Deliver by call."""
        self._inner.attach(deliver)

    def __aiter__(self) -> AsyncIterator[R]:
        return aiter(self._inner)

    def stop(self) -> None:
        """Send nothing more."""
        self._timer.cancel()

    @property
    def _next(self) -> float:
        """When silence is due, if no sound comes before."""
        return self._last + (PIECE_MS / 1000 if self._is_filling else self._idle_seconds)

    def _look(self, due: float) -> None:
        if self._next <= due:
            self._is_filling = True
            # Late by a piece or more: what was missed is not caught up with.
            now = self._loop.time()
            self._last = due if now - due < PIECE_MS / 1000 else now
            self._inner.send(cast("S", self._silence))  # links that hear take sound
        self._timer = self._loop.call_at(self._next, self._look, self._next)


def _silence(sound: AudioFormat) -> SendAudio:
    # Here, so that nobody loads what calculates before it is needed.
    from beluga_voice.audio.convert import convert

    plain = pcm16(sound.rate)
    return SendAudio(pcm=convert(bytes(2 * to_samples(PIECE_MS, sound.rate)), plain, sound))


def unbroken[O, S, R](provider: Provider[O, S, R]) -> Provider[O, S, R]:
    """The provider, with silence where its line brings nothing, if it needs that."""
    return Unbroken(provider) if provider.capabilities.needs_continuous_input else provider
