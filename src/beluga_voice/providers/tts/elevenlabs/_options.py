"""The settings of a voice: checked, as the query of its address, and as a context begins with."""

from dataclasses import dataclass
from typing import Literal

from beluga_voice.errors import ConfigurationError, Unsupported
from beluga_voice.interfaces import Capabilities, TtsOptions, output_format_of
from beluga_voice.providers.elevenlabs.account import NAME, primary
from beluga_voice.providers.tts.elevenlabs._capabilities import (
    DIALOGUE_MODELS,
    FORMATS,
    LANGUAGE_CODE_MODELS,
    MAX_INACTIVITY_SECONDS,
    SPEEDS,
    UNSPACED,
)
from beluga_voice.support import refuse_unsupported_tts

type Spelling = Literal["auto", "on", "off"]
type Words = Literal["read", "written"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the service has beyond what every text-to-speech provider has."""

    model: str
    voice: str
    similarity_boost: float | None = None
    style_exaggeration: float | None = None
    use_speaker_boost: bool | None = None
    text_normalization: Spelling | None = None
    words: Words | None = None
    keeps_no_log: bool = False
    inactivity_seconds: int = MAX_INACTIVITY_SECONDS
    gather_seconds: float = 0.5
    quiet_seconds: float = 10.0
    probe_seconds: float | None = 1.0

    def __post_init__(self) -> None:
        for name in ("model", "voice"):
            if not getattr(self, name):
                raise ConfigurationError(f"give a {name}", op=NAME)
        if self.model.startswith(DIALOGUE_MODELS):
            raise ConfigurationError(
                f"{self.model} is not for conversations of several contexts; "
                "take eleven_flash_v2_5 or eleven_multilingual_v2",
                op=NAME,
            )
        for name in ("similarity_boost", "style_exaggeration"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigurationError(f"{name} {value} is outside 0 to 1", op=NAME)
        if not 1 <= self.inactivity_seconds <= MAX_INACTIVITY_SECONDS:
            message = f"inactivity_seconds is outside 1 to {MAX_INACTIVITY_SECONDS}"
            raise ConfigurationError(message, op=NAME)
        for name in ("gather_seconds", "quiet_seconds", "probe_seconds"):
            seconds = getattr(self, name)
            if seconds is not None and seconds <= 0:
                raise ConfigurationError(f"{name} should be above 0", op=NAME)


def check(options: TtsOptions, capabilities: Capabilities) -> None:
    """Raise `Unsupported`, naming the capability, for what the service cannot honour."""
    refuse_unsupported_tts(options, capabilities, NAME)
    if not SPEEDS[0] <= options.speed <= SPEEDS[1]:
        message = f"speed {options.speed} is outside {SPEEDS[0]} to {SPEEDS[1]}"
        raise Unsupported(message, op="connect")


def path_of(options: TtsOptions, settings: Settings) -> tuple[str, ...]:
    """Where the voice is."""
    return ("v1", "text-to-speech", options.voice or settings.voice, "multi-stream-input")


def query_of(
    options: TtsOptions, settings: Settings, capabilities: Capabilities
) -> list[tuple[str, str]]:
    """What holds for the whole connection."""
    target = output_format_of(capabilities, options.output_format)
    query = [
        ("model_id", settings.model),
        ("output_format", FORMATS[target]),
        ("inactivity_timeout", str(settings.inactivity_seconds)),
        ("sync_alignment", "true"),
    ]
    if options.language is not None and settings.model in LANGUAGE_CODE_MODELS:
        query.append(("language_code", primary(options.language)))
    if options.is_ssml:
        query.append(("enable_ssml_parsing", "true"))
    if settings.text_normalization is not None:
        query.append(("apply_text_normalization", settings.text_normalization))
    if settings.keeps_no_log:
        query.append(("enable_logging", "false"))
    return query


def voice_settings_of(options: TtsOptions, settings: Settings) -> dict[str, float | bool]:
    """What each context begins with."""
    given = {
        "stability": options.stability,
        "similarity_boost": settings.similarity_boost,
        "style": settings.style_exaggeration,
        "use_speaker_boost": settings.use_speaker_boost,
        "speed": None if options.speed == 1.0 else options.speed,
    }
    return {name: value for name, value in given.items() if value is not None}


def reads_as_written(options: TtsOptions, settings: Settings) -> bool:
    """Whether words are told as they are written, not as they are read out."""
    if settings.words is not None:
        return settings.words == "written"
    return options.language is not None and primary(options.language) in UNSPACED
