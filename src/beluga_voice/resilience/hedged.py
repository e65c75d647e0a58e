"""Two providers that are asked one after the other, and whoever is ready first is taken."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import Capabilities, Link, Provider
from beluga_voice.resilience.budget import RetryBudget
from beluga_voice.resilience.common import common
from beluga_voice.resilience.held import Held, close_all, race
from beluga_voice.resilience.nesting import warmed
from beluga_voice.resilience.notices import Switched, tell


class Hedged[O, S, R]:
    """Connects to `first`, and to `second` besides if the first is not ready `after_ms` later.

    The first that is ready is used, and the other one is closed. The second is asked at once when
    the first fails. Each time it is asked, a token of `budget` is spent, and without one it is not:
    share a budget among all sessions, so that a slow service does not double the load on its
    neighbour. If neither comes about, the error of the first is raised.

    The two may be one and the same: a second attempt where connecting is slow by chance.
    """

    def __init__(
        self,
        first: Provider[O, S, R],
        second: Provider[O, S, R],
        *,
        after_ms: float = 500,
        budget: RetryBudget | None = None,
        on_switch: Callable[[Switched], None] | None = None,
    ) -> None:
        if after_ms < 0:
            raise ConfigurationError("after_ms is not negative", op="hedged")
        self._first = first
        self._second = second
        self._after_ms = after_ms
        self._budget = budget or RetryBudget()
        self._on_switch = on_switch
        self._capabilities = common((first.capabilities, second.capabilities), op="hedged")

    @property
    def name(self) -> str:
        """That of the first."""
        return self._first.name

    @property
    def capabilities(self) -> Capabilities:
        """What both have."""
        return self._capabilities

    @property
    def inside(self) -> tuple[Provider[O, S, R], ...]:
        """What is wrapped."""
        return (self._first, self._second)

    def warm(self) -> AbstractAsyncContextManager[None]:
        """Keep what they load (models, processes) for as long as the context lasts."""
        return warmed(self.inside)

    @asynccontextmanager
    async def connect(self, options: O, /) -> AsyncGenerator[Link[S, R]]:
        """A link of one of them; cancelling is safe, and ends both attempts."""
        loop = asyncio.get_running_loop()
        self._budget.called(loop.time())
        first = Held(self._first, options)
        running = [first]
        try:
            await asyncio.wait([first.link], timeout=self._after_ms / 1000)
            if not first.is_up and self._budget.spend(loop.time()):
                running.append(Held(self._second, options))
            winner = await race(running)
            for loser in running:
                if loser is not winner:
                    loser.release()
            if winner is not first:
                self._tell(first)
            yield winner.link.result()
        finally:
            await close_all(running)

    def _tell(self, first: Held[O, S, R]) -> None:
        late = f"it was not ready within {self._after_ms:g} ms"
        reason = late if first.link.cancelled() or not first.link.done() else "it failed"
        switched = Switched(
            previous=self._first.name,
            following=self._second.name,
            reason=reason,
            is_mid_call=False,
        )
        tell(self._on_switch, switched)
