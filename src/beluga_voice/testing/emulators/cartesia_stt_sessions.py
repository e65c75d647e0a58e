"""The connections of an emulated Cartesia Ink service."""

import asyncio
from typing import Any

import msgspec

from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import (
    FRAME_MILLISECONDS,
    AudioFormat,
    Encoding,
    pcm16,
    to_milliseconds,
    to_samples,
)
from beluga_voice.testing.emulators.cartesia_server import CartesiaSession
from beluga_voice.testing.emulators.heard_words import HeardWords
from beluga_voice.testing.emulators.speech import (
    Faults,
    HearingVad,
    Pace,
    VoiceBegan,
    VoiceEnded,
    transcript_of,
)
from beluga_voice.testing.speech import WordReader

ENCODINGS = {
    "pcm_s16le": Encoding.PCM16,
    "pcm_s32le": Encoding.PCM32,
    "pcm_f32le": Encoding.FLOAT32,
    "pcm_mulaw": Encoding.MULAW,
    "pcm_alaw": Encoding.ALAW,
}
EAGER_MS = 300
"""Silence after which a turn may be over."""
PATIENCE_MS = 1200
"""Silence after which it is, if the timeout is not shorter."""
DEFAULT_TIMEOUT_MS = 5600
WHISPER_SILENCE_SECONDS = 1.0
CONFIG_FIELDS = {"start_threshold", "eager_end_threshold", "end_threshold", "end_timeout_ms"}


