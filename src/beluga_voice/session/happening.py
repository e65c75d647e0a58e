"""An event, and when it happened."""

from dataclasses import dataclass

from beluga_voice.events import SessionEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """A `SessionEvent` with its place in the session.

    `at` is in seconds since the session began; `sequence` counts from 0 without a gap.
    """

    event: SessionEvent
    at: float
    sequence: int
