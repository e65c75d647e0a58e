"""A stage for Scribe: the emulated service, a link to it, and all its events with their times."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from beluga_voice.events import (
    DropUtterance,
    FinishUtterance,
    SendAudio,
    SttCommand,
    SttEvent,
    Transcript,
    UtteranceId,
)
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.stt.elevenlabs import Scribe
from beluga_voice.testing.emulators.elevenlabs_speech import KEY
from beluga_voice.testing.emulators.elevenlabs_stt import ScribeEmulator, ScribeSession
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.speech import pcm_of, silence, speech
from beluga_voice.transports.wire import WireLink

HOST, PORT = "scribe.example.com", 8080
ENDPOINT = f"ws://{HOST}:{PORT}"


def play[T](scene: Callable[[], Awaitable[T]]) -> T:
    """Run a scene in simulated time; nothing may be left over."""
    return simulate(scene)  # type: ignore[arg-type]


def provider(**settings: Any) -> Scribe:
    """A provider for the emulated service."""
    settings.setdefault("api_key", KEY)
    settings.setdefault("endpoint", ENDPOINT)
    return Scribe(**settings)


@dataclass
class Desk:
    """A link, and what came over it: milliseconds since the link was there, and the event."""

    link: WireLink[SttCommand, SttEvent]
    service: ScribeEmulator
    began: float
    told: list[tuple[float, SttEvent]] = field(default_factory=list)

    def hear(self, event: SttEvent) -> None:
        """Note an event."""
        self.told.append((round((self.now - self.began) * 1000, 3), event))

    @property
    def now(self) -> float:
        """The time, in seconds."""
        return asyncio.get_running_loop().time()

    @property
    def remote(self) -> ScribeSession:
        """The service's side."""
        return self.service.sessions[-1]

    def of[E](self, kind: type[E]) -> list[E]:
        """The events of one kind."""
        return [event for _, event in self.told if isinstance(event, kind)]

    @property
    def finals(self) -> list[tuple[str | None, str]]:
        """The final transcripts: of what, and the words."""
        return [(one.utterance_id, one.text) for one in self.of(Transcript) if one.is_final]

    @property
    def interim(self) -> list[str]:
        """The texts that are not final."""
        return [one.text for one in self.of(Transcript) if not one.is_final]

    async def say(self, text: str, *, rate: int = 16000) -> None:
        """Speak, a frame each 20 ms."""
        await self.sound(pcm_of(speech(text, rate=rate)), rate=rate)

    async def quiet(self, milliseconds: float) -> None:
        """Be silent, and let that be heard."""
        await self.sound(silence(milliseconds))

    async def sound(self, pcm: bytes, *, rate: int = 16000) -> None:
        """Give sound in the time it takes."""
        size = rate // 50 * 2
        began = self.now
        for index, at in enumerate(range(0, len(pcm), size)):
            self.link.send(SendAudio(pcm=pcm[at : at + size]))
            await asyncio.sleep(began + (index + 1) * 0.02 - self.now)

    def finish(self, name: str) -> None:
        """End the utterance."""
        self.link.send(FinishUtterance(utterance_id=UtteranceId(name)))

    def drop(self) -> None:
        """Forget the utterance."""
        self.link.send(DropUtterance())


@asynccontextmanager
async def desk(
    service: ScribeEmulator | None = None,
    *,
    options: SttOptions | None = None,
    is_checked: bool = True,
    **settings: Any,
) -> AsyncGenerator[Desk]:
    """A link to the emulated service, to which our provider does nothing wrong."""
    service = service or ScribeEmulator()
    async with (
        service.serving(HOST, PORT),
        provider(**settings).connect(options or SttOptions()) as link,
    ):
        at = Desk(link, service, asyncio.get_running_loop().time())
        link.attach(at.hear)
        yield at
    if is_checked:
        assert [session.errors for session in service.sessions] == [[]] * len(service.sessions)
