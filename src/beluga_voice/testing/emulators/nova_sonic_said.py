"""What a session of an emulated Nova Sonic says, whatever wire it goes over."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accept:
    """The request is taken: HTTP 200."""


@dataclass(frozen=True, slots=True)
class Raise:
    """The service failed, by that exception of the vendor."""

    kind: str
    message: str = ""
    retry_after: float | None = None
    """In how many seconds to try again, where it comes before the stream has begun."""


@dataclass(frozen=True, slots=True)
class End:
    """The stream is over: in order, or broken, without a word or with an HTTP/2 error code."""

    is_broken: bool = False
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing more comes, though the stream stays."""


type Said = bytes | Accept | Raise | End | Stall
"""What a session says: bytes are one JSON message."""
