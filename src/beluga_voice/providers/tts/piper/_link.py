"""Text on its way to the process with the voice, and the sound that comes back."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import assert_never

import msgspec

from beluga_voice.errors import BelugaError, ConfigurationError, Misuse, Silent, Unreachable
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    ErrorCategory,
    FinishSpeech,
    LinkClosed,
    LinkReady,
    ServiceFailed,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    TtsCommand,
    TtsEvent,
)
from beluga_voice.providers.s2s.sentences import Sentences
from beluga_voice.providers.tts.piper import _wire as wire
from beluga_voice.providers.workers import Inbox, Worker

_requests = msgspec.msgpack.Encoder()
_answers: msgspec.msgpack.Decoder[wire.Answer] = msgspec.msgpack.Decoder(wire.Answer)


STALL_SECONDS = 0.5
"""After so long without more text, what there is of a sentence is spoken."""
_ENDS = (".", "!", "?", "…", ":", "。", "！", "？")


@dataclass(slots=True)
class _Context:
    """Text that waits for the rest of its sentence."""

    sentences: Sentences = field(default_factory=Sentences)
    wait: asyncio.TimerHandle | None = None

    def stop_waiting(self) -> None:
        if self.wait is not None:
            self.wait.cancel()
            self.wait = None


class PiperLink:
    """A live voice: contexts are spoken one after the other, in the order of their text.

    When a reader is slow, speaking pauses; nothing is lost. A process that gives nothing for
    `answer_seconds`, while something is due and read, is given up.
    """

    def __init__(
        self, *, room_bytes: int, max_waiting_characters: int, answer_seconds: float
    ) -> None:
        self._inbox: Inbox[TtsEvent] = Inbox(room=room_bytes, cost=_bytes_of, on_room=self._resume)
        self._max_waiting = max_waiting_characters
        self._answer_seconds = answer_seconds
        self._contexts: dict[ContextId, _Context] = {}
        self._waiting: deque[int] = deque()
        """Characters of the sentences that are not spoken yet."""
        self._cancelling: Counter[str] = Counter()
        self._owed = 0
        self._worker: Worker | None = None
        self._opened: asyncio.Future[wire.Opened] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def send(self, command: TtsCommand, /) -> None:
        """Give an order; nothing after the end. Raises `Misuse` for too much text."""
        if self._inbox.is_ended:
            return
        match command:
            case SpeakText():
                self._speak(command)
            case FinishSpeech(context_id=context_id):
                self._flush(context_id)
                self._contexts.pop(context_id, None)
                self._order(wire.Finish(context_id=context_id))
            case CancelSpeech(context_id=context_id):
                if (context := self._contexts.pop(context_id, None)) is not None:
                    context.stop_waiting()
                self._cancelling[context_id] += 1
                self._inbox.discard(lambda event: _context_of(event) == context_id)
                self._order(wire.Cancel(context_id=context_id))
            case _:
                assert_never(command)

    def _speak(self, command: SpeakText) -> None:
        text = command.text.encode("utf-8", "ignore").decode()
        if sum(self._waiting) + len(text) > self._max_waiting:
            raise Misuse(
                f"more than {self._max_waiting} characters would wait; send less at once",
                op="tts.send",
            )
        context = self._contexts.setdefault(command.context_id, _Context())
        context.stop_waiting()
        for sentence in context.sentences.feed(text):
            self._say(command.context_id, sentence)
        if len(text.split()) > 1 and text.rstrip().endswith(_ENDS):
            # Who gives several words at once gives them to their end.
            self._flush(command.context_id)
        else:
            loop = asyncio.get_running_loop()
            context.wait = loop.call_later(STALL_SECONDS, self._flush, command.context_id)

    def _flush(self, context_id: ContextId) -> None:
        """Speak what there is of a sentence."""
        if (context := self._contexts.get(context_id)) is not None:
            context.stop_waiting()
            for sentence in context.sentences.flush():
                self._say(context_id, sentence)

    def _say(self, context_id: ContextId, sentence: str) -> None:
        self._waiting.append(len(sentence))
        self._order(wire.Speak(context_id=context_id, sentence=sentence))

    def _order(self, request: wire.Request) -> None:
        if self._worker is None:
            return
        self._owed += 1
        if self._deadline is None:
            self._expect()
        self._worker.send(_requests.encode(request))

    def attach(self, deliver: Callable[[TtsEvent], None], /) -> None:
        """Deliver events by call."""
        self._inbox.attach(deliver)

    def __aiter__(self) -> AsyncIterator[TtsEvent]:
        """Events up to and including `LinkClosed`."""
        return aiter(self._inbox)

    async def open(self, worker: Worker, request: wire.Open, *, within_seconds: float) -> None:
        """Wait until the voice is loaded.

        Raises `ConfigurationError` if there is no such voice, `Unreachable` or `Silent`.
        """
        self._opened = asyncio.get_running_loop().create_future()
        worker.send(_requests.encode(request))
        try:
            async with asyncio.timeout(within_seconds):
                opened = await self._opened
        except TimeoutError as error:
            message = f"the voice was not loaded within {within_seconds:g} s; raise start_seconds"
            raise Silent(message, op="connect", provider="piper") from error
        self._worker = worker
        self._inbox.put(LinkReady(remote_id=str(opened.pid), model=opened.voice))

    def receive(self, body: bytes) -> None:
        """Take an answer of the process."""
        answer = _answers.decode(body)
        match answer:
            case wire.Opened() | wire.Refused():
                self._settle(answer)
                return
            case wire.Audio(context_id=context_id, pcm=pcm):
                self._put(SpeechAudio(context_id=ContextId(context_id), pcm=pcm))
            case wire.Spoken():
                self._waiting.popleft()
            case wire.Done(context_id=context_id):
                self._put(SpeechDone(context_id=ContextId(context_id)))
            case wire.Cancelled(context_id=context_id):
                self._cancelling[context_id] -= 1
                if not self._cancelling[context_id]:
                    del self._cancelling[context_id]
            case wire.Failed(reason=reason):
                self._lose(ErrorCategory.RETRYABLE, f"the voice broke off ({reason})")
                return
            case _:
                assert_never(answer)
        self._owed -= not isinstance(answer, wire.Audio)
        self._expect()

    def fail(self) -> None:
        """The process is gone."""
        if self._opened is not None and not self._opened.done():
            message = "the process ended while it loaded the voice: is there enough memory?"
            self._opened.set_exception(Unreachable(message, op="connect", provider="piper"))
            return
        self._lose(ErrorCategory.RETRYABLE, "the speaking process ended")

    def close(self) -> None:
        """End in order."""
        self._end(LinkClosed(is_clean=True))

    def _settle(self, answer: wire.Opened | wire.Refused) -> None:
        if self._opened is None or self._opened.done():
            return
        if isinstance(answer, wire.Opened):
            self._opened.set_result(answer)
        else:
            self._opened.set_exception(_error_of(answer))

    def _put(self, event: SpeechAudio | SpeechDone) -> None:
        if event.context_id in self._cancelling:
            return
        self._inbox.put(event)
        if self._inbox.is_full and self._worker is not None:
            self._worker.pause()

    def _resume(self) -> None:
        if self._worker is not None:
            self._worker.resume()
            self._expect()

    def _expect(self) -> None:
        """Wait for what is due, and no longer than that, unless nobody would read it."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._owed and not self._inbox.is_full and not self._inbox.is_ended:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self._answer_seconds, self._give_up)

    def _give_up(self) -> None:
        if self._worker is not None:
            self._worker.close()
        reason = f"the speaking process gave nothing within {self._answer_seconds:g} s"
        self._lose(ErrorCategory.TIMEOUT, reason)

    def _lose(self, category: ErrorCategory, reason: str) -> None:
        self._end(
            ServiceFailed(category=category, message=reason, is_fatal=True),
            LinkClosed(is_clean=False, reason=reason),
        )

    def _end(self, *last: TtsEvent) -> None:
        if self._inbox.is_ended:
            return
        if self._deadline is not None:
            self._deadline.cancel()
        for context in self._contexts.values():
            context.stop_waiting()
        self._inbox.end(*last)


def _error_of(refused: wire.Refused) -> BelugaError:
    """What is raised by `connect`, with what to do."""
    match refused.reason:
        case wire.Reason.MISSING | wire.Reason.SPEAKER:
            return ConfigurationError(refused.detail, op="tts.connect")
        case wire.Reason.DAMAGED:
            return ConfigurationError(
                f"the voice cannot be read: {refused.detail}; remove its two files and fetch them"
                " again",
                op="tts.connect",
            )
        case wire.Reason.MEMORY:
            return ConfigurationError(
                "the voice does not fit into memory; take one of lower quality",
                op="tts.connect",
            )
        case _:
            assert_never(refused.reason)


def _bytes_of(event: TtsEvent) -> int:
    return len(event.pcm) if isinstance(event, SpeechAudio) else 0


def _context_of(event: TtsEvent) -> ContextId | None:
    return event.context_id if isinstance(event, SpeechAudio | SpeechDone) else None
