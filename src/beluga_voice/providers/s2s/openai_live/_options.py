"""The settings of an OpenAI Live session: checked, and as the service wants them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import msgspec

from beluga_voice.audio.formats import AudioFormat
from beluga_voice.errors import ConfigurationError, Unsupported
from beluga_voice.events import HistoryItem, Message, Role, ToolSpec
from beluga_voice.interfaces import Capabilities, S2sOptions
from beluga_voice.providers.s2s.openai_live._capabilities import (
    DEFAULT_FORMAT,
    HISTORY_MESSAGES,
    HISTORY_TOKENS,
    MESSAGE_TOKENS,
    WIRE_FORMATS,
)
from beluga_voice.providers.s2s.openai_live._pieces import tokens_of
from beluga_voice.support import refuse_unsupported

NAME = "openai_live"
_OURS = frozenset({"client"})
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_ROLES = {Role.SYSTEM: "developer", Role.USER: "user", Role.AGENT: "assistant"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesDelegation:
    """Work is done by another model of the service, which may call our tools.

    What is `None` is as the service has it. `instructions` are those of the working model.
    """

    model: str
    instructions: str | None = None
    max_output_tokens: int | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    tool_choice: Literal["auto", "none", "required"] | None = None

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigurationError("give the model that does the work", op=NAME)
        if self.max_output_tokens is not None and self.max_output_tokens < 1:
            raise ConfigurationError("max_output_tokens is less than 1", op=NAME)

    def on_wire(self, tools: tuple[ToolSpec, ...]) -> dict[str, Any]:
        """As the service wants it."""
        effort, verbosity = self.reasoning_effort, self.verbosity
        wanted: dict[str, Any] = {
            "model": self.model,
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "parallel_tool_calls": self.parallel_tool_calls,
            "reasoning": None if effort is None else {"effort": effort},
            "text": None if verbosity is None else {"verbosity": verbosity},
            "tool_choice": self.tool_choice,
            "tools": [tool_on_wire(tool) for tool in tools] or None,
        }
        return {name: value for name, value in wanted.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the service has beyond what every speech-to-speech provider has."""

    model: str
    voice: str | None = None
    format: AudioFormat = DEFAULT_FORMAT
    delegation: Literal["client"] | ResponsesDelegation = "client"
    acknowledgement_delay_ms: int | None = None
    store: bool | None = None
    safety_identifier: str | None = None

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigurationError("give a model", op=NAME)
        if self.format not in WIRE_FORMATS:
            raise Unsupported(
                f"input_formats: {self.format} is not taken; PCM at 24000 or 16000, mu-law and "
                "A-law at 8000 are",
                op=NAME,
            )
        if isinstance(self.delegation, str) and self.delegation not in _OURS:
            raise ConfigurationError('delegation is "client" or a ResponsesDelegation', op=NAME)
        if self.acknowledgement_delay_ms is not None and self.acknowledgement_delay_ms < 0:
            raise ConfigurationError("acknowledgement_delay_ms is negative", op=NAME)

    @property
    def backend(self) -> ResponsesDelegation | None:
        """The model that does the work, if it is not us."""
        return None if self.delegation == "client" else self.delegation


def check(options: S2sOptions, capabilities: Capabilities) -> None:
    """Raise `Unsupported`, naming the capability, for what the service cannot honour."""
    if options.language is not None:
        raise Unsupported(
            "languages: the service takes no language; say it in the instructions", op=NAME
        )
    if options.tools and not capabilities.has_tools:
        raise Unsupported(
            "has_tools: work that is delegated to us has no tools; give them to our agent, or the "
            "provider a ResponsesDelegation",
            op=NAME,
        )
    refuse_unsupported(options, capabilities, NAME)
    for tool in options.tools:
        tool_on_wire(tool)


def tool_on_wire(tool: ToolSpec) -> dict[str, Any]:
    """A tool as the service wants it; raises `ConfigurationError` if its schema is no object."""
    try:
        parameters = msgspec.json.decode(tool.parameters or "{}", type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"the parameters of the tool {tool.name!r} are no JSON object", op=NAME
        ) from error
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": parameters,
    }


def session_of(options: S2sOptions, settings: Settings) -> dict[str, Any]:
    """The whole configuration, for `session.start`."""
    audio: dict[str, Any] = {"format": WIRE_FORMATS[settings.format]}
    if (voice := options.voice or settings.voice) is not None:
        audio["output"] = {"voice": {"id": voice} if voice.startswith("voice_") else voice}
    session: dict[str, Any] = {
        "model": settings.model,
        "audio": audio,
        "delegation": delegation_of(options.tools, settings),
    }
    if options.instructions.strip():
        session["instructions"] = options.instructions
    if told := messages_of(options.history):
        session["input"] = told
    if settings.store is not None:
        session["store"] = settings.store
    if settings.safety_identifier is not None:
        session["safety_identifier"] = settings.safety_identifier
    return session


def delegation_of(tools: tuple[ToolSpec, ...], settings: Settings) -> dict[str, Any]:
    """Who does the work, and with which tools."""
    delegation: dict[str, Any] = {"type": "client"}
    if settings.backend is not None:
        delegation = {"type": "responses", "responses": settings.backend.on_wire(tools)}
    if settings.acknowledgement_delay_ms is not None:
        delegation["acknowledgement_delay_ms"] = settings.acknowledgement_delay_ms
    return delegation


def messages_of(history: Iterable[HistoryItem]) -> list[dict[str, Any]]:
    """What was said before: the newest that fit. The service takes words, and no tool calls."""
    told: list[dict[str, Any]] = []
    left = HISTORY_TOKENS
    said = [item for item in history if isinstance(item, Message) and item.text.strip()]
    for item in reversed(said[-HISTORY_MESSAGES:]):
        left -= MESSAGE_TOKENS + tokens_of(item.text)
        if left < 0:
            break
        kind = "output_text" if item.role is Role.AGENT else "input_text"
        content = [{"type": kind, "text": item.text}]
        told.append({"type": "message", "role": _ROLES[item.role], "content": content})
    return told[::-1]


def url_of(endpoint: str) -> str:
    """The address of a session. Raises `ConfigurationError` for what is no web address."""
    parts = urlsplit(endpoint)
    if parts.scheme not in _SCHEMES or not parts.netloc:
        raise ConfigurationError("the endpoint is no address: wss://... or https://...", op=NAME)
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, parts.path, parts.query, ""))
