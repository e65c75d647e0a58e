"""What the Grok Voice Agent protocol looks like, for checking every message of both sides.

xAI publishes no types for Python. Where the protocol is OpenAI's, the types of the official OpenAI
SDK check it. The models here are WRITTEN FROM THE DOCUMENTATION (the guide "Voice Agent API" of
docs.x.ai, read on 2026-11-21), for the messages that OpenAI's types do not take.
"""

from typing import Annotated, Any, Literal

from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

OFFICIAL_SERVER: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
OFFICIAL_CLIENT: TypeAdapter[Any] = TypeAdapter(RealtimeClientEvent)


class Model(BaseModel):
    """No field that is not documented, and no conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Format(Model):
    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
    rate: Literal[8000, 16000, 22050, 24000, 32000, 44100, 48000]


class Transcription(Model):
    model: Literal["grok-transcribe"] | None = None
    language_hint: str | None = None
    keyterms: Annotated[list[str], Field(max_length=100)] | None = None


class AudioInput(Model):
    format: Format
    transcription: Transcription | None = None


class AudioOutput(Model):
    format: Format
    speed: Annotated[float, Field(ge=0.7, le=1.5)] | None = None


class Audio(Model):
    input: AudioInput
    output: AudioOutput


class Detection(Model):
    type: Literal["server_vad"]
    threshold: Annotated[float, Field(ge=0.1, le=0.9)] | None = None
    silence_duration_ms: Annotated[int, Field(ge=0, le=10_000)] | None = None
    prefix_padding_ms: Annotated[int, Field(ge=0, le=10_000)] | None = None
    idle_timeout_ms: int | None = None


class Function(Model):
    type: Literal["function"]
    name: str
    description: str
    parameters: dict[str, Any]


class ServerTool(Model):
    type: Literal["web_search", "x_search"]


class Reasoning(Model):
    effort: Literal["high", "none"]


class Resumption(Model):
    enabled: bool


class Session(Model):
    instructions: str | None = None
    voice: str | None = None
    turn_detection: Detection | None = None
    reasoning: Reasoning | None = None
    audio: Audio | None = None
    tools: list[Function | ServerTool] | None = None
    resumption: Resumption | None = None
    replace: dict[str, str] | None = None


class SessionUpdate(Model):
    type: Literal["session.update"]
    event_id: str
    session: Session


class SpokenText(Model):
    type: Literal["output_text"]
    text: str


class ForceMessage(Model):
    type: Literal["force_message"]
    role: Literal["assistant"]
    content: list[SpokenText]
    interruptible: bool
    voice: str | None = None


class CreateForceMessage(Model):
    type: Literal["conversation.item.create"]
    event_id: str
    item: ForceMessage


class ServerMessage(Model):
    """What every message of the service has."""

    event_id: str


class SessionDescribed(ServerMessage):
    class Described(Session):
        id: str
        object: Literal["realtime.session"]
        model: str

    type: Literal["session.created", "session.updated"]
    session: Described


class Ping(ServerMessage):
    type: Literal["ping"]
    timestamp: int


class TranscriptUpdated(ServerMessage):
    type: Literal["conversation.item.input_audio_transcription.updated"]
    item_id: str
    transcript: str


class TranscriptCompleted(ServerMessage):
    type: Literal["conversation.item.input_audio_transcription.completed"]
    item_id: str
    content_index: int
    transcript: str
    status: Literal["in_progress", "completed"] | None = None


class PartDone(ServerMessage):
    type: Literal["response.content_part.done"]
    response_id: str
    item_id: str
    output_index: int
    content_index: int


class ArgumentsDone(ServerMessage):
    type: Literal["response.function_call_arguments.done"]
    item_id: str
    output_index: int
    call_id: str
    name: str
    arguments: str


class Usage(Model):
    input_tokens: int
    output_tokens: int
    total_tokens: int


class ResponseDone(ServerMessage):
    class Response(Model):
        id: str
        object: Literal["realtime.response"]
        status: Literal["completed", "cancelled", "failed", "incomplete"]
        status_details: str | None
        output: list[dict[str, Any]]
        usage: dict[str, Any]
        metadata: dict[str, str] | None
        conversation_id: str | None

    type: Literal["response.done"]
    response: Response
    usage: Usage


OWN_SERVER: dict[str, type[BaseModel]] = {
    "session.created": SessionDescribed,
    "session.updated": SessionDescribed,
    "ping": Ping,
    "conversation.item.input_audio_transcription.updated": TranscriptUpdated,
    "conversation.item.input_audio_transcription.completed": TranscriptCompleted,
    "response.content_part.done": PartDone,
    "response.function_call_arguments.done": ArgumentsDone,
    "response.done": ResponseDone,
}


def check_server(event: dict[str, Any]) -> None:
    """Raises what pydantic raises for an event that the service would not send."""
    own = OWN_SERVER.get(event["type"])
    if own is None:
        OFFICIAL_SERVER.validate_python(event)
    else:
        own.model_validate(event)


def check_client(event: dict[str, Any]) -> None:
    """Raises what pydantic raises for a message that the service would not take."""
    if event["type"] == "session.update":
        SessionUpdate.model_validate(event)
    elif event.get("item", {}).get("type") == "force_message":
        CreateForceMessage.model_validate(event)
    else:
        OFFICIAL_CLIENT.validate_python(event)
        wanted = set(event.get("response", {}))
        assert wanted <= {"modalities", "instructions", "metadata"}, wanted
