"""What our process and the one with the model say to each other."""

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


class Hear(msgspec.Struct, tag="hear", frozen=True):
    """More sound; answered by `Heard`."""

    pcm: bytes


class Finish(msgspec.Struct, tag="finish", frozen=True):
    """The utterance ends; answered by `Finished`."""

    utterance_id: str


class Drop(msgspec.Struct, tag="drop", frozen=True):
    """The utterance is not wanted; answered by `Dropped`."""


type Request = Open | Hear | Finish | Drop


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


class Heard(msgspec.Struct, tag="heard", frozen=True):
    """The sound was taken; `text` if the words heard so far are others than before."""

    text: str | None
    language: str | None


class Word(msgspec.Struct, frozen=True, array_like=True):
    """A word; `start` and `end` in samples from the start of the utterance."""

    text: str
    start: int
    end: int
    confidence: float


class Finished(msgspec.Struct, tag="finished", frozen=True):
    """All that was said in the utterance."""

    utterance_id: str
    text: str
    words: tuple[Word, ...]
    confidence: float | None
    language: str | None


class Dropped(msgspec.Struct, tag="dropped", frozen=True):
    """The utterance is forgotten."""


class Failed(msgspec.Struct, tag="failed", frozen=True):
    """The model broke off; the link ends."""

    reason: Reason


type Answer = Opened | Refused | Heard | Finished | Dropped | Failed
