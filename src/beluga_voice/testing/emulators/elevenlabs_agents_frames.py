"""What a client may say to an agent of ElevenLabs, checked as strictly as the documents allow.

A message of an unknown type, with a field that does not exist, or of another type, is refused.

Source: the AsyncAPI types of `@elevenlabs/types` 0.23.0 and the types of the Python SDK
`elevenlabs` 2.78.0, read 2026-11-21.
"""

import base64
import binascii
from typing import Any, Literal

import msgspec


class BadFrame(Exception):
    """A frame the service would end the conversation for, with the type of its error."""

    def __init__(self, message: str, kind: str = "invalid_message") -> None:
        super().__init__(message)
        self.kind = kind


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A base of all below: nothing else may be in it."""


class Prompt(_Strict, frozen=True):
    """What the model is told, and which model."""

    prompt: str | None = None
    llm: str | None = None


class AgentOverride(_Strict, frozen=True):
    """Another agent than was set up."""

    prompt: Prompt | None = None
    first_message: str | None = None
    language: str | None = None


class TtsOverride(_Strict, frozen=True):
    """Another voice."""

    voice_id: str | None = None
    stability: float | None = None
    speed: float | None = None
    similarity_boost: float | None = None


class AsrOverride(_Strict, frozen=True):
    """Words that are likely."""

    keywords: list[str] | None = None


class ConversationOverride(_Strict, frozen=True):
    """What is sent at all."""

    text_only: bool | None = None
    client_events: list[str] | None = None


class Override(_Strict, frozen=True):
    """What this conversation wants otherwise."""

    agent: AgentOverride | None = None
    tts: TtsOverride | None = None
    asr: AsrOverride | None = None
    conversation: ConversationOverride | None = None
    text_only: bool | None = None
    """The Python SDK puts it here for conversations without sound."""


class SourceInfo(_Strict, frozen=True):
    """Which client it is."""

    source: str | None = None
    version: str | None = None


class Initiation(_Strict, frozen=True):
    """The first message."""

    type: Literal["conversation_initiation_client_data"]
    conversation_config_override: Override | None = None
    custom_llm_extra_body: dict[str, Any] | None = None
    dynamic_variables: dict[str, str | int | float | bool] | None = None
    user_id: str | None = None
    source_info: SourceInfo | None = None


class Sound(_Strict, frozen=True):
    """Sound of the person; the only message without a type."""

    user_audio_chunk: str

    @property
    def decoded(self) -> bytes:
        """The sound."""
        try:
            return base64.b64decode(self.user_audio_chunk, validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadFrame("user_audio_chunk is no base64") from error


class Pong(_Strict, frozen=True):
    """The answer to a ping."""

    type: Literal["pong"]
    event_id: int


class UserMessage(_Strict, frozen=True):
    """Words of the person as text."""

    type: Literal["user_message"]
    text: str | None = None


class UserActivity(_Strict, frozen=True):
    """The person does something: do not speak up."""

    type: Literal["user_activity"]


class ContextualUpdate(_Strict, frozen=True):
    """Something to know, and not to answer."""

    type: Literal["contextual_update"]
    text: str
    context_id: str | None = None


class ClientToolResult(_Strict, frozen=True):
    """What a tool gave."""

    type: Literal["client_tool_result"]
    tool_call_id: str
    result: str
    is_error: bool


type ClientFrame = (
    Initiation | Sound | Pong | UserMessage | UserActivity | ContextualUpdate | ClientToolResult
)

_KINDS: dict[str, type[ClientFrame]] = {
    "conversation_initiation_client_data": Initiation,
    "pong": Pong,
    "user_message": UserMessage,
    "user_activity": UserActivity,
    "contextual_update": ContextualUpdate,
    "client_tool_result": ClientToolResult,
}


def parse(message: str | bytes) -> tuple[ClientFrame, dict[str, Any]]:
    """A frame, and its JSON; raises `BadFrame`."""
    try:
        plain = msgspec.json.decode(message, type=dict[str, Any])
        kind = _KINDS.get(str(plain.get("type"))) if "type" in plain else Sound
        if kind is None:
            raise BadFrame(f"Unknown message type: {plain['type']}")
        return msgspec.convert(plain, kind), plain
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BadFrame(f"Invalid message received: {error}") from error


def overridden(frame: Initiation) -> set[str]:
    """The names of what a conversation wants otherwise, as the security settings name them."""
    plain = msgspec.to_builtins(frame.conversation_config_override or Override())
    return {name for name, value in _leaves("", plain) if value is not None}


def _leaves(prefix: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(prefix.removesuffix("."), value)]
    found: list[tuple[str, Any]] = []
    for name, one in value.items():  # pyright: ignore[reportUnknownVariableType], builtins of ours
        found += _leaves(f"{prefix}{name}.", one)
    return found
