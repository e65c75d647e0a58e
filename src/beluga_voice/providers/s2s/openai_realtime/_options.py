"""The settings of an OpenAI Realtime session: checked, and as the service wants them."""

from dataclasses import dataclass, field
from typing import Any, Literal

from beluga_voice.errors import ConfigurationError, Unsupported
from beluga_voice.interfaces import (
    Capabilities,
    S2sOptions,
    TurnOwner,
    input_format_of,
    output_format_of,
)
from beluga_voice.providers.s2s.openai_realtime._capabilities import (
    DEFAULT_TRANSCRIPTION_MODEL,
    MAX_OUTPUT_TOKENS,
    OWN_VOICE,
    SPEEDS,
    WIRE_FORMATS,
    can_reason,
)
from beluga_voice.providers.s2s.realtime_dialect.settings import tool_on_wire
from beluga_voice.providers.s2s.realtime_dialect.settings import url_of as address_of
from beluga_voice.support import refuse_unsupported, turn_detection_of

NAME = "openai_realtime"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerVad:
    """The service ends a turn after a silence. What is `None` is as the service has it.

    `threshold` is 0 to 1 (its own: 0.5); times are milliseconds (its own: 300 before the voice, 500
    of silence). With `idle_timeout_ms`, the model speaks up when the person does not.
    """

    threshold: float | None = None
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None
    idle_timeout_ms: int | None = None
    interrupt_response: bool = True
    """Whether the service stops its response when it hears the person."""

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ConfigurationError(f"threshold {self.threshold} is outside 0 to 1", op=NAME)
        for name in ("prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ConfigurationError(f"{name} {value} is negative", op=NAME)

    def on_wire(self) -> dict[str, Any]:
        """As the service wants it."""
        return {"type": "server_vad", **_given(self, "interrupt_response")}


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticVad:
    """The service ends a turn when the words sound finished.

    With low, medium and high `eagerness` it waits for at most 8, 4 and 2 seconds; auto is medium.
    """

    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    interrupt_response: bool = True

    def on_wire(self) -> dict[str, Any]:
        """As the service wants it."""
        return {"type": "semantic_vad", "eagerness": self.eagerness}


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcription:
    """How the person's words are written down, by a model of its own that is charged apart."""

    model: str = DEFAULT_TRANSCRIPTION_MODEL
    prompt: str | None = None
    keywords: tuple[str, ...] = ()

    def on_wire(self, language: str | None) -> dict[str, Any]:
        """As the service wants it."""
        wanted: dict[str, Any] = {
            "model": self.model,
            "prompt": self.prompt,
            "language": language,
        }
        if self.keywords:
            wanted["keywords"] = list(self.keywords)
        return {name: value for name, value in wanted.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the service has beyond what every speech-to-speech provider has."""

    model: str
    voice: str | None = None
    turn_detection: ServerVad | SemanticVad = field(default_factory=ServerVad)
    transcription: Transcription | None = field(default_factory=Transcription)
    noise_reduction: Literal["near_field", "far_field"] | None = None
    speed: float | None = None
    reasoning_effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None
    parallel_tool_calls: bool | None = None
    tool_choice: str | None = None
    max_output_tokens: int | None = None

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigurationError("give a model", op=NAME)
        if self.speed is not None and not SPEEDS[0] <= self.speed <= SPEEDS[1]:
            raise ConfigurationError(
                f"speed {self.speed} is outside {SPEEDS[0]} to {SPEEDS[1]}", op=NAME
            )
        for name in ("reasoning_effort", "parallel_tool_calls"):
            if getattr(self, name) is not None and not can_reason(self.model):
                raise Unsupported(f"{self.model} has no {name}; leave it out", op=NAME)
        _check_tokens(self.max_output_tokens)


def check(options: S2sOptions, settings: Settings, capabilities: Capabilities) -> None:
    """Raise `Unsupported`, naming the capability, for what the service cannot honour."""
    refuse_unsupported(options, capabilities, NAME)
    if options.language is not None:
        language_of(options.language)
        if settings.transcription is None:
            raise Unsupported(
                "languages: the language is a hint for transcription, which is off", op=NAME
            )
    _check_tokens(options.max_output_tokens)
    for tool in options.tools:
        tool_on_wire(tool, op=NAME)


def _check_tokens(limit: int | None) -> None:
    if limit is not None and not 1 <= limit <= MAX_OUTPUT_TOKENS:
        raise Unsupported(
            f"has_output_token_limit: {limit} is outside 1 to {MAX_OUTPUT_TOKENS}", op=NAME
        )


def language_of(tag: str) -> str:
    """The two letters (ISO 639-1) that the service takes, of a tag such as `de-AT`."""
    language = tag.replace("_", "-").split("-")[0].lower()
    if len(language) != 2 or not language.isascii() or not language.isalpha():
        raise Unsupported(f"languages: {tag!r} does not begin with two letters", op=NAME)
    return language


def session_of(
    options: S2sOptions, settings: Settings, capabilities: Capabilities
) -> dict[str, Any]:
    """The whole configuration, for the first `session.update`."""
    voice = options.voice or settings.voice
    reduction = settings.noise_reduction
    input_format = input_format_of(capabilities, options.input_format)
    output_format = output_format_of(capabilities, options.output_format)
    heard: dict[str, Any] = {
        "format": WIRE_FORMATS[input_format],
        "turn_detection": _detection_of(options, settings),
        "transcription": _transcription_of(options, settings),
        "noise_reduction": None if reduction is None else {"type": reduction},
    }
    spoken: dict[str, Any] = {"format": WIRE_FORMATS[output_format]}
    if voice is not None:
        spoken["voice"] = voice_on_wire(voice)
    if settings.speed is not None:
        spoken["speed"] = settings.speed
    session: dict[str, Any] = {
        "type": "realtime",
        "output_modalities": ["audio"],
        "audio": {"input": heard, "output": spoken},
    }
    if options.instructions:
        session["instructions"] = options.instructions
    if options.tools:
        session["tools"] = [tool_on_wire(tool, op=NAME) for tool in options.tools]
    limit = options.max_output_tokens or settings.max_output_tokens
    if limit is not None:
        session["max_output_tokens"] = limit
    if settings.reasoning_effort is not None:
        session["reasoning"] = {"effort": settings.reasoning_effort}
    for name in ("parallel_tool_calls", "tool_choice"):
        if (value := getattr(settings, name)) is not None:
            session[name] = value
    return session


def _detection_of(options: S2sOptions, settings: Settings) -> dict[str, Any] | None:
    """Who ends turns, and whether the end of one is answered; `None` if we end them."""
    if options.turn_owner is TurnOwner.FRAMEWORK:
        return None
    asked = turn_detection_of(options)
    wanted = {
        "threshold": asked.threshold,
        "prefix_padding_ms": asked.prefix_ms,
        "silence_duration_ms": asked.silence_ms,
    }
    return {
        **settings.turn_detection.on_wire(),
        **{name: value for name, value in wanted.items() if value is not None},
        "create_response": options.respond_automatically,
        "interrupt_response": settings.turn_detection.interrupt_response,
    }


def voice_on_wire(voice: str) -> str | dict[str, str]:
    """A voice by its name, or one's own by its id."""
    return {"id": voice} if voice.startswith(OWN_VOICE) else voice


def _transcription_of(options: S2sOptions, settings: Settings) -> dict[str, Any] | None:
    if settings.transcription is None:
        return None
    tag = options.language
    return settings.transcription.on_wire(None if tag is None else language_of(tag))


def url_of(endpoint: str, model: str) -> str:
    """The address of a session. Raises `ConfigurationError` for what is no web address."""
    return address_of(endpoint, op=NAME, model=model)


def _given(settings: ServerVad, *without: str) -> dict[str, Any]:
    """The fields that are not `None`."""
    given = {name: getattr(settings, name) for name in settings.__slots__ if name not in without}
    return {name: value for name, value in given.items() if value is not None}
