"""Deepgram's second way to listen, emulated: turns, whose words are told as a whole each time."""

from typing import Any

from beluga_voice.audio.formats import to_samples
from beluga_voice.testing.emulators.deepgram_session import (
    Goodbye,
    HearingSession,
    Query,
    Refused,
)
from beluga_voice.testing.emulators.speech import HearingVad, VoiceBegan, VoiceEnded

MODELS = ("flux-general-en", "flux-general-multi")
PARAMETERS = frozenset(
    {
        "model",
        "encoding",
        "sample_rate",
        "eot_threshold",
        "eager_eot_threshold",
        "eot_timeout_ms",
        "keyterm",
        "language_hint",
        "numerals",
        "profanity_filter",
        "redact",
        "tag",
        "mip_opt_out",
    }
)
UPDATE_MS = 240
"""How far it is, it tells after so much sound."""
TIMEOUT_MS = 5000


class FluxSession(HearingSession):
    """A connection to `/v2/listen`."""

    def __init__(self, query: Query, **rest: Any) -> None:
        super().__init__(query, **rest)
        self._vad = HearingVad(rate=self.rate, silence_ms=40)
        self._threshold = query.number("eot_threshold", 0.5, 1.0) or 0.7
        self._eager = query.number("eager_eot_threshold", 0.3, 0.9)
        self._timeout_ms = query.number("eot_timeout_ms", 500, 60_000) or TIMEOUT_MS
        self._keyterms = query.values.get("keyterm", [])
        self._sequence = 0
        self._turn = 0
        self._sound = bytearray()
        self._turn_start = 0
        self._voice: tuple[int, int] | None = None
        self._is_open = False
        self._is_eager = False
        self._since_update = 0

    @classmethod
    def check(cls, query: Query) -> None:
        """Raise `Refused` for settings that are not taken."""
        query.only(PARAMETERS)
        if query.one("model") not in MODELS:
            raise Refused("unknown model")
        query.format()
        threshold = query.number("eot_threshold", 0.5, 1.0) or 0.7
        if (query.number("eager_eot_threshold", 0.3, 0.9) or 0) > threshold:
            raise Refused("eager_eot_threshold must not be above eot_threshold")
        query.number("eot_timeout_ms", 500, 60_000)
        if "language_hint" in query.values and query.one("model") != "flux-general-multi":
            raise Refused("language_hint is for flux-general-multi")

    def begin(self) -> None:
        """Greet."""
        super().begin()
        self._tell({"type": "Connected", "request_id": self.name})

    def _tell(self, event: dict[str, Any], *, after_ms: float = 0) -> None:
        self._say({**event, "sequence_id": self._sequence}, after_ms=after_ms)
        self._sequence += 1

    def hear_step(self, step: bytes) -> None:
        """The next bit of sound."""
        self._sound += step
        self._since_update += len(step) // 2
        for change in self._vad.hear(step):
            match change:
                case VoiceBegan():
                    self._began(change.at)
                case VoiceEnded():
                    pass
        if self._vad.is_voice and any(step) and self._voice is not None:
            self._voice = self._voice[0], self.position
        if self._is_open:
            self._look()
        if self._since_update >= to_samples(UPDATE_MS, self.rate):
            self._turn_info("Update")

    def _began(self, at: int) -> None:
        if self._is_eager:
            self._is_eager = False
            self._turn_info("TurnResumed")
        if not self._is_open:
            self._is_open = True
            self._voice = at, self.position
            self._turn_info("StartOfTurn")

    def _look(self) -> None:
        """Is the turn over?"""
        if self._voice is None:
            return
        silent = self.position - self._voice[1]
        if self._quirks.never_final:
            return
        is_sure = self._threshold < 1.0 and silent >= to_samples(self._quirks.silence_ms, self.rate)
        if is_sure:
            self._end_turn("model")
        elif silent >= to_samples(self._timeout_ms, self.rate):
            self._end_turn("timeout")
        elif (
            self._eager is not None
            and not self._is_eager
            and silent >= to_samples(self._quirks.eager_silence_ms, self.rate)
            and self._text()
        ):
            self._is_eager = True
            self._turn_info("EagerEndOfTurn")

    def _end_turn(self, trigger: str) -> None:
        self._turn_info("EndOfTurn", trigger=trigger)
        if self._quirks.repeats_finals:
            self._say({**self.sent[-1]}, after_ms=self._pace.transcript_ms)
        self._turn += 1
        self._sound.clear()
        self.heard.clear()
        self._turn_start = self.position
        self._voice = None
        self._is_open = self._is_eager = False
        self._vad.reset()

    def _text(self, *, is_final: bool = False) -> str:
        if self._voice is None:
            return ""
        return self.text_of(self._sound, is_final=is_final)

    def _turn_info(self, event: str, *, trigger: str | None = None) -> None:
        self._since_update = 0
        text = self._text(is_final=event == "EndOfTurn")
        begin, end = self._voice or (self._turn_start, self.position)
        words: list[dict[str, Any]] = []
        for word, start, stop in self.words_of(text, begin, end):
            times = {"start": start, "end": stop} if self._quirks.has_flux_times else {}
            words.append({"word": word, "confidence": 0.9, **times})
        silent = self.position - end if self._voice is not None else 0
        sure = {"EndOfTurn": 0.9, "EagerEndOfTurn": 0.6}.get(event, 0.1 if not silent else 0.3)
        info: dict[str, Any] = {
            "type": "TurnInfo",
            "request_id": self.name,
            "event": event,
            "turn_index": self._turn,
            "audio_window_start": self.seconds(self._turn_start),
            "audio_window_end": self.seconds(self.position),
            "transcript": text,
            "words": words,
            "end_of_turn_confidence": sure,
        }
        if trigger is not None:
            info["trigger"] = trigger
        if self.query.one("model") == "flux-general-multi" and text:
            info["languages"] = ["en"]
        late = self._pace.transcript_ms if event == "EndOfTurn" else 0
        self._tell(info, after_ms=late)

    def obey(self, event: dict[str, Any]) -> None:
        """An order of the client; what is none ends the connection."""
        match event["type"]:
            case "CloseStream":
                self.close_stream()
            case "ForceEndTurn":
                if self._is_open and not self._quirks.never_final:
                    self._end_turn("manual")
            case "Configure":
                self._configure(event)
            case kind:
                self.errors.append(f"an order that is none: {kind}")
                code = "UNPARSABLE_CLIENT_MESSAGE"
                self._tell({"type": "Error", "code": code, "description": "Unknown message."})
                self._leave(Goodbye(1008, code))

    def _configure(self, event: dict[str, Any]) -> None:
        given: dict[str, Any] = event.get("thresholds") or {}
        thresholds = {name: value for name, value in given.items() if value is not None}
        threshold = thresholds.get("eot_threshold", self._threshold)
        eager = thresholds.get("eager_eot_threshold", self._eager)
        if not 0.5 <= threshold <= 1.0 or (eager is not None and not 0.3 <= eager <= threshold):
            failure = {
                "code": "INVALID_CONFIGURATION",
                "description": "A threshold is out of range.",
            }
            self._tell({"type": "ConfigureFailure", "request_id": self.name, **failure})
            return
        self._threshold, self._eager = threshold, eager
        self._timeout_ms = thresholds.get("eot_timeout_ms", self._timeout_ms)
        self._keyterms = event.get("keyterms") or self._keyterms
        now: dict[str, Any] = {
            "eot_threshold": threshold,
            "eot_timeout_ms": self._timeout_ms,
        }
        if eager is not None:
            now["eager_eot_threshold"] = eager
        self._tell(
            {
                "type": "ConfigureSuccess",
                "request_id": self.name,
                "thresholds": now,
                "keyterms": self._keyterms,
            }
        )

    def close_stream(self) -> None:
        """The client is done."""
        self._leave(Goodbye(1000))
