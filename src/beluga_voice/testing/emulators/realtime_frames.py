"""What clients of services that speak OpenAI's Realtime protocol may send, as far as it is one.

Each service has a module that adds its own, and says how strictly it looks.
"""

import binascii
import re
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta, Struct, UnsetType


class Refused(Exception):
    """The service answers with an error event, and goes on."""

    def __init__(self, code: str, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


class Strict(Struct, forbid_unknown_fields=True):
    """No field that is not known."""


class Content(Strict):
    type: Literal["input_text", "input_audio", "output_text"]
    text: str | None = None
    audio: str | None = None
    transcript: str | None = None


class MessageItem(Strict, tag_field="type", tag="message"):
    role: Literal["user", "assistant", "system"]
    content: list[Content]
    id: Annotated[str, Meta(max_length=32)] | None = None
    object: str | None = None
    status: Literal["completed", "incomplete", "in_progress"] | None = None


class FunctionCallItem(Strict, tag_field="type", tag="function_call"):
    name: str
    arguments: str
    call_id: str | None = None
    id: Annotated[str, Meta(max_length=32)] | None = None
    object: str | None = None
    status: Literal["completed", "incomplete", "in_progress"] | None = None


class FunctionOutputItem(Strict, tag_field="type", tag="function_call_output"):
    call_id: str
    output: str
    id: Annotated[str, Meta(max_length=32)] | None = None
    object: str | None = None
    status: Literal["completed", "incomplete", "in_progress"] | None = None


class ResponseSettings(Protocol):
    """What is wanted of one response."""

    @property
    def conversation(self) -> str: ...

    @property
    def has_context(self) -> bool:
        """Whether the model is given what was said before."""
        ...

    @property
    def instructions(self) -> str | None: ...

    @property
    def max_output_tokens(self) -> int | str | None: ...

    @property
    def metadata(self) -> dict[str, str] | None: ...


type Metadata = Annotated[dict[str, Annotated[str, Meta(max_length=512)]], Meta(max_length=16)]


class PlainResponse(Strict):
    """A response in the conversation; services take more settings than these, or others."""

    instructions: str | None = None
    metadata: Metadata | None = None

    @property
    def conversation(self) -> str:
        """It is part of it."""
        return "auto"

    @property
    def has_context(self) -> bool:
        """It has."""
        return True

    @property
    def max_output_tokens(self) -> int | str | None:
        """That of the session."""
        return None


class Frame(Strict, tag_field="type"):
    """Any message of a client."""


class SessionUpdate[S](Frame, tag="session.update"):
    session: S
    event_id: str | None = None


class Append(Frame, tag="input_audio_buffer.append"):
    audio: str
    event_id: str | None = None


class Commit(Frame, tag="input_audio_buffer.commit"):
    event_id: str | None = None


class Clear(Frame, tag="input_audio_buffer.clear"):
    event_id: str | None = None


class ItemCreate[I](Frame, tag="conversation.item.create"):
    item: I
    previous_item_id: str | None = None
    event_id: str | None = None


class ItemDelete(Frame, tag="conversation.item.delete"):
    item_id: str
    event_id: str | None = None


class ItemRetrieve(Frame, tag="conversation.item.retrieve"):
    item_id: str
    event_id: str | None = None


class ItemTruncate(Frame, tag="conversation.item.truncate"):
    item_id: str
    content_index: int
    audio_end_ms: Annotated[int, Meta(ge=0)]
    event_id: str | None = None


class ResponseCreate[R](Frame, tag="response.create"):
    response: R | UnsetType = msgspec.UNSET
    event_id: str | None = None


class ResponseCancel(Frame, tag="response.cancel"):
    response_id: str | None = None
    event_id: str | None = None


class OutputClear(Frame, tag="output_audio_buffer.clear"):
    event_id: str | None = None


type AnyFrame = (
    SessionUpdate[Any]
    | Append
    | Commit
    | Clear
    | ItemCreate[Any]
    | ItemDelete
    | ItemRetrieve
    | ItemTruncate
    | ResponseCreate[Any]
    | ResponseCancel
    | OutputClear
)

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


def read[F](message: str | bytes, decoder: msgspec.json.Decoder[F]) -> F:
    """What the client wants; raises `Refused`."""
    if isinstance(message, bytes):
        raise Refused("invalid_event", "The server only takes text frames.")
    try:
        return decoder.decode(message)
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
