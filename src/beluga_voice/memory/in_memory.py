"""Memory that lasts as long as the process."""

from collections import OrderedDict
from collections.abc import Sequence

from beluga_voice.errors import ConfigurationError
from beluga_voice.events import HistoryItem
from beluga_voice.memory.form import newest


class InMemory:
    """Keeps the newest `max_items` items of each of the `max_keys` keys last used.

    One instance serves all sessions of an event loop. What exceeds a bound is forgotten, the key
    that was neither loaded nor saved for the longest time first.
    """

    def __init__(self, *, max_keys: int = 1000, max_items: int = 200) -> None:
        if max_keys < 1 or max_items < 1:
            raise ConfigurationError("max_keys and max_items are at least 1", op="memory")
        self._max_keys = max_keys
        self._max_items = max_items
        self._kept: OrderedDict[str, tuple[HistoryItem, ...]] = OrderedDict()

    async def load(self, key: str, /) -> tuple[HistoryItem, ...]:
        """What was saved under the key, oldest first; nothing for an unknown one."""
        if key not in self._kept:
            return ()
        self._kept.move_to_end(key)
        return self._kept[key]

    async def save(self, key: str, items: Sequence[HistoryItem], /) -> None:
        """Keep these in place of what was saved before."""
        self._kept[key] = newest(items, self._max_items)
        self._kept.move_to_end(key)
        while len(self._kept) > self._max_keys:
            self._kept.popitem(last=False)

    async def forget(self, key: str, /) -> None:
        """Keep nothing under the key. A session that goes on with it saves again."""
        self._kept.pop(key, None)
