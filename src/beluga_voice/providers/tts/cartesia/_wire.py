"""The messages of Cartesia Sonic.

Source: the AsyncAPI of `/tts/websocket` at docs.cartesia.ai, and the types of the Python SDK
`cartesia` 4.2.0, read on 2026-11-21. Only what is looked at is here.
"""

from typing import Any

import msgspec

from beluga_voice.errors import BrokenProtocol
from beluga_voice.interfaces import WireMessage
from beluga_voice.providers.cartesia.service import NAME, Failure


class Chunk(msgspec.Struct, frozen=True, tag="chunk"):
    """Sound of a context."""

    context_id: str
    data: bytes
    """In base64 on the wire."""


class WordTimes(msgspec.Struct, frozen=True):
    """Words and where they sound, in seconds from the start of the context."""

    words: list[str]
    start: list[float]
    end: list[float]


class Timestamps(msgspec.Struct, frozen=True, tag="timestamps"):
    """Where words of a context sound."""

    context_id: str
    word_timestamps: WordTimes | None = None


class Done(msgspec.Struct, frozen=True, tag="done"):
    """A context is over."""

    context_id: str


class Error(Failure, frozen=True, tag="error"):
    """Something went wrong, with a context or with all."""


type Message = Chunk | Timestamps | Done | Error


class _Tagged(msgspec.Struct, frozen=True):
    type: str


_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Chunk | Timestamps | Done | Error)
_tagged = msgspec.json.Decoder(_Tagged)
_KINDS = frozenset({"chunk", "timestamps", "done", "error"})


def read(message: WireMessage) -> Message | None:
    """A message, `None` for a kind that is not looked at; raises `BrokenProtocol`."""
    if isinstance(message, bytes):
        raise _broken("a binary message, where there are none")
    try:
        if _tagged.decode(message).type not in _KINDS:
            return None
        return _decoder.decode(message)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        # The decoder's message may quote what was said; it is no cause either.
        raise _broken(f"a message that cannot be read ({type(error).__name__})") from None


def _broken(what: str) -> BrokenProtocol:
    return BrokenProtocol(f"the service sent {what}", op="decode", provider=NAME)


def as_json(value: dict[str, Any]) -> str:
    """A message for the service."""
    return msgspec.json.encode(value).decode()
