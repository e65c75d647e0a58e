"""What an OpenAI Realtime client may send, checked as strictly as the service does.

Written from the API reference, apart from the provider: what both misread alike, the official
SDK's own models would show in the tests.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, UnsetType

from beluga_voice.testing.emulators.realtime_frames import (
    Append,
    Clear,
    Commit,
    FunctionCallItem,
    FunctionOutputItem,
    ItemCreate,
    ItemDelete,
    ItemRetrieve,
    ItemTruncate,
    MessageItem,
    Metadata,
    OutputClear,
    ResponseCancel,
    ResponseCreate,
    SessionUpdate,
    Strict,
)


class Pcm(Strict, tag_field="type", tag="audio/pcm"):
    rate: Literal[24000] = 24000


class Mulaw(Strict, tag_field="type", tag="audio/pcmu"):
    pass


class Alaw(Strict, tag_field="type", tag="audio/pcma"):
    pass


type Format = Pcm | Mulaw | Alaw


class NoiseReduction(Strict):
    type: Literal["near_field", "far_field"]
    strength: float | None = None


class Transcription(Strict):
    model: str | None = None
    language: str | None = None
    prompt: str | None = None
    # What the client did not set does not come back.
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | UnsetType | None = msgspec.UNSET
    keywords: list[str] | UnsetType | None = msgspec.UNSET
    languages: list[str] | UnsetType | None = msgspec.UNSET


class ServerVad(Strict, tag_field="type", tag="server_vad"):
    threshold: Annotated[float, Meta(ge=0, le=1)] | None = 0.5
    prefix_padding_ms: Annotated[int, Meta(ge=0)] | None = 300
    silence_duration_ms: Annotated[int, Meta(ge=0)] | None = 500
    idle_timeout_ms: Annotated[int, Meta(ge=0)] | None = None
    create_response: bool = True
    interrupt_response: bool = True


class SemanticVad(Strict, tag_field="type", tag="semantic_vad"):
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True


type TurnDetection = ServerVad | SemanticVad


class AudioInput(Strict):
    format: Format | UnsetType = msgspec.UNSET
    transcription: Transcription | UnsetType | None = msgspec.UNSET
    noise_reduction: NoiseReduction | UnsetType | None = msgspec.UNSET
    turn_detection: TurnDetection | UnsetType | None = msgspec.UNSET


class VoiceId(Strict):
    id: str


class AudioOutput(Strict):
    format: Format | UnsetType = msgspec.UNSET
    voice: str | VoiceId | UnsetType = msgspec.UNSET
    speed: Annotated[float, Meta(ge=0.25, le=1.5)] | UnsetType = msgspec.UNSET


class Audio(Strict):
    input: AudioInput | UnsetType = msgspec.UNSET
    output: AudioOutput | UnsetType = msgspec.UNSET


class Function(Strict):
    type: Literal["function"]
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str = ""
    parameters: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


class Reasoning(Strict):
    effort: Literal["minimal", "low", "medium", "high", "xhigh"]


type Tokens = Annotated[int, Meta(ge=1, le=4096)] | Literal["inf"]
type Modalities = Annotated[list[Literal["audio", "text"]], Meta(min_length=1, max_length=1)]
type ToolChoice = str | dict[str, str]


class Session(Strict):
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


type Item = MessageItem | FunctionCallItem | FunctionOutputItem


class ResponseAudio(Strict):
    output: AudioOutput | UnsetType = msgspec.UNSET


class ResponseSettings(Strict):
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

    @property
    def has_context(self) -> bool:
        """Without an input of its own, a response follows from the conversation."""
        return self.input is None


type Frame = (
    SessionUpdate[Session]
    | Append
    | Commit
    | Clear
    | ItemCreate[Item]
    | ItemDelete
    | ItemRetrieve
    | ItemTruncate
    | ResponseCreate[ResponseSettings]
    | ResponseCancel
    | OutputClear
)

DECODER: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
