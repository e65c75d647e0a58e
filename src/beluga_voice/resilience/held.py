"""A link that is held open by a task of its own, so that anybody can close it at any time."""

import asyncio
import logging
from collections.abc import Iterable, Sequence

from beluga_voice.errors import where
from beluga_voice.interfaces import Link, Provider

log = logging.getLogger(__name__)


class Held[O, S, R]:
    """Begins to connect at once. Whoever makes one calls `close` in the end, come what may."""

    def __init__(self, provider: Provider[O, S, R], options: O) -> None:
        self._provider = provider
        self._over = asyncio.Event()
        self._link: asyncio.Future[Link[S, R]] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._hold(options), name=f"beluga-voice {provider.name}")

    @property
    def name(self) -> str:
        """The provider's."""
        return self._provider.name

    @property
    def link(self) -> asyncio.Future[Link[S, R]]:
        """The link, once there is one, or what kept it from coming about; not to be cancelled."""
        return self._link

    @property
    def task(self) -> asyncio.Task[None]:
        """What holds it open."""
        return self._task

    def failure(self) -> BaseException | None:
        """What kept the link from coming about, once that is known."""
        return asyncio.CancelledError() if self._link.cancelled() else self._link.exception()

    @property
    def is_up(self) -> bool:
        """Whether there is a link."""
        return self._link.done() and self.failure() is None

    def release(self) -> None:
        """Begin to close; what connects is cancelled."""
        self._over.set()
        if not self._link.done():
            self._task.cancel()

    @property
    def is_closed(self) -> bool:
        """Whether nothing is left of it."""
        return self._task.done()

    async def close(self) -> None:
        """Close, and wait for it; see `close_all`."""
        await close_all([self])

    async def _hold(self, options: O) -> None:
        try:
            async with self._provider.connect(options) as link:
                self._link.set_result(link)
                await self._over.wait()
        except asyncio.CancelledError:
            self._link.cancel()
            raise
        except Exception as error:
            if not self._link.done():
                self._link.set_exception(error)
            else:
                log.error("%s failed while closing: %s", self.name, where(error))


async def close_all[O, S, R](held: Iterable[Held[O, S, R]]) -> None:
    """Close them all, and wait for that. Cancelling cancels what they wait for to close."""
    every = list(held)
    for one in every:
        one.release()
    tasks = [one.task for one in every]
    try:
        if tasks:
            await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise
    finally:
        for one in every:
            if one.link.done():
                one.failure()  # it may be that nobody asked


async def race[O, S, R](held: Sequence[Held[O, S, R]]) -> Held[O, S, R]:
    """The first that is up, the others going on; raises the error of the first one if none is."""
    while True:
        for one in held:
            if one.is_up:
                return one
        open_ones = [one.link for one in held if not one.link.done()]
        if not open_ones:
            held[0].link.result()  # raises
        await asyncio.wait(open_ones, return_when=asyncio.FIRST_COMPLETED)
