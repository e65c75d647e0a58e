"""What an OpenAI Realtime client may send, checked as strictly as the service does.

Written from the API reference, apart from the provider: what both misread alike, the official
SDK's own models would show in the tests.
"""

import binascii
import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, UnsetType


class Refused(Exception):
    """The service answers with an error event, and goes on."""

    def __init__(self, code: str, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


class _Strict(Struct, forbid_unknown_fields=True):
    """No field that is not known."""


class Pcm(_Strict, tag_field="type", tag="audio/pcm"):
    rate: Literal[24000] = 24000


class Mulaw(_Strict, tag_field="type", tag="audio/pcmu"):
    pass


class Alaw(_Strict, tag_field="type", tag="audio/pcma"):
    pass


type Format = Pcm | Mulaw | Alaw


class NoiseReduction(_Strict):
    type: Literal["near_field", "far_field"]
    strength: float | None = None


class Transcription(_Strict):
    model: str | None = None
    language: str | None = None
    prompt: str | None = None
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None
    keywords: list[str] | None = None
    languages: list[str] | None = None


class ServerVad(_Strict, tag_field="type", tag="server_vad"):
    threshold: Annotated[float, Meta(ge=0, le=1)] | None = 0.5
    prefix_padding_ms: Annotated[int, Meta(ge=0)] | None = 300
    silence_duration_ms: Annotated[int, Meta(ge=0)] | None = 500
    idle_timeout_ms: Annotated[int, Meta(ge=0)] | None = None
    create_response: bool = True
    interrupt_response: bool = True


class SemanticVad(_Strict, tag_field="type", tag="semantic_vad"):
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True


type TurnDetection = ServerVad | SemanticVad


class AudioInput(_Strict):
    format: Format | UnsetType = msgspec.UNSET
    transcription: Transcription | UnsetType | None = msgspec.UNSET
    noise_reduction: NoiseReduction | UnsetType | None = msgspec.UNSET
    turn_detection: TurnDetection | UnsetType | None = msgspec.UNSET


class VoiceId(_Strict):
    id: str


class AudioOutput(_Strict):
    format: Format | UnsetType = msgspec.UNSET
    voice: str | VoiceId | UnsetType = msgspec.UNSET
    speed: Annotated[float, Meta(ge=0.25, le=1.5)] | UnsetType = msgspec.UNSET


class Audio(_Strict):
    input: AudioInput | UnsetType = msgspec.UNSET
    output: AudioOutput | UnsetType = msgspec.UNSET


class Function(_Strict):
    type: Literal["function"]
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str = ""
    parameters: dict[str, Any] = {}


class Reasoning(_Strict):
    effort: Literal["minimal", "low", "medium", "high", "xhigh"]


type Tokens = Annotated[int, Meta(ge=1, le=4096)] | Literal["inf"]
type Modalities = Annotated[list[Literal["audio", "text"]], Meta(min_length=1, max_length=1)]
type ToolChoice = str | dict[str, str]


class Session(_Strict):
    type: Literal["realtime"]
    model: str | None = None
    output_modalities: Modalities | UnsetType = msgspec.UNSET
    instructions: str | UnsetType = msgspec.UNSET
    audio: Audio | UnsetType = msgspec.UNSET
    tools: list[Function] | UnsetType = msgspec.UNSET
    tool_choice: ToolChoice | UnsetType = msgspec.UNSET
    parallel_tool_calls: bool | UnsetType = msgspec.UNSET
    max_output_tokens: Tokens | UnsetType = msgspec.UNSET
    reasoning: Reasoning | UnsetType = msgspec.UNSET
    truncation: str | dict[str, Any] | UnsetType = msgspec.UNSET
    tracing: str | dict[str, Any] | UnsetType | None = msgspec.UNSET
    include: list[str] | UnsetType | None = msgspec.UNSET


class Content(_Strict):
    type: Literal["input_text", "input_audio", "output_text"]
    text: str | None = None
    audio: str | None = None
    transcript: str | None = None


class MessageItem(_Strict, tag_field="type", tag="message"):
    role: Literal["user", "assistant", "system"]
    content: list[Content]
    id: Annotated[str, Meta(max_length=32)] | None = None
    object: str | None = None
    status: Literal["completed", "incomplete", "in_progress"] | None = None


class FunctionCallItem(_Strict, tag_field="type", tag="function_call"):
    name: str
    arguments: str
    call_id: str | None = None
    id: Annotated[str, Meta(max_length=32)] | None = None
    object: str | None = None
    status: Literal["completed", "incomplete", "in_progress"] | None = None


class FunctionOutputItem(_Strict, tag_field="type", tag="function_call_output"):
    call_id: str
    output: str
    id: Annotated[str, Meta(max_length=32)] | None = None
    object: str | None = None
    status: Literal["completed", "incomplete", "in_progress"] | None = None


type Item = MessageItem | FunctionCallItem | FunctionOutputItem


class ResponseAudio(_Strict):
    output: AudioOutput | UnsetType = msgspec.UNSET


type Metadata = Annotated[dict[str, Annotated[str, Meta(max_length=512)]], Meta(max_length=16)]


class ResponseSettings(_Strict):
    conversation: Literal["auto", "none"] = "auto"
    input: list[Item] | None = None
    instructions: str | None = None
    output_modalities: Modalities | None = None
    audio: ResponseAudio | None = None
    tools: list[Function] | None = None
    tool_choice: ToolChoice | None = None
    max_output_tokens: Tokens | None = None
    metadata: Metadata | None = None
    reasoning: Reasoning | None = None
    parallel_tool_calls: bool | None = None


class _Frame(_Strict, tag_field="type"):
    """Any message of a client."""


class SessionUpdate(_Frame, tag="session.update"):
    session: Session
    event_id: str | None = None


class Append(_Frame, tag="input_audio_buffer.append"):
    audio: str
    event_id: str | None = None


class Commit(_Frame, tag="input_audio_buffer.commit"):
    event_id: str | None = None


class Clear(_Frame, tag="input_audio_buffer.clear"):
    event_id: str | None = None


class ItemCreate(_Frame, tag="conversation.item.create"):
    item: Item
    previous_item_id: str | None = None
    event_id: str | None = None


class ItemDelete(_Frame, tag="conversation.item.delete"):
    item_id: str
    event_id: str | None = None


class ItemRetrieve(_Frame, tag="conversation.item.retrieve"):
    item_id: str
    event_id: str | None = None


class ItemTruncate(_Frame, tag="conversation.item.truncate"):
    item_id: str
    content_index: int
    audio_end_ms: Annotated[int, Meta(ge=0)]
    event_id: str | None = None


class ResponseCreate(_Frame, tag="response.create"):
    response: ResponseSettings = msgspec.field(default_factory=ResponseSettings)
    event_id: str | None = None


class ResponseCancel(_Frame, tag="response.cancel"):
    response_id: str | None = None
    event_id: str | None = None


class OutputClear(_Frame, tag="output_audio_buffer.clear"):
    event_id: str | None = None


type Frame = (
    SessionUpdate
    | Append
    | Commit
    | Clear
    | ItemCreate
    | ItemDelete
    | ItemRetrieve
    | ItemTruncate
    | ResponseCreate
    | ResponseCancel
    | OutputClear
)

_decoder: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)

