"""An event, and when it happened."""

from msgspec import Struct

from beluga_voice.events import SessionEvent


class Happening(Struct, frozen=True, kw_only=True):
    """A `SessionEvent` with its place in the session.

    `at` is in seconds since the session began; `sequence` counts from 0 without a gap.
    """

    event: SessionEvent
    at: float
    sequence: int