class SttSession(CartesiaSession):
    """What both kinds have in common: sound in, and text in its time."""

    def __init__(
        self,
        query: dict[str, list[str]],
        version: str,
        faults: Faults,
        *,
        pace: Pace,
        repeats_finals: bool,
        never_ends: bool,
        has_word_lists: bool,
    ) -> None:
        super().__init__(query, version, faults)
        rate = int(query["sample_rate"][0])
        self._source = AudioFormat(ENCODINGS[query["encoding"][0]], rate, 1)
        self.rate = rate
        self._pace = pace
        self._times = 2 if repeats_finals else 1
        self._never_ends = never_ends
        self._has_word_lists = has_word_lists
        self._texts = 0
        self._timers: set[asyncio.TimerHandle] = set()

    @property
    def sound(self) -> bytes:
        """All the sound that came, as it came."""
        return b"".join(one for one in self.received if isinstance(one, bytes))

    @property
    def orders(self) -> list[Any]:
        """Everything that came but sound."""
        return [one for one in self.received if not isinstance(one, bytes)]

    def take(self, message: str | bytes) -> None:
        """Sound, or an order."""
        if isinstance(message, str):
            self.order(message)
            return
        self.received.append(message)
        if len(message) % self._source.block_bytes:
            self.refuse("The audio ends inside a sample.")
            return
        self.count(to_milliseconds(len(message) // self._source.block_bytes, self.rate))
        plain = pcm16(self.rate)
        self.hear(message if self._source == plain else convert(message, self._source, plain))

    def order(self, text: str) -> None:
        """A message that is no sound."""

    def hear(self, pcm: bytes) -> None:
        """Sound as mono 16-bit PCM."""

    def end(self) -> None:
        """Nothing is said any more."""
        super().end()
        for timer in self._timers:
            timer.cancel()

    def later(self, *frames: dict[str, Any]) -> None:
        """Send these when they are transcribed."""

        def send() -> None:
            for frame in frames:
                self.send(frame)

        if not self._pace.transcript_ms:
            send()
            return
        loop = asyncio.get_running_loop()
        self._timers.add(loop.call_later(self._pace.transcript_ms / 1000, send))

    def spaced(self, text: str) -> str:
        """A text with the space that is between it and the one before."""
        self._texts += bool(text)
        return f" {text}" if text and self._texts > 1 else text

    def frame(self, kind: str, **fields: Any) -> dict[str, Any]:
        """A message."""
        return {"type": kind, "request_id": self.request_id, **fields}


class TurnsSession(SttSession):
    """A connection with turns."""

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Greet."""
        asked = self.query.get("turn_end_timeout_ms", [str(DEFAULT_TIMEOUT_MS)])[0]
        self._timeout = float(asked)
        self._new_turn()
        self._lead = ""
        self.send(self.frame("connected"))

    def _new_turn(self) -> None:
        """Listen for the next one, from here."""
        self._eager = HearingVad(rate=self.rate, silence_ms=EAGER_MS)
        self._ears = HearingVad(rate=self.rate, silence_ms=min(self._timeout, PATIENCE_MS))
        self._heard = bytearray()
        self._words = HeardWords()
        self._begins = 0

    def order(self, text: str) -> None:
        """Settings for the turns to come, or the end."""
        try:
            decoded = msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.MsgspecError, ValueError):
            self.received.append(text)
            self.refuse("The message is no JSON object.")
            return
        self.received.append(decoded)
        match decoded:
            case {"type": "close"}:
                if self._ears.is_voice:
                    self._turn_ended(len(self._heard) // 2)
                self.hang_up(1000)
            case {"type": "config"}:
                self._configure(decoded.get("turn") or {})
            case _:
                self.refuse("The type of the message is not known.")

    def _configure(self, turn: dict[str, Any]) -> None:
        if unknown := sorted(set(turn) - CONFIG_FIELDS):
            self.refuse(f"There is no setting {unknown[0]}.")
        elif (timeout := turn.get("end_timeout_ms")) is not None:
            if not 640 <= timeout <= 11200:
                self.refuse("end_timeout_ms is outside 640 to 11200.")
            else:
                self._timeout = float(timeout)  # of the turns to come

    def hear(self, pcm: bytes) -> None:
        """Hear where turns begin and end, as if it came in real time."""
        size = 2 * to_samples(FRAME_MILLISECONDS, self.rate)
        for start in range(0, len(pcm), size):
            self._listen(pcm[start : start + size])

    def _listen(self, pcm: bytes) -> None:
        self._heard += pcm
        new_words = self._words.hear(pcm)
        for change in self._eager.hear(pcm):
            if self._ears.is_voice and isinstance(change, VoiceBegan):
                self.later(self.frame("turn.resume"))
            elif isinstance(change, VoiceEnded):
                text = self._lead + transcript_of(self._turn(change.at), self.rate)
                self.later(self.frame("turn.eager_end", transcript=text))
        for change in self._ears.hear(pcm):
            match change:
                case VoiceBegan(at=at):
                    self._begins = at
                    self._lead = self.spaced("x")[:-1]
                    self.later(self.frame("turn.start"))
                case VoiceEnded(at=at):
                    self._turn_ended(at)
        if self._ears.is_voice and new_words:
            self.later(self.frame("turn.update", transcript=self._lead + self._words.text))

    def _turn(self, end: int) -> bytes:
        return bytes(self._heard[2 * self._begins : 2 * end])

    def _turn_ended(self, at: int) -> None:
        pcm = self._turn(at)
        self._new_turn()
        if self.fail_once() or self._never_ends:
            return
        text = self._lead + transcript_of(pcm, self.rate)
        self.later(*[self.frame("turn.end", transcript=text)] * self._times)


class ManualSession(SttSession):
    """A connection that transcribes when it is told to."""

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """There is no greeting."""
        asked = self.query.get("max_silence_duration_secs", [str(WHISPER_SILENCE_SECONDS)])[0]
        self._is_whisper = self.query["model"][0].startswith("ink-whisper")
        self._ears = HearingVad(rate=self.rate, silence_ms=float(asked) * 1000)
        self._sound = bytearray()
        """What came since the last final text."""
        self._words = HeardWords()
        self._begins = 0
        """Samples before that."""

    def order(self, text: str) -> None:
        """Bare words, no JSON."""
        self.received.append(text)
        match text:
            case "finalize":
                if not self._never_ends:
                    self.later(*self._transcripts(), self.frame("flush_done"))
            case "close":
                self.later(*self._transcripts(), self.frame("done"))
                self.hang_up(1000)
            case _:
                self.refuse(f"There is no command of {len(text)} characters.")

    def hear(self, pcm: bytes) -> None:
        """Write along; the older model finalises by itself."""
        self._sound += pcm
        new_words = self._words.hear(pcm)
        ended = any(isinstance(change, VoiceEnded) for change in self._ears.hear(pcm))
        if ended and self._is_whisper:
            self.later(*self._transcripts())
            return
        if new_words:
            lead = " " if self._texts else ""
            self.later(self.frame("transcript", is_final=False, text=lead + self._words.text))

    def _transcripts(self) -> list[dict[str, Any]]:
        """What was said since the last final text."""
        if self.fail_once():
            return []
        pcm, begins = bytes(self._sound), self._begins
        self._begins += len(pcm) // 2
        self._sound.clear()
        self._words.clear()
        text = transcript_of(pcm, self.rate)
        if not text:
            return []
        final = self.frame(
            "transcript",
            is_final=True,
            text=self.spaced(text),
            duration=len(pcm) / 2 / self.rate,
            language=self.query.get("language", ["en"])[0],
            words=self._timed(pcm, begins),
        )
        return [final] * self._times

    def _timed(self, pcm: bytes, begins: int) -> list[dict[str, Any]]:
        """Words, each for as long as it can have sounded, in seconds of the connection."""
        words: list[dict[str, Any]] = []
        size = 2 * (self.rate // 50)
        reader = WordReader()
        start, end = 0, 0
        while end < len(pcm):
            piece = pcm[end : end + size]
            end += size
            if found := reader.read(piece):
                begin = end // 2 - len(pcm[start:end].lstrip(b"\0")) // 2
                place = {
                    "start": (begins + begin) / self.rate,
                    "end": (begins + end / 2) / self.rate,
                }
                words.append({"word": found[0], **place})
                start = end
        if not self._has_word_lists:
            return words
        texts = [one["word"] for one in words]
        places = {name: [one[name] for one in words] for name in ("start", "end")}
        return [{"words": texts, **places}]
