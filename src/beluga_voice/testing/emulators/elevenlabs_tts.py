"""Emulated ElevenLabs voices over a websocket of several contexts, for an unmodified client.

They listen on the loop they run on: on simulated addresses under simulation, else on real ones.

    async with ElevenLabsTtsEmulator().serving("api.example.com", 80) as service:
        ...

As strict as the service: a sixth context, settings in mid-context, an unknown voice, or a context
to which nothing is said for long end the connection. What is being spoken when a context is closed
still comes. The list of voices is there too, in pages.
"""

import asyncio
import base64
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from websockets.http11 import Response

from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import pcm16, to_milliseconds
from beluga_voice.testing.emulators.elevenlabs_speech import (
    KEY,
    POLICY_VIOLATION,
    Line,
    Query,
    Refused,
    SpeechServer,
    detail,
)
from beluga_voice.testing.emulators.elevenlabs_tts_frames import (
    CHUNK_SCHEDULE,
    DIALOGUE_MODELS,
    INVALID,
    MODELS,
    ClientMessage,
    VoiceQuery,
    message_of,
    query_of,
)
from beluga_voice.testing.emulators.speech import Faults, Pace, voice
from beluga_voice.testing.emulators.websocket_server import refusal
from beluga_voice.testing.speech import WORD_MS, SpokenWord

VOICES = {
    "JBFqnCBsd6RMkjVDRZzb": "George",
    "21m00Tcm4TlvDq8ikWAM": "Rachel",
    "bIHbv24MWmeRgasZH58o": "Will",
}
MAX_CONTEXTS = 5
TOO_MANY = (
    "Maximum simultaneous contexts per WebSocket connection exceeded (5). Please close an existing "
    "context before opening a new one."
)
TOO_QUIET = "Have not received a new text input within the timeout."


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """What the service may do and need not."""

    is_camel: bool = False
    """The name of a context is `contextId`, not `context_id`."""
    is_plural: bool = False
    """Times are `charsStartTimesMs`, not `charStartTimesMs`."""
    is_absolute: bool = False
    """Times count from the beginning of the context."""
    ends_empty: bool = True
    """A context without text has an end too."""
    never_ends: bool = False
    """No context has an end."""
    container: bytes = b""
    """What comes before the sound of each context."""
    is_soundless: bool = False
    """Everything is spoken, without sound."""
    is_silent: bool = False
    """Sound is as long as it should be, and there is nothing in it."""
    odd_end: bool = False
    """The sound of a context ends inside a sample."""
    piece_bytes: int | None = None
    """Sound is cut into pieces of so many bytes."""
    true_rate: int | None = None
    """The rate that sound really has."""


class ElevenLabsTtsEmulator(SpeechServer["VoiceSession"]):
    """The service; `faults` are those of each connection in order, and count sent sound.

    Of the voices, given as names by ids, the first page of the list has `page_size`.
    """

    def __init__(
        self,
        *,
        pace: Pace | None = None,
        word_ms: int = WORD_MS,
        faults: Sequence[Faults] = (),
        keys: Collection[str] = (KEY,),
        models: Collection[str] = MODELS,
        voices: Mapping[str, str] | None = None,
        page_size: int = 2,
        quirks: Quirks | None = None,
    ) -> None:
        super().__init__(keys, faults)
        self._pace = pace or Pace()
        self._word_ms = word_ms
        self._models = tuple(models)
        self._voices = dict(VOICES if voices is None else voices)
        self._page_size = page_size
        self._quirks = quirks or Quirks()

    def refuse(self, path: tuple[str, ...], query: Query, key: str) -> Response | None:
        """Models for another protocol are refused with an HTTP status, and what is not there."""
        match path:
            case ("v2", "voices"):
                return self._list(query, key)
            case ("v1", "text-to-speech", _, "multi-stream-input"):
                if query.get("model_id", [""])[0] in DIALOGUE_MODELS:
                    message = "This model is not available on this endpoint."
                    return refusal(403, detail("model_not_allowed", message))
                return None
            case _:
                return refusal(404, detail("not_found", "Not Found"))

    def _list(self, query: Query, key: str) -> Response:
        if key not in self.keys:
            return refusal(401, detail("invalid_api_key", f"Invalid API key {key}"))
        token = query.get("next_page_token", ["0"])[0]
        start = int(token) if token.isdigit() else 0
        size = min(int(query.get("page_size", ["10"])[0]), self._page_size)
        named = list(self._voices.items())
        end = start + size
        has_more = end < len(named)
        return refusal(
            200,
            {
                "voices": [_listed(*one) for one in named[start:end]],
                "has_more": has_more,
                "total_count": len(named),
                "next_page_token": str(end) if has_more else None,
            },
        )

    def open(self, line: Line, path: tuple[str, ...], query: Query, key: str) -> "VoiceSession":
        """A session, whose first word may be an error."""

        def read() -> VoiceQuery:
            if key not in self.keys:
                raise Refused("invalid_api_key", f"Invalid API key {key}")
            if path[2] not in self._voices:
                raise Refused("voice_id_does_not_exist", "A voice with that ID does not exist.")
            return query_of(query, self._models)

        return VoiceSession(line, read, pace=self._pace, word_ms=self._word_ms, quirks=self._quirks)


