"""What our process and a recognising worker say to each other."""

import msgspec


class Open(msgspec.Struct, tag="open", frozen=True):
    """Begin; answered by `Opened`."""

    phrases: tuple[str, ...]
    bias: float
    longest_samples: int
    interim_samples: int
    """How often to look for new words; 0 is never."""


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
    """The process that listens, and the words whose pronunciation it had to guess."""

    pid: int
    guessed: tuple[str, ...]


class Heard(msgspec.Struct, tag="heard", frozen=True):
    """The sound was taken; `text` if the words heard so far are others than before."""

    text: str | None


class Word(msgspec.Struct, frozen=True, array_like=True):
    """A word; `start` and `end` in samples from the start of the utterance."""

    text: str
    start: int
    end: int
    confidence: float


class Finished(msgspec.Struct, tag="finished", frozen=True):
    """All that was said in the utterance."""

    utterance_id: str
    words: tuple[Word, ...]


class Dropped(msgspec.Struct, tag="dropped", frozen=True):
    """The utterance is forgotten."""


type Answer = Opened | Heard | Finished | Dropped
