"""What emulated voices are told: the query of their address, and the messages of contexts.

By the types of the Python SDK `elevenlabs` 2.78.0, read 2026-11-21. What is not in them is refused.
"""

from dataclasses import dataclass

import msgspec

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.testing.emulators.elevenlabs_speech import Query, Refused

MODELS = ("eleven_flash_v2_5", "eleven_turbo_v2_5", "eleven_multilingual_v2", "eleven_flash_v2")
DIALOGUE_MODELS = ("eleven_v3", "eleven_v3_conversational", "eleven_v4", "eleven_v4_turbo")
FORMATS = {
    **{f"pcm_{rate}": pcm16(rate) for rate in (8000, 16000, 22050, 24000, 32000, 44100, 48000)},
    "ulaw_8000": AudioFormat(Encoding.MULAW, 8000),
    "alaw_8000": AudioFormat(Encoding.ALAW, 8000),
}
KNOWN = {
    "model_id",
    "output_format",
    "language_code",
    "enable_logging",
    "enable_ssml_parsing",
    "inactivity_timeout",
    "sync_alignment",
    "auto_mode",
    "apply_text_normalization",
    "apply_language_text_normalization",
    "optimize_streaming_latency",
    "seed",
}
MAX_INACTIVITY = 180
CHUNK_SCHEDULE = (120, 160, 250, 290)
INVALID = "invalid_message"


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceQuery:
    """What the query asks for."""

    format: AudioFormat = FORMATS["pcm_24000"]
    inactivity_seconds: float = 20.0
    is_auto: bool = False
    has_alignment: bool = False


def query_of(query: Query, models: tuple[str, ...]) -> VoiceQuery:
    """Read the query; raises `Refused`."""
    if unknown := query.keys() - KNOWN:
        raise Refused(INVALID, f"Unknown parameter {sorted(unknown)[0]}")
    one = {name: values[0] for name, values in query.items()}
    if one.get("model_id") not in models:
        raise Refused("model_not_found", "A model with that ID does not exist.")
    output = one.get("output_format", "mp3_44100_128")
    if output not in FORMATS:
        raise Refused(INVALID, f"This emulator does not speak {output}.")
    inactivity = one.get("inactivity_timeout", "20")
    if not (inactivity.isdigit() and 0 < int(inactivity) <= MAX_INACTIVITY):
        raise Refused(INVALID, "inactivity_timeout is outside 1 to 180.")
    return VoiceQuery(
        format=FORMATS[output],
        inactivity_seconds=int(inactivity),
        is_auto=one.get("auto_mode", "false").lower() == "true",
        has_alignment=one.get("sync_alignment", "false").lower() == "true",
    )


class VoiceSettings(msgspec.Struct, forbid_unknown_fields=True):
    """How a voice speaks in one context."""

    stability: float | None = None
    similarity_boost: float | None = None
    style: float | None = None
    use_speaker_boost: bool | None = None
    speed: float | None = None


class GenerationConfig(msgspec.Struct, forbid_unknown_fields=True):
    """How much text is gathered before it is spoken."""

    chunk_length_schedule: list[float] | None = None


class Locator(msgspec.Struct, forbid_unknown_fields=True):
    """A dictionary of pronunciations."""

    pronunciation_dictionary_id: str
    version_id: str | None = None


class ClientMessage(msgspec.Struct, forbid_unknown_fields=True):
    """One message of a client."""

    text: str | None = None
    context_id: str | None = None
    flush: bool = False
    close_context: bool = False
    close_socket: bool = False
    voice_settings: VoiceSettings | None = None
    generation_config: GenerationConfig | None = None
    pronunciation_dictionary_locators: list[Locator] | None = None

    @property
    def has_settings(self) -> bool:
        """Whether it holds what only the first message of a context may."""
        return any(
            (
                self.voice_settings is not None,
                self.generation_config is not None,
                self.pronunciation_dictionary_locators is not None,
            )
        )


_decoder = msgspec.json.Decoder(ClientMessage)


def message_of(message: str | bytes) -> ClientMessage:
    """Read a message; raises `Refused`."""
    if isinstance(message, bytes):
        raise Refused(INVALID, "Messages are JSON in text.")
    try:
        read = _decoder.decode(message)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Refused(INVALID, f"Invalid message: {type(error).__name__}") from error
    speed = None if read.voice_settings is None else read.voice_settings.speed
    if speed is not None and not 0.7 <= speed <= 1.2:
        raise Refused(INVALID, "speed is outside 0.7 to 1.2.")
    return read
