"""A stage for tests of Cartesia Ink: codecs on a clock of their own, and links to the emulator."""

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any

from beluga_voice.events import (
    DropUtterance,
    FinishUtterance,
    SendAudio,
    SttEvent,
    Transcript,
    UtteranceId,
)
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.cartesia.owing import Tick
from beluga_voice.providers.stt.cartesia import CartesiaStt
from beluga_voice.providers.stt.cartesia._capabilities import capabilities
from beluga_voice.providers.stt.cartesia._manual import ManualCodec
from beluga_voice.providers.stt.cartesia._options import Settings
from beluga_voice.providers.stt.cartesia._turns import TurnsCodec
from beluga_voice.testing.emulators.cartesia_stt import KEY, CartesiaSttEmulator
from beluga_voice.testing.speech import pcm_of, silence, speech

HOST, PORT = "stt.example.com", 80
VOICE = pcm_of(speech("loud"))
"""200 ms of it, at 16 kHz."""


class Desk:
    """A codec, a clock, and what the service would say."""

    def __init__(self, *, options: SttOptions | None = None, **settings: Any) -> None:
        made = Settings(**settings)
        kind = ManualCodec if made.is_manual else TurnsCodec
        can = capabilities(made.model, is_manual=made.is_manual)
        self.now = 100.0
        self.codec = kind(options or SttOptions(), made, can, now=lambda: self.now)
        self.sent: list[Any] = []
        self.codec.owed()

    def hear(self, pcm: bytes = VOICE) -> list[SttEvent]:
        """Sound of the person."""
        return self._do(SendAudio(pcm=pcm))

    def finish(self, name: str) -> list[SttEvent]:
        """An utterance ends."""
        return self._do(FinishUtterance(utterance_id=UtteranceId(name)))

    def drop(self) -> list[SttEvent]:
        """An utterance is dropped."""
        return self._do(DropUtterance())

    def wait(self, seconds: float) -> list[SttEvent]:
        """Time passes; the codec is woken when it wants to be."""
        until = self.now + seconds
        events: list[SttEvent] = []
        while (deadline := self.codec.deadline) is not None and deadline <= until:
            self.now = max(deadline, self.now)
            events += self._do(Tick())
        self.now = until
        return events

    def say(self, kind: str, **fields: Any) -> list[SttEvent]:
        """A message of the service."""
        return self.codec.decode(json.dumps({"type": kind, "request_id": "r", **fields}))

    def turn(self, text: str) -> list[SttEvent]:
        """A whole turn of the service."""
        return [
            *self.say("turn.start"),
            *self.say("turn.update", transcript=text),
            *self.say("turn.end", transcript=text),
        ]

    def _do(self, command: Any) -> list[SttEvent]:
        self.sent += self.codec.encode(command)
        return self.codec.owed()

    @property
    def silent_ms(self) -> float:
        """How much silence was sent, in pieces of its own."""
        return sum(len(one) for one in self.sent if one == bytes(len(one))) / 32


def final(name: str, text: str, **fields: Any) -> Transcript:
    """A final transcript."""
    language = fields.pop("language", "en")
    return Transcript(
        text=text, is_final=True, utterance_id=UtteranceId(name), language=language, **fields
    )


def interim(text: str) -> Transcript:
    """One that is not final."""
    return Transcript(text=text, is_final=False, language="en")


def provider(**settings: Any) -> CartesiaStt:
    """A provider that talks to the emulated service."""
    settings.setdefault("api_key", KEY)
    settings.setdefault("endpoint", f"ws://{HOST}:{PORT}")
    return CartesiaStt(**settings)


class Listener:
    """A link, and every event of it with its time in milliseconds."""

    def __init__(self, link: Any) -> None:
        self.link = link
        self.told: list[tuple[float, SttEvent]] = []
        self._loop = asyncio.get_running_loop()
        link.attach(lambda event: self.told.append((round(self._loop.time() * 1000, 3), event)))

    @property
    def events(self) -> list[SttEvent]:
        """What came, without its time."""
        return [event for _, event in self.told]

    @property
    def finals(self) -> dict[str, str]:
        """The final texts by their utterances."""
        found = [one for one in self.events if isinstance(one, Transcript) and one.is_final]
        names = [str(one.utterance_id) for one in found]
        assert len(set(names)) == len(names), "an utterance was answered twice"
        return {str(one.utterance_id): one.text for one in found}

    async def say(self, text: str, *, pause_ms: float = 0) -> None:
        """Speak in real time, and be silent then."""
        await self.hear(pcm_of(speech(text)) + silence(pause_ms))

    async def hear(self, pcm: bytes) -> None:
        """Send sound in real time."""
        for start in range(0, len(pcm), 640):
            self.link.send(SendAudio(pcm=pcm[start : start + 640]))
            await asyncio.sleep(0.02)

    def finish(self, name: str) -> None:
        """End an utterance."""
        self.link.send(FinishUtterance(utterance_id=UtteranceId(name)))


@asynccontextmanager
async def listening(service: CartesiaSttEmulator | None = None, *, options=None, **settings):
    """A link to an emulated service that is served meanwhile."""
    service = service or CartesiaSttEmulator()
    async with (
        service.serving(HOST, PORT),
        provider(**settings).connect(options or SttOptions()) as link,
    ):
        yield Listener(link), service
