"""The messages of AssemblyAI's streaming, as they are on the wire.

Read from the types of the official SDK for Python, `assemblyai` 1.8.2, on 2026-11-21. Sound is
binary; all else is JSON.
"""

import msgspec

from beluga_voice.errors import BrokenProtocol
from beluga_voice.interfaces import WireMessage
from beluga_voice.providers.stt.assemblyai._capabilities import NAME

FORCE_ENDPOINT = '{"type":"ForceEndpoint"}'
TERMINATE = '{"type":"Terminate"}'


class Begin(msgspec.Struct):
    """The session has begun."""

    id: str
    expires_at: float | str | None = None


class Word(msgspec.Struct):
    """A word, in milliseconds of the session's sound."""

    text: str
    start: float
    end: float
    confidence: float | None = None
    word_is_final: bool = True


class Turn(msgspec.Struct):
    """A turn so far: all of it, each time."""

    turn_order: int
    end_of_turn: bool
    transcript: str
    turn_is_formatted: bool = False
    end_of_turn_confidence: float | None = None
    words: list[Word] = msgspec.field(default_factory=list[Word])
    language_code: str | None = None


class SpeechBegan(msgspec.Struct):
    """A voice begins, at that millisecond of the session's sound."""

    timestamp: float = 0


class Heartbeat(msgspec.Struct):
    """The service is there, and says how much it heard."""


class Warned(msgspec.Struct):
    """Something is odd."""

    warning: str = ""
    warning_code: int | None = None


class Error(msgspec.Struct):
    """Something is wrong: the connection is closed next."""

    error: str = ""
    error_code: int | None = None


class Termination(msgspec.Struct):
    """The session is over, as we wanted."""

    audio_duration_seconds: float | None = None


type Message = Begin | Turn | SpeechBegan | Heartbeat | Warned | Error | Termination


class _Head(msgspec.Struct):
    type: str = ""
    error: str | None = None


_head = msgspec.json.Decoder(_Head)
_KINDS: dict[str, msgspec.json.Decoder[Message]] = {
    "Begin": msgspec.json.Decoder(Begin),
    "Turn": msgspec.json.Decoder(Turn),
    "SpeechStarted": msgspec.json.Decoder(SpeechBegan),
    "Heartbeat": msgspec.json.Decoder(Heartbeat),
    "Warning": msgspec.json.Decoder(Warned),
    "Error": msgspec.json.Decoder(Error),
    "Termination": msgspec.json.Decoder(Termination),
}


def read(message: WireMessage) -> Message | None:
    """A message; `None` if it says nothing to us. Raises `BrokenProtocol`, and nothing else."""
    if isinstance(message, bytes):
        raise BrokenProtocol("a binary message, where the protocol has text", op=NAME)
    try:
        head = _head.decode(message)
        # An error may come without a type.
        kind = head.type or ("Error" if head.error is not None else "")
        decoder = _KINDS.get(kind)
        return None if decoder is None else decoder.decode(message)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        seen = type(error).__name__
    # Not chained, and not quoted: it may hold what a person said.
    raise BrokenProtocol(f"a message that cannot be read ({seen})", op=NAME)
