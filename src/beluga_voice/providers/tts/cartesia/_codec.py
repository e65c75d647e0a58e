"""Cartesia Sonic as a codec: contexts of text, each of which is spoken in one breath.

How it works. All pieces of text of a context go to a context of the service, with the same
settings in each; an empty piece that is not continued ends it. Cancelling is soft: what the service
has begun still comes, and is dropped by its name, which is never used again. The service lets a
context go a second after it fell silent, even if more text is to follow. Then what follows begins
another one, and the places of its words are moved behind the sound so far. Text that met a context
which was just let go is sent again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, assert_never

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
    SpeechWords,
    TimedWord,
    TtsCommand,
    TtsEvent,
)
from beluga_voice.interfaces import TtsOptions, WireMessage, output_format_of
from beluga_voice.providers.cartesia.owing import Tick
from beluga_voice.providers.cartesia.service import failed
from beluga_voice.providers.mute import ELSEWHERE, NOTHING_SPOKEN
from beluga_voice.providers.tts.cartesia import _wire as wire
from beluga_voice.providers.tts.cartesia._capabilities import CAPABILITIES
from beluga_voice.providers.tts.cartesia._joining import joint
from beluga_voice.providers.tts.cartesia._options import Settings, request_of
from beluga_voice.providers.tts.cartesia._sounding import Sounding
from beluga_voice.sendable import sendable

REMEMBERED = 1000
"""Contexts that are over, and of which late orders may come."""


@dataclass(slots=True)
class _Context:
    """One of our contexts."""

    id: ContextId
    sounding: Sounding
    remote: str | None = None
    """The service's context for it; `None` before there is text, and once that was let go."""
    blank: str = ""
    """White space that waits for a word."""
    last: str = ""
    """The last piece that was sent."""
    unheard: list[str] = field(default_factory=list[str])
    """What was sent since sound last came."""
    is_finished: bool = False
    has_word: bool = False
    """There is something in its text that can be heard."""

    @property
    def is_owed(self) -> bool:
        """Whether the service has something to say of it."""
        if self.remote is None:
            return False
        return self.is_finished or any(map(str.isalnum, "".join(self.unheard)))


