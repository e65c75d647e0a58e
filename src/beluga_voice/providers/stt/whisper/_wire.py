"""How a link to the process with the model begins; what follows is in `stt.worker_wire`."""

from enum import StrEnum

import msgspec


class Settings(msgspec.Struct, frozen=True):
    """How a process runs its model; the same for all of its links."""

    model: str
    folder: str | None
    device: str
    compute_type: str
    threads: int
    parallel: int


class Open(msgspec.Struct, tag="open", frozen=True):
    """Begin; answered by `Opened` or `Refused`."""

    language: str | None
    phrases: tuple[str, ...]
    wants_words: bool
    hears_only_voice: bool
    beam_size: int
    interim_samples: int
    """How much new sound until words are looked for; 0 is never."""
    interim_share: float
    """How much of the time that may take."""


class Opened(msgspec.Struct, tag="opened", frozen=True):
    """The process listens. `unused_phrases` did not fit into what the model can be told."""

    pid: int
    unused_phrases: int


class Reason(StrEnum):
    """Why there is no recogniser."""

    MISSING = "missing"
    UNKNOWN = "unknown"
    DAMAGED = "damaged"
    MEMORY = "memory"
    DEVICE = "device"
    LANGUAGE = "language"


class Refused(msgspec.Struct, tag="refused", frozen=True):
    """There is no such recogniser, and why; the link ends."""

    reason: Reason
    detail: str
