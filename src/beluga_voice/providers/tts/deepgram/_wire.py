"""The messages of Deepgram's first protocol for speaking; sound comes as binary messages.

Read from the vendor's AsyncAPI description of 2026-07-22 and the types of deepgram-sdk 7.17.0, on
2026-11-21.
"""

import msgspec

FLUSH = '{"type":"Flush"}'
CLEAR = '{"type":"Clear"}'
CLOSE = '{"type":"Close"}'


class Speak(msgspec.Struct, tag_field="type", tag="Speak"):
    """Text to speak, after what was given before."""

    text: str


class Flushed(msgspec.Struct):
    """All the sound of the text before a flush was sent."""


class Cleared(msgspec.Struct):
    """Text and sound that waited are gone."""


class Failed(msgspec.Struct):
    """A warning or an error; older services use the other names."""

    type: str = ""
    code: str | None = None
    description: str = ""
    warn_code: str | None = None
    warn_msg: str = ""
    err_code: str | None = None
    err_msg: str = ""

    @property
    def name(self) -> str | None:
        """What it is called."""
        return self.code or self.warn_code or self.err_code

    @property
    def words(self) -> str:
        """What it says."""
        return self.description or self.warn_msg or self.err_msg


type Message = Flushed | Cleared | Failed


def _decoder[M](kind: type[M]) -> msgspec.json.Decoder[M]:
    return msgspec.json.Decoder(kind)


KINDS: dict[str, "msgspec.json.Decoder[Message]"] = {
    "Flushed": _decoder(Flushed),
    "Cleared": _decoder(Cleared),
    "Warning": _decoder(Failed),
    "Error": _decoder(Failed),
}
