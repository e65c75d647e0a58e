"""Text on its way to a worker process, and the sound that comes back."""

from collections import Counter, deque
from typing import assert_never, override

import msgspec

from beluga_voice.errors import Misuse
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    ErrorCategory,
    FinishSpeech,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    TimedWord,
    TtsCommand,
    TtsEvent,
)
from beluga_voice.providers.inbox import Inbox
from beluga_voice.providers.tts import worker_wire as wire
from beluga_voice.providers.worker_link import WorkerLink

_answers: msgspec.msgpack.Decoder[wire.Answer] = msgspec.msgpack.Decoder(wire.Answer)


class SpeakingLink(WorkerLink[TtsEvent]):
    """A live voice by a worker process, one context after the other, in the order of their text.

    Text waits in the process, `max_waiting_characters` of it in all; more is refused with
    `Misuse`, nothing is dropped. Sound that nobody reads stops the speaking when there are
    `room_bytes` of it here and the socket is full.
    """

    _thing = "the voice"
    _process = "the speaking process"

    def __init__(
        self, *, room_bytes: int, max_waiting_characters: int, answer_seconds: float
    ) -> None:
        self._inbox: Inbox[TtsEvent] = Inbox(room=room_bytes, cost=_bytes_of, on_room=self._resume)
        super().__init__(self._inbox, answer_seconds=answer_seconds)
        self._max_waiting = max_waiting_characters
        self._waiting: deque[int] = deque()
        """Characters of the pieces that are not spoken yet."""
        self._cancelling: Counter[str] = Counter()

    def send(self, command: TtsCommand, /) -> None:
        """Give an order; nothing after the end. Raises `Misuse` for too much text."""
        if self._feed.is_closed:
            return
        match command:
            case SpeakText(context_id=context_id, text=text):
                if sum(self._waiting) + len(text) > self._max_waiting:
                    raise Misuse(
                        f"more than {self._max_waiting} characters would wait; send less at once",
                        op="tts.send",
                    )
                self._accept(context_id, text)
            case FinishSpeech(context_id=context_id):
                self._finish(context_id)
            case CancelSpeech(context_id=context_id):
                self._cancel(context_id)
            case _:
                assert_never(command)

    def _accept(self, context_id: ContextId, text: str) -> None:
        """Take text of a context: speak it, or what it makes whole."""
        self._speak(context_id, text.encode("utf-8", "replace").decode())

    def _speak(self, context_id: ContextId, text: str) -> None:
        self._waiting.append(len(text))
        self._request(wire.Speak(context_id=context_id, text=text))

    def _finish(self, context_id: ContextId) -> None:
        self._request(wire.Finish(context_id=context_id))

    def _cancel(self, context_id: ContextId) -> None:
        self._cancelling[context_id] += 1
        self._inbox.discard(lambda event: _context_of(event) == context_id)
        self._request(wire.Cancel(context_id=context_id))

    @override
    def _take(self, body: bytes) -> None:
        answer = _answers.decode(body)
        match answer:
            case wire.Audio(context_id=context_id, pcm=pcm):
                self._put(SpeechAudio(context_id=ContextId(context_id), pcm=pcm))
            case wire.Words(context_id=context_id, words=words):
                timed = tuple(
                    TimedWord(text=word.text, start=word.start, end=word.end) for word in words
                )
                self._put(SpeechWords(context_id=ContextId(context_id), words=timed))
            case wire.Spoken():
                self._waiting.popleft()
            case wire.Done(context_id=context_id):
                self._put(SpeechDone(context_id=ContextId(context_id)))
            case wire.Cancelled(context_id=context_id):
                self._cancelling[context_id] -= 1
                if not self._cancelling[context_id]:
                    del self._cancelling[context_id]
            case wire.Failed(reason=reason):
                self._lose(ErrorCategory.RETRYABLE, f"{self._thing} broke off ({reason})")
            case _:
                assert_never(answer)

    def _put(self, event: SpeechAudio | SpeechWords | SpeechDone) -> None:
        if event.context_id in self._cancelling:
            return
        self._inbox.put(event)
        if self._inbox.is_full and self._worker is not None:
            self._worker.pause()

    def _resume(self) -> None:
        if self._worker is not None:
            self._worker.resume()
            self._expect()


def _bytes_of(event: TtsEvent) -> int:
    return len(event.pcm) if isinstance(event, SpeechAudio) else 0


def _context_of(event: TtsEvent) -> ContextId | None:
    match event:
        case SpeechAudio() | SpeechWords() | SpeechDone():
            return event.context_id
        case _:
            return None
