"""How an emulated agent of ElevenLabs is set up, and what the service answers where that is broken.

Sources: the AsyncAPI types of `@elevenlabs/types` 0.23.0 (formats, events, error types, close
codes), https://elevenlabs.io/docs/eleven-agents/customization/personalization/overrides, read
2026-11-21.
"""

from dataclasses import dataclass

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.events import ToolSpec
from beluga_voice.testing.emulators.elevenlabs_agents_frames import BadFrame, Initiation, overridden

FORMATS: dict[str, AudioFormat] = {
    **{f"pcm_{rate}": pcm16(rate) for rate in (8000, 16000, 22050, 24000, 44100, 48000)},
    "ulaw_8000": AudioFormat(Encoding.MULAW, 8000),
}
OVERRIDES = frozenset(
    {
        "agent.prompt.prompt",
        "agent.prompt.llm",
        "agent.first_message",
        "agent.language",
        "tts.voice_id",
        "tts.stability",
        "tts.speed",
        "tts.similarity_boost",
        "asr.keywords",
        "conversation.text_only",
        "conversation.client_events",
        "text_only",
    }
)
DEFAULT_EVENTS = frozenset(
    {
        "audio",
        "interruption",
        "agent_response",
        "user_transcript",
        "tentative_user_transcript",
        "conversation_initiation_metadata",
        "ping",
    }
)
ALL_EVENTS = DEFAULT_EVENTS | {
    "agent_response_correction",
    "agent_response_complete",
    "agent_tool_response",
    "client_tool_call",
    "vad_score",
}
VOICES = frozenset({"21m00Tcm4TlvDq8ikWAM", "EXAVITQu4vr4xnSDxMaL", "JBFqnCBsd6RMkjVDRZzb"})

CLOSE_CODES = {
    "max_duration_exceeded": 1000,
    "llm_timeout": 1002,
    "transport_receive_timeout": 1002,
    "override_error": 1008,
    "missing_dynamic_variable": 1008,
    "invalid_message": 1008,
    "value_error": 1008,
}
"""By the type of an error; all others close with 1011."""
PASSING = frozenset({"mcp_tool_error", "mcp_https_error"})
"""The types of the errors after which the conversation goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatedAgent:
    """An agent as it is set up at ElevenLabs."""

    instructions: str = ""
    first_message: str = ""
    input_format: str = "pcm_16000"
    output_format: str = "pcm_16000"
    is_private: bool = True
    """It takes calls at signed addresses, or with a key, only."""
    allows: frozenset[str] = OVERRIDES
    """What a conversation may override."""
    client_events: frozenset[str] = ALL_EVENTS
    variables: frozenset[str] = frozenset()
    """The dynamic variables its texts need."""
    tools: tuple[ToolSpec, ...] = ()
    tool_seconds: float = 20.0
    """How long it waits for a tool."""


def check(agent: EmulatedAgent, frame: Initiation) -> None:
    """Raise `BadFrame` for what the agent does not allow, or lacks."""
    for name in sorted(overridden(frame) - agent.allows):
        raise BadFrame(f"Override for field '{name}' is not allowed by config.", "override_error")
    for name in sorted(agent.variables - set(frame.dynamic_variables or {})):
        message = f"Missing required dynamic variable: {name}"
        raise BadFrame(message, "missing_dynamic_variable")
    override = frame.conversation_config_override
    if override is None:
        return
    if override.conversation is not None:
        unknown = set(override.conversation.client_events or ()) - ALL_EVENTS
        if unknown:
            raise BadFrame(f"Unknown client event: {min(unknown)}")
    if override.tts is not None:
        if override.tts.voice_id not in (None, *VOICES):
            raise BadFrame("A voice with that voice_id was not found.", "value_error")
        speed = override.tts.speed
        if speed is not None and not 0.7 <= speed <= 1.2:
            raise BadFrame("speed is outside 0.7 to 1.2", "value_error")
