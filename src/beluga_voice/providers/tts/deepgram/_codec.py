"""Deepgram's protocol for speaking, pure: contexts in a queue, for a wire that has none.

The service speaks one text after the other, and its messages do not say of which. So the context
that began first has the wire, and the others wait; the next begins when the service has said that
it is done (`Flushed`, as often as it was told to flush), or that it forgot the rest (`Cleared`).
Between `Clear` and `Cleared` all sound is old, and dropped.

Text is given as it comes. The service may hold it back until it is told to flush, which may be done
20 times a minute. It is told at the end of a context, and when its text pauses for `pause_seconds`
as long as there are flushes to spare; at the limit the end waits until the service takes it. What
the service does not answer for `quiet_seconds` ends the connection, and so does more text that
waits than `MAX_WAITING_CHARACTERS`.

A context that was cancelled has no `SpeechDone`.
"""

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

import msgspec

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
    Usage,
    UsageReported,
)
from beluga_voice.interfaces import TtsOptions, WireMessage, output_format_of
from beluga_voice.providers.deepgram.failures import category_of, failure_of_close
from beluga_voice.providers.deepgram.timed import TimedCodec, is_due, read
from beluga_voice.providers.mute import ELSEWHERE
from beluga_voice.providers.tick import TICK
from beluga_voice.providers.tts.deepgram import _wire as wire
from beluga_voice.providers.tts.deepgram._capabilities import (
    CAPABILITIES,
    FLUSH_WINDOW_SECONDS,
    MAX_CHARACTERS,
    MAX_FLUSHES,
    MAX_WAITING_CHARACTERS,
    NAME,
    SPARE_FLUSHES,
)
from beluga_voice.providers.tts.deepgram._options import query_of
from beluga_voice.providers.tts.deepgram._sound import Sound
from beluga_voice.sendable import sendable

REMEMBERED = 1000
"""How many cancelled contexts are remembered, for text of theirs that comes late."""
RETRY_SECONDS = 5.0
"""After how long a flush is tried again that the service did not take."""

_encoder = msgspec.json.Encoder()
_WORD = re.compile(r"\w")


@dataclass(slots=True)
class _Context:
    id: ContextId
    sound: Sound
    texts: list[str] = field(default_factory=list[str])
    """What waits for its turn."""
    characters: int = 0
    has_word: bool = False
    is_finished: bool = False
    is_begun: bool = False
    """The service was given text of it."""
    needs_flush: bool = False
    """The service was given text since it was told to flush."""
    text_at: float = 0.0


