"""The moment of one fault on one link: waits for it, and knows when it is over."""

import asyncio
from collections.abc import Callable

from beluga_voice.testing.faults.when import Phase, When


class Trigger:
    """Calls `begin` once, when the moment has come, with the time at which it is over, if ever."""

    def __init__(self, when: When, begin: Callable[[float | None], None]) -> None:
        self._when = when
        self._begin = begin
        self._loop = asyncio.get_running_loop()
        self._to_come = when.occurrence
        self._left: int | None = None
        """How many pieces have still to pass; `None` before the phase."""
        self._has_begun = False
        self._until: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_on(self) -> bool:
        """Whether the fault strikes now."""
        if not self._has_begun:
            return False
        return self._until is None or self._now() < self._until

    def reached(self, phase: Phase) -> None:
        """The link got there."""
        if phase is not self._when.phase or not self._to_come:
            return
        self._to_come -= 1
        if not self._to_come:
            self._left = self._when.after_events
            self._look()

    def passed(self) -> None:
        """A piece passed in the fault's direction."""
        if self._left:
            self._left -= 1
            self._look()

    def stop(self) -> None:
        """It is too late for it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        if self._left:
            return
        if self._when.after_ms:
            after = self._when.after_ms / 1000
            self._timer = self._loop.call_later(after, self._strike)
        else:
            self._strike()

    def _strike(self) -> None:
        self._timer = None
        self._has_begun = True
        if self._when.lasting_ms is not None:
            self._until = round(self._now() + self._when.lasting_ms / 1000, 9)
        self._begin(self._until)

    def _now(self) -> float:
        """The time to a nanosecond: what lasts for 100 ms from 200 ms is over at 300 ms."""
        return round(self._loop.time(), 9)
