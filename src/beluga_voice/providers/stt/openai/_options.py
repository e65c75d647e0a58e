"""The settings of a transcription: checked, and as the service wants them."""

from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from beluga_voice.errors import ConfigurationError, Unsupported
from beluga_voice.interfaces import Capabilities, SttOptions, input_format_of
from beluga_voice.providers.openai.account import NAME
from beluga_voice.providers.stt.openai._capabilities import (
    DELAY_MODELS,
    LIVE_MODELS,
    OWN_HOST,
    PHRASES,
    REALTIME_PATH,
    WIRE_FORMATS,
    Transport,
)
from beluga_voice.support import refuse_unsupported_stt


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the service has beyond what every recogniser has."""

    model: str
    transport: Transport
    prompt: str | None = None
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None
    noise_reduction: Literal["near_field", "far_field"] | None = None
    answer_seconds: float = 10.0
    quiet_seconds: float = 10.0

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigurationError("give a model", op=NAME)
        if self.transport not in ("realtime", "rest"):
            raise ConfigurationError("the transport is realtime or rest", op=NAME)
        if self.transport == "rest" and self.model in LIVE_MODELS:
            message = f"{self.model} is served over the realtime transport alone"
            raise ConfigurationError(message, op=NAME)
        for name in ("answer_seconds", "quiet_seconds"):
            if getattr(self, name) <= 0:
                message = f"{name} {getattr(self, name):g} should be above 0"
                raise ConfigurationError(message, op=NAME)
        if self.delay is not None and self.model not in DELAY_MODELS:
            raise Unsupported(f"{self.model} has no delay; leave it out", op=NAME)
        if self.prompt is not None and self.model in DELAY_MODELS:
            raise Unsupported(f"{self.model} takes no prompt; leave it out", op=NAME)
        if self.noise_reduction is not None and self.transport == "rest":
            raise Unsupported("there is no noise reduction over rest; leave it out", op=NAME)


def check(options: SttOptions, capabilities: Capabilities) -> None:
    """Raise `Unsupported` for what the service cannot honour."""
    refuse_unsupported_stt(options, capabilities, NAME)
    if options.language is not None:
        language_of(options.language)


def language_of(tag: str) -> str:
    """The two letters (ISO 639-1) that the service takes, of a tag such as `de-AT`."""
    language = tag.replace("_", "-").split("-")[0].lower()
    if len(language) != 2 or not language.isascii() or not language.isalpha():
        raise Unsupported(f"languages: {tag!r} does not begin with two letters", op="connect")
    return language


def session_of(
    options: SttOptions, settings: Settings, capabilities: Capabilities
) -> dict[str, Any]:
    """The whole configuration of a live transcription."""
    transcription: dict[str, Any] = {"model": settings.model}
    if options.language is not None:
        transcription["language"] = language_of(options.language)
    if settings.prompt is not None:
        transcription["prompt"] = settings.prompt
    if phrases := PHRASES.taken(options.phrases, NAME):
        transcription["keywords"] = list(phrases)
    if settings.delay is not None:
        transcription["delay"] = settings.delay
    reduction = settings.noise_reduction
    heard: dict[str, Any] = {
        "format": WIRE_FORMATS[input_format_of(capabilities, options.input_format)],
        "transcription": transcription,
        # We say where an utterance ends; the live models cannot.
        "turn_detection": None,
        "noise_reduction": None if reduction is None else {"type": reduction},
    }
    return {"type": "transcription", "audio": {"input": heard}}


def fields_of(options: SttOptions, settings: Settings) -> dict[str, Any]:
    """The fields of a posted form, without the file."""
    fields: dict[str, Any] = {"model": settings.model, "response_format": "json"}
    if options.language is not None:
        fields["language"] = language_of(options.language)
    if settings.prompt is not None:
        fields["prompt"] = settings.prompt
    if phrases := PHRASES.taken(options.phrases, NAME):
        fields["keywords[]"] = list(phrases)
    if options.wants_words:
        fields["response_format"] = "verbose_json"
        fields["timestamp_granularities[]"] = "word"
    return fields


def url_of(base: str, model: str, *, sends_model: bool | None) -> str:
    """The address of a live transcription."""
    if sends_model is None:
        sends_model = urlsplit(base).hostname != OWN_HOST
    query = {"intent": "transcription", **({"model": model} if sends_model else {})}
    return f"{base}{REALTIME_PATH}?{urlencode(query)}"
