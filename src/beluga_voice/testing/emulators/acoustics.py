"""How emulated services hear and speak: in test speech, or for the ears of people.

How it works. The protocol of an emulated service is plain calls in time that may be simulated, so
its hearing and speaking are plain calls too. `TestSpeech` costs nothing and is exact. `RealSpeech`
asks a recogniser and a voice, which live on a loop and a thread of their own, and blocks the
service meanwhile: good enough for a person who tries a client, and nothing else.
"""

import asyncio
import threading
from collections.abc import Coroutine, Generator
from contextlib import AsyncExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, Self

from beluga_voice.audio.convert import Converter
from beluga_voice.audio.formats import FRAME_MILLISECONDS, pcm16, to_samples
from beluga_voice.audio.level import rms
from beluga_voice.events import (
    ContextId,
    FinishSpeech,
    FinishUtterance,
    SendAudio,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    TimedWord,
    Transcript,
    UtteranceId,
)
from beluga_voice.interfaces import (
    SpeechToText,
    SttOptions,
    TextToSpeech,
    TtsOptions,
    input_format_of,
    output_format_of,
)
from beluga_voice.testing.speech import SpokenWord, speech, words_in

UNINTELLIGIBLE = "…"
"""What a sound without words that are understood is transcribed as."""
WAIT_SECONDS = 30.0


class Acoustics(Protocol):
    """Ears and a mouth; sound is mono 16-bit PCM at `rate`."""

    def transcribe(self, pcm: bytes, rate: int, /) -> str: ...

    def speak(self, text: str, rate: int, word_ms: int, /) -> list[SpokenWord]: ...


class TestSpeech:
    """Sound that carries its own words."""

    __test__ = False  # its name is not for pytest

    def transcribe(self, pcm: bytes, rate: int, /) -> str:
        """The test words in it; `UNINTELLIGIBLE` if it is another sound, "" if silence."""
        words = words_in(pcm)
        if words:
            return " ".join(words)
        return UNINTELLIGIBLE if rms(pcm[: len(pcm) & ~1]) > 0 else ""

    def speak(self, text: str, rate: int, word_ms: int, /) -> list[SpokenWord]:
        """The words, each sounding for `word_ms`."""
        return speech(text, rate=rate, word_ms=word_ms)


_TEST_SPEECH = TestSpeech()
_present: ContextVar[Acoustics | None] = ContextVar("acoustics", default=None)


def present() -> Acoustics:
    """The acoustics of this context."""
    return _present.get() or _TEST_SPEECH


@contextmanager
def using(acoustics: Acoustics) -> Generator[None]:
    """Let services that are emulated in this context hear and speak so."""
    token = _present.set(acoustics)
    try:
        yield
    finally:
        _present.reset(token)


class RealSpeech:
    """A recogniser and a voice, for people. A context manager; its calls block."""

    def __init__(
        self, stt: SpeechToText, tts: TextToSpeech, *, phrases: tuple[str, ...] = ()
    ) -> None:
        self._stt = stt
        self._phrases = phrases
        self._tts = tts
        self._test = TestSpeech()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="emulated ears and mouth", daemon=True
        )
        self._warm = AsyncExitStack()

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._warm.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def transcribe(self, pcm: bytes, rate: int, /) -> str:
        """The words that are understood; test words are read, as ever."""
        if words_in(pcm) or not any(pcm):
            return self._test.transcribe(pcm, rate)
        return self._do(self._transcribed(pcm, rate)) or UNINTELLIGIBLE

    def speak(self, text: str, rate: int, word_ms: int, /) -> list[SpokenWord]:
        """The words in a voice; how long they sound is for the voice to say."""
        return self._do(self._spoken(text, rate))

    def _do[T](self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_SECONDS)

    async def _open(self) -> None:
        for part in (self._stt, self._tts):
            warm = getattr(part, "warm", None)
            if warm is not None:
                await self._warm.enter_async_context(warm())

    async def _transcribed(self, pcm: bytes, rate: int) -> str:
        source = input_format_of(self._stt.capabilities, None)
        converter = Converter(pcm16(rate), source)
        wanted = UtteranceId("emulated")
        options = SttOptions(wants_interim=False, phrases=self._phrases)
        async with self._stt.connect(options) as link:
            link.send(SendAudio(pcm=converter.feed(pcm) + converter.flush()))
            link.send(FinishUtterance(utterance_id=wanted))
            async for event in link:
                if isinstance(event, Transcript) and event.utterance_id == wanted:
                    return event.text
        return ""

    async def _spoken(self, text: str, rate: int) -> list[SpokenWord]:
        target = output_format_of(self._tts.capabilities, None)
        context_id = ContextId("emulated")
        pieces: list[bytes] = []
        words: list[TimedWord] = []
        async with self._tts.connect(TtsOptions()) as link:
            link.send(SpeakText(context_id=context_id, text=text))
            link.send(FinishSpeech(context_id=context_id))
            async for event in link:
                match event:
                    case SpeechAudio():
                        pieces.append(event.pcm)
                    case SpeechWords():
                        words += event.words
                    case SpeechDone():
                        break
                    case _:
                        pass
        converter = Converter(target, pcm16(rate))
        pcm = converter.feed(b"".join(pieces)) + converter.flush()
        starts = [word.start * rate // target.rate for word in words]
        return _words(pcm, text, [word.text for word in words], starts, rate)


def _words(
    pcm: bytes, text: str, words: list[str], starts: list[int], rate: int
) -> list[SpokenWord]:
    """Sound cut where words begin; as one if nobody said where that is."""
    if not words:
        return [SpokenWord(text, _frames(pcm, rate))]
    cuts = [0, *starts[1:], len(pcm) // 2]
    return [
        SpokenWord(word, _frames(pcm[cuts[index] * 2 : cuts[index + 1] * 2], rate))
        for index, word in enumerate(words)
        if cuts[index + 1] > cuts[index]
    ]


def _frames(pcm: bytes, rate: int) -> tuple[bytes, ...]:
    """Frames of one length; the last is filled up with silence."""
    size = to_samples(FRAME_MILLISECONDS, rate) * 2
    return tuple(pcm[at : at + size].ljust(size, b"\0") for at in range(0, len(pcm), size))
