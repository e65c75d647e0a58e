"""What the service says and is told in a conversation of several contexts, as types.

Each message is one JSON object in a text frame. Published integrations saw the name of the context
and the times in two spellings each, so both are taken. Fields that are not named here are skipped.

Source: the types of the Python SDK `elevenlabs` 2.78.0, read 2026-11-21.
"""

import base64
import binascii
from typing import Any

import msgspec

from beluga_voice.errors import BrokenProtocol
from beluga_voice.interfaces import WireMessage
from beluga_voice.providers.elevenlabs.account import NAME


class Alignment(msgspec.Struct, frozen=True):
    """Where each character sounds, in milliseconds of the piece of sound it came with."""

    chars: list[str] | None = None
    charStartTimesMs: list[float] | None = None  # noqa: N815 - the wire's own name
    charsStartTimesMs: list[float] | None = None  # noqa: N815 - its other spelling
    charDurationsMs: list[float] | None = None  # noqa: N815 - the wire's own name
    charsDurationsMs: list[float] | None = None  # noqa: N815 - its other spelling

    @property
    def times(self) -> list[tuple[str, float, float]]:
        """Characters with where they begin and how long they sound."""
        starts = self.charStartTimesMs or self.charsStartTimesMs or []
        lengths = self.charDurationsMs or self.charsDurationsMs or []
        return list(zip(self.chars or [], starts, lengths, strict=False))


class ServerMessage(msgspec.Struct, frozen=True, rename="camel"):
    """One message of the service."""

    audio: str | None = None
    is_final: bool | None = None
    normalized_alignment: Alignment | None = None
    alignment: Alignment | None = None
    context_camel: str | None = msgspec.field(default=None, name="contextId")
    context_snake: str | None = msgspec.field(default=None, name="context_id")
    error: str | None = None
    message: str | None = None
    code: int | str | None = None

    @property
    def context_id(self) -> str | None:
        """The context it is about, by either spelling."""
        return self.context_camel or self.context_snake

    @property
    def sound(self) -> bytes:
        """The sound; raises `BrokenProtocol` if it is no base64."""
        try:
            return base64.b64decode(self.audio or "", validate=True)
        except (binascii.Error, ValueError):
            pass
        raise BrokenProtocol("sound came in broken base64", op=NAME)


_decoder = msgspec.json.Decoder(ServerMessage)


def read(message: WireMessage) -> ServerMessage:
    """Read one message; raises `BrokenProtocol` for what is none."""
    if isinstance(message, bytes):
        raise BrokenProtocol("a binary message, where the protocol has text", op=NAME)
    try:
        return _decoder.decode(message)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        seen = type(error).__name__
    # Not chained, and not quoted: it may hold what an agent says.
    raise BrokenProtocol(f"a message that cannot be read ({seen})", op=NAME)


def write(context_id: str | None, **fields: Any) -> WireMessage:
    """A message of ours; without a context, for the connection."""
    named = {} if context_id is None else {"context_id": context_id}
    return msgspec.json.encode({**named, **fields}).decode()
