"""The settings of a streaming session: checked, and as the service wants them."""

import json
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import Capabilities, SttOptions, input_format_of
from beluga_voice.providers.stt.assemblyai._capabilities import (
    ENDPOINT,
    FORMATS,
    NAME,
    PATH,
    PHRASES,
    UNFORMATTED_MODELS,
)

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the service has beyond what every recogniser has."""

    model: str
    end_of_turn_confidence: float | None = None
    min_turn_silence_ms: int | None = None
    max_turn_silence_ms: int | None = None
    vad_threshold: float | None = None
    answer_seconds: float = 10.0
    settle_seconds: float = 1.0
    quiet_seconds: float = 10.0

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigurationError("give a model", op=NAME)
        for name in ("end_of_turn_confidence", "vad_threshold"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigurationError(f"{name} {value} is outside 0 to 1", op=NAME)
        for name in ("min_turn_silence_ms", "max_turn_silence_ms"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ConfigurationError(f"{name} {value} is negative", op=NAME)
        for name in ("answer_seconds", "settle_seconds", "quiet_seconds"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{name} should be above 0", op=NAME)


def formats_turns(options: SttOptions, settings: Settings) -> bool:
    """Whether the end of a turn comes a second time, formatted."""
    return options.wants_punctuation and settings.model in UNFORMATTED_MODELS


def url_of(
    endpoint: str | None, options: SttOptions, settings: Settings, capabilities: Capabilities
) -> str:
    """The address of a session, which holds all the settings."""
    shape = input_format_of(capabilities, options.input_format)
    query: dict[str, str | int | float | None] = {
        "sample_rate": shape.rate,
        "encoding": FORMATS[shape],
        "speech_model": settings.model,
        "session_heartbeat": "true",
        "end_of_turn_confidence_threshold": settings.end_of_turn_confidence,
        "min_turn_silence": settings.min_turn_silence_ms,
        "max_turn_silence": settings.max_turn_silence_ms,
        "vad_threshold": settings.vad_threshold,
    }
    if settings.model in UNFORMATTED_MODELS:
        query["format_turns"] = "true" if options.wants_punctuation else "false"
    if phrases := PHRASES.taken(options.phrases, NAME):
        query["keyterms_prompt"] = json.dumps(list(phrases))
    if options.filters_profanity:
        query["filter_profanity"] = "true"
    if options.language is not None and len(capabilities.languages) != 1:
        primary = options.language.replace("_", "-").partition("-")[0].lower()
        query["language_codes"] = json.dumps([primary])
    given = {name: value for name, value in query.items() if value is not None}
    return f"{base_of(endpoint)}?{urlencode(given)}"


def base_of(endpoint: str | None) -> str:
    """The address without the settings; raises `ConfigurationError` for what is none."""
    message = "the endpoint is no address: give wss://host, or wss://host/path, without a query"
    try:
        parts = urlsplit(endpoint or ENDPOINT)
        is_address = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ConfigurationError(message, op=NAME) from None
    if not is_address or parts.query or parts.fragment:
        raise ConfigurationError(message, op=NAME)
    path = parts.path if parts.path.strip("/") else PATH
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, "", ""))
