"""Deepgram's first way to listen, emulated: windows of sound, interim and final words."""

import hashlib
from typing import Any

from beluga_voice.audio.formats import to_milliseconds, to_samples
from beluga_voice.testing.emulators.deepgram_session import (
    READING_MODELS,
    Goodbye,
    HearingSession,
    Query,
    Refused,
    check_readings,
    readings_of,
)
from beluga_voice.testing.emulators.speech import HearingVad, VoiceBegan, VoiceEnded

MODELS = (
    *("nova-3", "nova-3-general", "nova-3-medical", "nova-2", "nova-2-general"),
    *READING_MODELS,
)
PARAMETERS = frozenset(
    {
        "model",
        "encoding",
        "sample_rate",
        "channels",
        "language",
        "language_hint",
        "interim_results",
        "vad_events",
        "punctuate",
        "smart_format",
        "endpointing",
        "utterance_end_ms",
        "keyterm",
        "keywords",
        "profanity_filter",
        "alternatives",
        "numerals",
        "tag",
        "mip_opt_out",
        "diarize",
        "redact",
    }
)
INTERIM_MS = 200
"""Words that are not final are told that often."""
SILENT_WINDOW_MS = 3000
"""Sound without words is settled that often."""


class NovaSession(HearingSession):
    """A connection to `/v1/listen`."""

    def __init__(self, query: Query, **rest: Any) -> None:
        super().__init__(query, **rest)
        endpointing = query.one("endpointing", "10")
        silence_ms = 1e9 if endpointing == "false" else max(float(endpointing), 20)
        self._vad = HearingVad(rate=self.rate, silence_ms=silence_ms)
        self._window = bytearray()
        self._window_start = 0
        self._voice: tuple[int, int] | None = None
        """Where in the window a voice was heard, as positions."""
        self._told = ""
        self._is_unsettled = False
        self._since_report = 0
        self._word_end: int | None = None
        self._has_failed = False

    @classmethod
    def check(cls, query: Query) -> None:
        """Raise `Refused` for settings that are not taken."""
        query.only(PARAMETERS)
        model = query.one("model")
        if model not in MODELS:
            raise Refused(f"No such model/language/tier combination found: {model}")
        check_readings(query.number("alternatives", 1, 100), model)
        query.format()
        for name in ("interim_results", "vad_events", "punctuate", "smart_format", "numerals"):
            query.is_on(name)
        if query.one("endpointing", "10") != "false":
            query.number("endpointing", 0, 10_000)
        if query.number("utterance_end_ms", 1000, 5000) and not query.is_on("interim_results"):
            raise Refused("utterance_end_ms needs interim_results")
        if "keyterm" in query.values and not model.startswith("nova-3"):
            raise Refused("Keyterm is supported by Nova-3 only")

    def hear_step(self, step: bytes) -> None:
        """The next bit of sound: a voice, or the end of one."""
        self._window += step
        self._is_unsettled = True
        changes = self._vad.hear(step)
        if self._vad.is_voice and any(step):
            begin = self._voice[0] if self._voice else self.position - len(step) // 2
            self._voice = begin, self.position
        for change in changes:
            match change:
                case VoiceBegan() if self.query.is_on("vad_events"):
                    at = self.seconds(change.at)
                    self._say({"type": "SpeechStarted", "channel": [0, 1], "timestamp": at})
                case VoiceEnded():
                    self._settle(speech_final=True)
                case _:
                    pass
        self._since_report += len(step) // 2
        self._report()
        self._end_utterance()

    def _report(self) -> None:
        """Words that are not final, every now and then; silence is settled in long windows."""
        most = self._quirks.settles_after_words
        if most is not None and len(self.heard.words) >= most:
            self._settle()
            return
        if self._since_report < to_samples(INTERIM_MS, self.rate):
            return
        if self._voice is None:
            if len(self._window) // 2 >= to_samples(SILENT_WINDOW_MS, self.rate):
                self._settle()
            return
        self._since_report = 0
        if self.query.is_on("interim_results"):
            self._say(self._results(is_final=False))

    def _settle(self, *, speech_final: bool = False, from_finalize: bool = False) -> None:
        """All that was heard is final."""
        if self._quirks.never_final:
            return
        results = self._results(
            is_final=True, speech_final=speech_final, from_finalize=from_finalize
        )
        for _ in range(1 + self._quirks.repeats_finals):
            self._say(results, after_ms=self._pace.transcript_ms)
        if self._voice is not None:
            self._word_end = self._voice[1]
        self._window.clear()
        self.heard.clear()
        self._window_start = self.position
        self._voice = None
        self._is_unsettled = False
        self._since_report = 0

    def _text(self, *, is_final: bool = False) -> str:
        if self._voice is None:
            return ""
        return self.text_of(self._window, is_final=is_final)

    def _end_utterance(self) -> None:
        """There was no word for a while."""
        gap = self.query.number("utterance_end_ms", 0, 1e9)
        if gap is None or self._word_end is None or self._voice is not None:
            return
        if self.position - self._word_end >= to_samples(gap, self.rate):
            last = self.seconds(self._word_end)
            self._word_end = None
            self._say({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": last})

    def _results(
        self, *, is_final: bool, speech_final: bool = False, from_finalize: bool = False
    ) -> dict[str, Any]:
        text = self._text(is_final=is_final)
        begin, end = self._voice or (self._window_start, self.position)
        is_punctuated = self.query.is_on("punctuate") or self.query.is_on("smart_format")
        words: list[dict[str, Any]] = [
            {"word": word, "start": start, "end": stop, "confidence": 0.9}
            | ({"punctuated_word": word} if is_punctuated else {})
            for word, start, stop in self.words_of(text, begin, end)
        ]
        alternative: dict[str, Any] = {
            "transcript": text,
            "confidence": 0.9 if text else 0.0,
            "words": words,
        }
        if self.query.one("language") == "multi" and text:
            alternative["languages"] = ["en"]
        most = int(self.query.number("alternatives", 1, 100) or 1)
        others: list[dict[str, Any]] = [
            {"transcript": one, "confidence": 0.5, "words": []} for one in readings_of(text, most)
        ]
        return {
            "type": "Results",
            "channel_index": [0, 1],
            "start": self.seconds(self._window_start),
            "duration": self.seconds(self.position - self._window_start),
            "is_final": is_final,
            "speech_final": speech_final,
            "from_finalize": from_finalize,
            "channel": {"alternatives": [alternative, *others[1:]]},
            "metadata": {
                "request_id": self.name,
                "model_uuid": "emulated",
                "model_info": {
                    "name": self.query.one("model"),
                    "version": "2026-01-01.0",
                    "arch": "nova-3",
                },
            },
        }

    def obey(self, event: dict[str, Any]) -> None:
        """An order of the client."""
        self._be_patient()
        match event["type"]:
            case "KeepAlive":
                pass
            case "Finalize":
                self._flush()
                if self._voice is not None or self._quirks.answers_empty_finalize:
                    self._settle(from_finalize=True)
                self._vad.reset()
            case "CloseStream":
                self.close_stream()
            case "Configure":
                self._configure(event)
            case kind:
                self.errors.append(f"an order that is none: {kind}")
                description = "Could not deserialize last text message"
                self._say({"type": "Error", "variant": "SchemaError", "description": description})

    def _configure(self, event: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"type": "ConfigureSuccess", "request_id": self.name}
        if "keyterms" in event:
            answer["keyterms"] = event["keyterms"]
        if "keyterms" in event and not self.query.one("model").startswith("nova-3"):
            answer = {
                "type": "ConfigureFailure",
                "request_id": self.name,
                "code": "CONFIGURE_KEYTERMS_NOT_SUPPORTED",
                "description": "This model takes no keyterms.",
            }
        self._say(answer)

    def close_stream(self) -> None:
        """The client is done: what is left is settled, then there is a summary."""
        self._flush()
        if self._is_unsettled:
            self._settle()
        self._say(
            {
                "type": "Metadata",
                "transaction_key": "deprecated",
                "request_id": self.name,
                "sha256": hashlib.sha256(self.name.encode()).hexdigest(),
                "created": "2026-11-21T00:00:00.000Z",
                "duration": to_milliseconds(self.position, self.rate) / 1000,
                "channels": 1,
            }
        )
        self._leave(Goodbye(1000))
