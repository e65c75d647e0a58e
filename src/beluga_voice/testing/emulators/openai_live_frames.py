"""What an OpenAI Live client may send, checked as strictly as the service does.

Written from the types of the official SDK, 3.52.0, and the guides of the API documentation, apart
from the provider. The service refuses what its own SDK lets pass: unknown fields, and appends
without a `delegation_id`.
"""

import binascii
import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

APPEND_TOKENS = 500
INSTRUCTION_TOKENS = 16_384
HISTORY_TOKENS = 8_192
FIXTURE_SECONDS = 30


class Refused(Exception):
    """The service answers with an error event; after the start, it goes on."""

    def __init__(self, code: str, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


class _Strict(Struct, forbid_unknown_fields=True):
    """No field that is not known."""


# ── the configuration ───────────────────────────────────────────────────────────────────────


class Pcm(_Strict, tag_field="type", tag="audio/pcm"):
    rate: Literal[16000, 24000]


class Mulaw(_Strict, tag_field="type", tag="audio/pcmu"):
    rate: Literal[8000]


class Alaw(_Strict, tag_field="type", tag="audio/pcma"):
    rate: Literal[8000]


class VoiceId(_Strict):
    id: str


class AudioOutput(_Strict):
    voice: str | VoiceId | None = None


class Audio(_Strict):
    format: Pcm | Mulaw | Alaw | None = None
    output: AudioOutput | None = None


class Text(_Strict):
    text: str
    type: Literal["input_text", "output_text", "text"] | None = None


class InitialMessage(_Strict):
    role: Literal["developer", "user", "assistant"]
    content: Annotated[list[Text], Meta(min_length=1, max_length=1)]
    id: str | None = None
    status: Literal["incomplete", "completed"] | None = None
    type: Literal["message"] = "message"


class Function(_Strict):
    type: Literal["function"]
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Reasoning(_Strict):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    summary: Literal["concise", "detailed", "auto"] | None = None


class Verbosity(_Strict):
    verbosity: Literal["low", "medium", "high"] | None = None


class Responses(_Strict):
    model: str | UnsetType = UNSET
    instructions: str | UnsetType | None = UNSET
    max_output_tokens: Annotated[int, Meta(ge=1)] | UnsetType | None = UNSET
    parallel_tool_calls: bool | UnsetType | None = UNSET
    reasoning: Reasoning | UnsetType | None = UNSET
    text: Verbosity | UnsetType | None = UNSET
    tool_choice: str | dict[str, Any] | UnsetType | None = UNSET
    tools: list[Function] | UnsetType | None = UNSET
    service_tier: str | UnsetType | None = UNSET


class ClientDelegation(_Strict, tag_field="type", tag="client"):
    acknowledgement_delay_ms: Annotated[int, Meta(ge=0)] | UnsetType | None = UNSET


class ResponsesDelegation(_Strict, tag_field="type", tag="responses"):
    responses: Responses | UnsetType = UNSET
    acknowledgement_delay_ms: Annotated[int, Meta(ge=0)] | UnsetType | None = UNSET


type Delegation = ClientDelegation | ResponsesDelegation


class Session(_Strict):
    model: str
    instructions: str | None = None
    input: Annotated[list[InitialMessage], Meta(max_length=128)] | None = None
    audio: Audio | None = None
    delegation: Delegation | None = None
    store: bool | None = None
    safety_identifier: str | None = None


class SessionChange(_Strict):
    delegation: Delegation | UnsetType = UNSET


# ── messages ────────────────────────────────────────────────────────────────────────────────


class _Frame(_Strict, tag_field="type"):
    """Any message of a client."""


class Start(_Frame, tag="session.start"):
    session: Session
    event_id: str | None = None


class Update(_Frame, tag="session.update"):
    session: SessionChange
    event_id: str | None = None


class Close(_Frame, tag="session.close"):
    event_id: str | None = None


class Append(_Frame, tag="session.input_audio.append"):
    audio: Annotated[str, Meta(min_length=1)]
    event_id: str | None = None


class Mute(_Frame, tag="session.input_audio.mute"):
    event_id: str | None = None


class Unmute(_Frame, tag="session.input_audio.unmute"):
    event_id: str | None = None


class Instructions(_Frame, tag="session.instructions.append"):
    content: str
    delegation_id: str | None
    event_id: str | None = None


class Thinking(_Frame, tag="session.thinking.append"):
    content: str
    delegation_id: str | None
    event_id: str | None = None


class Commentary(_Frame, tag="session.commentary.append"):
    content: str
    delegation_id: str | None
    event_id: str | None = None


class ItemCreate(_Frame, tag="response.item.create"):
    item: dict[str, Any]
    event_id: str | None = None


class ResponseCreate(_Frame, tag="response.create"):
    event_id: str | None = None


type Note = Instructions | Thinking | Commentary
type Frame = (
    Start
    | Update
    | Close
    | Append
    | Mute
    | Unmute
    | Instructions
    | Thinking
    | Commentary
    | ItemCreate
    | ResponseCreate
)

KINDS = (
    "session.start",
    "session.update",
    "session.close",
    "session.input_audio.append",
    "session.input_audio.mute",
    "session.input_audio.unmute",
    "session.instructions.append",
    "session.thinking.append",
    "session.commentary.append",
    "response.item.create",
    "response.create",
)
"""What is emulated. Fixtures and decisions, which the service has too, are refused as unknown."""

_decoder: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
_CODES = (
    ("unknown field", "unknown_parameter"),
    ("missing required field", "missing_required_parameter"),
    ("matching regex", "invalid_value"),
    ("of length", "invalid_value"),
    ("Expected `", "invalid_type"),
)
_TOKEN = re.compile(r" ?[A-Za-z]{1,6}|\d{1,3}|\s+|.")
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
        param = path[1] if path is not None else None
        if param == "type":
            supported = f"Unknown event type. Supported: {', '.join(KINDS)}."
            raise Refused("invalid_value", supported, param=param) from error
        code = next((code for sign, code in _CODES if sign in text), "invalid_value")
        raise Refused(code, _PATH.sub("", text), param=param) from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise Refused("invalid_json", "The message is not valid JSON.") from error


def check_start(session: Session) -> None:
    """What the shape of a configuration cannot say; raises `Refused`."""
    if tokens_of(session.instructions or "") > INSTRUCTION_TOKENS:
        message = f"Instructions must not exceed {INSTRUCTION_TOKENS} tokens."
        raise Refused("invalid_value", message, param="session.instructions")
    told = session.input or []
    if sum(tokens_of(one.content[0].text) for one in told) > HISTORY_TOKENS:
        message = f"Input must not exceed {HISTORY_TOKENS} tokens."
        raise Refused("invalid_value", message, param="session.input")
    for one in told:
        kinds = {"output_text", "text"} if one.role == "assistant" else {"input_text", None}
        if one.content[0].type not in kinds:
            message = f"Invalid content of a {one.role} message."
            raise Refused("invalid_value", message, param="session.input")
    if isinstance(session.delegation, ResponsesDelegation):
        backend = session.delegation.responses
        if isinstance(backend, UnsetType) or isinstance(backend.model, UnsetType):
            message = "Missing required parameter: 'session.delegation.responses.model'."
            raise Refused("missing_required_parameter", message, param="session.delegation")


def check_note(note: Note) -> None:
    """Whether a text may be appended; raises `Refused`."""
    if tokens_of(note.content) > APPEND_TOKENS:
        message = f"Context append text must not exceed {APPEND_TOKENS} tokens."
        raise Refused("invalid_value", message, param="content")


def tokens_of(text: str) -> int:
    """About how many tokens a text has: those of words, of digits and of signs, counted apart.

    The service's own tokenizer is not here; this one is as hard on digits and signs as that one.
    """
    return len(_TOKEN.findall(text))


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
        raise Refused("invalid_audio", "The audio is not base64.", param="audio") from error
    if not sound or len(sound) % block:
        raise Refused("invalid_audio", "The audio is no whole number of samples.", param="audio")
    return sound
