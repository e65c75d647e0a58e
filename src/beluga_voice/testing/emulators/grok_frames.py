"""What a Grok Voice Agent client may send, checked as the documentation says.

Written from the guide "Voice Agent API" of docs.x.ai, apart from the provider. Fields of a session
that are not known are passed over, as it says; other messages have no field that is not known.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, UnsetType

from beluga_voice.testing.emulators.realtime_frames import (
    Append,
    Clear,
    Commit,
    FunctionCallItem,
    FunctionOutputItem,
    ItemCreate,
    ItemDelete,
    ItemTruncate,
    MessageItem,
    PlainResponse,
    ResponseCancel,
    ResponseCreate,
    SessionUpdate,
    Strict,
)

type Milliseconds = Annotated[int, Meta(ge=0, le=10_000)]


class Pcm(Struct, tag_field="type", tag="audio/pcm"):
    rate: Literal[8000, 16000, 22050, 24000, 32000, 44100, 48000] = 24000


class Mulaw(Struct, tag_field="type", tag="audio/pcmu"):
    rate: Literal[8000] = 8000


class Alaw(Struct, tag_field="type", tag="audio/pcma"):
    rate: Literal[8000] = 8000


type Format = Pcm | Mulaw | Alaw


class Transcription(Struct):
    model: str | UnsetType = msgspec.UNSET
    language_hint: str | UnsetType = msgspec.UNSET
    keyterms: (
        Annotated[list[Annotated[str, Meta(max_length=50)]], Meta(max_length=100)] | UnsetType
    ) = msgspec.UNSET


class AudioInput(Struct):
    format: Format | UnsetType = msgspec.UNSET
    transport: Literal["json"] | UnsetType = msgspec.UNSET
    transcription: Transcription | UnsetType = msgspec.UNSET


class AudioOutput(Struct):
    format: Format | UnsetType = msgspec.UNSET
    transport: Literal["json"] | UnsetType = msgspec.UNSET
    speed: Annotated[float, Meta(ge=0.7, le=1.5)] | UnsetType = msgspec.UNSET


class Audio(Struct):
    input: AudioInput | UnsetType = msgspec.UNSET
    output: AudioOutput | UnsetType = msgspec.UNSET


class Detection(Struct):
    """`server_vad`, or no type at all: then the client ends the turns."""

    type: Literal["server_vad"] | None = "server_vad"
    threshold: Annotated[float, Meta(ge=0.1, le=0.9)] | None = 0.85
    silence_duration_ms: Milliseconds | None = 500
    prefix_padding_ms: Milliseconds | None = 333
    idle_timeout_ms: Annotated[int, Meta(ge=0)] | None = None


class Function(Struct, tag_field="type", tag="function"):
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str = ""
    parameters: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


class WebSearch(Struct, tag_field="type", tag="web_search"):
    pass


class XSearch(Struct, tag_field="type", tag="x_search"):
    pass


type Tool = Function | WebSearch | XSearch


class Reasoning(Struct):
    effort: Literal["high", "none"]


class Resumption(Struct):
    enabled: bool


class Session(Struct):
    instructions: str | UnsetType = msgspec.UNSET
    voice: str | UnsetType = msgspec.UNSET
    turn_detection: Detection | UnsetType | None = msgspec.UNSET
    reasoning: Reasoning | UnsetType = msgspec.UNSET
    audio: Audio | UnsetType = msgspec.UNSET
    tools: list[Tool] | UnsetType = msgspec.UNSET
    resumption: Resumption | UnsetType = msgspec.UNSET
    replace: dict[str, str] | UnsetType = msgspec.UNSET


class SpokenText(Strict):
    type: Literal["output_text"]
    text: Annotated[str, Meta(min_length=1)]


class ForceMessage(Strict, tag_field="type", tag="force_message"):
    """Words to speak as they are."""

    content: Annotated[list[SpokenText], Meta(min_length=1)]
    role: Literal["assistant"] = "assistant"
    interruptible: bool = True
    voice: str | None = None


type Item = MessageItem | FunctionCallItem | FunctionOutputItem | ForceMessage


class ResponseSettings(PlainResponse):
    """What is wanted of one response: its instructions take the place of the session's."""

    modalities: list[Literal["audio", "text"]] | None = None


type Frame = (
    SessionUpdate[Session]
    | Append
    | Commit
    | Clear
    | ItemCreate[Item]
    | ItemDelete
    | ItemTruncate
    | ResponseCreate[ResponseSettings]
    | ResponseCancel
)

DECODER: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
