"""The receiving half of a wrapper's link.

Events of the links beneath it go in, and come out for one reader, by call or by iteration. Unread
events wait without a bound, because an end may not be lost; a session reads by call, so that none
wait.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from beluga_voice.errors import Misuse


class Relay[R]:
    """Events from one writer to one reader; nothing follows `close`."""

    __slots__ = ("_deliver", "_is_read", "_waiting", "_wakeup", "is_closed")

    def __init__(self) -> None:
        self._waiting: deque[R] = deque()
        self._deliver: Callable[[R], None] | None = None
        self._wakeup = asyncio.Event()
        self._is_read = False
        self.is_closed = False
        """Whether nothing follows."""

    def put(self, event: R) -> None:
        """Give the reader an event; after `close` it is dropped."""
        if self.is_closed:
            return
        if self._deliver is not None:
            self._deliver(event)
        else:
            self._waiting.append(event)
            self._wakeup.set()

    def close(self, last: R) -> None:
        """Give the reader the last event."""
        self.put(last)
        self.is_closed = True
        self._wakeup.set()

    def attach(self, deliver: Callable[[R], None]) -> None:
        """Call `deliver` for every event, beginning with those that wait."""
        self._take()
        while self._waiting:
            deliver(self._waiting.popleft())
        self._deliver = deliver

    async def __aiter__(self) -> AsyncIterator[R]:
        self._take()
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self.is_closed:
                return
            self._wakeup.clear()
            await self._wakeup.wait()

    def _take(self) -> None:
        if self._is_read:
            raise Misuse("a link has one reader: it is being read already", op="link")
        self._is_read = True