class SonicCodec:
    """One connection. `prefix` begins the names of its contexts at the service.

    `now` is the loop's clock.
    """

    def __init__(
        self, options: TtsOptions, settings: Settings, *, prefix: str, now: Callable[[], float]
    ) -> None:
        self._now = now
        self._quiet_seconds = settings.quiet_seconds
        self._heard_at = now()
        """When the service last said anything, or was asked for something when it owed nothing."""
        self._has_failed = False
        self._request = request_of(options, settings)
        self._output = output_format_of(CAPABILITIES, options.output_format)
        self._prefix = prefix
        self._opened = 0
        self._contexts: dict[ContextId, _Context] = {}
        self._remotes: dict[str, _Context] = {}
        self._ended: dict[ContextId, None] = {}
        # There is no message that says so: a connection that is open is ready.
        self._owed: list[TtsEvent] = [LinkReady(model=settings.model)]
        self._replies: list[WireMessage] = []

    # ── to the service ──────────────────────────────────────────────────────────────────────

    def hello(self) -> list[WireMessage]:
        """Nothing is configured before there is text."""
        return []

    def encode(self, command: TtsCommand | Tick, /) -> list[WireMessage]:
        """Messages for a command."""
        owed_before = self._is_owed
        messages = self._encode(command)
        if self._is_owed and not owed_before:
            self._heard_at = self._now()
        return messages

    def _encode(self, command: TtsCommand | Tick) -> list[WireMessage]:
        match command:
            case SpeakText():
                context = self._context(command.context_id)
                return [] if context is None else self._speak(context, command.text)
            case FinishSpeech():
                context = self._context(command.context_id)
                return [] if context is None else self._finish(context)
            case CancelSpeech():
                return self._cancel(command.context_id)
            case Tick():
                self._wake()
                return []
            case _:
                assert_never(command)

    def owed(self) -> list[TtsEvent]:
        """Events that no message brought."""
        owed, self._owed = self._owed, []
        return owed

    def replies(self) -> list[WireMessage]:
        """Text that has to be sent again."""
        replies, self._replies = self._replies, []
        return replies

    @property
    def deadline(self) -> float | None:
        """The moment at which a service that owes sound has been quiet for too long."""
        if self._has_failed or not self._is_owed:
            return None
        return self._heard_at + self._quiet_seconds

    @property
    def _is_owed(self) -> bool:
        return any(context.is_owed for context in self._contexts.values())

    def _wake(self) -> None:
        due = self.deadline
        if due is None or self._now() < due:
            return
        self._has_failed = True
        message = f"the service owes sound, and said nothing for {self._quiet_seconds:g} s"
        self._owed.append(
            ServiceFailed(
                category=ErrorCategory.TIMEOUT,
                message=f"{message}; {ELSEWHERE}",
                is_fatal=True,
            )
        )

    def _context(self, context_id: ContextId) -> _Context | None:
        """That context, a new one if need be; `None` if it is over."""
        if context_id in self._ended:
            return None
        if context_id not in self._contexts:
            self._contexts[context_id] = _Context(context_id, Sounding(self._output))
        return self._contexts[context_id]

    def _speak(self, context: _Context, text: str) -> list[WireMessage]:
        if context.is_finished:
            return []
        context.has_word = context.has_word or any(map(str.isalnum, text))
        text = sendable(text)
        if not text.strip() and context.remote is None:
            context.blank += text
            return []
        if not text:
            return []
        text, context.blank = context.blank + text, ""
        if context.remote is None:
            self._open(context)
        elif context.last:
            text = joint(context.last, text) + text
        context.last = text
        context.unheard.append(text)
        return [self._message(context, text, is_continued=True)]

    def _finish(self, context: _Context) -> list[WireMessage]:
        if context.is_finished:
            return []
        context.is_finished = True
        if context.remote is None:
            self._owed += self._over(context)
            return []
        return [self._message(context, "", is_continued=False)]

    def _cancel(self, context_id: ContextId) -> list[WireMessage]:
        context = self._context(context_id)
        if context is None:
            return []
        remote = context.remote
        self._end(context)
        return [] if remote is None else [wire.as_json({"context_id": remote, "cancel": True})]

    def _end(self, context: _Context) -> None:
        """Nothing more is told of this context."""
        self._let_go(context)
        del self._contexts[context.id]
        self._ended[context.id] = None
        if len(self._ended) > REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def _open(self, context: _Context) -> None:
        self._opened += 1
        context.remote = f"{self._prefix}-{self._opened}"
        context.last = ""
        context.sounding.base = context.sounding.samples
        self._remotes[context.remote] = context

    def _message(self, context: _Context, text: str, *, is_continued: bool) -> str:
        message: dict[str, Any] = {
            "context_id": context.remote,
            "transcript": text,
            "continue": is_continued,
            **self._request,
        }
        return wire.as_json(message)

    # ── from the service ────────────────────────────────────────────────────────────────────

    def decode(self, message: WireMessage, /) -> list[TtsEvent]:
        """Events for a message; raises `BrokenProtocol`."""
        read = wire.read(message)
        self._heard_at = self._now()
        match read:
            case wire.Chunk():
                return self._sound(read)
            case wire.Timestamps(word_timestamps=times):
                context = self._remotes.get(read.context_id)
                if context is None or times is None:
                    return []
                context.sounding.name(times)
                return _words(context, context.sounding.sounded())
            case wire.Done():
                context = self._remotes.get(read.context_id)
                return [] if context is None else self._done(context)
            case wire.Error():
                return self._failed(read)
            case None:
                return []
            case _:
                assert_never(read)

    def closed(self, *, is_clean: bool, code: int | None, reason: str) -> list[TtsEvent]:
        """The end; a context that is lost is not done."""
        return [LinkClosed(is_clean=is_clean, code=code, reason=reason)]

    def _sound(self, chunk: wire.Chunk) -> list[TtsEvent]:
        context = self._remotes.get(chunk.context_id)
        if context is None:
            return []  # cancelled, or over
        sounding = context.sounding
        pcm = sounding.feed(chunk.data)
        events: list[TtsEvent] = []
        if sounding.wrong:
            events.append(_wrong(sounding.wrong))
            sounding.wrong = ""
        if not sounding.is_usable:
            self._replies += self._cancel(context.id)
            return [*events, SpeechDone(context_id=context.id)]
        if pcm:
            context.unheard.clear()
            events.append(SpeechAudio(context_id=context.id, pcm=pcm))
        return [*events, *_words(context, sounding.sounded())]

    def _done(self, context: _Context) -> list[TtsEvent]:
        """The service has nothing more to say of its context."""
        self._let_go(context)
        if context.is_finished:
            return self._over(context)
        events = self._rest(context)
        self._send_again(context)
        return events

    def _failed(self, error: wire.Error) -> list[TtsEvent]:
        context = self._remotes.get(error.context_id)
        if context is None:
            # Of a context that is over already, it matters to nobody.
            return [] if error.context_id else [failed(error, is_fatal=True)]
        told = failed(error, is_fatal=False)
        is_expired = told.category is ErrorCategory.INVALID_REQUEST and context.sounding.samples
        if is_expired and context.unheard:
            self._let_go(context)
            events = self._rest(context)
            self._send_again(context)
            return events
        self._end(context)
        return [told, *self._rest(context), SpeechDone(context_id=context.id)]

    def _let_go(self, context: _Context) -> None:
        if context.remote is not None:
            del self._remotes[context.remote]
            context.remote = None

    def _send_again(self, context: _Context) -> None:
        """Begin another context of the service with what this one did not speak."""
        unheard, context.unheard = context.unheard, []
        if not unheard:
            return
        self._open(context)
        text = "".join(unheard)
        # Once: if it brings no sound either, it has none.
        context.last = text
        self._replies.append(self._message(context, text, is_continued=True))
        if context.is_finished:
            self._replies.append(self._message(context, "", is_continued=False))

    def _rest(self, context: _Context) -> list[TtsEvent]:
        events = _words(context, context.sounding.finish())
        if context.sounding.wrong:
            events.append(_wrong(context.sounding.wrong))
            context.sounding.wrong = ""
        return events

    def _over(self, context: _Context) -> list[TtsEvent]:
        """The context is spoken."""
        self._end(context)
        events = self._rest(context)
        if not context.sounding.samples and context.unheard:
            what = "the service gave no sound for a text; check the voice and the credits"
            events.append(_wrong(what))
        elif context.sounding.samples and context.sounding.is_mute and context.has_word:
            events.append(_wrong(NOTHING_SPOKEN))
        return [*events, SpeechDone(context_id=context.id)]


def _words(context: _Context, words: tuple[TimedWord, ...]) -> list[TtsEvent]:
    return [SpeechWords(context_id=context.id, words=words)] if words else []


def _wrong(what: str) -> ServiceFailed:
    return ServiceFailed(category=ErrorCategory.RETRYABLE, message=what)
