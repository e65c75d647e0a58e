"""The messages of ElevenLabs' agents, by the vendor's own documents.

The Python SDK has types for the first message only; for it, those are used. All others are written
down here from the AsyncAPI types of `@elevenlabs/types` 0.23.0 (read 2026-11-21), and mark in a
comment what those do not list and published integrations rely on.
"""

from typing import Any, Literal

import msgspec
from elevenlabs.types import ConversationInitiationClientDataRequestInput


class _Exact(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Nothing else may be in it."""


class Alignment(_Exact):
    chars: list[str]
    char_start_times_ms: list[float]
    char_durations_ms: list[float]


class AudioEvent(_Exact):
    audio_base_64: str
    event_id: int
    alignment: Alignment | None = None
    is_final: bool | msgspec.UnsetType = msgspec.UNSET  # not listed, but seen


class Audio(_Exact, tag_field="type", tag="audio"):
    audio_event: AudioEvent


class Transcript(_Exact):
    user_transcript: str
    event_id: int


class UserTranscript(_Exact, tag_field="type", tag="user_transcript"):
    user_transcription_event: Transcript


class Tentative(_Exact, tag_field="type", tag="tentative_user_transcript"):
    tentative_user_transcription_event: Transcript


class ResponseEvent(_Exact):
    agent_response: str
    event_id: int


class AgentResponse(_Exact, tag_field="type", tag="agent_response"):
    agent_response_event: ResponseEvent


class CorrectionEvent(_Exact):
    original_agent_response: str
    corrected_agent_response: str
    event_id: int


class Correction(_Exact, tag_field="type", tag="agent_response_correction"):
    agent_response_correction_event: CorrectionEvent


class EventOnly(_Exact):
    event_id: int


class Interruption(_Exact, tag_field="type", tag="interruption"):
    interruption_event: EventOnly


class Complete(_Exact, tag_field="type", tag="agent_response_complete"):  # not listed, but seen
    agent_response_complete_event: EventOnly


FORMATS = Literal[
    "pcm_8000", "pcm_16000", "pcm_22050", "pcm_24000", "pcm_44100", "pcm_48000", "ulaw_8000"
]


class MetadataEvent(_Exact):
    conversation_id: str
    agent_output_audio_format: FORMATS
    user_input_audio_format: FORMATS


class Metadata(_Exact, tag_field="type", tag="conversation_initiation_metadata"):
    conversation_initiation_metadata_event: MetadataEvent


class Call(_Exact):
    tool_name: str
    tool_call_id: str
    parameters: dict[str, Any]
    event_id: int


class ToolCall(_Exact, tag_field="type", tag="client_tool_call"):
    client_tool_call: Call


class Ran(_Exact):
    tool_name: str
    tool_call_id: str
    tool_type: str
    is_error: bool
    is_called: bool
    event_id: int


class ToolRan(_Exact, tag_field="type", tag="agent_tool_response"):
    agent_tool_response: Ran


class Score(_Exact):
    vad_score: float


class VadScore(_Exact, tag_field="type", tag="vad_score"):
    vad_score_event: Score


class PingEvent(_Exact):
    event_id: int
    ping_ms: int | None = None


class Ping(_Exact, tag_field="type", tag="ping"):
    ping_event: PingEvent


class ErrorEvent(_Exact):
    code: Literal[1000, 1002, 1008, 1011]
    message: str
    error_type: Literal[
        "unknown",
        "invalid_message",
        "telephony_agent_error",
        "mcp_tool_error",
        "mcp_https_error",
        "value_error",
        "missing_fields",
        "override_error",
        "missing_dynamic_variable_transfer",
        "missing_dynamic_variable",
        "websocket_disconnect",
        "safety_violation",
        "llm_timeout",
        "transport_receive_timeout",
        "asyncio_timeout",
        "http_exception",
        "max_duration_exceeded",
        "llm_error",
        "custom_llm_error",
        "cascade_brain_error",
        "asr_transcription_error",
        "vad_error",
        "turn_probability_error",
        "tts_cascade_error",
        "redis_timeout_error",
        "unknown_websocket_crash",
    ]


class Error(_Exact, tag_field="type", tag="error"):
    error_event: ErrorEvent


SERVER = (
    Audio
    | UserTranscript
    | Tentative
    | AgentResponse
    | Correction
    | Interruption
    | Complete
    | Metadata
    | ToolCall
    | ToolRan
    | VadScore
    | Ping
    | Error
)


class Pong(_Exact, tag_field="type", tag="pong"):
    event_id: int


class UserMessage(_Exact, tag_field="type", tag="user_message"):
    text: str


class UserActivity(_Exact, tag_field="type", tag="user_activity"):
    pass


class ContextualUpdate(_Exact, tag_field="type", tag="contextual_update"):
    text: str


class ToolResult(_Exact, tag_field="type", tag="client_tool_result"):
    tool_call_id: str
    result: str
    is_error: bool


CLIENT = Pong | UserMessage | UserActivity | ContextualUpdate | ToolResult


class Sound(_Exact):
    user_audio_chunk: str


def check_server_frame(frame: dict[str, Any]) -> None:
    """Raise if the service would not say this."""
    msgspec.convert(frame, SERVER)


def check_client_frame(frame: dict[str, Any]) -> None:
    """Raise if the service would not take this."""
    match frame.get("type"):
        case None:
            msgspec.convert(frame, Sound)
        case "conversation_initiation_client_data":
            rest = {name: value for name, value in frame.items() if name != "type"}
            taken = ConversationInitiationClientDataRequestInput.model_validate(rest)
            assert not taken.model_extra
            override = taken.conversation_config_override
            for part in (override, *(dict(override).values() if override else ())):
                # The events are in the AsyncAPI types, and not in those of the SDK.
                assert not set(getattr(part, "model_extra", None) or ()) - {"client_events"}
        case _:
            msgspec.convert(frame, CLIENT)
