"""An emulated ElevenLabs Scribe in real time, for an unmodified client.

It listens on the loop it runs on: on simulated addresses under simulation, else on real ones.

    async with ScribeEmulator().serving("api.example.com", 80) as service:
        ...

It is as strict as the service: a commit with less than 0.3 s of sound since the last one, a setting
out of range, or a session in which nothing comes for long ends with an error.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from websockets.http11 import Response

from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import FRAME_MILLISECONDS, pcm16, to_milliseconds, to_samples
from beluga_voice.audio.level import rms
from beluga_voice.testing.emulators.elevenlabs_speech import (
    KEY,
    POLICY_VIOLATION,
    Line,
    Query,
    Refused,
    SpeechServer,
    detail,
)
from beluga_voice.testing.emulators.elevenlabs_stt_frames import (
    MODELS,
    ScribeSettings,
    chunk_of,
    settings_of,
)
from beluga_voice.testing.emulators.heard_words import HeardWords
from beluga_voice.testing.emulators.speech import (
    Faults,
    HearingVad,
    Pace,
    VoiceEnded,
    transcript_of,
)
from beluga_voice.testing.emulators.websocket_server import refusal

PATH = ("v1", "speech-to-text", "realtime")
MIN_COMMIT_MS = 300
AUTO_COMMIT_SECONDS = 90.0
IDLE_SECONDS = 15.0
"""Integrations keep a session awake each 10 seconds; how long it would last is not documented."""
PARTIAL_MS = 100
"""Sound between two looks for new words."""
MAX_CHUNK_SECONDS = 10.0
LOUD = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """What the service may do and need not."""

    is_never_final: bool = False
    """It tells words, and never settles any."""
    repeats_finals: bool = False
    """What is settled is told once more."""
    is_deaf: bool = False
    """It tells nothing of what it hears, but for commits, which are empty."""
    sample_rate: int | None = None
    """What it says it hears at."""


class ScribeEmulator(SpeechServer["ScribeSession"]):
    """The service; `faults` are those of each connection in order, and count heard sound."""

    def __init__(
        self,
        *,
        pace: Pace | None = None,
        faults: Sequence[Faults] = (),
        keys: Collection[str] = (KEY,),
        models: Collection[str] = MODELS,
        quirks: Quirks | None = None,
    ) -> None:
        super().__init__(keys, faults)
        self._pace = pace or Pace()
        self._models = tuple(models)
        self._quirks = quirks or Quirks()

    def refuse(self, path: tuple[str, ...], query: Query, key: str) -> Response | None:
        """Only what is not there is refused with an HTTP status."""
        if path != PATH:
            return refusal(404, detail("not_found", "Not Found"))
        return None

    def open(self, line: Line, path: tuple[str, ...], query: Query, key: str) -> "ScribeSession":
        """A session, whose first word may be an error."""

        def settings() -> ScribeSettings:
            if key not in self.keys:
                raise Refused("auth_error", f"Invalid API key {key}")
            return settings_of(query, self._models)

        number = len(self.sessions)
        return ScribeSession(line, settings, number=number, pace=self._pace, quirks=self._quirks)


class ScribeSession:
    """One connection."""

    def __init__(
        self,
        line: Line,
        read_settings: Callable[[], ScribeSettings],
        *,
        number: int,
        pace: Pace,
        quirks: Quirks,
    ) -> None:
        self.line = line
        self._read_settings = read_settings
        self._settings = ScribeSettings()
        self._number = number
        self._pace = pace
        self._quirks = quirks
        self._loop = asyncio.get_running_loop()
        self._timers: set[asyncio.TimerHandle] = set()
        self._idle: asyncio.TimerHandle | None = None
        self._vad: HearingVad | None = None
        self._rate = 16000
        self._sound = bytearray()
        """What was not settled yet, as 16-bit PCM."""
        self._words_heard = HeardWords()
        self._before = 0
        """Samples before that."""
        self._looked_at = 0
        self._partial = ""
        self._has_sound = False
        self.received: list[tuple[int, bool]] = []
        """Of each message: how many bytes of sound, and whether it commits."""
        self.errors: list[str] = []

    @property
    def sent(self) -> list[dict[str, Any]]:
        """Everything the service said."""
        return self.line.sent

    def begin(self) -> None:
        """Greet, or refuse."""
        try:
            self._settings = self._read_settings()
        except Refused as refused:
            self._fail(refused)
            return
        settings = self._settings
        self._rate = settings.format.rate
        if settings.strategy == "vad":
            silence_ms = settings.numbers["vad_silence_threshold_secs"] * 1000
            self._vad = HearingVad(rate=self._rate, silence_ms=silence_ms)
        config = settings.wire
        if self._quirks.sample_rate is not None:
            config["sample_rate"] = self._quirks.sample_rate
        self.line.say(
            {
                "message_type": "session_started",
                "session_id": f"scribe-{self._number}",
                "config": config,
            }
        )
        self._wake()
        if self.line.faults.expire_after_ms is not None:
            expired = Refused("session_time_limit_exceeded", "Maximum session time exceeded.")
            self._later(self.line.faults.expire_after_ms, lambda: self._fail(expired))

    def take(self, message: str | bytes) -> None:
        """Hear a message of the client."""
        try:
            sound, is_commit = chunk_of(message, self._settings, is_first=not self.received)
            if len(sound) > MAX_CHUNK_SECONDS * self._rate * self._settings.format.block_bytes:
                raise Refused("chunk_size_exceeded", "The chunk is too long.")
            self.received.append((len(sound), is_commit))
            self._wake()
            self._hear(convert(sound, self._settings.format, pcm16(self._rate)))
            if is_commit and not self.line.is_over:
                self._commit_asked()
        except Refused as refused:
            self._fail(refused)

    def end(self) -> None:
        """The connection is gone."""
        for timer in (*self._timers, self._idle):
            if timer is not None:
                timer.cancel()

    # ── hearing ─────────────────────────────────────────────────────────────────────────────

    def _hear(self, pcm: bytes) -> None:
        if not pcm:
            return
        self._sound += pcm
        self._words_heard.hear(pcm)
        loud_ms = to_milliseconds(len(pcm) // 2, self._rate) if rms(pcm) > LOUD else 0.0
        if not self.line.count(loud_ms):
            return
        size = to_samples(PARTIAL_MS, self._rate) * 2
        if len(self._sound) - self._looked_at >= size:
            self._looked_at = len(self._sound)
            self._tell_partial()
        if self._vad is not None:
            for change in self._vad.hear(pcm):
                if isinstance(change, VoiceEnded):
                    self._commit()
                    self._later(self._pace.transcript_ms, lambda: self._settled("", []))
        elif self._samples >= AUTO_COMMIT_SECONDS * self._rate:
            self._commit()

    @property
    def _samples(self) -> int:
        return len(self._sound) // 2

    def _tell_partial(self) -> None:
        if self._quirks.is_deaf:
            return
        text = self._words_heard.text
        if text and text != self._partial:
            self._partial = text
            self.line.say({"message_type": "partial_transcript", "text": text})

    # ── settling ────────────────────────────────────────────────────────────────────────────

    def _commit_asked(self) -> None:
        if self._samples < to_samples(MIN_COMMIT_MS, self._rate):
            raise Refused("commit_throttled", "Commit needs at least 0.3s of audio.")
        if self.line.faults.error_code is not None:
            raise Refused(self.line.faults.error_code, "As the faults say.")
        self._commit()

    def _commit(self) -> None:
        """Settle what was heard so far."""
        pcm = bytes(self._sound)
        begin = self._before
        self._before += self._samples
        self._sound.clear()
        self._words_heard.clear()
        self._looked_at, self._partial = 0, ""
        if self._quirks.is_never_final:
            return
        text = "" if self._quirks.is_deaf else transcript_of(pcm, self._rate)
        words = self._words(text, pcm, begin)
        times = 2 if self._quirks.repeats_finals else 1
        for _ in range(times):
            self._later(self._pace.transcript_ms, lambda: self._settled(text, words))

    def _settled(self, text: str, words: list[dict[str, Any]]) -> None:
        self.line.say({"message_type": "committed_transcript", "text": text})
        switches = self._settings.switches
        if switches["include_timestamps"] or switches["include_language_detection"]:
            language = self._settings.language or "en"
            told = words if switches["include_timestamps"] else None
            self.line.say(
                {
                    "message_type": "committed_transcript_with_timestamps",
                    "text": text,
                    "language_code": language,
                    "words": told,
                }
            )

    def _words(self, text: str, pcm: bytes, begin: int) -> list[dict[str, Any]]:
        """Where the words sound, in seconds of the session: they share its voiced frames."""
        size = to_samples(FRAME_MILLISECONDS, self._rate) * 2
        frames = range(0, len(pcm), size)
        still = bytes(size)
        voiced = [
            at for at in frames if (frame := pcm[at : at + size]) != still and rms(frame) > LOUD
        ] or [*frames]
        spoken = text.split()
        words: list[dict[str, Any]] = []
        for index, word in enumerate(spoken):
            first = voiced[index * len(voiced) // len(spoken)]
            last = voiced[(index + 1) * len(voiced) // len(spoken) - 1]
            start = (begin + first // 2) / self._rate
            end = (begin + (last + size) // 2) / self._rate
            if words:
                words.append({"text": " ", "start": start, "end": start, "type": "spacing"})
            words.append(
                {"text": word, "start": start, "end": end, "type": "word", "logprob": -0.1}
            )
        return words

    # ── time ────────────────────────────────────────────────────────────────────────────────

    def _later(self, milliseconds: float, work: Callable[[], None]) -> None:
        if milliseconds:
            self._timers.add(self._loop.call_later(milliseconds / 1000, work))
        else:
            work()

    def _wake(self) -> None:
        """Something came: wait for the next from here."""
        if self._idle is not None:
            self._idle.cancel()
        nothing = Refused("insufficient_audio_activity", "No audio was received for too long.")
        self._idle = self._loop.call_later(IDLE_SECONDS, self._fail, nothing)

    def _fail(self, refused: Refused) -> None:
        if self.line.is_over:
            return
        self.errors.append(refused.kind)
        self.line.say({"message_type": refused.kind, "error": str(refused)})
        self.line.close(POLICY_VIOLATION, refused.kind)
