"""Deepgram's way to speak, emulated: text is kept until it is flushed, and sound has no names."""

import asyncio
import struct
from collections import deque
from typing import Any

from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import AudioFormat, pcm16, to_milliseconds
from beluga_voice.testing.emulators.deepgram_session import (
    ENCODINGS,
    DeepgramSession,
    Goodbye,
    Query,
    Refused,
)
from beluga_voice.testing.emulators.speech import voice

PARAMETERS = frozenset({"model", "encoding", "sample_rate", "speed", "mip_opt_out", "tag"})
RATES = (8000, 16000, 24000, 32000, 48000)
MAX_CHARACTERS = 2000
FLUSH_WINDOW_SECONDS = 60.0
LANGUAGES = ("en", "es", "de", "nl", "fr", "it", "ja")


class AuraSession(DeepgramSession):
    """A connection to `/v1/speak`."""

    def __init__(self, query: Query, **rest: Any) -> None:
        super().__init__(query, **rest)
        rate = int(query.one("sample_rate", "24000"))
        self._shape = AudioFormat(ENCODINGS[query.one("encoding", "linear16")], rate, 1)
        self._text: list[str] = []
        self._to_speak: deque[bytes | None] = deque()
        """Sound that waits, and `None` where a flush was."""
        self._timer: asyncio.TimerHandle | None = None
        self._sequence = 0
        self._flushes: deque[float] = deque()
        self._spoken_bytes = 0
        self._is_closing = False
        self._has_header = False

    @classmethod
    def check(cls, query: Query) -> None:
        """Raise `Refused` for settings that are not taken."""
        query.only(PARAMETERS)
        model = query.one("model")
        generation, _, language = model.rpartition("-")
        if not generation.startswith("aura-") or language not in LANGUAGES:
            raise Refused(f"No such model: {model}")
        encoding = query.one("encoding", "linear16")
        if encoding not in ENCODINGS:
            raise Refused("unsupported encoding")
        rate = query.number("sample_rate", RATES[0], RATES[-1])
        if rate is not None and rate not in RATES:
            raise Refused("unsupported sample_rate")
        query.number("speed", 0.7, 1.5)
        query.is_on("mip_opt_out")

    def begin(self) -> None:
        """Say who speaks."""
        super().begin()
        metadata = {"request_id": self.name, "model_uuid": "emulated", "model_version": "1"}
        self._say({"type": "Metadata", "model_name": self.query.one("model"), **metadata})

    def hear(self, sound: bytes) -> None:
        """Binary messages are not for this service."""
        self.errors.append("a binary message")
        self._leave(Goodbye(1003, "MESSAGE-0000"))

    def obey(self, event: dict[str, Any]) -> None:
        """An order of the client."""
        match event["type"]:
            case "Speak":
                self._take_text(event.get("text"))
            case "Flush":
                self._flush()
            case "Clear":
                self._clear()
            case "Close":
                self._make_sound()
                self._is_closing = True
                self._go_on()
            case kind:
                self.errors.append(f"an order that is none: {kind}")
                self._leave(Goodbye(1008, "DATA-0000"))

    def _take_text(self, text: object) -> None:
        if not isinstance(text, str) or not text:
            self.errors.append("an order to speak without text")
            self._leave(Goodbye(1008, "DATA-0000"))
        elif len(text) > MAX_CHARACTERS:
            self.errors.append("too much text at once")
            self._leave(Goodbye(1008, "DATA-0001"))
        else:
            self._text.append(text)

    def _flush(self) -> None:
        now = self._loop.time()
        while self._flushes and self._flushes[0] + FLUSH_WINDOW_SECONDS <= now:
            self._flushes.popleft()
        if len(self._flushes) >= self._quirks.max_flushes:
            self.errors.append("too many flushes")
            description = "Flush messages are not processed until the window has passed."
            warning = {"code": "EXCESSIVE_FLUSH", "description": description}
            self._say({"type": "Warning", **warning})
            return
        self._flushes.append(now)
        if self._faults.error_code is not None and len(self._flushes) == 1:
            failure = {"code": self._faults.error_code, "description": "It failed."}
            self._say({"type": "Error", **failure})
        self._make_sound()
        self._to_speak.append(None)
        self._go_on(self._pace.thinking_ms)

    def _make_sound(self) -> None:
        text, self._text = "".join(self._text), []
        if self._quirks.is_soundless:
            return
        for word in voice(text, rate=self._shape.rate, sounding_ms=self._word_ms):
            pcm = b"".join(word.frames)
            pcm = bytes(len(pcm)) if self._quirks.is_silent else pcm
            self._to_speak.append(convert(pcm, pcm16(self._shape.rate), self._shape))
        if self._quirks.odd_end:
            self._to_speak.append(b"\1")

    def _clear(self) -> None:
        """Forget what waits; what was on its way comes still."""
        self._text.clear()
        late = next((one for one in self._to_speak if one is not None), None)
        if late is not None:
            self._sound(late)
        self._to_speak.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._answer("Cleared")

    def _answer(self, kind: str) -> None:
        self._say({"type": kind, "sequence_id": self._sequence})
        self._sequence += 1

    def _go_on(self, after_ms: float = 0) -> None:
        if self._timer is not None or self._is_over:
            return
        if self._to_speak:
            self._timer = self._later(after_ms / 1000, self._next)
        elif self._is_closing:
            self._leave(Goodbye(1000))

    def _next(self) -> None:
        self._timer = None
        after_ms = 0.0
        match self._to_speak.popleft():
            case None:
                self._answer("Flushed")
            case sound:
                self._sound(sound)
                # The end of the text comes with its last word.
                has_more = bool(self._to_speak) and self._to_speak[0] is not None
                after_ms = self._pace.word_ms if has_more else 0
        self._go_on(after_ms)

    def _sound(self, sound: bytes) -> None:
        self._spoken_bytes += len(sound)
        if self._quirks.has_header and not self._has_header:
            self._has_header = True
            sound = wav_header(self._quirks.header_rate or self._shape.rate) + sound
        cut = 101 if self._quirks.odd_bytes else len(sound)
        for piece in (sound[:cut], sound[cut:]):
            if piece:
                self._put(piece)
        samples = self._spoken_bytes // self._shape.block_bytes
        self._go_wrong(to_milliseconds(samples, self._shape.rate))


def wav_header(rate: int) -> bytes:
    """The beginning of a file with mono 16-bit PCM, of no stated length."""
    form = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", 0, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16
    )
    return form + struct.pack("<4sI", b"data", 0)
