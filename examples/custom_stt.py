"""A speech-to-text of our own: it understands one thing, which is how often somebody clapped."""

import asyncio
from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

from beluga_voice.audio.formats import pcm16
from beluga_voice.errors import Unsupported
from beluga_voice.events import (
    DropUtterance,
    FinishUtterance,
    LinkClosed,
    LinkReady,
    SendAudio,
    SttCommand,
    SttEvent,
    Transcript,
)
from beluga_voice.interfaces import Capabilities, SttOptions
from beluga_voice.transports.feed import Feed

LOUD = 8000
QUIET_SAMPLES = 800  # 50 ms at 16 kHz: after so much quiet, the next loud sample is a new clap
NAMES = ("", "one clap", "two claps", "three claps")


class ClapCounter:
    """A provider: a name, what it can do, and `connect`."""

    name = "claps"
    capabilities = Capabilities(input_formats=(pcm16(16000),), is_local=True)

    @asynccontextmanager
    async def connect(self, options: SttOptions, /) -> "AsyncGenerator[ClapLink]":
        """Refuse what cannot be honoured, give a link, and leave nothing behind."""
        if options.input_format not in (None, *self.capabilities.input_formats):
            raise Unsupported("it hears 16000 Hz mono pcm16 only", op="stt.connect")
        link = ClapLink()
        try:
            yield link
        finally:
            link.close()


class ClapLink:
    """One conversation. There is no outbox: every command is dealt with at once."""

    def __init__(self) -> None:
        self._feed: Feed[SttEvent] = Feed()
        self._claps = 0
        self._quiet = QUIET_SAMPLES
        self._feed.put(LinkReady(model="claps-1"))

    def send(self, command: SttCommand, /) -> None:
        """Take sound, or an order; never waits, and does nothing after the end."""
        match command:
            case SendAudio():
                self._hear(command.pcm)
            case FinishUtterance():
                text = NAMES[min(self._claps, 3)]
                self._claps = 0
                self._feed.put(
                    Transcript(text=text, is_final=True, utterance_id=command.utterance_id)
                )
            case DropUtterance():
                self._claps = 0

    def attach(self, deliver: Callable[[SttEvent], None], /) -> None:
        """Deliver events by call."""
        self._feed.attach(deliver)

    def __aiter__(self) -> AsyncIterator[SttEvent]:
        return aiter(self._feed)

    def close(self) -> None:
        """Say that it is over, once."""
        self._feed.put(LinkClosed(is_clean=True))
        self._feed.close()

    def _hear(self, pcm: bytes) -> None:
        for sample in array("h", pcm):
            if abs(sample) < LOUD:
                self._quiet += 1
                continue
            self._claps += self._quiet >= QUIET_SAMPLES
            self._quiet = 0


async def main() -> None:
    """Clap twice, without a line, and print what the agent is told."""
    from beluga_voice import VoiceSession
    from beluga_voice.events import Transcription

    clap, pause = array("h", [12000, -12000] * 640).tobytes(), bytes(2 * 1280)
    async with VoiceSession(stt=ClapCounter(), vad="energy") as session:
        for piece in (pause, clap, pause, clap, *[pause] * 12):
            session.send_audio(piece)
            await asyncio.sleep(0.08)
        async for happening in session.events():
            if isinstance(happening.event, Transcription):
                print(happening.event.text)
                return


if __name__ == "__main__":
    asyncio.run(main())
