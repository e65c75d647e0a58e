"""Services that take no time, so that what is left is ours.

The recogniser has its words ready when it is asked, the agent yields its words one by one without
waiting, and the voice has its sound at once, in pieces of 20 ms. `Marks` notes when each was asked.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter

from beluga_voice.audio.formats import FRAME_MILLISECONDS, pcm16, to_samples
from beluga_voice.events import (
    CallCommand,
    CancelSpeech,
    ClearPlayback,
    ContextId,
    FinishSpeech,
    FinishUtterance,
    PlayAudio,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SttCommand,
    SttEvent,
    Transcript,
    TtsCommand,
    TtsEvent,
)
from beluga_voice.interfaces import Capabilities, LineOptions, SttOptions, TtsOptions
from beluga_voice.transports.feed import Feed

INPUT_RATE, OUTPUT_RATE = 16000, 24000
FRAME = FRAME_MILLISECONDS / 1000
WORDS = "I would like to change my order please"
_SENTENCE = (
    "Certainly we can change that order for you before it leaves our house on the coming Tuesday "
    "if you wish."
)
ANSWER = tuple(f"{word} " for word in _SENTENCE.split())
"""Twenty words, one sentence."""

VOICED = b"\x00\x40" * to_samples(FRAME_MILLISECONDS, INPUT_RATE)
"""A frame of the person's voice, for `LevelVad`."""
QUIET = bytes(len(VOICED))
_SOUND = b"\x01\x00" * to_samples(FRAME_MILLISECONDS, OUTPUT_RATE)  # digital silence is no sound


@dataclass(slots=True)
class Marks:
    """When each part of a turn was first reached, on the clock of `perf_counter`."""

    times: dict[str, float] = field(default_factory=dict[str, float])
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def reach(self, part: str) -> None:
        """It is reached now."""
        self.times.setdefault(part, perf_counter())
        self.news.set()

    async def reached(self, part: str) -> None:
        """Wait until it is."""
        while part not in self.times:
            self.news.clear()
            await self.news.wait()

    def clear(self) -> None:
        """A new turn begins."""
        self.times.clear()


class LevelVad:
    """Hears voice in any frame whose first sample is loud."""

    rate = INPUT_RATE
    frame_samples = to_samples(FRAME_MILLISECONDS, INPUT_RATE)

    def process(self, frame: bytes, /) -> float:
        """1.0 or 0.0."""
        return 1.0 if frame[1] else 0.0

    def reset(self) -> None:
        """There is no state."""


class InstantStt:
    """A recogniser that knows the words when it is asked for them."""

    name = "instant_stt"
    capabilities = Capabilities(is_local=True)

    def __init__(self, marks: Marks | None = None) -> None:
        self.marks = marks or Marks()

    @asynccontextmanager
    async def connect(self, options: SttOptions, /) -> "AsyncGenerator[_SttLink]":
        """A link that waits for nothing."""
        yield _SttLink(self.marks)


class _SttLink:
    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._feed: Feed[SttEvent] = Feed()

    def attach(self, deliver: Callable[[SttEvent], None], /) -> None:
        self._feed.attach(deliver)

    def __aiter__(self) -> AsyncIterator[SttEvent]:
        return aiter(self._feed)

    def send(self, command: SttCommand, /) -> None:
        if isinstance(command, FinishUtterance):
            self._marks.reach("words")
            self._feed.put(Transcript(text=WORDS, is_final=True, utterance_id=command.utterance_id))


def instant_agent(marks: Marks | None = None) -> Callable[[str], AsyncIterator[str]]:
    """An agent that yields `ANSWER` word by word, with one trip of the loop for each."""
    noted = marks or Marks()

    async def answer(text: str) -> AsyncGenerator[str]:
        noted.reach("agent")
        for word in ANSWER:
            await asyncio.sleep(0)
            yield word

    return answer


class InstantTts:
    """A voice that has `milliseconds` of sound for any text at once, one trip of the loop later."""

    name = "instant_tts"
    capabilities = Capabilities(is_local=True, output_formats=(pcm16(OUTPUT_RATE),))

    def __init__(self, marks: Marks | None = None, *, milliseconds: int = 1000) -> None:
        self.marks = marks or Marks()
        self.frames = max(1, milliseconds // FRAME_MILLISECONDS)

    @asynccontextmanager
    async def connect(self, options: TtsOptions, /) -> "AsyncGenerator[_TtsLink]":
        """A link that speaks at once."""
        yield _TtsLink(self)


class _TtsLink:
    def __init__(self, provider: InstantTts) -> None:
        self._marks = provider.marks
        self._frames = provider.frames
        self._feed: Feed[TtsEvent] = Feed()
        self._cancelled: set[ContextId] = set()
        self._loop = asyncio.get_running_loop()

    def attach(self, deliver: Callable[[TtsEvent], None], /) -> None:
        self._feed.attach(deliver)

    def __aiter__(self) -> AsyncIterator[TtsEvent]:
        return aiter(self._feed)

    def send(self, command: TtsCommand, /) -> None:
        match command:
            case SpeakText():
                self._marks.reach("voice")
                self._loop.call_soon(self._speak, command.context_id)
            case FinishSpeech():
                self._loop.call_soon(self._finish, command.context_id)
            case CancelSpeech():
                self._cancelled.add(command.context_id)

    def _speak(self, context_id: ContextId) -> None:
        self._marks.reach("sound")
        for _ in range(self._frames):
            if context_id in self._cancelled:
                return
            # A copy, as sound that came over a wire would be.
            self._feed.put(SpeechAudio(context_id=context_id, pcm=bytes(bytearray(_SOUND))))

    def _finish(self, context_id: ContextId) -> None:
        if context_id not in self._cancelled:
            self._feed.put(SpeechDone(context_id=context_id))
        self._cancelled.discard(context_id)


class CountingLine:
    """A line that notes when sound was handed to it, and when it was told to be silent."""

    def __init__(self, marks: Marks | None = None, *, lead_ms: int = FRAME_MILLISECONDS) -> None:
        self.options = LineOptions(input_rate=INPUT_RATE, output_rate=OUTPUT_RATE, lead_ms=lead_ms)
        self._marks = marks or Marks()
        self.frames = 0
        """Sound that was handed over so far, in frames of 20 ms."""
        self.frames_when_silenced = 0

    def send(self, command: CallCommand, /) -> None:
        """Note it."""
        match command:
            case PlayAudio():
                self._marks.reach("line")
                self.frames += len(command.pcm) // len(_SOUND)
            case ClearPlayback():
                self._marks.reach("silenced")
                self.frames_when_silenced = self.frames
            case _:
                pass