def _listed(voice_id: str, name: str) -> dict[str, Any]:
    verified = {"language": "en", "model_id": "eleven_flash_v2_5", "locale": "en-GB"}
    return {
        "voice_id": voice_id,
        "name": name,
        "category": "premade",
        "labels": {"accent": "british", "use_case": "narration", "language": "en"},
        "description": None,
        "verified_languages": [verified],
    }


class _Context:
    """Text that waits to be spoken, and what is being spoken."""

    def __init__(self, schedule: Sequence[float]) -> None:
        self.text = ""
        self.schedule = deque(schedule)
        self.words: deque[SpokenWord] = deque()
        self.is_speaking = False
        self.is_closed = False
        self.has_container = False
        self.sent_ms = 0.0
        self.idle: asyncio.TimerHandle | None = None


class VoiceSession:
    """One connection."""

    def __init__(
        self,
        line: Line,
        read_query: Callable[[], VoiceQuery],
        *,
        pace: Pace,
        word_ms: int,
        quirks: Quirks,
    ) -> None:
        self.line = line
        self._read_query = read_query
        self._query = VoiceQuery()
        self._pace = pace
        self._word_ms = word_ms
        self._quirks = quirks
        self._loop = asyncio.get_running_loop()
        self._contexts: dict[str | None, _Context] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self._idle: asyncio.TimerHandle | None = None
        self.received: list[ClientMessage] = []
        self.errors: list[str] = []
        self.most_contexts = 0
        """The most that were open at once."""

    @property
    def sent(self) -> list[dict[str, Any]]:
        """Everything the service said."""
        return self.line.sent

    def begin(self) -> None:
        """Refuse what cannot be; there is no greeting."""
        try:
            self._query = self._read_query()
            self._wake(None)
        except Refused as refused:
            self._fail(refused)
        if self.line.faults.expire_after_ms is not None:
            self._later(self.line.faults.expire_after_ms, lambda: self.line.close(1001, "expired"))

    def take(self, message: str | bytes) -> None:
        """Hear a message of the client."""
        try:
            read = message_of(message)
            self.received.append(read)
            self._obey(read)
        except Refused as refused:
            self._fail(refused)

    def end(self) -> None:
        """The connection is gone."""
        idle = (context.idle for context in self._contexts.values())
        for timer in (*self._timers, *idle, self._idle):
            if timer is not None:
                timer.cancel()

    # ── what is asked for ───────────────────────────────────────────────────────────────────

    def _obey(self, read: ClientMessage) -> None:
        self._wake(None)
        if read.close_socket:
            self.line.close(1000)
            return
        name = read.context_id
        if name is None and not read.text:
            return  # to keep the connection
        context = self._contexts.get(name)
        if read.close_context:
            if context is not None and not context.is_closed:
                self._close(name, context)
            return
        if context is None or context.is_closed:
            context = self._open(name, read)
        elif read.has_settings:
            raise Refused(INVALID, "Settings come with the first message of a context only.")
        self._wake(context)
        if self.line.faults.error_code is not None and (read.text or "").strip():
            raise Refused(self.line.faults.error_code, "As the faults say.")
        context.text += read.text or ""
        self._speak(name, context, is_flush=read.flush)

    def _open(self, name: str | None, read: ClientMessage) -> _Context:
        if len(self._contexts) >= MAX_CONTEXTS:
            raise Refused("max_active_conversations", TOO_MANY)
        config = read.generation_config
        schedule = None if config is None else config.chunk_length_schedule
        context = _Context(schedule or CHUNK_SCHEDULE)
        self._contexts[name] = context
        self.most_contexts = max(self.most_contexts, len(self._contexts))
        return context

    def _speak(self, name: str | None, context: _Context, *, is_flush: bool) -> None:
        """Speak what was gathered, if it is enough, or asked for."""
        enough = 1 if self._query.is_auto else context.schedule[0]
        if not context.text.strip() or not (is_flush or len(context.text) >= enough):
            return
        if len(context.schedule) > 1:
            context.schedule.popleft()
        rate = self._quirks.true_rate or self._query.format.rate
        context.words += voice(context.text, rate=rate, sounding_ms=self._word_ms)
        context.text = ""
        if not context.is_speaking:
            context.is_speaking = True
            self._later(self._pace.thinking_ms, lambda: self._next_word(name, context))

    def _close(self, name: str | None, context: _Context) -> None:
        """No more text: what was not asked for is not spoken, and what is being spoken goes on."""
        context.is_closed = True
        context.text = ""
        if context.idle is not None:
            context.idle.cancel()
        if context.words or context.is_speaking:
            return
        is_empty = not context.sent_ms
        if self._quirks.ends_empty or not is_empty:
            self._end(name)
        else:
            self._contexts.pop(name)

    def _next_word(self, name: str | None, context: _Context) -> None:
        while context.words and not self.line.is_over:
            self._say(name, context, context.words.popleft())
            if self._pace.word_ms:
                self._later(self._pace.word_ms, lambda: self._next_word(name, context))
                return
        context.is_speaking = False
        if context.is_closed:
            self._end(name)

    def _end(self, name: str | None) -> None:
        if self._quirks.never_ends:
            return
        self._contexts.pop(name, None)
        self.line.say({"isFinal": True, **self._named(name)})

    # ── speaking ────────────────────────────────────────────────────────────────────────────

    def _say(self, name: str | None, context: _Context, word: SpokenWord) -> None:
        output = self._query.format
        rate = self._quirks.true_rate or output.rate
        pcm = b"".join(word.frames)
        sounding_ms = to_milliseconds(len(pcm) // 2, rate)
        sound = b"" if self._quirks.is_soundless else pcm
        sound = bytes(len(sound)) if self._quirks.is_silent else sound
        if self._quirks.odd_end and not context.words:
            sound += b"\1"
        if output.block_bytes == 1:
            sound = convert(sound, pcm16(rate), output)
        if sound and not context.has_container:
            context.has_container = True
            sound = self._quirks.container + sound
        times = self._alignment(word.text, sounding_ms, context)
        context.sent_ms += sounding_ms
        size = self._quirks.piece_bytes or max(len(sound), 1)
        for at in range(0, max(len(sound), 1), size):
            piece = sound[at : at + size]
            self.line.say(
                {
                    "audio": base64.b64encode(piece).decode() if piece else None,
                    "isFinal": None,
                    "normalizedAlignment": times if at == 0 else None,
                    "alignment": times if at == 0 else None,
                    **self._named(name),
                }
            )
        self.line.count(sounding_ms)

    def _alignment(self, text: str, sounding_ms: float, context: _Context) -> dict[str, Any] | None:
        """Where the characters sound in this piece: evenly, with the space before them."""
        if not self._query.has_alignment:
            return None
        begin = context.sent_ms if self._quirks.is_absolute else 0.0
        chars = [" ", *text] if context.sent_ms else [*text]
        spaces = len(chars) - len(text)
        each = sounding_ms / len(text)
        starts = [begin] * spaces + [begin + each * index for index in range(len(text))]
        durations = [0.0] * spaces + [each] * len(text)
        starts_name = "charsStartTimesMs" if self._quirks.is_plural else "charStartTimesMs"
        lengths_name = "charsDurationsMs" if self._quirks.is_plural else "charDurationsMs"
        return {
            "chars": chars,
            starts_name: [round(one) for one in starts],
            lengths_name: [
                round(start + one) - round(start)
                for start, one in zip(starts, durations, strict=True)
            ],
        }

    def _named(self, name: str | None) -> dict[str, str]:
        if name is None:
            return {}
        return {"contextId" if self._quirks.is_camel else "context_id": name}

    # ── time ────────────────────────────────────────────────────────────────────────────────

    def _later(self, milliseconds: float, work: Callable[[], None]) -> None:
        if milliseconds:
            self._timers.add(self._loop.call_later(milliseconds / 1000, work))
        else:
            work()

    def _wake(self, context: _Context | None) -> None:
        """Something came: for the connection, or for a context, the waiting begins anew."""
        seconds = self._query.inactivity_seconds
        quiet = Refused("input_timeout_exceeded", TOO_QUIET)
        timer = self._loop.call_later(seconds, self._fail, quiet)
        if context is None:
            if self._idle is not None:
                self._idle.cancel()
            self._idle = timer
            return
        if context.idle is not None:
            context.idle.cancel()
        context.idle = timer

    def _fail(self, refused: Refused) -> None:
        if self.line.is_over:
            return
        self.errors.append(refused.kind)
        self.line.say({"message": str(refused), "error": refused.kind, "code": POLICY_VIOLATION})
        self.line.close(POLICY_VIOLATION, str(refused)[:100])
