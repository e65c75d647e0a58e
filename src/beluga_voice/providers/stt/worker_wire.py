"""What our process and one that recognises speech say to each other, once the link is open."""

import msgspec


class Hear(msgspec.Struct, tag="hear", frozen=True):
    """More sound; answered by `Heard`."""

    pcm: bytes


class Finish(msgspec.Struct, tag="finish", frozen=True):
    """The utterance ends; answered by `Finished`."""

    utterance_id: str


class Drop(msgspec.Struct, tag="drop", frozen=True):
    """The utterance is not wanted; answered by `Dropped`."""


type Request = Hear | Finish | Drop


class Heard(msgspec.Struct, tag="heard", frozen=True):
    """The sound was taken; `text` if the words heard so far are others than before."""

    text: str | None = None
    language: str | None = None


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
    alternatives: tuple[str, ...] = ()
    """Other readings, likeliest first."""


class Dropped(msgspec.Struct, tag="dropped", frozen=True):
    """The utterance is forgotten."""


class Failed(msgspec.Struct, tag="failed", frozen=True):
    """The model broke off, and why in a word; the link ends."""

    reason: str


type Answer = Heard | Finished | Dropped | Failed