_CODES = (
    ("unknown field", "unknown_parameter"),
    ("missing required field", "missing_required_parameter"),
    ("Invalid enum value", "invalid_value"),
    ("Invalid value", "invalid_value"),
    ("matching regex", "invalid_value"),
    ("of length", "invalid_value"),
    ("= ", "invalid_value"),
    ("Expected `", "invalid_type"),
)
_PATH = re.compile(r" - at `\$\.?([^`]*)`$")


def read(message: str | bytes) -> Frame:
    """What the client wants; raises `Refused`."""
    if isinstance(message, bytes):
        raise Refused("invalid_event", "The server only takes text frames.")
    try:
        return _decoder.decode(message)
    except msgspec.ValidationError as error:
        text = str(error)
        path = _PATH.search(text)
        code = next((code for sign, code in _CODES if sign in text), "invalid_value")
        param = path[1] if path is not None else None
        raise Refused(code, _PATH.sub("", text), param=param) from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise Refused("invalid_json", "The message is not valid JSON.") from error


def name_of(message: str | bytes) -> str | None:
    """The `event_id` of a message, also of one that is refused."""
    try:
        name = msgspec.json.decode(message).get("event_id")
    except (msgspec.MsgspecError, ValueError, AttributeError):
        return None
    return name if isinstance(name, str) else None


def sound_of(audio: str, *, block: int) -> bytes:
    """The sound of an `append`; raises `Refused` if it is no base64 of whole samples."""
    try:
        sound = binascii.a2b_base64(audio.encode(), strict_mode=True)
    except (binascii.Error, ValueError) as error:
        message = "Invalid 'audio'. Expected base64-encoded audio bytes."
        raise Refused("invalid_value", message, param="audio") from error
    if len(sound) % block:
        message = "Invalid 'audio'. The audio ends inside a sample."
        raise Refused("invalid_value", message, param="audio")
    return sound
