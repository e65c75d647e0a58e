"""How a conversation with an agent is configured.

The agent is set up at ElevenLabs: its model, its tools, its formats, and what a conversation may
override. All that a conversation can say is in the address and in the first message, and an
override that the agent does not allow ends the call. So nothing is overridden that was not asked
for.

Sources: https://elevenlabs.io/docs/eleven-agents/customization/personalization/overrides and the
AsyncAPI types of `@elevenlabs/types` 0.23.0, read 2026-11-21.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from beluga_voice.errors import ConfigurationError, Unsupported
from beluga_voice.interfaces import Capabilities, S2sOptions
from beluga_voice.providers.s2s.elevenlabs._capabilities import (
    CONVERSATION_PATH,
    FORMATS,
    LANGUAGES,
    NAME,
    SIGNED_URL_PATH,
    SPEEDS,
)
from beluga_voice.support import refuse_unsupported

type Variable = str | int | float | bool
_NO_VARIABLES: Mapping[str, Variable] = {}
_NO_BODY: Mapping[str, Any] = {}
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_HTTP = {"ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for all conversations of one provider; see `ElevenLabsAgents`."""

    agent_id: str
    input_format: str = "pcm_16000"
    branch_id: str | None = None
    environment: str | None = None
    voice: str | None = None
    language: str | None = None
    first_message: str | None = None
    llm: str | None = None
    stability: float | None = None
    similarity_boost: float | None = None
    speed: float | None = None
    keywords: tuple[str, ...] = ()
    client_events: tuple[str, ...] | None = None
    dynamic_variables: Mapping[str, Variable] = field(default_factory=lambda: _NO_VARIABLES)
    llm_extra_body: Mapping[str, Any] = field(default_factory=lambda: _NO_BODY)
    user_id: str | None = None
    response_gap_ms: int = 1500

    def __post_init__(self) -> None:
        if not self.agent_id.strip():
            message = f"the model is the id of your agent at the service; give it: {NAME}:AGENT_ID"
            raise ConfigurationError(message, op=NAME)
        if self.input_format not in FORMATS:
            known = ", ".join(FORMATS)
            raise ConfigurationError(f"input_format is one of {known}", op=NAME)
        _check_range("stability", self.stability, 0, 1)
        _check_range("similarity_boost", self.similarity_boost, 0, 1)
        _check_range("speed", self.speed, *SPEEDS)
        _check_range("response_gap_ms", self.response_gap_ms, 100, 60_000)
        language_of(self.language)


def check(options: S2sOptions, settings: Settings, capabilities: Capabilities) -> None:
    """Raise `Unsupported`, naming the capability, for what cannot be honoured."""
    refuse_unsupported(options, capabilities, NAME)
    language_of(options.language or settings.language)


def initiation_of(options: S2sOptions, settings: Settings) -> dict[str, Any]:
    """The first message."""
    message: dict[str, Any] = {"type": "conversation_initiation_client_data"}
    if override := _override(options, settings):
        message["conversation_config_override"] = override
    if settings.llm_extra_body:
        message["custom_llm_extra_body"] = dict(settings.llm_extra_body)
    if settings.dynamic_variables:
        message["dynamic_variables"] = dict(settings.dynamic_variables)
    if settings.user_id is not None:
        message["user_id"] = settings.user_id
    return message


def _override(options: S2sOptions, settings: Settings) -> dict[str, Any]:
    prompt = _given(prompt=options.instructions or None, llm=settings.llm)
    first_message = settings.first_message
    if first_message is not None and options.history:
        first_message = ""  # the conversation has begun already
    agent = _given(
        prompt=prompt or None,
        first_message=first_message,
        language=language_of(options.language or settings.language),
    )
    tts = _given(
        voice_id=options.voice or settings.voice,
        stability=settings.stability,
        similarity_boost=settings.similarity_boost,
        speed=settings.speed,
    )
    asr = {"keywords": list(settings.keywords)} if settings.keywords else None
    events = None
    if settings.client_events is not None:
        events = {"client_events": list(settings.client_events)}
    return _given(agent=agent or None, tts=tts or None, asr=asr, conversation=events)


def language_of(tag: str | None) -> str | None:
    """The language as the service names it: with its region where it knows that, else without."""
    if tag is None:
        return None
    name = tag.replace("_", "-").lower()
    for one in (name, name.split("-")[0]):
        if one in LANGUAGES:
            return one
    raise Unsupported(f"languages: the service does not list {tag!r}", op=NAME)


def base_of(endpoint: str) -> str:
    """The beginning of all addresses, as a websocket's; `http` and `https` are taken as well."""
    wrong = ConfigurationError("the endpoint is wss://host or https://host", op=NAME)
    try:
        parts = urlsplit(endpoint)
        is_usable = parts.scheme in _SCHEMES and parts.hostname and not parts.query
        is_usable = is_usable and parts.port != 0
    except ValueError:
        raise wrong from None
    if not is_usable:
        raise wrong
    scheme = _SCHEMES[parts.scheme]
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def conversation_url(base: str, settings: Settings) -> str:
    """Where an agent is called that anybody may call, or that asks for a key."""
    return f"{base}{CONVERSATION_PATH}?{_query(settings)}"


def signed_url_url(base: str, settings: Settings) -> str:
    """Where an address is asked for that lets one call in."""
    scheme, rest = base.split("://", 1)
    return f"{_HTTP[scheme]}://{rest}{SIGNED_URL_PATH}?{_query(settings)}"


def _query(settings: Settings) -> str:
    return urlencode(
        _given(
            agent_id=settings.agent_id,
            branch_id=settings.branch_id,
            environment=settings.environment,
        )
    )


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _check_range(name: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:
        raise ConfigurationError(f"{name} is {value:g}; give {least:g} to {most:g}", op=NAME)
