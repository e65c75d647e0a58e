"""An event, and when it happened."""

from collections.abc import Callable

from msgspec import Struct

from beluga_voice.events import SessionEvent


class Happening(Struct, frozen=True, kw_only=True):
    """A `SessionEvent` with its place in the session.

    `at` is in seconds since the session began; `sequence` counts from 0 without a gap.
    """

    event: SessionEvent
    at: float
    sequence: int


class Callback[E: SessionEvent]:
    """An observer that hands the events of one kind to a function."""

    def __init__(self, kind: type[E], function: Callable[[E], object]) -> None:
        self._kind = kind
        self._function = function

    def observe(self, event: SessionEvent, /, *, at: float) -> None:
        """Hand it over, if it is of that kind."""
        if isinstance(event, self._kind):
            self._function(event)
