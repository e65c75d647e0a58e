"""One direction of a link: what is under way, and when it arrives.

Nothing arrives before what was sent before it. What is kept is what comes within the longest delay
or hold; what could never arrive is not.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable


class Lane:
    """See above; `deliver` is called as things arrive, at once where nothing delays them."""

    def __init__(self, deliver: Callable[[object], None]) -> None:
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._under_way: deque[tuple[float, object]] = deque()
        self._held_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def push(self, item: object, late_seconds: float = 0.0) -> None:
        """Send something on its way."""
        if self._is_closed or self._held_until == math.inf:
            return
        now = self._loop.time()
        arrival = now + late_seconds
        if not self._under_way and max(arrival, self._held_until) <= now:
            self._deliver(item)
            return
        self._under_way.append((arrival, item))
        self._arm()

    def hold(self, until: float) -> None:
        """Let nothing arrive before then; infinite is never."""
        self._held_until = max(self._held_until, until)
        self._stop()
        if self._held_until == math.inf:
            self._under_way.clear()
        self._arm()

    def clear(self) -> None:
        """What is under way is lost."""
        self._stop()
        self._under_way.clear()

    def close(self) -> None:
        """What is under way is lost, and nothing is taken any more."""
        self._is_closed = True
        self.clear()

    def _arm(self) -> None:
        if self._timer is None and self._under_way:
            due = max(self._under_way[0][0], self._held_until)
            self._timer = self._loop.call_at(due, self._arrive, due)

    def _arrive(self, due: float) -> None:
        """It is `due`, if perhaps not to the last bit of the loop's clock."""
        self._timer = None
        now = max(due, self._loop.time())
        under_way = self._under_way
        while under_way and max(under_way[0][0], self._held_until) <= now:
            self._deliver(under_way.popleft()[1])
        self._arm()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
