"""How a link to a speaking worker begins; what follows is in `tts.worker_wire`."""

import msgspec


class Open(msgspec.Struct, tag="open", frozen=True):
    """Begin; answered by `Opened`."""

    voices: tuple[str, ...]
    """The first that exists is taken."""
    words_per_minute: int
    pitch: int
    rate: int


class Opened(msgspec.Struct, tag="opened", frozen=True):
    """The process that speaks and its voice, `None` if it has none of those asked for."""

    pid: int
    voice: str | None
