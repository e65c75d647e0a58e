"""Opens a link of the first of several providers that connects."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence

from beluga_voice.errors import (
    BelugaError,
    ConfigurationError,
    Misuse,
    ProviderError,
    Unreachable,
    where,
)
from beluga_voice.interfaces import Provider
from beluga_voice.resilience.held import Held
from beluga_voice.resilience.order import Order
from beluga_voice.resilience.refusal import Refused

log = logging.getLogger(__name__)


class Chooser[O, S, R]:
    """Providers, and the order in which they are asked."""

    def __init__(self, providers: Sequence[Provider[O, S, R]], *, rest_seconds: float) -> None:
        self._providers = providers
        self._order = Order(len(providers), rest_seconds)
        self.rest_seconds = rest_seconds

    def name(self, one: int) -> str:
        """The name of that provider."""
        return self._providers[one].name

    def lost(self, one: int) -> None:
        """Its link failed: it rests."""
        self._order.lost(one, asyncio.get_running_loop().time())

    def next(self) -> int:
        """Who is asked first by now."""
        return self._order.at(asyncio.get_running_loop().time())[0]

    async def choose(
        self, ask: Callable[[int], O], *, without: Collection[int] = (), is_mid_call: bool = False
    ) -> "Chosen[O, S, R]":
        """A link of the first that connects, in their order; it is the caller's to close.

        Raises the error that is the likeliest to pass if none does. A setting that is wrong is told
        at once, unless a person is on the line.
        """
        failed: list[tuple[int, BelugaError]] = []
        for one in self._order.at(asyncio.get_running_loop().time()):
            if one in without:
                continue
            held, error = await self._try(one, ask(one))
            if error is None:
                return Chosen(one, held, failed)
            if isinstance(error, ConfigurationError | Misuse) and not is_mid_call:
                raise error
            failed.append((one, error))
        if not failed:
            raise Unreachable("all have failed not long ago", op="fallback")
        errors = [error for _, error in failed]
        raise next((error for error in errors if _may_pass(error)), errors[0])

    async def _try(self, one: int, options: O) -> tuple[Held[O, S, R], BelugaError | None]:
        loop = asyncio.get_running_loop()
        self._order.begin(one)
        held = Held(self._providers[one], options)
        try:
            await asyncio.wait([held.link])
        except asyncio.CancelledError:
            self._order.given_up(one)
            await held.close()
            raise
        error = held.failure()
        if error is None:
            self._order.worked(one, loop.time())
            return held, None
        if isinstance(error, Refused | ConfigurationError | Misuse):
            self._order.given_up(one)
        else:
            self._order.failed(one, loop.time())
        await held.close()
        if isinstance(error, BelugaError):
            return held, error
        log.error("the provider %s failed: %s", self.name(one), where(error))
        ours = ProviderError(f"{self.name(one)} failed: {type(error).__name__}", op="connect")
        ours.__cause__ = error
        return held, ours


class Chosen[O, S, R]:
    """A link that is open, whose it is, and who failed before."""

    __slots__ = ("failed", "held", "one")

    def __init__(
        self, one: int, held: Held[O, S, R], failed: list[tuple[int, BelugaError]]
    ) -> None:
        self.one = one
        self.held = held
        self.failed = failed


def _may_pass(error: BelugaError) -> bool:
    return isinstance(error, ProviderError) and error.is_retryable
