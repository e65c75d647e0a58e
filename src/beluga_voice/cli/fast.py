"""An event loop that waits for nobody but those who work.

How it works. A conversation from a file is mostly waiting: for the next frame of the person, for
the agent's speech to have sounded. While nothing is ready and no worker process or thread of the
loop is busy, this loop's clock jumps to the next timer. While one is busy, time passes as it does,
so that what a service takes is measured as it is. Only services on this machine may be used with
it: for any other, waiting cannot be told from working.
"""

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any


class _ImpatientSelector(selectors.DefaultSelector):
    """Does not sleep through time in which nobody works."""

    def __init__(self, is_busy: Callable[[], bool]) -> None:
        super().__init__()
        self._is_busy = is_busy
        self.skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, Any]]:
        """What is ready; `skipped` grows instead of the wait."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(0)
        if ready:
            return ready
        if self._is_busy():
            return super().select(timeout)
        self.skipped += timeout
        return []


class FastLoop(asyncio.SelectorEventLoop):
    """See above. `is_busy` says whether somebody works for us outside this thread."""

    def __init__(self, is_busy: Callable[[], bool]) -> None:
        self._in_threads = 0
        self._impatient = _ImpatientSelector(lambda: self._in_threads > 0 or is_busy())
        super().__init__(self._impatient)

    def run_in_executor[*Ts, T](
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Let a thread work, and time pass meanwhile."""
        future = super().run_in_executor(executor, func, *args)
        self._in_threads += 1
        future.add_done_callback(self._is_back)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the threads to end, which is work of theirs, too."""
        self._in_threads += 1
        try:
            await super().shutdown_default_executor(timeout)
        finally:
            self._in_threads -= 1

    def _is_back(self, _: asyncio.Future[Any]) -> None:
        self._in_threads -= 1

    def time(self) -> float:
        """The clock, with what was skipped."""
        return super().time() + self._impatient.skipped
