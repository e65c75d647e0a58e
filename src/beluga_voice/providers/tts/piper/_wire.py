"""How a link to the process with the voices begins; what follows is in `tts.worker_wire`."""

from enum import StrEnum

import msgspec


class Settings(msgspec.Struct, frozen=True):
    """How a process computes; the same for all of its links."""

    threads: int
    parallel: int
    preload: str | None
    """The file of a voice to load before anybody asks."""


class Open(msgspec.Struct, tag="open", frozen=True):
    """Begin; answered by `Opened` or `Refused`."""

    voice: str | None
    language: str | None
    default: str
    """The voice if none is asked for."""
    folder: str
    rate: int
    speed: float
    volume: float
    pause_milliseconds: int
    """Silence between two sentences."""


class Opened(msgspec.Struct, tag="opened", frozen=True):
    """The process speaks with that voice."""

    pid: int
    voice: str


class Reason(StrEnum):
    """Why there is no voice."""

    MISSING = "missing"
    DAMAGED = "damaged"
    MEMORY = "memory"
    SPEAKER = "speaker"


class Refused(msgspec.Struct, tag="refused", frozen=True):
    """There is no such voice, and why; the link ends."""

    reason: Reason
    detail: str
