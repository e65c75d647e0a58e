"""The messages of Cartesia Ink.

Source: the AsyncAPI of both websockets at docs.cartesia.ai, and the types of the Python SDK
`cartesia` 4.2.0, read on 2026-11-21. Only what is looked at is here.
"""

import msgspec

from beluga_voice.errors import BrokenProtocol
from beluga_voice.interfaces import WireMessage
from beluga_voice.providers.cartesia.service import NAME, Failure

FINALIZE = "finalize"
"""The order to transcribe what was sent; bare text, not JSON."""


class Connected(msgspec.Struct, frozen=True, tag="connected"):
    """The first message on a connection with turns."""

    request_id: str = ""


class TurnStart(msgspec.Struct, frozen=True, tag="turn.start"):
    """Somebody begins to speak."""


class TurnUpdate(msgspec.Struct, frozen=True, tag="turn.update"):
    """The whole turn so far."""

    transcript: str


class TurnEagerEnd(msgspec.Struct, frozen=True, tag="turn.eager_end"):
    """The turn may be over."""

    transcript: str


class TurnResume(msgspec.Struct, frozen=True, tag="turn.resume"):
    """It was not."""


class TurnEnd(msgspec.Struct, frozen=True, tag="turn.end"):
    """It is, and this is what was said in it."""

    transcript: str


class Error(Failure, frozen=True, tag="error"):
    """Something went wrong."""


class Words(msgspec.Struct, frozen=True):
    """Words and where they sound, in seconds: one by the documents, any number by the SDK."""

    start: float | list[float]
    end: float | list[float]
    word: str = ""
    words: list[str] | None = None

    def each(self) -> list[tuple[str, float, float]]:
        """Word by word."""
        if isinstance(self.start, list) and isinstance(self.end, list):
            return list(zip(self.words or (), self.start, self.end, strict=False))
        if isinstance(self.start, list) or isinstance(self.end, list):
            return []
        return [(self.word, self.start, self.end)]


class Text(msgspec.Struct, frozen=True, tag="transcript"):
    """What was said since the last final one, white space included."""

    text: str
    is_final: bool
    words: list[Words] | None = None
    language: str | None = None


class FlushDone(msgspec.Struct, frozen=True, tag="flush_done"):
    """All that was sent before `finalize` is transcribed."""


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The answer to `close`."""


type TurnsMessage = Connected | TurnStart | TurnUpdate | TurnEagerEnd | TurnResume | TurnEnd | Error
type ManualMessage = Text | FlushDone | Done | Error


class _Tagged(msgspec.Struct, frozen=True):
    type: str


_turns: msgspec.json.Decoder[TurnsMessage] = msgspec.json.Decoder(
    Connected | TurnStart | TurnUpdate | TurnEagerEnd | TurnResume | TurnEnd | Error
)
_manual: msgspec.json.Decoder[ManualMessage] = msgspec.json.Decoder(Text | FlushDone | Done | Error)
_tagged = msgspec.json.Decoder(_Tagged)
_TURNS_KINDS = frozenset(
    {"connected", "turn.start", "turn.update", "turn.eager_end", "turn.resume", "turn.end", "error"}
)
_MANUAL_KINDS = frozenset({"transcript", "flush_done", "done", "error"})


def read_turns(message: WireMessage) -> TurnsMessage | None:
    """A message with turns, `None` for a kind that is not known; raises `BrokenProtocol`."""
    return _read(message, _turns, _TURNS_KINDS)


def read_manual(message: WireMessage) -> ManualMessage | None:
    """A message without turns, `None` for a kind that is not known; raises `BrokenProtocol`."""
    return _read(message, _manual, _MANUAL_KINDS)


def _read[M](
    message: WireMessage, decoder: msgspec.json.Decoder[M], kinds: frozenset[str]
) -> M | None:
    if isinstance(message, bytes):
        raise _broken("a binary message, where there are none")
    try:
        if _tagged.decode(message).type not in kinds:
            return None
        return decoder.decode(message)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        # The decoder's message may quote what was said; it is no cause either.
        raise _broken(f"a message that cannot be read ({type(error).__name__})") from None


def _broken(what: str) -> BrokenProtocol:
    return BrokenProtocol(f"the service sent {what}", op="decode", provider=NAME)
