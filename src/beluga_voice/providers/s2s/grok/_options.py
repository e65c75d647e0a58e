"""The settings of a Grok Voice Agent session: checked, and as the service wants them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from beluga_voice.errors import ConfigurationError, Unsupported
from beluga_voice.events import ToolSpec
from beluga_voice.interfaces import (
    Capabilities,
    S2sOptions,
    TurnOwner,
    input_format_of,
    output_format_of,
)
from beluga_voice.providers.s2s.grok._capabilities import (
    MAX_DETECTION_MS,
    MAX_KEYTERM_CHARACTERS,
    MAX_KEYTERMS,
    SERVER_TOOLS,
    SPEEDS,
    THRESHOLDS,
    TRANSCRIPTION_MODEL,
    WIRE_FORMATS,
)
from beluga_voice.providers.s2s.realtime_dialect.settings import tool_on_wire
from beluga_voice.support import refuse_unsupported, turn_detection_of

NAME = "grok"

type ServerTool = Literal["web_search", "x_search"]
type Effort = Literal["high", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerVad:
    """The service ends a turn after a silence. What is `None` is as the service has it.

    `threshold` is 0.1 to 0.9 (its own: 0.85); times are milliseconds, to 10,000 (its own: 333
    before the voice). With `idle_timeout_ms`, the model speaks up when the person does not.
    """

    threshold: float | None = None
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None
    idle_timeout_ms: int | None = None

    def __post_init__(self) -> None:
        least, most = THRESHOLDS
        if self.threshold is not None and not least <= self.threshold <= most:
            raise ConfigurationError(
                f"threshold {self.threshold} is outside {least} to {most}", op=NAME
            )
        for name in ("prefix_padding_ms", "silence_duration_ms"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= MAX_DETECTION_MS:
                raise ConfigurationError(
                    f"{name} {value} is outside 0 to {MAX_DETECTION_MS}", op=NAME
                )
        if self.idle_timeout_ms is not None and self.idle_timeout_ms < 0:
            raise ConfigurationError(f"idle_timeout_ms {self.idle_timeout_ms} is negative", op=NAME)

    def on_wire(self) -> dict[str, Any]:
        """As the service wants it."""
        given = {name: getattr(self, name) for name in self.__slots__}
        kept = {name: value for name, value in given.items() if value is not None}
        return {"type": "server_vad", **kept}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the service has beyond what every speech-to-speech provider has."""

    model: str
    voice: str | None = None
    turn_detection: ServerVad = field(default_factory=ServerVad)
    keyterms: tuple[str, ...] = ()
    speed: float | None = None
    reasoning_effort: Effort | None = None
    pronunciations: Mapping[str, str] = field(default_factory=dict[str, str])
    server_tools: tuple[ServerTool, ...] = ()
    resumption: bool = True

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigurationError("give a model", op=NAME)
        if self.speed is not None and not SPEEDS[0] <= self.speed <= SPEEDS[1]:
            raise ConfigurationError(
                f"speed {self.speed} is outside {SPEEDS[0]} to {SPEEDS[1]}", op=NAME
            )
        if len(self.keyterms) > MAX_KEYTERMS:
            raise ConfigurationError(f"there may be {MAX_KEYTERMS} keyterms at most", op=NAME)
        if any(len(one) > MAX_KEYTERM_CHARACTERS for one in self.keyterms):
            raise ConfigurationError(
                f"a keyterm has {MAX_KEYTERM_CHARACTERS} characters at most", op=NAME
            )


def check(options: S2sOptions, settings: Settings, capabilities: Capabilities) -> None:
    """Raise `Unsupported`, naming the capability, for what the service cannot honour."""
    refuse_unsupported(options, capabilities, NAME)
    _detection_of(options, settings)
    tools_on_wire(options.tools, settings)


def tools_on_wire(tools: tuple[ToolSpec, ...], settings: Settings) -> list[dict[str, Any]]:
    """The service's own tools and ours; raises `ConfigurationError` for a name that is taken."""
    for tool in tools:
        if tool.name in SERVER_TOOLS:
            raise ConfigurationError(
                f"the service has a tool of its own named {tool.name!r}; name yours otherwise",
                op=NAME,
            )
    own = [{"type": name} for name in settings.server_tools]
    return [*own, *(tool_on_wire(tool, op=NAME) for tool in tools)]


def session_of(
    options: S2sOptions, settings: Settings, capabilities: Capabilities
) -> dict[str, Any]:
    """The whole configuration, for the first `session.update`."""
    transcription: dict[str, Any] = {"model": TRANSCRIPTION_MODEL}
    if options.language is not None:
        transcription["language_hint"] = options.language
    if settings.keyterms:
        transcription["keyterms"] = list(settings.keyterms)
    input_format = input_format_of(capabilities, options.input_format)
    output_format = output_format_of(capabilities, options.output_format)
    spoken: dict[str, Any] = {"format": WIRE_FORMATS[output_format]}
    if settings.speed is not None:
        spoken["speed"] = settings.speed
    session: dict[str, Any] = {
        "turn_detection": _detection_of(options, settings),
        "audio": {
            "input": {"format": WIRE_FORMATS[input_format], "transcription": transcription},
            "output": spoken,
        },
        "resumption": {"enabled": settings.resumption},
    }
    if options.instructions:
        session["instructions"] = options.instructions
    if (voice := options.voice or settings.voice) is not None:
        session["voice"] = voice
    if tools := tools_on_wire(options.tools, settings):
        session["tools"] = tools
    if settings.reasoning_effort is not None:
        session["reasoning"] = {"effort": settings.reasoning_effort}
    if settings.pronunciations:
        session["replace"] = dict(settings.pronunciations)
    return session


def _detection_of(options: S2sOptions, settings: Settings) -> dict[str, Any] | None:
    """How the service ends turns; `None` if we end them."""
    if options.turn_owner is TurnOwner.FRAMEWORK:
        return None
    asked, ours = turn_detection_of(options), settings.turn_detection
    try:
        merged = ServerVad(
            threshold=ours.threshold if asked.threshold is None else asked.threshold,
            prefix_padding_ms=ours.prefix_padding_ms
            if asked.prefix_ms is None
            else asked.prefix_ms,
            silence_duration_ms=ours.silence_duration_ms
            if asked.silence_ms is None
            else asked.silence_ms,
            idle_timeout_ms=ours.idle_timeout_ms,
        )
    except ConfigurationError as error:
        raise Unsupported(f"turn_detection: {error.message}", op=NAME) from error
    return merged.on_wire()
