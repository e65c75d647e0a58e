"""Carries what was said between a session and its memory.

Nothing here disturbs a call: whatever a store does wrong is logged, and waited for no longer than
the limits say. Of several things to save, only the newest is.
"""

import asyncio
import logging

from beluga_voice.errors import BelugaError
from beluga_voice.events import HistoryItem
from beluga_voice.interfaces import MemoryStore

log = logging.getLogger(__name__)

LOAD_SECONDS = 2.0
SAVE_SECONDS = 1.0


class Keeper:
    """One session's access to a store, under one key.

    If loading failed nothing is saved: what this session knows is then not all there is, and saving
    it would wipe out the rest.
    """

    def __init__(self, store: MemoryStore, key: str) -> None:
        self._store = store
        self._key = key
        self._saved: tuple[HistoryItem, ...] | None = None
        self._unsaved: tuple[HistoryItem, ...] | None = None
        self._is_closing = False
        self._wakeup = asyncio.Event()

    async def load(self) -> tuple[HistoryItem, ...]:
        """What was said before; nothing if the store fails, or takes over `LOAD_SECONDS`."""
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                self._saved = await self._store.load(self._key)
        except Exception as error:
            _log_failure("loading", error)
        return self._saved or ()

    def save(self, items: tuple[HistoryItem, ...]) -> None:
        """Have this saved soon, in place of all before. Never waits."""
        if self._saved is not None and items != self._saved:
            self._unsaved = items
            self._wakeup.set()

    def close(self) -> None:
        """Let `run` end once everything is saved."""
        self._is_closing = True
        self._wakeup.set()

    async def run(self) -> None:
        """Save what comes, one after another; after a cancellation, what is left."""
        try:
            while not self._is_closing:
                await self._wakeup.wait()
                self._wakeup.clear()
                await self._save_newest()
        except asyncio.CancelledError:
            await self._save_newest()
            raise

    async def _save_newest(self) -> None:
        while (items := self._unsaved) is not None:
            try:
                async with asyncio.timeout(SAVE_SECONDS):
                    await self._store.save(self._key, items)
                self._saved = items
            except Exception as error:
                _log_failure("saving", error)
            if self._unsaved is items:
                self._unsaved = None


def _log_failure(what: str, error: Exception) -> None:
    # Neither the key nor the message of a foreign error: both may tell who the person is.
    told = str(error) if isinstance(error, BelugaError) else type(error).__name__
    log.error("%s the memory of a call failed: %s", what, told)
