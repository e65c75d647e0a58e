"""What a recogniser says of a file that was posted to it."""

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
    usage: Usage | None = None
