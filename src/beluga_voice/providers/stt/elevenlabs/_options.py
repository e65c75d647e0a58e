"""The settings of a Scribe session: checked, and as the query of its address."""

from dataclasses import dataclass
from typing import Literal

from beluga_voice.errors import ConfigurationError, Unsupported
from beluga_voice.interfaces import Capabilities, SttOptions, input_format_of
from beluga_voice.providers.elevenlabs.account import NAME, primary
from beluga_voice.providers.stt.elevenlabs._capabilities import (
    DURATIONS_MS,
    FORMATS,
    MAX_PREVIOUS_CHARACTERS,
    PHRASES,
    SILENCE_SECONDS,
    THRESHOLDS,
)
from beluga_voice.support import refuse_unsupported_stt

type CommitStrategy = Literal["manual", "vad"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the service has beyond what every speech-to-text provider has."""

    model: str
    commit_strategy: CommitStrategy = "manual"
    vad_silence_seconds: float | None = None
    vad_threshold: float | None = None
    min_speech_ms: int | None = None
    min_silence_ms: int | None = None
    secondary_languages: tuple[str, ...] = ()
    detects_language: bool = False
    no_verbatim: bool = False
    filters_background: bool = False
    previous_text: str = ""
    keeps_no_log: bool = False
    answer_seconds: float = 10.0
    quiet_seconds: float = 10.0
    settle_seconds: float = 1.0

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigurationError("give a model", op=NAME)
        if self.commit_strategy not in ("manual", "vad"):
            raise ConfigurationError("commit_strategy is manual or vad", op=NAME)
        ranges = {
            "vad_silence_seconds": SILENCE_SECONDS,
            "vad_threshold": THRESHOLDS,
            "min_speech_ms": DURATIONS_MS,
            "min_silence_ms": DURATIONS_MS,
        }
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            if value is None:
                continue
            if not self.finds_turns:
                raise ConfigurationError(f'{name} needs commit_strategy="vad"', op=NAME)
            if not least <= value <= most:
                raise ConfigurationError(f"{name} {value} is outside {least} to {most}", op=NAME)
        if len(self.previous_text) > MAX_PREVIOUS_CHARACTERS:
            raise ConfigurationError(
                f"previous_text has {MAX_PREVIOUS_CHARACTERS} characters at most", op=NAME
            )
        for name in ("answer_seconds", "quiet_seconds", "settle_seconds"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{name} should be above 0", op=NAME)

    @property
    def finds_turns(self) -> bool:
        """Whether the service ends utterances by itself."""
        return self.commit_strategy == "vad"


def check(options: SttOptions, settings: Settings, capabilities: Capabilities) -> None:
    """Raise `Unsupported`, naming the capability, for what the service cannot honour."""
    refuse_unsupported_stt(options, capabilities, NAME)
    PHRASES.taken(options.phrases, NAME)
    if options.wants_words and settings.filters_background:
        raise Unsupported("wants_words: not together with filters_background", op="connect")


def query_of(
    options: SttOptions, settings: Settings, capabilities: Capabilities
) -> list[tuple[str, str]]:
    """The whole configuration."""
    source = input_format_of(capabilities, options.input_format)
    query = [
        ("model_id", settings.model),
        ("audio_format", FORMATS[source]),
        ("commit_strategy", settings.commit_strategy),
    ]
    given = {
        "vad_silence_threshold_secs": settings.vad_silence_seconds,
        "vad_threshold": settings.vad_threshold,
        "min_speech_duration_ms": settings.min_speech_ms,
        "min_silence_duration_ms": settings.min_silence_ms,
        "language_code": None if options.language is None else primary(options.language),
    }
    query += [(name, str(value)) for name, value in given.items() if value is not None]
    switches = {
        "include_timestamps": options.wants_words,
        "include_language_detection": settings.detects_language,
        "no_verbatim": settings.no_verbatim,
        "filter_background_audio": settings.filters_background,
    }
    query += [(name, "true") for name, is_on in switches.items() if is_on]
    if settings.keeps_no_log:
        query.append(("enable_logging", "false"))
    query += [("secondary_languages", primary(one)) for one in settings.secondary_languages]
    return query + [("keyterms", one) for one in PHRASES.taken(options.phrases, NAME)]
