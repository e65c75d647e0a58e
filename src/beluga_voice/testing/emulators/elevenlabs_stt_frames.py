"""What an emulated Scribe is told: the query of its address, and its one kind of message.

Ranges by the AsyncAPI document of Scribe (22 August 2026), read 2026-11-21. What is outside of them
is refused, and so is whatever is not known.
"""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

import msgspec

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.testing.emulators.elevenlabs_speech import Query, Refused

MODELS = ("scribe_v2_realtime", "scribe_v3_live")
FORMATS = {
    **{f"pcm_{rate}": pcm16(rate) for rate in (8000, 16000, 22050, 24000, 44100, 48000)},
    "ulaw_8000": AudioFormat(Encoding.MULAW, 8000),
}
NUMBERS = {
    "vad_silence_threshold_secs": (0.3, 3.0, 1.5),
    "vad_threshold": (0.1, 0.9, 0.4),
    "min_speech_duration_ms": (50, 2000, 100),
    "min_silence_duration_ms": (50, 2000, 100),
}
"""The least, the most, and what is meant by none."""
SWITCHES = (
    "include_timestamps",
    "include_language_detection",
    "no_verbatim",
    "filter_background_audio",
)
MANY = ("keyterms", "secondary_languages")
KNOWN = {
    "model_id",
    "audio_format",
    "commit_strategy",
    "language_code",
    "enable_logging",
    *NUMBERS,
    *SWITCHES,
    *MANY,
}
MAX_PREVIOUS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ScribeSettings:
    """What the query asks for."""

    model: str = MODELS[0]
    audio_format: str = "pcm_16000"
    strategy: str = "manual"
    language: str | None = None
    numbers: dict[str, float] = field(default_factory=dict[str, float])
    switches: dict[str, bool] = field(default_factory=dict[str, bool])
    keyterms: tuple[str, ...] = ()

    @property
    def format(self) -> AudioFormat:
        """How the sound is written."""
        return FORMATS[self.audio_format]

    @property
    def wire(self) -> dict[str, Any]:
        """As the service repeats it."""
        return {
            "sample_rate": self.format.rate,
            "audio_format": self.audio_format,
            "language_code": self.language,
            "commit_strategy": self.strategy,
            "model_id": self.model,
            "enable_logging": True,
            "keyterms": list(self.keyterms),
            **self.numbers,
            **{name: self.switches[name] for name in SWITCHES if name != "filter_background_audio"},
        }


def settings_of(query: Query, models: tuple[str, ...]) -> ScribeSettings:
    """Read the query; raises `Refused`."""
    if unknown := query.keys() - KNOWN:
        raise Refused("invalid_request", f"Unknown parameter {sorted(unknown)[0]}")
    one = {name: values[0] for name, values in query.items() if name not in MANY}
    if one.get("model_id") not in models:
        raise Refused("invalid_request", "The model does not exist.")
    audio_format = one.get("audio_format", "pcm_16000")
    strategy = one.get("commit_strategy", "manual")
    if audio_format not in FORMATS or strategy not in ("manual", "vad"):
        raise Refused("invalid_request", "Unknown audio_format or commit_strategy")
    for language in (*query.get("language_code", []), *query.get("secondary_languages", [])):
        if not (language.isalpha() and 2 <= len(language) <= 3):
            raise Refused("invalid_request", "A language is an ISO 639 code without a region.")
    keyterms = tuple(query.get("keyterms", []))
    if len(keyterms) > 50 or any(len(term) > 20 for term in keyterms):
        raise Refused("invalid_request", "Too many keyterms, or too long ones")
    switches = {name: one.get(name, "false").lower() == "true" for name in SWITCHES}
    if switches["filter_background_audio"] and switches["include_timestamps"]:
        raise Refused("invalid_request", "filter_background_audio excludes include_timestamps")
    return ScribeSettings(
        model=one["model_id"],
        audio_format=audio_format,
        strategy=strategy,
        language=one.get("language_code"),
        numbers={name: _number(name, one.get(name)) for name in NUMBERS},
        switches=switches,
        keyterms=keyterms,
    )


def _number(name: str, text: str | None) -> float:
    least, most, usual = NUMBERS[name]
    try:
        value = usual if text is None else float(text)
    except ValueError:
        value = most + 1
    if not least <= value <= most:
        raise Refused("invalid_request", f"{name} is outside {least} to {most}")
    return value


class Chunk(
    msgspec.Struct,
    tag_field="message_type",
    tag="input_audio_chunk",
    forbid_unknown_fields=True,
):
    """Sound, and whether to settle what was heard."""

    audio_base_64: str
    commit: bool
    sample_rate: int | None = None
    previous_text: str | None = None


_decoder = msgspec.json.Decoder(Chunk)


def chunk_of(
    message: str | bytes, settings: ScribeSettings, *, is_first: bool
) -> tuple[bytes, bool]:
    """The sound of a message, and whether it commits; raises `Refused`."""
    if isinstance(message, bytes):
        raise Refused("input_error", "Messages are JSON in text.")
    try:
        chunk = _decoder.decode(message)
        sound = base64.b64decode(chunk.audio_base_64, validate=True)
    except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
        raise Refused("input_error", f"Invalid message: {type(error).__name__}") from error
    if chunk.sample_rate not in (None, settings.format.rate):
        raise Refused("input_error", "sample_rate is not that of audio_format.")
    if len(sound) % settings.format.block_bytes:
        raise Refused("input_error", "The sound ends inside a sample.")
    if chunk.previous_text is not None:
        if not is_first:
            raise Refused("input_error", "previous_text comes with the first chunk only.")
        if len(chunk.previous_text) > MAX_PREVIOUS:
            raise Refused("input_error", "previous_text is too long.")
    return sound, chunk.commit
