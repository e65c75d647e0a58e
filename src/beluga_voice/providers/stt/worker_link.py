"""One person's sound on its way to a worker process, and the words that come back."""

from collections import deque
from typing import ClassVar, assert_never, override

import msgspec

from beluga_voice.audio.formats import pcm16
from beluga_voice.events import (
    DropUtterance,
    ErrorCategory,
    FinishUtterance,
    SendAudio,
    SttCommand,
    SttEvent,
    TimedWord,
    Transcript,
    UtteranceId,
)
from beluga_voice.providers.stt import worker_wire as wire
from beluga_voice.providers.worker_link import OfLink, WorkerLink
from beluga_voice.transports.feed import Feed

FORMAT = pcm16(16000)
_PIECE_BYTES = 3200

_answers: msgspec.msgpack.Decoder[wire.Answer] = msgspec.msgpack.Decoder(wire.Answer)


class HearingLink(WorkerLink[SttEvent]):
    """A live transcription by a worker process.

    The outbox holds `max_waiting_bytes` of sound beyond what the process has; when it falls
    further behind, the oldest waiting sound is dropped and counted in `dropped_samples`. Orders
    are never dropped.
    """

    _thing = "the model"
    _process = "the recogniser's process"
    _ahead_bytes: ClassVar[int]
    """How much sound the process may have and not yet have answered for."""

    def __init__(self, *, max_waiting_bytes: int, answer_seconds: float) -> None:
        super().__init__(Feed(), answer_seconds=answer_seconds)
        self._max_waiting = max_waiting_bytes
        self._outbox: deque[SttCommand] = deque()
        self._waiting_bytes = 0
        self._unanswered: deque[int] = deque()
        """Bytes of sound in each request that is not answered."""
        self._drops = 0
        self.dropped_samples = 0

    @property
    def waiting_audio_bytes(self) -> int:
        """Sound that has not left yet."""
        return self._waiting_bytes

    def send(self, command: SttCommand, /) -> None:
        """Queue a command; nothing after the end. Raises `WrongFormat` for half a sample."""
        if isinstance(command, SendAudio):
            FORMAT.samples(command.pcm)
        if self._feed.is_closed:
            return
        match command:
            case SendAudio(pcm=pcm):
                for at in range(0, len(pcm), _PIECE_BYTES):
                    self._outbox.append(SendAudio(pcm=pcm[at : at + _PIECE_BYTES]))
                self._waiting_bytes += len(pcm)
            case FinishUtterance():
                self._outbox.append(command)
            case DropUtterance():
                while self._outbox and isinstance(self._outbox[-1], SendAudio):
                    self._forget(len(self._outbox) - 1)
                self._outbox.append(command)
                self._drops += 1
            case _:
                assert_never(command)
        self._write()
        self._shed()

    @override
    def _take(self, body: bytes) -> None:
        answer = _answers.decode(body)
        self._unanswered.popleft()
        match answer:
            case wire.Heard(text=text, language=language):
                if text is not None and not self._drops:
                    self._feed.put(Transcript(text=text, is_final=False, language=language))
            case wire.Finished():
                self._feed.put(_final(answer))
            case wire.Dropped():
                self._drops -= 1
            case wire.Failed(reason=reason):
                self._lose(ErrorCategory.RETRYABLE, f"{self._thing} broke off ({reason})")
            case _:
                assert_never(answer)
        self._write()

    @override
    def _end(self, *last: OfLink[SttEvent]) -> None:
        self._outbox.clear()
        self._waiting_bytes = 0
        super()._end(*last)

    def _write(self) -> None:
        """Give the process what it has room for."""
        while self._outbox:
            command = self._outbox[0]
            if isinstance(command, SendAudio) and sum(self._unanswered) >= self._ahead_bytes:
                return
            size = self._forget(0)
            self._unanswered.append(size)
            self._request(_request_of(command))

    def _shed(self) -> None:
        while self._waiting_bytes > self._max_waiting:
            oldest = next(
                at for at, command in enumerate(self._outbox) if isinstance(command, SendAudio)
            )
            self.dropped_samples += self._forget(oldest) // 2

    def _forget(self, at: int) -> int:
        """Take a command out of the outbox; the bytes of sound in it."""
        command = self._outbox[at]
        del self._outbox[at]
        size = len(command.pcm) if isinstance(command, SendAudio) else 0
        self._waiting_bytes -= size
        return size


def _request_of(command: SttCommand) -> wire.Request:
    match command:
        case SendAudio(pcm=pcm):
            return wire.Hear(pcm=pcm)
        case FinishUtterance(utterance_id=utterance_id):
            return wire.Finish(utterance_id=utterance_id)
        case DropUtterance():
            return wire.Drop()
        case _:
            assert_never(command)


def _final(answer: wire.Finished) -> Transcript:
    return Transcript(
        text=answer.text,
        is_final=True,
        utterance_id=UtteranceId(answer.utterance_id),
        words=tuple(
            TimedWord(text=word.text, start=word.start, end=word.end, confidence=word.confidence)
            for word in answer.words
        ),
        confidence=answer.confidence,
        language=answer.language,
        alternatives=answer.alternatives,
    )
