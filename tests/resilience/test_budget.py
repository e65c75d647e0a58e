"""How much is tried again."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as some

from beluga_voice.errors import ConfigurationError, Unreachable
from beluga_voice.interfaces import SttOptions
from beluga_voice.resilience.backoff import Backoff
from beluga_voice.resilience.budget import BudgetSettings, RetryBudget
from beluga_voice.resilience.retrying import Retrying
from beluga_voice.testing.loop import simulate
from resilience.parts import Recogniser


def budget(**settings):
    return RetryBudget(BudgetSettings(**({"per_second": 0, "most": 2} | settings)))


def test_what_is_tried_again_is_a_part_of_what_is_tried():
    """After the first tokens are spent, ten calls pay for one more."""
    made = budget()
    assert [made.spend(0) for _ in range(3)] == [True, True, False]
    for _ in range(9):
        made.called(0)
    assert not made.spend(0)
    made.called(0)
    made.called(0)
    assert made.spend(0)


def test_time_pays_too():
    """A tenth of a token in a second, up to the most that is kept."""
    made = budget(per_second=0.1, most=1)
    assert made.spend(0)
    assert not made.spend(9.9)
    assert made.spend(10.0)
    assert made.tokens(1000) == 1


@pytest.mark.parametrize("settings", [{"per_call": -1}, {"per_second": -1}, {"most": 0.5}])
def test_settings_that_make_no_sense_are_refused(settings):
    """Before anything is spent."""
    with pytest.raises(ConfigurationError):
        BudgetSettings(**settings)


@given(steps=some.lists(some.tuples(some.booleans(), some.floats(0, 5))))
def test_no_more_is_spent_than_came_in(steps):
    """Over any time: the first tokens, a tenth of the calls, and a tenth of the seconds."""
    made = RetryBudget()
    now, calls, spent = 0.0, 0, 0
    for is_call, passed in steps:
        now += passed
        if is_call:
            made.called(now)
            calls += 1
        else:
            spent += made.spend(now)
        assert spent <= 10 + calls * 0.1 + now * 0.1 + 1e-6
        assert 0 <= made.tokens(now) <= 10


def test_retrying_stops_when_the_budget_is_spent():
    """Three callers share two tokens: the first two try once more, and the third does not."""
    down = [Unreachable("nobody there", op="connect") for _ in range(9)]
    provider = Recogniser("ears", *down)
    shared = budget(per_call=0)

    async def scene():
        for _ in range(3):
            wrapped = Retrying(
                provider, backoff=Backoff(first_ms=100, jitter=0), attempts=2, budget=shared
            )
            with pytest.raises(Unreachable):
                async with wrapped.connect(SttOptions()):
                    pass
            await asyncio.sleep(1)

    simulate(scene)
    assert provider.connects_ms == [0, 110, 1120, 1230, 2240]
