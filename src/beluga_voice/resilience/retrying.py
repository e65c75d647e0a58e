"""A provider that tries again when it cannot connect.

Only connecting is tried again. What to do about a link that is lost in mid-call is the session's
to decide, because only it knows what was heard.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from beluga_voice.errors import ConfigurationError, Overloaded, ProviderError
from beluga_voice.interfaces import Capabilities, Link, Provider
from beluga_voice.resilience.backoff import Backoff
from beluga_voice.resilience.budget import RetryBudget
from beluga_voice.resilience.nesting import warmed

log = logging.getLogger(__name__)


class Retrying[O, S, R]:
    """Connects to the provider in up to `attempts` attempts.

    Tried again is only what may succeed later: `Denied`, `Rejected` and a `ConfigurationError` are
    raised at once, and so is an `Overloaded` that asks for a longer wait than `backoff.max_ms`,
    which nobody on a call would sit through. Each attempt after the first takes a token of `budget`
    if there is one, and without a token there is none: share it among all who use a service. After
    the last attempt, its error is raised. `chance` gives numbers from 0 up to 1.
    """

    def __init__(
        self,
        provider: Provider[O, S, R],
        *,
        backoff: Backoff | None = None,
        attempts: int = 3,
        budget: RetryBudget | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        if attempts < 1:
            raise ConfigurationError("attempts is at least 1", op="retrying")
        self._provider = provider
        self._backoff = backoff or Backoff()
        self._attempts = attempts
        self._budget = budget
        self._chance = chance

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
        """A link of the provider; cancelling is safe, also while it waits."""
        async with AsyncExitStack() as stack:
            yield await self._open(stack, options)

    async def _open(self, stack: AsyncExitStack, options: O) -> Link[S, R]:
        attempt = 1
        if self._budget is not None:
            self._budget.called(asyncio.get_running_loop().time())
        while True:
            try:
                return await stack.enter_async_context(self._provider.connect(options))
            except ProviderError as error:
                delay_ms = self._delay_ms(attempt, error)
                if delay_ms is None or not self._may_try_again():
                    raise
                log.info(
                    "%s: attempt %d failed (%s), the next in %d ms",
                    self.name,
                    attempt,
                    error.code,
                    delay_ms,
                )
            await asyncio.sleep(delay_ms / 1000)
            attempt += 1

    def _may_try_again(self) -> bool:
        return self._budget is None or self._budget.spend(asyncio.get_running_loop().time())

    def _delay_ms(self, attempt: int, error: ProviderError) -> float | None:
        """The wait before the next attempt, or `None` if there is to be none."""
        if not error.is_retryable or attempt >= self._attempts:
            return None
        asked = error.retry_after if isinstance(error, Overloaded) else None
        if asked is not None and asked * 1000 > self._backoff.max_ms:
            return None
        return self._backoff.delay_ms(attempt, self._chance(), retry_after_seconds=asked)
