"""A stage for tests of Cartesia Sonic: a codec, and links to the emulator."""

import asyncio
import base64
import json
from contextlib import asynccontextmanager
from typing import Any

from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    FinishSpeech,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    TtsEvent,
)
from beluga_voice.interfaces import TtsOptions
from beluga_voice.providers.tts.cartesia import Cartesia
from beluga_voice.providers.tts.cartesia._codec import SonicCodec
from beluga_voice.providers.tts.cartesia._options import Settings
from beluga_voice.testing.emulators.cartesia_tts import KEY, CartesiaTtsEmulator
from beluga_voice.testing.speech import words_in

HOST, PORT = "tts.example.com", 80
PCM = bytes(range(1, 241)) * 2
"""10 ms at 24 kHz."""


class Desk:
    """A codec, and what the service would say."""

    def __init__(self, options: TtsOptions | None = None, **settings: Any) -> None:
        self.codec = SonicCodec(
            options or TtsOptions(), Settings(**settings), prefix="p", now=lambda: 0.0
        )
        self.sent: list[dict[str, Any]] = []
        self.codec.owed()

    def speak(self, text: str, name: str = "a") -> list[TtsEvent]:
        """Text for a context."""
        return self._do(SpeakText(context_id=ContextId(name), text=text))

    def finish(self, name: str = "a") -> list[TtsEvent]:
        """The end of a context."""
        return self._do(FinishSpeech(context_id=ContextId(name)))

    def cancel(self, name: str = "a") -> list[TtsEvent]:
        """A context is not wanted any more."""
        return self._do(CancelSpeech(context_id=ContextId(name)))

    def _do(self, command: Any) -> list[TtsEvent]:
        self.sent += [json.loads(one) for one in self.codec.encode(command)]
        return self.codec.owed()

    def say(self, kind: str, remote: str | None = "p-1", **fields: Any) -> list[TtsEvent]:
        """A message of the service."""
        frame = {"type": kind, "done": kind == "done", "status_code": 206, **fields}
        if remote is not None:
            frame["context_id"] = remote
        events = self.codec.decode(json.dumps(frame))
        self.sent += [json.loads(one) for one in self.codec.replies()]
        return events

    def chunk(self, pcm: bytes = PCM, remote: str = "p-1") -> list[TtsEvent]:
        """Sound of the service."""
        data = base64.b64encode(pcm).decode()
        return self.say("chunk", remote, data=data, step_time=1.0)

    def words(self, *words: tuple[str, float, float], remote: str = "p-1") -> list[TtsEvent]:
        """Words of the service, in seconds."""
        texts, starts, ends = (list(one) for one in zip(*words, strict=True))
        times = {"words": texts, "start": starts, "end": ends}
        return self.say("timestamps", remote, word_timestamps=times)

    @property
    def texts(self) -> list[tuple[str, str, bool]]:
        """What was sent to be spoken: context, text, and whether more follows."""
        spoken = [one for one in self.sent if "transcript" in one]
        return [(one["context_id"], one["transcript"], one["continue"]) for one in spoken]


def done(name: str = "a") -> SpeechDone:
    """The end of a context."""
    return SpeechDone(context_id=ContextId(name))


def audio(pcm: bytes = PCM, name: str = "a") -> SpeechAudio:
    """Sound of a context."""
    return SpeechAudio(context_id=ContextId(name), pcm=pcm)


def provider(**settings: Any) -> Cartesia:
    """A provider that talks to the emulated service."""
    settings.setdefault("api_key", KEY)
    settings.setdefault("endpoint", f"ws://{HOST}:{PORT}")
    return Cartesia(**settings)


class Reader:
    """A link, and every event of it."""

    def __init__(self, link: Any) -> None:
        self.link = link
        self.told: list[tuple[float, TtsEvent]] = []
        self._loop = asyncio.get_running_loop()
        link.attach(lambda event: self.told.append((round(self._loop.time() * 1000, 3), event)))

    @property
    def events(self) -> list[TtsEvent]:
        """What came, without its time."""
        return [event for _, event in self.told]

    def speak(self, name: str, *texts: str, finish: bool = True) -> None:
        """Let a context speak."""
        for text in texts:
            self.link.send(SpeakText(context_id=ContextId(name), text=text))
        if finish:
            self.finish(name)

    def finish(self, name: str) -> None:
        """End a context."""
        self.link.send(FinishSpeech(context_id=ContextId(name)))

    def cancel(self, name: str) -> None:
        """Stop a context."""
        self.link.send(CancelSpeech(context_id=ContextId(name)))

    def heard(self, name: str) -> str:
        """The test words in the sound of a context."""
        pieces = [one.pcm for one in self._of(name) if isinstance(one, SpeechAudio)]
        return " ".join(words_in(b"".join(pieces)))

    def words(self, name: str) -> list[tuple[str, int, int]]:
        """The words that were told of a context."""
        told = [one.words for one in self._of(name) if isinstance(one, SpeechWords)]
        return [(word.text, word.start, word.end) for words in told for word in words]

    def ends(self, name: str) -> int:
        """How many times a context ended."""
        return sum(isinstance(one, SpeechDone) for one in self._of(name))

    def _of(self, name: str) -> list[Any]:
        return [one for one in self.events if getattr(one, "context_id", None) == name]


@asynccontextmanager
async def reading(service: CartesiaTtsEmulator | None = None, *, options=None, **settings):
    """A link to an emulated service that is served meanwhile."""
    service = service or CartesiaTtsEmulator()
    async with (
        service.serving(HOST, PORT),
        provider(**settings).connect(options or TtsOptions()) as link,
    ):
        yield Reader(link), service
