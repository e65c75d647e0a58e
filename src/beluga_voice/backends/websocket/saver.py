"""Keeps the newest checkpoint of one call in a store.

Nothing here disturbs a call: what a store does wrong is logged, and waited for no longer than the
limit says. A checkpoint expires, so that nobody can come back to a call of last week; as long as
the call lives it is written again in time.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from beluga_voice.checkpoints.checkpoint import Checkpoint
from beluga_voice.checkpoints.store import CheckpointStore

log = logging.getLogger(__name__)

SAVE_SECONDS = 2.0


class Saver:
    """One call's access to a store. `snapshot` makes the checkpoint; `on_taken` is told once that
    another process carries the call."""

    def __init__(
        self,
        store: CheckpointStore,
        *,
        snapshot: Callable[[], Checkpoint],
        renew_seconds: float,
        on_taken: Callable[[], None],
    ) -> None:
        self._store = store
        self._snapshot = snapshot
        self._renew_seconds = renew_seconds
        self._on_taken = on_taken
        self._has_news = asyncio.Event()
        self._is_taken = False

    def note(self) -> None:
        """Something happened: have a checkpoint written soon. Never waits."""
        self._has_news.set()

    async def run(self) -> None:
        """Write when there is news, and before the last one expires, until cancelled."""
        while not self._is_taken:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._renew_seconds):
                    await self._has_news.wait()
            self._has_news.clear()
            await self.save()

    async def save(self) -> bool:
        """Write one now; whether that was done in time."""
        if self._is_taken:
            return False
        try:
            async with asyncio.timeout(SAVE_SECONDS):
                was_saved = await self._store.save(self._snapshot())
        except Exception as failure:
            _log_failure("saving", failure)
            return False
        if not was_saved and not self._is_taken:
            self._is_taken = True
            self._on_taken()
        return was_saved

    async def drop(self) -> None:
        """The call is over: nobody needs the checkpoint."""
        checkpoint = self._snapshot()
        try:
            async with asyncio.timeout(SAVE_SECONDS):
                await self._store.drop(checkpoint.session_id, generation=checkpoint.generation)
        except Exception as failure:
            _log_failure("dropping", failure)


def _log_failure(what: str, failure: Exception) -> None:
    # Without the message: it may hold what was to be saved.
    log.error("%s the checkpoint of a call failed: %s", what, type(failure).__name__)
