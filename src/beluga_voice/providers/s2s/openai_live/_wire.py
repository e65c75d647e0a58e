"""The messages of the OpenAI Live protocol, as they are on the wire.

Only the fields that are used are named; others are ignored. Sound is base64 in JSON, which the
decoder turns into `bytes` and back. Read from the types of the official Python SDK, version 3.52.0,
on 2026-11-21.
"""

from typing import Any

import msgspec

from beluga_voice.errors import BrokenProtocol
from beluga_voice.interfaces import WireMessage

# ── what the service says ───────────────────────────────────────────────────────────────────


class Head(msgspec.Struct):
    """Any message: its kind."""

    type: str


class SessionObject(msgspec.Struct):
    """The session as the service sees it."""

    id: str | None = None
    model: str | None = None
    expires_at: float | None = None


class Used(msgspec.Struct):
    """Seconds of session so far: a total, never a difference."""

    seconds: float | None = None


class SessionStarted(msgspec.Struct):
    """`session.started`."""

    session: SessionObject = msgspec.field(default_factory=SessionObject)


class SessionClosed(msgspec.Struct):
    """`session.closed`."""

    reason: str | None = None
    usage: Used | None = None


class UsageUpdated(msgspec.Struct):
    """`session.usage.updated`."""

    usage: Used | None = None


class ErrorObject(msgspec.Struct):
    """What went wrong."""

    message: str | None = None
    type: str | None = None
    code: str | None = None
    param: str | None = None
    client_event_id: str | None = None


class ErrorMessage(msgspec.Struct):
    """`error`."""

    error: ErrorObject
    client_event_id: str | None = None


class Sound(msgspec.Struct):
    """`session.output_audio.delta`."""

    delta: bytes


class Words(msgspec.Struct):
    """`session.input_transcript.delta`, `session.output_transcript.delta`."""

    delta: str
    start_ms: float | None = None
    end_ms: float | None = None


class Appended(msgspec.Struct):
    """`session.instructions.appended`, `session.thinking.appended`, `.commentary.appended`."""

    client_event_id: str | None = None


class DelegationObject(msgspec.Struct):
    """Work that is handed over: an id, and no task."""

    id: str
    target: str = "client"


class DelegationCreated(msgspec.Struct):
    """`session.delegation.created`."""

    delegation: DelegationObject


class BackendUsage(msgspec.Struct):
    """What the working model was charged."""

    input_tokens: int | None = None
    output_tokens: int | None = None


class BackendResponse(msgspec.Struct):
    """A response of the working model."""

    usage: BackendUsage | None = None


class BackendItem(msgspec.Struct):
    """What the working model made: a function call, with the rest of the fields, or else."""

    type: str
    status: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None


class BackendEvent(msgspec.Struct):
    """An event of the Responses API."""

    type: str
    response: BackendResponse | None = None
    item: BackendItem | None = None


class ResponseEvent(msgspec.Struct):
    """`response.event`."""

    event: BackendEvent
    delegation_id: str | None = None


type Said = (
    SessionStarted
    | SessionClosed
    | UsageUpdated
    | ErrorMessage
    | Sound
    | Words
    | Appended
    | DelegationCreated
    | ResponseEvent
)

_TYPES: dict[str, type[Said]] = {
    "session.started": SessionStarted,
    "session.closed": SessionClosed,
    "session.usage.updated": UsageUpdated,
    "error": ErrorMessage,
    "session.output_audio.delta": Sound,
    "session.input_transcript.delta": Words,
    "session.output_transcript.delta": Words,
    "session.instructions.appended": Appended,
    "session.thinking.appended": Appended,
    "session.commentary.appended": Appended,
    "session.delegation.created": DelegationCreated,
    "response.event": ResponseEvent,
}

HANDLED = frozenset(_TYPES)
"""Messages that mean something to us."""

IGNORED = frozenset(
    {
        "session.updated",
        "session.input_audio.muted",
        "session.input_audio.unmuted",
        "session.input_audio.append",
        "session.output_audio.fixture.playing",
        "session.output_audio.fixture.played",
        "decision.event",
        "decision.item.created",
        "decision.item.deleted",
        "info",
        "transport.dtmf.received",
        "transport.dtmf.send",
        "transport.dtmf.sent",
        "transport.ringing",
        "transport.answered",
        "transport.failed",
    }
)
"""Messages that answer what we never ask, or belong to other transports."""

_head = msgspec.json.Decoder(Head).decode
_DECODERS = {kind: msgspec.json.Decoder(message) for kind, message in _TYPES.items()}


def read(message: WireMessage) -> tuple[str, Said | None]:
    """The kind of a message and what it says; `None` if that means nothing to us.

    Raises `BrokenProtocol` for what is none of the protocol, and nothing else.
    """
    if isinstance(message, bytes):
        raise BrokenProtocol("a binary message, where the protocol has text", op="openai_live")
    try:
        kind = _head(message).type
        decoder = _DECODERS.get(kind)
        return kind, None if decoder is None else decoder.decode(message)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        seen = type(error).__name__
    # Not chained, and not quoted: it may hold what a person said.
    raise BrokenProtocol(f"a message that cannot be read ({seen})", op="openai_live")


# ── what we say ─────────────────────────────────────────────────────────────────────────────


class AppendSound(msgspec.Struct, tag_field="type", tag="session.input_audio.append"):
    """Sound."""

    audio: bytes


_encode = msgspec.json.Encoder().encode


def sound(pcm: bytes) -> WireMessage:
    """Sound of the person."""
    return _encode(AppendSound(audio=pcm)).decode()


def write(kind: str, event_id: str, **fields: Any) -> WireMessage:
    """Any other message."""
    return _encode({"type": kind, "event_id": event_id, **fields}).decode()
