"""The protocol of voices in several contexts, as a pure translation.

| command | on the wire |
|---|---|
| the first `SpeakText` of a context | the context is opened, with the settings of the voice |
| `SpeakText` | the text; `flush` where a sentence ends, or after a pause: it is spoken at once |
| `FinishSpeech` | `flush` and `close_context`: what is left is spoken, then comes `isFinal` |
| `CancelSpeech` | `close_context`; what still comes of it is dropped |

What the service leaves out, and how it is made up for. It does not greet, and refuses a wrong key
only after the handshake: so a first context is opened and closed at once, and its end says that the
connection can be used. Without an answer in a moment, it is taken to be. A context counts until its
`isFinal`, also a cancelled one, and one more than five ends the connection: the sixth waits here.
Each context has a name of its own on the wire, so that what comes late is told apart. Contexts in
which nothing is said for long are kept with an empty text, and so is a connection without any.
"""

import re
from collections import deque
from collections.abc import Callable
from typing import assert_never

from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    ErrorCategory,
    FinishSpeech,
    LinkClosed,
    LinkReady,
    ServiceFailed,
    SpeakText,
    SpeechDone,
    TtsCommand,
    TtsEvent,
)
from beluga_voice.interfaces import Capabilities, TtsOptions, WireMessage, output_format_of
from beluga_voice.providers.mute import ELSEWHERE
from beluga_voice.providers.tick import TICK
from beluga_voice.providers.tts.elevenlabs import _wire as wire
from beluga_voice.providers.tts.elevenlabs._capabilities import MAX_CONTEXTS
from beluga_voice.providers.tts.elevenlabs._context import Context, WrongSound
from beluga_voice.providers.tts.elevenlabs._errors import (
    category_of,
    category_of_close,
    message_of,
    message_of_close,
)
from beluga_voice.providers.tts.elevenlabs._options import (
    Settings,
    reads_as_written,
    voice_settings_of,
)
from beluga_voice.providers.tts.elevenlabs._words import WordTimes
from beluga_voice.sendable import sendable

PROBE = "ready"
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’)\]]*\s*$|\n\s*$")


