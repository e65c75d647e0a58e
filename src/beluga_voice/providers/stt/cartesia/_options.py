"""The settings of Cartesia Ink: checked, and as the service wants them."""

from dataclasses import dataclass, field

from beluga_voice.audio.formats import AudioFormat
from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import Capabilities, SttOptions, input_format_of
from beluga_voice.providers.cartesia.service import NAME
from beluga_voice.providers.stt.cartesia._capabilities import (
    DEFAULT_EAGER_END_THRESHOLD,
    DEFAULT_END_THRESHOLD,
    DEFAULT_END_TIMEOUT_MS,
    DEFAULT_MODEL,
    DEFAULT_START_THRESHOLD,
    EAGER_END_THRESHOLDS,
    END_THRESHOLDS,
    END_TIMEOUTS_MS,
    KEEPALIVE_SECONDS,
    PHRASES,
    START_THRESHOLDS,
    WHISPER,
    WIRE_ENCODINGS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnThresholds:
    """How the service finds turns: all of it is how sure it is that the person is speaking.

    A turn starts above `start` (0.5 to 0.9), may be over below `eager_end` (0.3 to 0.6), and is
    over below `end` (0.05 to 0.5), or `end_timeout_ms` (640 to 11200) after the voice. Raises
    `ConfigurationError` for what lies outside, or in another order.
    """

    start: float = DEFAULT_START_THRESHOLD
    eager_end: float = DEFAULT_EAGER_END_THRESHOLD
    end: float = DEFAULT_END_THRESHOLD
    end_timeout_ms: int = DEFAULT_END_TIMEOUT_MS

    def __post_init__(self) -> None:
        for name, (least, most) in (
            ("start", START_THRESHOLDS),
            ("eager_end", EAGER_END_THRESHOLDS),
            ("end", END_THRESHOLDS),
            ("end_timeout_ms", END_TIMEOUTS_MS),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigurationError(f"{name} {value} is outside {least} to {most}", op=NAME)
        if not self.end < self.eager_end < self.start:
            message = f"thresholds should rise: end {self.end}, eager_end {self.eager_end}, "
            raise ConfigurationError(f"{message}start {self.start}", op=NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the service has beyond what every speech-to-text provider has."""

    model: str = DEFAULT_MODEL
    is_manual: bool = False
    thresholds: TurnThresholds = field(default_factory=TurnThresholds)
    max_silence_seconds: float | None = None
    min_volume: float | None = None
    finish_seconds: float = 2.0
    quiet_seconds: float = 10.0
    keepalive_seconds: float = KEEPALIVE_SECONDS

    def __post_init__(self) -> None:
        is_whisper = self.model.startswith(WHISPER)
        if not self.model:
            raise ConfigurationError("give a model", op=NAME)
        if is_whisper and not self.is_manual:
            raise ConfigurationError(f"{self.model} finds no turns; say manual=True", op=NAME)
        for name in ("max_silence_seconds", "min_volume"):
            value = getattr(self, name)
            if value is not None and not is_whisper:
                raise ConfigurationError(f"{name} is for {WHISPER} only", op=NAME)
            if value is not None and value < 0:
                raise ConfigurationError(f"{name} {value} is negative", op=NAME)
        for name in ("finish_seconds", "quiet_seconds", "keepalive_seconds"):
            value = getattr(self, name)
            if value <= 0:
                raise ConfigurationError(f"{name} {value} should be above 0", op=NAME)


def query_of(
    options: SttOptions, settings: Settings, capabilities: Capabilities
) -> list[tuple[str, str]]:
    """The whole configuration, which is the query of the address.

    Raises `Unsupported` for more phrases than the service takes.
    """
    source = input_format_of(capabilities, options.input_format)
    query = [
        ("model", settings.model),
        ("encoding", encoding_of(source)),
        ("sample_rate", str(source.rate)),
    ]
    if settings.is_manual:
        if options.language is not None:
            query.append(("language", primary(options.language)))
        if settings.max_silence_seconds is not None:
            query.append(("max_silence_duration_secs", f"{settings.max_silence_seconds:g}"))
        if settings.min_volume is not None:
            query.append(("min_volume", f"{settings.min_volume:g}"))
    else:
        thresholds = settings.thresholds
        query += [
            ("turn_start_threshold", f"{thresholds.start:g}"),
            ("turn_eager_end_threshold", f"{thresholds.eager_end:g}"),
            ("turn_end_threshold", f"{thresholds.end:g}"),
            ("turn_end_timeout_ms", str(thresholds.end_timeout_ms)),
        ]
    return [*query, *(("keyterm", term) for term in PHRASES.taken(options.phrases, NAME))]


def encoding_of(source: AudioFormat) -> str:
    """The service's word for how samples are written."""
    return WIRE_ENCODINGS[source.encoding]


def primary(language: str) -> str:
    """A language without its region."""
    return language.replace("_", "-").split("-")[0].lower()
