"""A feed that says when its reader has to catch up, and when it has."""

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import override

from beluga_voice.transports.feed import Feed


class Inbox[R](Feed[R]):
    """Events on their way to a reader who may be slow.

    `cost` says how much room an event takes; `is_full` when it is more than `room` together.
    `on_room` is called when a reader has taken enough to be half empty again.
    """

    __slots__ = ("_cost", "_held", "_on_room", "_room")

    def __init__(self, *, room: int, cost: Callable[[R], int], on_room: Callable[[], None]) -> None:
        super().__init__()
        self._room = room
        self._cost = cost
        self._on_room = on_room
        self._held = 0

    @property
    def is_full(self) -> bool:
        """Whether the reader should catch up before more is put."""
        return self._held > self._room

    @override
    def put(self, event: R) -> None:
        waiting = self.waiting
        super().put(event)
        if self.waiting > waiting:
            self._held += self._cost(event)

    @override
    def attach(self, deliver: Callable[[R], None]) -> None:
        super().attach(deliver)
        self._held = 0
        self._on_room()

    def discard(self, is_unwanted: Callable[[R], bool]) -> None:
        """Take out events that nobody read yet."""
        self._events = deque(event for event in self._events if not is_unwanted(event))
        self._held = sum(map(self._cost, self._events))
        self._offer_room()

    @override
    async def __aiter__(self) -> AsyncIterator[R]:
        async for event in super().__aiter__():
            self._held -= self._cost(event)
            self._offer_room()
            yield event

    def _offer_room(self) -> None:
        if self._held * 2 <= self._room:
            self._on_room()