class ElevenLabsCodec:
    """One connection's worth of the protocol.

    `now` is the time in seconds, of any clock; `changed` is called when `deadline` came nearer.
    """

    def __init__(
        self,
        options: TtsOptions,
        settings: Settings,
        capabilities: Capabilities,
        *,
        now: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._format = output_format_of(capabilities, options.output_format)
        self._voice_settings = voice_settings_of(options, settings)
        self._is_written = reads_as_written(options, settings)
        self._now = now
        self._changed = changed
        self._orders: list[WireMessage] = []
        self._owed: list[TtsEvent] = []
        self._has_failed = False
        self._is_ready = False
        self._probed_at = now()
        self._last_sent = now()
        self._count = 0
        self._contexts: dict[ContextId, Context] = {}
        """Those that are wanted."""
        self._live: dict[str, Context] = {}
        """Those that the service counts, by their names on the wire."""
        self._queue: deque[Context] = deque()
        """Those that wait until it counts fewer."""

    # ── commands ────────────────────────────────────────────────────────────────────────────

    def hello(self) -> list[WireMessage]:
        """A context without words, to see whether we may speak at all."""
        if self._settings.probe_seconds is None:
            self._owed += self._ready()
            self._changed()
            return []
        probe = self._context(ContextId(PROBE), PROBE)
        probe.is_cancelled = True
        self._probed_at = probe.awaits_since = self._now()
        return [*self._open(probe), wire.write(PROBE, close_context=True)]

    def replies(self) -> list[WireMessage]:
        """What a message or a moment made us say."""
        orders, self._orders = self._orders, []
        return orders

    def encode(self, command: TtsCommand, /) -> list[WireMessage]:
        """See the table above."""
        match command:
            case SpeakText():
                messages = self._speak(command.context_id, sendable(command.text))
            case FinishSpeech():
                messages = self._finish(command.context_id)
            case CancelSpeech():
                messages = self._cancel(command.context_id)
            case _:
                assert_never(command)
        if messages:
            self._last_sent = self._now()
        self._changed()
        return messages

    def _speak(self, context_id: ContextId, text: str) -> list[WireMessage]:
        context = self._taking(context_id)
        if context is None or not text:
            return []
        context.write(text)
        if context.is_open:
            return [self._text(context, text)]
        context.waiting.append(text)
        if context in self._queue:
            return []
        if len(self._live) >= MAX_CONTEXTS:
            self._queue.append(context)
            return []
        return self._open(context)

    def _finish(self, context_id: ContextId) -> list[WireMessage]:
        context = self._taking(context_id)
        if context is None:
            return []
        context.is_finished = True
        if context.is_open:
            return self._close(context)
        if context not in self._queue:
            del self._contexts[context_id]
            self._owed.append(SpeechDone(context_id=context_id))
        return []

    def _cancel(self, context_id: ContextId) -> list[WireMessage]:
        if (done := SpeechDone(context_id=context_id)) in self._owed:
            self._owed.remove(done)
        context = self._contexts.pop(context_id, None)
        if context is None:
            return []
        if not context.is_open:
            if context in self._queue:
                self._queue.remove(context)
            return []
        context.is_cancelled = True
        context.is_unspoken = False
        context.awaits_since = self._now()
        if context.is_finished:
            return []
        return [wire.write(context.wire_id, close_context=True)]

    def _taking(self, context_id: ContextId) -> Context | None:
        """The context, a new one if there is none; `None` if it takes no more text."""
        if SpeechDone(context_id=context_id) in self._owed:
            return None
        context = self._contexts.get(context_id)
        if context is None:
            self._count += 1
            context = self._context(context_id, f"c{self._count}")
            self._contexts[context_id] = context
        return None if context.is_finished else context

    def _context(self, context_id: ContextId, wire_id: str) -> Context:
        return Context(
            id=context_id,
            wire_id=wire_id,
            format=self._format,
            words=WordTimes(self._format.rate),
        )

    def _open(self, context: Context) -> list[WireMessage]:
        """Begin a context on the wire, with all that waits for it."""
        context.is_open = True
        self._live[context.wire_id] = context
        messages = [wire.write(context.wire_id, text=" ", voice_settings=self._voice_settings)]
        context.last_input = self._now()
        messages += [self._text(context, text) for text in context.waiting]
        context.waiting.clear()
        return messages + (self._close(context) if context.is_finished else [])

    def _text(self, context: Context, text: str) -> WireMessage:
        context.last_input = self._now()
        if not _SENTENCE_END.search(text):
            context.is_unspoken = True
            return wire.write(context.wire_id, text=text)
        self._await(context)
        spaced = text if text[-1].isspace() else f"{text} "
        return wire.write(context.wire_id, text=spaced, flush=True)

    def _await(self, context: Context) -> None:
        """All text so far is to be spoken."""
        context.is_unspoken = False
        if context.awaits_since is None:
            context.awaits_since = self._now()

    def _close(self, context: Context) -> list[WireMessage]:
        context.is_unspoken = False
        context.awaits_since = self._now()
        return [
            wire.write(context.wire_id, text="", flush=True),
            wire.write(context.wire_id, close_context=True),
        ]

    # ── moments ─────────────────────────────────────────────────────────────────────────────

    @property
    def deadline(self) -> float | None:
        """When a `TICK` is wanted next."""
        if self._has_failed:
            return None
        if self._owed:
            return self._now()
        moments = [self._last_sent + self._idle_seconds]
        if not self._is_ready:
            moments.append(self._ready_by)
        for context in self._live.values():
            if context.awaits_since is not None:
                moments.append(context.awaits_since + self._settings.quiet_seconds)
            if context.is_unspoken:
                moments.append(context.last_input + self._settings.gather_seconds)
            if self._is_idle(context):
                moments.append(context.last_input + self._idle_seconds)
        return min(moments)

    @property
    def _ready_by(self) -> float:
        return self._probed_at + (self._settings.probe_seconds or 0.0)

    @property
    def _idle_seconds(self) -> float:
        return self._settings.inactivity_seconds / 2

    def _is_idle(self, context: Context) -> bool:
        return not (context.is_finished or context.is_cancelled)

    def _moment(self) -> list[TtsEvent]:
        """A moment has come."""
        now = self._now()
        events, self._owed = self._owed, []
        if not self._is_ready and now >= self._ready_by:
            events += self._ready()
        for context in list(self._live.values()):
            since = context.awaits_since
            if since is not None and now >= since + self._settings.quiet_seconds:
                if not context.is_cancelled:
                    waited = f"{self._settings.quiet_seconds:g} s"
                    message = f"the service gave no sound of a text within {waited}; {ELSEWHERE}"
                    return [*events, self._fail(ErrorCategory.TIMEOUT, message)]
                self._release(context)  # it is long over, and nobody said so
            elif context.is_unspoken and now >= context.last_input + self._settings.gather_seconds:
                self._await(context)
                self._orders.append(wire.write(context.wire_id, flush=True))
            elif self._is_idle(context) and now >= context.last_input + self._idle_seconds:
                context.last_input = self._last_sent = now
                self._orders.append(wire.write(context.wire_id, text=""))
        if now >= self._last_sent + self._idle_seconds:
            self._last_sent = now
            self._orders.append(wire.write(None, text=""))
        return events

    def _ready(self) -> list[TtsEvent]:
        if self._is_ready:
            return []
        self._is_ready = True
        return [LinkReady(model=self._settings.model)]

    def _fail(
        self, category: ErrorCategory, message: str, code: str | None = None
    ) -> ServiceFailed:
        self._has_failed = True
        return ServiceFailed(category=category, message=message, is_fatal=True, provider_code=code)

    # ── events ──────────────────────────────────────────────────────────────────────────────

    def decode(self, message: WireMessage, /) -> list[TtsEvent]:
        """Read all of a message before anything changes, so that a broken one changes nothing."""
        if message is TICK:
            return self._moment()
        said = wire.read(message)
        sound = said.sound
        context = self._live.get(said.context_id or "")
        if said.error:
            return self._error(said, context)
        if context is None:
            return []  # it came late
        events: list[TtsEvent] = []
        if context.is_cancelled:
            context.awaits_since = self._now()
        else:
            try:
                events += self._heard(context, sound, said)
            except WrongSound as wrong:
                message = f"the service sent {wrong} instead of plain sound; check the endpoint"
                return [self._fail(ErrorCategory.INVALID_REQUEST, message)]
        if said.is_final:
            events += self._over(context)
        return events

    def _heard(self, context: Context, sound: bytes, said: wire.ServerMessage) -> list[TtsEvent]:
        read, written = said.normalized_alignment, said.alignment
        alignment = (written or read) if self._is_written else (read or written)
        events = context.sound(sound, alignment)
        if sound:
            context.awaits_since = self._now() if context.is_finished else None
        return events

    def _over(self, context: Context) -> list[TtsEvent]:
        """Nothing more comes of it."""
        self._release(context)
        if context.wire_id == PROBE:
            return self._ready()
        if context.is_cancelled:
            return []
        del self._contexts[context.id]
        return [*context.end(), SpeechDone(context_id=context.id)]

    def _release(self, context: Context) -> None:
        """The service does not count it any more: the next may begin."""
        del self._live[context.wire_id]
        while self._queue and len(self._live) < MAX_CONTEXTS:
            self._last_sent = self._now()
            self._orders += self._open(self._queue.popleft())

    def _error(self, said: wire.ServerMessage, context: Context | None) -> list[TtsEvent]:
        """Of one context, it ends that one; otherwise all, because the service closes then."""
        category, message = category_of(said), message_of(said)
        if context is None or context.wire_id == PROBE:
            if said.context_id is not None and context is None:
                return []
            return [self._fail(category, message, said.error)]
        events: list[TtsEvent] = []
        if not context.is_cancelled:
            events.append(
                ServiceFailed(category=category, message=message, provider_code=said.error)
            )
            del self._contexts[context.id]
            events.append(SpeechDone(context_id=context.id))
        self._release(context)
        return events

    def closed(self, *, is_clean: bool, code: int | None, reason: str) -> list[TtsEvent]:
        """The wire is gone; contexts that are not over stay without an end."""
        events: list[TtsEvent] = []
        category = category_of_close(code, reason)
        if category is not None and not self._has_failed:
            events.append(self._fail(category, message_of_close(code, reason)))
        self._has_failed = True
        return [*events, LinkClosed(is_clean=is_clean, code=code, reason=reason)]
