"""What a recogniser says of a file that was posted to it."""

from collections.abc import Sequence
from dataclasses import dataclass

from beluga_voice.events import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedWord:
    """A word and where it sounds, in seconds of the file."""

    text: str
    start: float
    end: float
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a service says of a file."""

    text: str
    words: tuple[PostedWord, ...] = ()
    confidence: float | None = None
    language: str | None = None
    alternatives: tuple[str, ...] = ()
    """Other readings, likeliest first, without `text`."""
    usage: Usage | None = None


def readings_of(pieces: Sequence[tuple[str, tuple[str, ...]]]) -> tuple[str, ...]:
    """Other readings of the whole, likeliest first, of the text and other readings of its pieces.

    A piece that has fewer of them than another is as it was heard best in those that it lacks.
    """
    best = " ".join(text for text, _ in pieces if text)
    readings: dict[str, None] = {}
    for at in range(max((len(others) for _, others in pieces), default=0)):
        parts = [others[at] if at < len(others) else text for text, others in pieces]
        readings[" ".join(part for part in parts if part)] = None
    return tuple(one for one in readings if one and one != best)
