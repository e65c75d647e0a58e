"""The receiving half of a link: events for the one who reads it.

A link puts events in as they come. The reader either iterates, or attaches a function that is
then called for each event at once, on the event loop. Nothing follows `close`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from beluga_voice.errors import Misuse


class Feed[R]:
    """Events from one writer to one reader.

    Unread events wait in memory without a bound, because an order such as `LinkClosed` may not be
    lost; a link whose peer can flood it looks at `waiting` and stops reading from the wire.
    """

    __slots__ = ("_deliver", "_events", "_wakeup", "is_closed")

    def __init__(self) -> None:
        self._events: deque[R] = deque()
        self._deliver: Callable[[R], None] | None = None
        self._wakeup: asyncio.Future[None] | None = None
        self.is_closed = False
        """Whether `close` was called."""

    @property
    def waiting(self) -> int:
        """How many events nobody has read yet."""
        return len(self._events)

    def put(self, event: R) -> None:
        """Give the reader an event; after `close` it is dropped."""
        if self.is_closed:
            return
        if self._deliver is not None:
            self._deliver(event)
            return
        self._events.append(event)
        self._wake()

    def close(self, *last: R) -> None:
        """Give the reader the `last` events; iteration ends after those that wait."""
        for event in last:
            self.put(event)
        self.is_closed = True
        self._wake()

    def attach(self, deliver: Callable[[R], None]) -> None:
        """Call `deliver` for every event from now on, beginning with those that wait."""
        if self._deliver is not None or self._wakeup is not None:
            raise Misuse("a link has one reader: it is being read already", op="link")
        while self._events:
            deliver(self._events.popleft())
        self._deliver = deliver

    async def __aiter__(self) -> AsyncIterator[R]:
        if self._deliver is not None or self._wakeup is not None:
            raise Misuse("a link has one reader: it is being read already", op="link")
        while True:
            while self._events:
                yield self._events.popleft()
            if self.is_closed:
                return
            self._wakeup = asyncio.get_running_loop().create_future()
            try:
                await self._wakeup
            finally:
                self._wakeup = None

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)
