"""One person's sound on its way to the process with the model, and the words that come back."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import assert_never

import msgspec

from beluga_voice.audio.formats import pcm16
from beluga_voice.errors import (
    BelugaError,
    ConfigurationError,
    Silent,
    Unreachable,
    Unsupported,
)
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
    UtteranceId,
)
from beluga_voice.providers.stt.whisper import _wire as wire
from beluga_voice.providers.workers import Inbox, Worker

FORMAT = pcm16(16000)
_PIECE_BYTES = 3200
_AHEAD_BYTES = 64000
"""How much sound the process may have and not yet have answered for."""

_log = logging.getLogger(__name__)
_requests = msgspec.msgpack.Encoder()
_answers: msgspec.msgpack.Decoder[wire.Answer] = msgspec.msgpack.Decoder(wire.Answer)


class WhisperLink:
    """A live transcription.

    The outbox holds `max_waiting_bytes` of sound beyond what the process has; when it falls
    further behind, the oldest waiting sound is dropped and counted in `dropped_samples`. Orders
    are never dropped. A process that owes an answer for `answer_seconds` is given up.
    """

    def __init__(
        self, *, model: str, fetch: str, max_waiting_bytes: int, answer_seconds: float
    ) -> None:
        self._model = model
        self._fetch = fetch
        """The command that fetches it, for people."""
        self._max_waiting = max_waiting_bytes
        self._answer_seconds = answer_seconds
        self._inbox: Inbox[SttEvent] = Inbox()
        self._outbox: deque[SttCommand] = deque()
        self._waiting_bytes = 0
        self._ahead_bytes = 0
        self._unanswered: deque[int] = deque()
        """Bytes of sound in each request that is not answered."""
        self._drops = 0
        self._worker: Worker | None = None
        self._opened: asyncio.Future[wire.Opened] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.dropped_samples = 0

    @property
    def waiting_audio_bytes(self) -> int:
        """Sound that has not left yet."""
        return self._waiting_bytes

    def send(self, command: SttCommand, /) -> None:
        """Queue a command; nothing after the end. Raises `WrongFormat` for half a sample."""
        if isinstance(command, SendAudio):
            FORMAT.samples(command.pcm)
        if self._inbox.is_ended:
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

    def attach(self, deliver: Callable[[SttEvent], None], /) -> None:
        """Deliver events by call."""
        self._inbox.attach(deliver)

    def __aiter__(self) -> AsyncIterator[SttEvent]:
        """Events up to and including `LinkClosed`."""
        return aiter(self._inbox)

    async def open(self, worker: Worker, request: wire.Open, *, within_seconds: float) -> None:
        """Wait until the model listens.

        Raises `ConfigurationError` if there is no such model, `Unreachable` or `Silent`.
        """
        self._opened = asyncio.get_running_loop().create_future()
        worker.send(_requests.encode(request))
        try:
            async with asyncio.timeout(within_seconds):
                opened = await self._opened
        except TimeoutError as error:
            message = f"the model was not loaded within {within_seconds:g} s; raise start_seconds"
            raise Silent(message, op="connect", provider="whisper") from error
        if opened.unused_phrases:
            _log.warning(
                "the last %d phrases are not used: Whisper can be told some 150 words",
                opened.unused_phrases,
            )
        self._worker = worker
        self._inbox.put(LinkReady(remote_id=str(opened.pid), model=self._model))

    def receive(self, body: bytes) -> None:
        """Take an answer of the process."""
        answer = _answers.decode(body)
        if isinstance(answer, wire.Opened | wire.Refused):
            self._settle(answer)
            return
        self._ahead_bytes -= self._unanswered.popleft()
        match answer:
            case wire.Heard(text=text, language=language):
                if text is not None and not self._drops:
                    self._inbox.put(Transcript(text=text, is_final=False, language=language))
            case wire.Finished():
                self._inbox.put(_final(answer))
            case wire.Dropped():
                self._drops -= 1
            case wire.Failed(reason=reason):
                self._lose(ErrorCategory.RETRYABLE, f"the model broke off ({reason})")
                return
            case _:
                assert_never(answer)
        self._expect()
        self._write()

    def fail(self) -> None:
        """The process is gone."""
        if self._opened is not None and not self._opened.done():
            message = "the process ended while it loaded the model: is there enough memory?"
            self._opened.set_exception(Unreachable(message, op="connect", provider="whisper"))
            return
        self._lose(ErrorCategory.RETRYABLE, "the recogniser's process ended")

    def close(self) -> None:
        """End in order."""
        self._end(LinkClosed(is_clean=True))

    def _settle(self, answer: wire.Opened | wire.Refused) -> None:
        if self._opened is None or self._opened.done():
            return
        if isinstance(answer, wire.Opened):
            self._opened.set_result(answer)
        else:
            self._opened.set_exception(_error_of(answer, self._model, self._fetch))

    def _lose(self, category: ErrorCategory, reason: str) -> None:
        self._end(
            ServiceFailed(category=category, message=reason, is_fatal=True),
            LinkClosed(is_clean=False, reason=reason),
        )

    def _end(self, *last: SttEvent) -> None:
        if self._inbox.is_ended:
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._outbox.clear()
        self._waiting_bytes = 0
        self._inbox.end(*last)

    def _write(self) -> None:
        """Give the process what it has room for."""
        while self._worker is not None and self._outbox and not self._inbox.is_ended:
            command = self._outbox[0]
            size = 0
            request: wire.Request
            match command:
                case SendAudio(pcm=pcm):
                    if self._ahead_bytes >= _AHEAD_BYTES:
                        return
                    size = len(pcm)
                    request = wire.Hear(pcm=pcm)
                case FinishUtterance(utterance_id=utterance_id):
                    request = wire.Finish(utterance_id=utterance_id)
                case DropUtterance():
                    request = wire.Drop()
                case _:
                    assert_never(command)
            self._outbox.popleft()
            self._waiting_bytes -= size
            self._ahead_bytes += size
            self._unanswered.append(size)
            if self._deadline is None:
                self._expect()
            self._worker.send(_requests.encode(request))

    def _expect(self) -> None:
        """Wait for the oldest answer that is due, and no longer than that."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._unanswered:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self._answer_seconds, self._give_up)

    def _give_up(self) -> None:
        reason = f"the recogniser gave no answer within {self._answer_seconds:g} s"
        if self._worker is not None:
            self._worker.close()
        self._lose(ErrorCategory.TIMEOUT, reason)

    def _shed(self) -> None:
        while self._waiting_bytes > self._max_waiting:
            oldest = next(
                at for at, command in enumerate(self._outbox) if isinstance(command, SendAudio)
            )
            self.dropped_samples += self._forget(oldest) // 2

    def _forget(self, at: int) -> int:
        command = self._outbox[at]
        del self._outbox[at]
        size = len(command.pcm) if isinstance(command, SendAudio) else 0
        self._waiting_bytes -= size
        return size


def _error_of(refused: wire.Refused, model: str, fetch: str) -> BelugaError:
    """What is raised by `connect`, with what to do."""
    match refused.reason:
        case wire.Reason.MISSING:
            return ConfigurationError(
                f"{refused.detail}; fetch it once: {fetch}",
                op="stt.connect",
            )
        case wire.Reason.UNKNOWN:
            return ConfigurationError(refused.detail, op="stt.connect")
        case wire.Reason.DAMAGED:
            return ConfigurationError(
                f"the model cannot be read: {refused.detail}; remove it, then: {fetch}",
                op="stt.connect",
            )
        case wire.Reason.MEMORY:
            return ConfigurationError(
                f"the model {model!r} does not fit into memory; take a smaller one,"
                " or compute_type='int8'",
                op="stt.connect",
            )
        case wire.Reason.DEVICE:
            return ConfigurationError(
                f"the model does not run there: {refused.detail}; change device or compute_type",
                op="stt.connect",
            )
        case wire.Reason.LANGUAGE:
            return Unsupported(
                f"{refused.detail}; take a newer one, without '.en' in its name", op="stt.connect"
            )
        case _:
            assert_never(refused.reason)


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
    )
