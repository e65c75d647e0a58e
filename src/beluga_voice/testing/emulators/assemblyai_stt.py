"""AssemblyAI's streaming (version 3), emulated for an unmodified client.

It listens on the loop it runs on: on simulated addresses under simulation, else on real ones.

    async with AssemblyAiEmulator().serving("api.example.com", 80) as service:
        ...
"""

import asyncio
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
from websockets.http11 import Request, Response

from beluga_voice.audio.formats import FRAME_MILLISECONDS, to_milliseconds, to_samples
from beluga_voice.audio.g711 import mulaw_decode
from beluga_voice.testing.emulators.heard_words import HeardWords
from beluga_voice.testing.emulators.listening_server import ListeningServer, ListeningSession
from beluga_voice.testing.emulators.speech import (
    UNINTELLIGIBLE,
    Faults,
    HearingVad,
    Pace,
    VoiceBegan,
    VoiceEnded,
    transcript_of,
)
from beluga_voice.testing.emulators.websocket_server import Sent, query_of, refusal
from beluga_voice.testing.speech import WORD_MS

PATH = "/v3/ws"
KEY = "assemblyai-emulated"
UNFORMATTED = ("universal-streaming-english", "universal-streaming-multilingual")
MODELS = (*UNFORMATTED, "u3-rt-pro", "universal-3-5-pro", "universal-3-6-pro", "whisper-rt")
SHORTEST_MS, LONGEST_MS = 50, 1000
BURST_MS = 10_000
"""How far ahead of real time sound may be; the service does not say how far it lets one."""
BEFORE_VOICE_MS = 500
"""So much of a silence is kept, for the beginning of the word that ends it."""
HEARTBEAT_MS = 1000
"""Of sound between two heartbeats; the service does not say how often it beats."""
MIN_TURN_SILENCE_MS = 400
_PARAMETERS = {
    "sample_rate",
    "encoding",
    "speech_model",
    "format_turns",
    "end_of_turn_confidence_threshold",
    "min_turn_silence",
    "max_turn_silence",
    "vad_threshold",
    "keyterms_prompt",
    "filter_profanity",
    "language_codes",
    "language_detection",
    "session_heartbeat",
    "speaker_labels",
    "inactivity_timeout",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """What the service may do and need not."""

    never_final: bool = False
    """It tells words, and never that a turn is over."""
    repeats_finals: bool = False
    """The end of a turn comes twice."""


class AssemblyAiSession(ListeningSession):
    """The service's side of one connection.

    It tells each word when it was heard whole, the last one as not final, and ends a turn after
    its silence.
    """

    def __init__(
        self,
        *,
        query: dict[str, str],
        is_known: bool,
        formatted: Callable[[str], str],
        quirks: Quirks,
        pace: Pace,
        faults: Faults,
        put: Callable[[Sent], None],
        tasks: asyncio.TaskGroup,
    ) -> None:
        super().__init__(pace=pace, faults=faults, put=put, tasks=tasks)
        self.query = query
        self._is_known = is_known
        self._formatted = formatted
        self._quirks = quirks
        self._began = asyncio.get_running_loop().time()
        self._is_over = False
        self.is_terminated = False
        """Whether the client said goodbye."""
        self._rate = int(query["sample_rate"]) if query.get("sample_rate", "").isdigit() else 0
        silence = query.get("min_turn_silence", str(MIN_TURN_SILENCE_MS))
        self._vad = HearingVad(rate=self._rate or 16000, silence_ms=float(silence))
        self._turns = 0
        self._buffer = bytearray()
        self._heard = HeardWords()
        self._words: list[dict[str, Any]] = []
        self._position = 0
        self._voice = 0, 0
        """From where to where there was a voice last, in samples."""

    @property
    def _is_plain(self) -> bool:
        """Whether the end of a turn is written without marks at first."""
        return self.query.get("speech_model") in UNFORMATTED

    def _is_on(self, name: str) -> bool:
        """The SDK for Python writes `True`, others `true`."""
        return self.query.get(name, "").lower() == "true"

    def begin(self) -> None:
        """Say hello, or why not."""
        if not self._is_known:
            self._fail(1008, "Unauthorized Connection: Missing Authorization header")
        elif wrong := self._wrong():
            self._fail(3006, wrong)
        else:
            begun = {"type": "Begin", "id": "session-1", "expires_at": 1_795_010_800}
            model = self.query.get("speech_model")
            self.say({**begun, "configuration": {"model": model, "api_version": "v3"}})
        if self.faults.expire_after_ms is not None:
            why = "Session Expired: Maximum session duration exceeded"
            self.later(self.faults.expire_after_ms, lambda: self._fail(3008, why))

    def _wrong(self) -> str:
        """What is wrong with the settings."""
        unknown = sorted(set(self.query) - _PARAMETERS)
        if unknown:
            return f"Invalid parameter: {unknown[0]}"
        if self._rate < 8000:
            return "Invalid sample_rate"
        if self.query.get("encoding", "pcm_s16le") not in ("pcm_s16le", "pcm_mulaw"):
            return "Invalid encoding"
        if self.query.get("speech_model") not in MODELS:
            return "Invalid speech_model"
        for name in ("keyterms_prompt", "language_codes"):
            try:
                value = json.loads(self.query.get(name, "[]"))
            except ValueError:
                value = None
            if not isinstance(value, list):
                return f"Invalid {name}: expected a JSON list"
        return ""

    def _fail(self, code: int, why: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        self.errors.append(str(code))
        self.say({"type": "Error", "error_code": code, "error": why})
        self.hang_up(code, why)

    def take(self, message: str | bytes) -> None:
        """A message of the client."""
        if self._is_over:
            return
        if isinstance(message, bytes):
            self._hear(message)
            return
        try:
            said = msgspec.json.decode(message, type=dict[str, Any])
        except msgspec.MsgspecError:
            self._fail(3006, "Invalid JSON")
            return
        self.received.append(said)
        match said.get("type"):
            case "ForceEndpoint":
                self._end_turn()
            case "Terminate":
                self._terminate()
            case "KeepAlive" | "UpdateConfiguration":
                pass
            case other:
                self._fail(3006, f"Invalid Message Type: {other}")

    def _terminate(self) -> None:
        self._is_over = self.is_terminated = True
        elapsed = asyncio.get_running_loop().time() - self._began
        termination = {
            "type": "Termination",
            "audio_duration_seconds": round(self.heard_ms / 1000),
            "session_duration_seconds": round(elapsed),
        }
        self.say(termination)
        self.hang_up(1000)

    # ── what it hears ───────────────────────────────────────────────────────────────────────

    def _hear(self, frame: bytes) -> None:
        is_mulaw = self.query.get("encoding") == "pcm_mulaw"
        pcm = mulaw_decode(frame) if is_mulaw else frame
        ms = to_milliseconds(len(pcm) // 2, self._rate)
        if not SHORTEST_MS <= ms <= LONGEST_MS or len(pcm) % 2:
            why = f"Input duration violation: {ms:g} ms. Expected between 50 and 1000 ms"
            self._fail(3007, why)
            return
        elapsed_ms = (asyncio.get_running_loop().time() - self._began) * 1000
        if self.heard_ms + ms > elapsed_ms + BURST_MS:
            self._fail(3007, "Audio Transmission Rate Exceeded")
            return
        before = self.heard_ms
        size = to_samples(FRAME_MILLISECONDS, self._rate) * 2
        for at in range(0, len(pcm), size):
            self._listen(pcm[at : at + size])
        is_due = before // HEARTBEAT_MS != (before + ms) // HEARTBEAT_MS
        if is_due and self._is_on("session_heartbeat"):
            self._beat(before + ms)
        self.hears(ms)

    def _beat(self, ms: float) -> None:
        self.say(
            {
                "type": "Heartbeat",
                "total_audio_received_ms": round(ms),
                "total_duration_ms": round(ms),
                "realtime_factor": 1.0,
                "max_speech_probability": 0.0,
            }
        )

    def _listen(self, pcm: bytes) -> None:
        self._buffer += pcm
        self._position += len(pcm) // 2
        changes = self._vad.hear(pcm)
        for change in changes:
            if isinstance(change, VoiceBegan):
                self._voice = change.at, change.at
                self.say({"type": "SpeechStarted", "timestamp": self._ms(change.at)})
        if self._vad.is_voice and any(pcm):
            self._voice = self._voice[0], self._position
        for word in self._heard.hear(pcm):
            end = self._ms(self._position)
            self._add(word, max(end - WORD_MS, 0), end)
            self._turn(self._words, self._turns, is_end=False)
        if any(isinstance(change, VoiceEnded) for change in changes):
            self._end_turn()
        if not self._vad.is_voice:
            del self._buffer[: -to_samples(BEFORE_VOICE_MS, self._rate) * 2]

    def _add(self, word: str, start: int, end: int) -> None:
        """One more word of the turn, from there to there in milliseconds."""
        for one in self._words:
            one["word_is_final"] = True
        place = {"start": start, "end": end}
        self._words.append({"text": word, **place, "confidence": 0.9, "word_is_final": False})

    def _understand(self) -> None:
        """The words of a turn that were not told while it went on, evenly over its sound."""
        text = transcript_of(bytes(self._buffer), self._rate)
        words = [] if text == UNINTELLIGIBLE else text.split()
        begin, end = self._voice
        step = (end - begin) // max(len(words), 1)
        for at, word in enumerate(words):
            self._add(word, self._ms(begin + at * step), self._ms(begin + (at + 1) * step))

    def _ms(self, samples: int) -> int:
        return int(to_milliseconds(samples, self._rate))

    def _turn(
        self, words: list[dict[str, Any]], order: int, *, is_end: bool, is_formatted: bool = False
    ) -> None:
        told = [one for one in words if one["word_is_final"] or not self._is_plain]
        text = " ".join(one["text"] for one in told)
        self.say(
            {
                "type": "Turn",
                "turn_order": order,
                "turn_is_formatted": is_formatted,
                "end_of_turn": is_end,
                "transcript": self._formatted(text) if is_formatted else text,
                "utterance": text if is_end else "",
                "end_of_turn_confidence": 0.9 if is_end else 0.1,
                "words": [dict(one) for one in words],
            }
        )

    def _end_turn(self) -> None:
        """The turn is over. It may take time to tell so, while the next one goes on."""
        if not self._words:
            self._understand()
        self._buffer.clear()
        self._heard.clear()
        if not self._words or self._quirks.never_final:
            return
        words, order = self._words, self._turns
        self._words = []
        self._turns += 1
        for one in words:
            one["word_is_final"] = True
        self.later(self.pace.transcript_ms, lambda: self._settle(words, order))

    def _settle(self, words: list[dict[str, Any]], order: int) -> None:
        for _ in range(1 + self._quirks.repeats_finals):
            self._turn(words, order, is_end=True, is_formatted=not self._is_plain)
            if self._is_plain and self._is_on("format_turns"):
                self._turn(words, order, is_end=True, is_formatted=True)


class AssemblyAiEmulator(ListeningServer[AssemblyAiSession]):
    """The service. `faults` are those of each connection; `formatted` writes a turn with marks."""

    def __init__(
        self,
        *,
        pace: Pace | None = None,
        faults: Sequence[Faults] = (),
        keys: Collection[str] = (KEY,),
        formatted: Callable[[str], str] = str,
        quirks: Quirks | None = None,
    ) -> None:
        super().__init__(_Service(keys, formatted, quirks or Quirks()), pace or Pace(), faults)


class _Service:
    """Who is let in: the key and the settings are looked at once the websocket is open."""

    path = PATH

    def __init__(
        self, keys: Collection[str], formatted: Callable[[str], str], quirks: Quirks
    ) -> None:
        self._quirks = quirks
        self._keys = keys
        self._formatted = formatted

    def refuse(self, request: Request) -> Response | None:
        """The answer to a handshake that is not taken."""
        if urlsplit(request.path).path != PATH:
            return refusal(404, {"error": "Not Found"})
        return None

    def failure(self, status: int, message: str) -> dict[str, Any]:
        """The body of a refusal."""
        return {"error": message or "The server refused."}

    def session(
        self,
        request: Request,
        *,
        pace: Pace,
        faults: Faults,
        put: Callable[[Sent], None],
        tasks: asyncio.TaskGroup,
    ) -> AssemblyAiSession:
        """A new one."""
        return AssemblyAiSession(
            query=query_of(request),
            is_known=request.headers.get("Authorization", "") in self._keys,
            formatted=self._formatted,
            quirks=self._quirks,
            pace=pace,
            faults=faults,
            put=put,
            tasks=tasks,
        )
