"""A stage for tests of Deepgram: the emulated services, and providers that talk to them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from beluga_voice.events import FinishUtterance, SendAudio, Transcript, UtteranceId
from beluga_voice.interfaces import SttOptions, TtsOptions
from beluga_voice.providers.stt.deepgram import Deepgram
from beluga_voice.providers.tts.deepgram import DeepgramTts
from beluga_voice.testing.emulators.deepgram import KEY, DeepgramEmulator
from beluga_voice.testing.emulators.deepgram_session import DeepgramSession
from beluga_voice.testing.speech import pcm_of, silence, speech

HOST, PORT = "speech.example.com", 80
NOVA, FLUX = "nova-3", "flux-general-en"
LONG = "one two three four five six seven eight nine ten"


def listener(model: str = NOVA, **settings: Any) -> Deepgram:
    """A provider that talks to the emulated service."""
    settings.setdefault("api_key", KEY)
    settings.setdefault("endpoint", f"ws://{HOST}:{PORT}")
    return Deepgram(model, **settings)


def speaker(**settings: Any) -> DeepgramTts:
    """A voice that talks to the emulated service."""
    settings.setdefault("api_key", KEY)
    settings.setdefault("endpoint", f"ws://{HOST}:{PORT}")
    return DeepgramTts(**settings)


@dataclass
class Desk:
    """A link, its service, and its events with their times in ms."""

    link: Any
    service: DeepgramEmulator
    events: list[Any] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def hear(self, event: Any) -> None:
        self.events.append(event)
        self.times.append(round(asyncio.get_running_loop().time() * 1000, 3))

    def of(self, kind: type[Any]) -> list[Any]:
        return [one for one in self.events if isinstance(one, kind)]

    def at(self, event: Any) -> float:
        """When it came."""
        return self.times[next(i for i, one in enumerate(self.events) if one is event)]

    @property
    def session(self) -> DeepgramSession:
        return self.service.sessions[-1]

    @property
    def orders(self) -> list[str]:
        """What the client sent, without sound."""
        return [one["type"] for one in self.session.received if one["type"] != "audio"]

    @property
    def finals(self) -> list[tuple[str, str]]:
        return [(one.utterance_id, one.text) for one in self.of(Transcript) if one.is_final]

    @property
    def interims(self) -> list[str]:
        return [one.text for one in self.of(Transcript) if not one.is_final]

    def send(self, *commands: Any) -> None:
        for command in commands:
            self.link.send(command)

    async def say(self, text: str, *, rate: int = 16000) -> None:
        """Speak in the time it takes."""
        for frame in (frame for word in speech(text, rate=rate) for frame in word.frames):
            self.link.send(SendAudio(pcm=frame))
            await asyncio.sleep(0.02)

    async def pause(self, milliseconds: int) -> None:
        """Send silence in the time it takes."""
        for _ in range(milliseconds // 20):
            self.link.send(SendAudio(pcm=silence(20)))
            await asyncio.sleep(0.02)

    def throw(self, text: str) -> None:
        """Send speech all at once."""
        self.link.send(SendAudio(pcm=pcm_of(speech(text))))

    def finish(self, name: str) -> None:
        self.link.send(FinishUtterance(utterance_id=UtteranceId(name)))


@asynccontextmanager
async def desk(
    provider: Any = None, options: SttOptions | TtsOptions | None = None, **service: Any
) -> AsyncGenerator[Desk]:
    """A link to the emulated service."""
    emulator = DeepgramEmulator(**service)
    async with (
        emulator.serving(HOST, PORT),
        (provider or listener()).connect(options or SttOptions()) as link,
    ):
        made = Desk(link, emulator)
        link.attach(made.hear)
        yield made
    assert made.session.errors == []
