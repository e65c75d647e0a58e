"""A stage for ElevenLabs' voices: the emulated service, a link to it, and all its events."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from elevenlabs.types.websocket_tts_client_message_multi import WebsocketTtsClientMessageMulti
from elevenlabs.types.websocket_tts_server_message_multi import WebsocketTtsServerMessageMulti
from pydantic import TypeAdapter

from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    FinishSpeech,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    TtsCommand,
    TtsEvent,
)
from beluga_voice.interfaces import TtsOptions
from beluga_voice.providers.tts.elevenlabs import ElevenLabs
from beluga_voice.testing.emulators.elevenlabs_speech import KEY
from beluga_voice.testing.emulators.elevenlabs_tts import ElevenLabsTtsEmulator, VoiceSession
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.speech import words_in
from beluga_voice.transports.wire import WireLink

HOST, PORT = "voices.example.com", 8080
ENDPOINT = f"ws://{HOST}:{PORT}"

_from_server = TypeAdapter(WebsocketTtsServerMessageMulti)
_from_client = TypeAdapter(WebsocketTtsClientMessageMulti)


def play[T](scene: Callable[[], Awaitable[T]]) -> T:
    """Run a scene in simulated time; nothing may be left over."""
    return simulate(scene)  # type: ignore[arg-type]


def provider(**settings: Any) -> ElevenLabs:
    """A provider for the emulated service."""
    settings.setdefault("api_key", KEY)
    settings.setdefault("endpoint", ENDPOINT)
    return ElevenLabs(**settings)


@dataclass
class Booth:
    """A link, and what came over it: milliseconds since the link was there, and the event."""

    link: WireLink[TtsCommand, TtsEvent]
    service: ElevenLabsTtsEmulator
    began: float
    told: list[tuple[float, TtsEvent]] = field(default_factory=list)

    def hear(self, event: TtsEvent) -> None:
        """Note an event."""
        now = asyncio.get_running_loop().time()
        self.told.append((round((now - self.began) * 1000, 3), event))

    @property
    def remote(self) -> VoiceSession:
        """The service's side."""
        return self.service.sessions[-1]

    def of[E](self, kind: type[E]) -> list[E]:
        """The events of one kind."""
        return [event for _, event in self.told if isinstance(event, kind)]

    def speak(self, name: str, *texts: str) -> None:
        """Give a context text."""
        for text in texts:
            self.link.send(SpeakText(context_id=ContextId(name), text=text))

    def finish(self, name: str) -> None:
        """No more text in a context."""
        self.link.send(FinishSpeech(context_id=ContextId(name)))

    def say(self, name: str, *texts: str) -> None:
        """All of a context at once."""
        self.speak(name, *texts)
        self.finish(name)

    def cancel(self, name: str) -> None:
        """Stop a context."""
        self.link.send(CancelSpeech(context_id=ContextId(name)))

    def pcm(self, name: str) -> bytes:
        """The sound of a context."""
        return b"".join(one.pcm for one in self.of(SpeechAudio) if one.context_id == name)

    def heard(self, name: str) -> str:
        """The test words in that."""
        return " ".join(words_in(self.pcm(name)))

    def words(self, name: str) -> list[tuple[str, int, int]]:
        """The words of a context, and where they sound."""
        told = [one for one in self.of(SpeechWords) if one.context_id == name]
        return [(word.text, word.start, word.end) for one in told for word in one.words]

    @property
    def done(self) -> list[str]:
        """The contexts that are over, in order."""
        return [one.context_id for one in self.of(SpeechDone)]


@asynccontextmanager
async def booth(
    service: ElevenLabsTtsEmulator | None = None,
    *,
    options: TtsOptions | None = None,
    is_checked: bool = True,
    **settings: Any,
) -> AsyncGenerator[Booth]:
    """A link to the emulated service; frames of both sides are of the vendor's types."""
    service = service or ElevenLabsTtsEmulator()
    async with (
        service.serving(HOST, PORT),
        provider(**settings).connect(options or TtsOptions()) as link,
    ):
        at = Booth(link, service, asyncio.get_running_loop().time())
        link.attach(at.hear)
        yield at
    for session in service.sessions:
        if is_checked:
            assert session.errors == []
        for frame in session.sent:
            if "error" not in frame:
                _from_server.validate_python(frame, strict=True)