class AuraCodec(TimedCodec[TtsEvent]):
    """One connection's state; `now` is a clock in seconds."""

    def __init__(
        self,
        options: TtsOptions,
        voice: str,
        *,
        mip_opt_out: bool,
        pause_seconds: float,
        quiet_seconds: float,
        now: Callable[[], float],
    ) -> None:
        super().__init__(now)
        self.query = query_of(options, voice, mip_opt_out=mip_opt_out)
        self._shape = output_format_of(CAPABILITIES, options.output_format)
        self._pause_seconds = pause_seconds
        self._quiet_seconds = quiet_seconds
        self._contexts: dict[ContextId, _Context] = {}
        """In the order in which they are spoken; the first has the wire."""
        self._over: dict[ContextId, None] = {}
        """Contexts that are done or cancelled, the last of them."""
        self._flushes: deque[float] = deque()
        """When the service was told to flush, within the time that counts."""
        self._blocked_until = 0.0
        self._unanswered = 0
        self._is_clearing = False
        self._heard_at = now()
        self._is_ready = False

    # ── what we say ─────────────────────────────────────────────────────────────────────────

    def hello(self) -> list[WireMessage]:
        """Everything is in the address."""
        self.alarm.by(self._now())
        return []

    def encode(self, command: TtsCommand, /) -> list[WireMessage]:
        """Text and orders of the context that has the wire; those of others wait."""
        match command:
            case SpeakText():
                self._speak(command)
            case FinishSpeech():
                if command.context_id not in self._over:
                    self._context(command.context_id).is_finished = True
            case CancelSpeech():
                self._cancel(command.context_id)
            case _:
                assert_never(command)
        self._go_on()
        return self.replies()

    def _speak(self, command: SpeakText) -> None:
        if command.context_id in self._over or not command.text:
            return
        waiting = sum(len(text) for one in self._contexts.values() for text in one.texts)
        if waiting + len(command.text) > MAX_WAITING_CHARACTERS:
            message = f"more than {MAX_WAITING_CHARACTERS} characters wait; send less at once"
            invalid = ErrorCategory.INVALID_REQUEST
            self._tell(ServiceFailed(category=invalid, message=message, is_fatal=True))
            return
        context = self._context(command.context_id)
        context.texts.append(sendable(command.text))
        context.characters += len(command.text)
        context.has_word = context.has_word or _WORD.search(command.text) is not None

    def _context(self, context_id: ContextId) -> _Context:
        if context_id not in self._contexts:
            self._contexts[context_id] = _Context(context_id, Sound(self._shape))
        return self._contexts[context_id]

    @property
    def _speaking(self) -> _Context | None:
        return next(iter(self._contexts.values()), None)

    def _cancel(self, context_id: ContextId) -> None:
        self._remember(context_id)
        context = self._contexts.pop(context_id, None)
        if context is not None and context.is_begun:
            self._replies.append(wire.CLEAR)
            self._is_clearing = True
            self._heard_at = self._now()

    def _go_on(self) -> None:
        """Say what can be said of the context that has the wire."""
        now = self._now()
        while (context := self._speaking) is not None and not self._is_clearing:
            self._give_text(context, now)
            if not context.is_finished:
                self._flush_pause(context, now)
                break
            if context.needs_flush:
                self._flush(context, now, spare=0)
                break
            if self._unanswered:
                break
            self._finish(context)
        if self._unanswered or self._is_clearing:
            self.alarm.by(max(self._heard_at + self._quiet_seconds, now))

    def _give_text(self, context: _Context, now: float) -> None:
        for text in context.texts:
            for piece in _pieces(text):
                self._replies.append(_encoder.encode(wire.Speak(piece)).decode())
                context.is_begun = context.needs_flush = True
                context.text_at = now
        context.texts.clear()

    def _flush_pause(self, context: _Context, now: float) -> None:
        """Flush if there was no text for a while, though it is not over."""
        if not context.needs_flush:
            return
        due = context.text_at + self._pause_seconds
        if is_due(due, now):
            self._flush(context, now, spare=SPARE_FLUSHES)
        else:
            self.alarm.by(due)

    def _flush(self, context: _Context, now: float, *, spare: int) -> None:
        """Flush if it is allowed, leaving so many to spare; otherwise try again."""
        while self._flushes and is_due(self._flushes[0] + FLUSH_WINDOW_SECONDS, now):
            self._flushes.popleft()
        most = MAX_FLUSHES - spare
        if not is_due(self._blocked_until, now):
            self.alarm.by(self._blocked_until)
        elif len(self._flushes) >= most:
            self.alarm.by(self._flushes[len(self._flushes) - most] + FLUSH_WINDOW_SECONDS)
        else:
            if not self._unanswered:
                self._heard_at = now
            self._flushes.append(now)
            self._unanswered += 1
            context.needs_flush = False
            self._replies.append(wire.FLUSH)

    def _finish(self, context: _Context) -> None:
        """All of it was spoken."""
        del self._contexts[context.id]
        self._remember(context.id)
        self._tell(*context.sound.end(should_sound=context.has_word))
        if context.characters:
            self._tell(UsageReported(usage=Usage(characters=context.characters)))
        self._tell(SpeechDone(context_id=context.id))

    def _remember(self, context_id: ContextId) -> None:
        """Nothing more is said of that context, whatever is asked."""
        self._over[context_id] = None
        if len(self._over) > REMEMBERED:
            del self._over[next(iter(self._over))]

    # ── what the service says ───────────────────────────────────────────────────────────────

    def decode(self, message: WireMessage, /) -> list[TtsEvent]:
        """The events of a message; raises `BrokenProtocol` for what is none of the protocol."""
        now = self._now()
        events: list[TtsEvent] = []
        if message is TICK:
            self.alarm.rang()
            events = self._woken(now)
        else:
            self._heard_at = now
            if isinstance(message, bytes):
                events = self._audio(message)
            else:
                events = self._message(message, now)
        self._go_on()
        return [*events, *self._take_told()]

    def _woken(self, now: float) -> list[TtsEvent]:
        if not self._is_ready:
            # The protocol has no greeting: a connection that is open is one that speaks.
            self._is_ready = True
            return [LinkReady(model=self.query[0][1])]
        is_owed = bool(self._unanswered) or self._is_clearing
        if is_owed and is_due(self._heard_at + self._quiet_seconds, now):
            message = f"the service does not answer to what it was given to speak; {ELSEWHERE}"
            timeout = ErrorCategory.TIMEOUT
            return [ServiceFailed(category=timeout, message=message, is_fatal=True)]
        return []

    def _audio(self, data: bytes) -> list[TtsEvent]:
        context = self._speaking
        if context is None or not context.is_begun:
            return []  # it is of a context that was cancelled
        pcm = context.sound.take(data)
        events: list[TtsEvent] = [*context.sound.found()]
        if pcm:
            events.append(SpeechAudio(context_id=context.id, pcm=pcm))
        return events

    def _message(self, message: str, now: float) -> list[TtsEvent]:
        heard = read(message, wire.KINDS, NAME)
        match heard:
            case wire.Flushed():
                self._unanswered = max(self._unanswered - 1, 0)
            case wire.Cleared():
                if self._is_clearing:
                    self._is_clearing, self._unanswered = False, 0
            case wire.Failed():
                return [self._failed(heard, now)]
            case None:
                pass
        return []

    def _failed(self, heard: wire.Failed, now: float) -> ServiceFailed:
        name = heard.name or ""
        is_about_flush = "flush" in f"{name} {heard.words}".lower()
        if is_about_flush and self._unanswered:
            self._unanswered -= 1
            self._blocked_until = now + RETRY_SECONDS
            if (context := self._speaking) is not None:
                context.needs_flush = True
        category = category_of(name)
        if heard.type == "Warning":
            category = ErrorCategory.RATE_LIMIT if is_about_flush else ErrorCategory.BENIGN
        return ServiceFailed(
            category=category,
            message=f"the service reported {name or 'a failure'}",
            provider_code=heard.name,
        )

    def closed(self, *, is_clean: bool, code: int | None, reason: str) -> list[TtsEvent]:
        """Why the service closed, and the end of the link. What is not spoken is not done."""
        failure = failure_of_close(code, reason)
        is_clean = is_clean and failure is None
        last = LinkClosed(is_clean=is_clean, reason=reason, code=code)
        return [last] if failure is None else [failure, last]


def _pieces(text: str) -> list[str]:
    """Text in pieces that the service takes, cut between words where there are any."""
    pieces: list[str] = []
    while len(text) > MAX_CHARACTERS:
        cut = text.rfind(" ", 1, MAX_CHARACTERS) + 1 or MAX_CHARACTERS
        pieces.append(text[:cut])
        text = text[cut:]
    return [*pieces, text]
