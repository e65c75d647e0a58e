"""A link to a recogniser over requests: each utterance is posted as a file when it ends.

How it works. Sound waits until `FinishUtterance`, and is posted as a WAV file; an utterance that is
longer than a file may be is posted in parts. Utterances may be under way at once and are answered
in their order. A request whose connection broke is made once more, because a connection that was
kept open may have been closed from the other side. Digital silence is answered without asking:
recognisers make up words for it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import assert_never

from beluga_voice.audio.formats import AudioFormat, to_samples
from beluga_voice.audio.wav import write_wav
from beluga_voice.errors import BrokenProtocol
from beluga_voice.events import (
    DropUtterance,
    ErrorCategory,
    FinishUtterance,
    LinkClosed,
    LinkReady,
    SendAudio,
    ServiceFailed,
    SttCommand,
    SttEvent,
    TimedWord,
    Transcript,
    UsageReported,
    UtteranceId,
)
from beluga_voice.providers.answers import Answer, readings_of
from beluga_voice.providers.mute import ELSEWHERE
from beluga_voice.providers.requests import RequestFailed, unexpected
from beluga_voice.transports.feed import Feed

SHORTEST_MS = 100
"""Less sound is filled up with silence: services refuse it."""


type Post = Callable[[bytes], Awaitable[Answer]]
"""Posts a WAV file; raises `RequestFailed` or `BrokenProtocol`."""


@dataclass(slots=True, eq=False)
class _Part:
    """A piece of an utterance that is one file."""

    begin: int
    """In samples of its utterance."""
    answer: Answer | None = None
    task: "asyncio.Task[None] | None" = None


@dataclass(slots=True, eq=False)
class _Utterance:
    parts: list[_Part] = field(default_factory=list[_Part])
    id: UtteranceId | None = None
    samples: int = 0
    """That were posted."""

    @property
    def is_whole(self) -> bool:
        return all(one.answer is not None for one in self.parts)


class PostingLink:
    """See above; alive until `close`."""

    def __init__(
        self,
        post: Post,
        shape: AudioFormat,
        *,
        name: str,
        model: str,
        language: str | None,
        answer_seconds: float,
        part_bytes: int,
    ) -> None:
        self._name = name
        self._part_bytes = part_bytes
        self._post = post
        self._shape = shape
        self._language = language
        self._answer_seconds = answer_seconds
        self._feed: Feed[SttEvent] = Feed()
        self._sound = bytearray()
        self._present = _Utterance()
        self._waiting: deque[_Utterance] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._feed.put(LinkReady(model=model))

    @property
    def waiting_audio_bytes(self) -> int:
        """None: a recording is taken as fast as it is given, and posted when it is whole."""
        return 0

    def attach(self, deliver: Callable[[SttEvent], None], /) -> None:
        """Deliver events by call."""
        self._feed.attach(deliver)

    def __aiter__(self) -> AsyncIterator[SttEvent]:
        return aiter(self._feed)

    def send(self, command: SttCommand, /) -> None:
        """Take sound, or an order."""
        if self._feed.is_closed:
            return
        match command:
            case SendAudio():
                self._sound += command.pcm
                if len(self._sound) >= self._part_bytes:
                    self._cut()
            case FinishUtterance():
                self._cut()
                ended, self._present = self._present, _Utterance()
                ended.id = command.utterance_id
                self._waiting.append(ended)
                # Not at once: nobody who sends expects to be called back.
                self._loop.call_soon(self._answer)
            case DropUtterance():
                self._sound.clear()
                dropped, self._present = self._present, _Utterance()
                for part in dropped.parts:
                    if part.task is not None:
                        part.task.cancel()
            case _:
                assert_never(command)

    def _cut(self) -> None:
        """Post what there is of the present utterance."""
        block = self._shape.block_bytes
        whole = len(self._sound) - len(self._sound) % block
        pcm = bytes(self._sound[:whole])
        self._sound.clear()
        utterance = self._present
        begin = utterance.samples
        utterance.samples += whole // block
        if not any(pcm):
            return
        shortest = to_samples(SHORTEST_MS, self._shape.rate) * block
        part = _Part(begin)
        utterance.parts.append(part)
        name = f"beluga-voice {self._name} transcription"
        work = self._transcribe(part, pcm.ljust(shortest, b"\0"))
        part.task = self._loop.create_task(work, name=name)
        self._tasks.add(part.task)
        part.task.add_done_callback(self._tasks.discard)

    async def _transcribe(self, part: _Part, pcm: bytes) -> None:
        file = write_wav(None, pcm, self._shape.rate)
        try:
            async with asyncio.timeout(self._answer_seconds):
                try:
                    part.answer = await self._post(file)
                except RequestFailed as failed:
                    if failed.failure.category is not ErrorCategory.RETRYABLE:
                        raise
                    part.answer = await self._post(file)
        except TimeoutError:
            waited = f"{self._answer_seconds:g} s"
            message = f"the service gave no transcript in {waited}; {ELSEWHERE}"
            self._fail(
                ServiceFailed(category=ErrorCategory.TIMEOUT, message=message, is_fatal=True)
            )
        except RequestFailed as failed:
            self._fail(failed.failure)
        except BrokenProtocol as error:
            category = ErrorCategory.RETRYABLE
            message = f"{error.message}; check the endpoint"
            self._fail(ServiceFailed(category=category, message=message, is_fatal=True))
        except Exception as error:
            self._fail(unexpected(error))
        else:
            if part.answer.usage is not None:
                self._feed.put(UsageReported(usage=part.answer.usage))
            self._answer()

    def _answer(self) -> None:
        """The final transcripts that are due."""
        while self._waiting and self._waiting[0].is_whole and not self._feed.is_closed:
            self._feed.put(self._transcript(self._waiting.popleft()))

    def _transcript(self, utterance: _Utterance) -> Transcript:
        answers = [(one.begin, one.answer) for one in utterance.parts if one.answer is not None]
        told = [answer for _, answer in answers if answer.text.strip()]
        sure = [one.confidence for one in told if one.confidence is not None]
        return Transcript(
            text=" ".join(answer.text.strip() for answer in told),
            is_final=True,
            utterance_id=utterance.id,
            words=tuple(
                TimedWord(
                    text=word.text.strip(),
                    start=begin + self._samples(word.start),
                    end=begin + self._samples(word.end),
                    confidence=word.confidence,
                )
                for begin, answer in answers
                for word in answer.words
            ),
            confidence=sum(sure) / len(sure) if sure else None,
            language=next((one.language for _, one in answers[::-1] if one.language), None)
            or self._language,
            alternatives=readings_of([(one.text.strip(), one.alternatives) for one in told]),
        )

    def _samples(self, seconds: float) -> int:
        return round(seconds * self._shape.rate)

    # ── the end ─────────────────────────────────────────────────────────────────────────────

    def _fail(self, failure: ServiceFailed) -> None:
        self._feed.put(failure)
        self._end(LinkClosed(is_clean=False, reason=failure.message))

    def _end(self, closed: LinkClosed) -> None:
        if self._feed.is_closed:
            return
        self._feed.put(closed)
        self._feed.close()
        self._sound.clear()
        me = asyncio.current_task()
        for task in self._tasks:
            if task is not me:
                task.cancel()

    async def close(self) -> None:
        """End in order: nothing is left behind."""
        self._end(LinkClosed(is_clean=True, reason="closed by us"))
        await asyncio.gather(*self._tasks, return_exceptions=True)
