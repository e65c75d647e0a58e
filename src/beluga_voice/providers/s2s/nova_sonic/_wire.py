"""What Nova Sonic says on its wire, as types.

Each message is one JSON object. Those of the model are `{"event": {NAME: {...}}}` with one name.
Two more kinds come from the transport, which has seen them outside of the JSON: `accepted`, that
the service has taken the request, and `exception`, that it failed, with its kind and HTTP status.
Fields that are not named here are skipped.

Source: https://docs.aws.amazon.com/nova/latest/nova2-userguide/sonic-output-events.html, read
2026-11-21. The vendor publishes no types for these messages.
"""

import base64
from typing import Any

import msgspec

from beluga_voice.errors import BrokenProtocol
from beluga_voice.interfaces import WireMessage

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""As much as an event stream allows."""


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    """The base of all below."""


class CompletionStart(_Part, frozen=True):
    """The model begins to work on a prompt."""

    session_id: str | None = None


class ContentStart(_Part, frozen=True):
    """A block begins: `TEXT`, `AUDIO` or `TOOL`, of `USER`, `ASSISTANT` or `TOOL`."""

    content_id: str
    type: str
    role: str
    additional_model_fields: str = ""

    @property
    def is_planned(self) -> bool:
        """Whether these are words that are still to be spoken."""
        try:
            fields = msgspec.json.decode(self.additional_model_fields or "{}", type=_Stage)
        except msgspec.MsgspecError:
            return False
        return fields.generation_stage == "SPECULATIVE"


class _Stage(_Part, frozen=True):
    generation_stage: str = ""


class TextOutput(_Part, frozen=True):
    """Words in a block."""

    content_id: str
    content: str

    @property
    def is_interruption(self) -> bool:
        """Whether it is no words, but `{ "interrupted" : true }`."""
        if not self.content.lstrip().startswith("{"):
            return False
        try:
            return msgspec.json.decode(self.content, type=_Interruption).interrupted
        except msgspec.MsgspecError:
            return False


class _Interruption(_Part, frozen=True, forbid_unknown_fields=True):
    interrupted: bool


class AudioOutput(_Part, frozen=True):
    """Sound in a block, in base64."""

    content_id: str
    content: str

    @property
    def pcm(self) -> bytes:
        """The sound; raises `BrokenProtocol` if it is not what is promised."""
        try:
            pcm = base64.b64decode(self.content, validate=True)
        except ValueError:
            raise BrokenProtocol("sound came in broken base64", op="nova_sonic") from None
        if len(pcm) & 1:
            raise BrokenProtocol("sound ended inside a sample", op="nova_sonic")
        return pcm


class ToolUse(_Part, frozen=True):
    """A tool the model wants run; `content` is JSON as text, at times encoded twice."""

    tool_use_id: str
    tool_name: str
    content: str = ""

    @property
    def arguments(self) -> str:
        """The JSON object, as the model wrote it."""
        try:
            inner = msgspec.json.decode(self.content)
        except msgspec.MsgspecError:
            return self.content or "{}"
        return (inner or "{}") if isinstance(inner, str) else self.content


class ContentEnd(_Part, frozen=True):
    """A block is over: `PARTIAL_TURN`, `END_TURN`, `INTERRUPTED` or `TOOL_USE`."""

    content_id: str
    type: str = ""
    stop_reason: str = ""


class Tokens(_Part, frozen=True):
    """A count of tokens."""

    speech_tokens: int = 0
    text_tokens: int = 0


class Counted(_Part, frozen=True):
    """Tokens in both directions."""

    input: Tokens = Tokens()
    output: Tokens = Tokens()


class UsageDetails(_Part, frozen=True):
    """What was counted since the last time."""

    delta: Counted | None = None


class UsageEvent(_Part, frozen=True):
    """Tokens were counted."""

    details: UsageDetails = UsageDetails()


class CompletionEnd(_Part, frozen=True):
    """The model is done: with a turn or with the whole prompt, which integrations dispute."""

    stop_reason: str = ""


class Event(_Part, frozen=True):
    """One event of the model."""

    completion_start: CompletionStart | None = None
    content_start: ContentStart | None = None
    text_output: TextOutput | None = None
    audio_output: AudioOutput | None = None
    tool_use: ToolUse | None = None
    content_end: ContentEnd | None = None
    usage_event: UsageEvent | None = None
    completion_end: CompletionEnd | None = None


class Accepted(_Part, frozen=True):
    """The service has taken the request."""


class Failure(_Part, frozen=True):
    """The service failed. `type` is the vendor's name of the exception."""

    type: str
    message: str = ""
    status: int | None = None
    retry_after: float | None = None


class ServerMessage(_Part, frozen=True):
    """One message."""

    event: Event | None = None
    accepted: Accepted | None = None
    exception: Failure | None = None


_decoder = msgspec.json.Decoder(ServerMessage)


def read(message: WireMessage) -> ServerMessage:
    """Read one message; raises `BrokenProtocol` for what is none."""
    if len(message) > MAX_MESSAGE_BYTES:
        raise BrokenProtocol(f"a message of {len(message)} bytes is too long", op="nova_sonic")
    try:
        return _decoder.decode(message)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        # Not the error's own words: they may quote what a person said.
        raise BrokenProtocol(
            f"a message of {len(message)} bytes is not of Nova Sonic: {type(error).__name__}",
            op="nova_sonic",
        ) from None


def write(name: str, fields: dict[str, Any]) -> WireMessage:
    """A message of ours."""
    return msgspec.json.encode({"event": {name: fields}}).decode()
