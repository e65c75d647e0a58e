"""A provider of which only so many links are used at once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import Capabilities, Link, Provider
from beluga_voice.resilience.boards import shared_board
from beluga_voice.resilience.health import Board, Gate
from beluga_voice.resilience.nesting import warmed
from beluga_voice.resilience.refusal import Refused


class Limited[O, S, R]:
    """At most `limit` links at once over all providers with that name and tenant.

    Who comes when there are as many waits up to `wait_ms`, in the order of coming, and gets
    `Refused`, an `Overloaded`, if none has ended by then. One tenant's callers do not wait for
    another's; a limit for all of them is another one around this: `Limited(Limited(...), ...)`.
    """

    def __init__(
        self,
        provider: Provider[O, S, R],
        *,
        limit: int,
        tenant: str = "",
        wait_ms: float = 0,
        board: Board | None = None,
    ) -> None:
        if limit < 1:
            raise ConfigurationError("limit is at least 1", op="limited")
        if wait_ms < 0:
            raise ConfigurationError("wait_ms is not negative", op="limited")
        self._provider = provider
        self._limit = limit
        self._tenant = tenant
        self._wait_ms = wait_ms
        self._board = board

    @property
    def name(self) -> str:
        """The provider's own."""
        return self._provider.name

    @property
    def capabilities(self) -> Capabilities:
        """The provider's own."""
        return self._provider.capabilities

    @property
    def inside(self) -> tuple[Provider[O, S, R], ...]:
        """What is wrapped."""
        return (self._provider,)

    def warm(self) -> AbstractAsyncContextManager[None]:
        """Keep what it loads (models, processes) for as long as the context lasts."""
        return warmed(self.inside)

    @asynccontextmanager
    async def connect(self, options: O, /) -> AsyncGenerator[Link[S, R]]:
        """A link of the provider, when there is room; cancelling is safe, also while it waits."""
        gate = (self._board or shared_board()).gate(self.name, self._tenant)
        if not gate.enter(self._limit):
            await self._wait(gate)
        try:
            async with self._provider.connect(options) as link:
                yield link
        finally:
            gate.leave()

    async def _wait(self, gate: Gate) -> None:
        if not self._wait_ms:
            raise self._refusal()
        entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        leave = gate.wait(self._limit, lambda: entered.set_result(None))
        # Not `wait_for`: who is let in at the last moment is in.
        try:
            await asyncio.wait([entered], timeout=self._wait_ms / 1000)
        except asyncio.CancelledError:
            if entered.done():
                gate.leave()
            else:
                leave()
            raise
        if not entered.done():
            leave()
            raise self._refusal()

    def _refusal(self) -> Refused:
        message = f"all {self._limit} links to {self.name} are in use: come back later"
        return Refused(message, op="connect", provider=self.name)
