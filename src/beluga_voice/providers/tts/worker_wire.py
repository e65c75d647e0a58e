"""What our process and one that speaks say to each other, once the link is open."""

from collections.abc import Callable

import msgspec


class Speak(msgspec.Struct, tag="speak", frozen=True):
    """More text of a context; `Audio` and `Words` follow, completed by `Spoken`."""

    context_id: str
    text: str


class Finish(msgspec.Struct, tag="finish", frozen=True):
    """No more text; the last `Audio` follows, completed by `Done`."""

    context_id: str


class Cancel(msgspec.Struct, tag="cancel", frozen=True):
    """Stop the context; completed by `Cancelled`, after which nothing of it follows."""

    context_id: str


type Request = Speak | Finish | Cancel


class Audio(msgspec.Struct, tag="audio", frozen=True):
    """Sound of a context at the rate asked for."""

    context_id: str
    pcm: bytes


class Word(msgspec.Struct, frozen=True, array_like=True):
    """A word; `start` and `end` in samples from the start of the context."""

    text: str
    start: int
    end: int


class Words(msgspec.Struct, tag="words", frozen=True):
    """Words whose sound was sent."""

    context_id: str
    words: tuple[Word, ...]


class Spoken(msgspec.Struct, tag="spoken", frozen=True):
    """A piece of text was spoken, or given up."""


class Done(msgspec.Struct, tag="done", frozen=True):
    """All sound of the context was sent."""

    context_id: str


class Cancelled(msgspec.Struct, tag="cancelled", frozen=True):
    """Nothing more of the context follows."""

    context_id: str


class Failed(msgspec.Struct, tag="failed", frozen=True):
    """The voice broke off, and why in a word; the link ends."""

    reason: str


type Answer = Audio | Words | Spoken | Done | Cancelled | Failed

type Send = Callable[[Audio | Words], None]
"""How whoever speaks gives an answer that is not the last."""
