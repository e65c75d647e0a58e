"""Connecting again, to the millisecond."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from beluga_voice.errors import (
    BelugaError,
    ConfigurationError,
    Denied,
    LinkLost,
    Overloaded,
    Rejected,
    Unreachable,
    Unsupported,
)
from beluga_voice.interfaces import SttLink, SttOptions
from beluga_voice.resilience.backoff import Backoff
from beluga_voice.resilience.retrying import Retrying
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.scripted import ScriptedStt

DOWN = Unreachable("nobody there", op="connect")


class Flaky:
    """A speech-to-text that fails to connect as often as it is told, each time after 10 ms."""

    name = "flaky"

    def __init__(self, *errors: BelugaError) -> None:
        self.errors = list(errors)
        self.tries: list[float] = []
        self.stt = ScriptedStt()
        self.capabilities = self.stt.capabilities

    @asynccontextmanager
    async def connect(self, options: SttOptions, /) -> AsyncIterator[SttLink]:
        self.tries.append(running_simulation().time_ms())
        await asyncio.sleep(0.01)
        if self.errors:
            raise self.errors.pop(0)
        async with self.stt.connect(options) as link:
            yield link


def retrying(provider: Flaky, *, attempts: int = 3, jitter: float = 0.0, chance: float = 0.0):
    backoff = Backoff(first_ms=100, factor=3, max_ms=2000, jitter=jitter)
    return Retrying(provider, backoff=backoff, attempts=attempts, chance=lambda: chance)


def outcome(provider: Flaky, **settings) -> BelugaError | None:
    """What connecting ended with: an error, or a link."""

    async def scene():
        try:
            async with retrying(provider, **settings).connect(SttOptions()):
                return None
        except BelugaError as error:
            return error

    return simulate(scene)


def test_a_provider_that_comes_back_is_connected():
    """Two failures are waited out, 100 and 300 ms, and the third attempt gives the link."""
    flaky = Flaky(DOWN, DOWN)
    assert outcome(flaky) is None
    assert flaky.tries == [0, 110, 420]


def test_the_last_error_comes_out_as_it_is():
    """After the last attempt its own error is raised, without a further wait."""
    last = Unreachable("still nobody", op="connect")
    flaky = Flaky(DOWN, DOWN, last)
    assert outcome(flaky) is last
    assert flaky.tries == [0, 110, 420]


def test_chance_spreads_the_attempts():
    """With all its jitter taken, each wait is half as long."""
    flaky = Flaky(DOWN, DOWN)
    assert outcome(flaky, jitter=0.5, chance=1.0) is None
    assert flaky.tries == [0, 60, 220]


def test_an_overloaded_service_is_left_alone_for_as_long_as_it_asks():
    """`retry_after` is waited instead of the backoff; without one, the backoff is."""
    flaky = Flaky(
        Overloaded("later", op="connect", retry_after=1.5), Overloaded("later", op="connect")
    )
    assert outcome(flaky) is None
    assert flaky.tries == [0, 1510, 1820]


def test_nobody_on_a_call_waits_for_a_minute():
    """A service that asks for more than the longest wait is not tried again."""
    busy = Overloaded("later", op="connect", retry_after=60)
    flaky = Flaky(busy)
    assert outcome(flaky) is busy
    assert flaky.tries == [0]


@pytest.mark.parametrize("kind", [Denied, Rejected, ConfigurationError, Unsupported])
def test_what_would_fail_again_is_not_tried_again(kind):
    """Wrong credentials, requests and settings are raised at once."""
    error = kind("no", op="connect")
    flaky = Flaky(error)
    assert outcome(flaky) is error
    assert flaky.tries == [0]


def test_what_fails_after_connecting_is_not_tried_again():
    """An error while the link is used is the user's, and closes the link."""
    flaky = Flaky()

    async def scene():
        links: list[SttLink] = []

        async def use() -> None:
            async with retrying(flaky).connect(SttOptions()) as link:
                links.append(link)
                raise LinkLost("gone", op="test")

        with pytest.raises(LinkLost):
            await use()
        # A link that is still open would never come to its end here.
        return [event async for event in links[0]]

    assert simulate(scene) == []
    assert flaky.tries == [0]


def test_it_looks_like_what_it_wraps():
    """Name and capabilities are the provider's."""
    flaky = Flaky()
    wrapped = Retrying(Retrying(flaky))
    assert (wrapped.name, wrapped.capabilities) == ("flaky", flaky.capabilities)


def test_cancelling_a_wait_is_the_end_of_it():
    """A session that gives up while it waits causes no further attempt."""
    flaky = Flaky(DOWN, DOWN)

    async def scene():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), retrying(flaky).connect(SttOptions()):
                pass
        await asyncio.sleep(10)

    simulate(scene)
    assert flaky.tries == [0]


def test_no_attempt_at_all_makes_no_sense():
    """At least one attempt is asked for."""
    with pytest.raises(ConfigurationError, match="attempts"):
        Retrying(Flaky(), attempts=0)
