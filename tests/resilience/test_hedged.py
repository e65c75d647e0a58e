"""Two that are asked, and one that is taken."""

import asyncio

import pytest

from beluga_voice.errors import ConfigurationError, Unreachable
from beluga_voice.interfaces import SttOptions
from beluga_voice.resilience.budget import BudgetSettings, RetryBudget
from beluga_voice.resilience.hedged import Hedged
from beluga_voice.resilience.notices import Switched
from beluga_voice.testing.loop import running_simulation, simulate
from resilience.parts import Recogniser


def down(name):
    return Unreachable(f"{name} is down", op="connect")


def connected(first, second, **settings):
    """Who was taken and when, what was told, and when each was asked."""
    switches = []

    async def scene():
        hedged = Hedged(first, second, on_switch=switches.append, **settings)
        async with hedged.connect(SttOptions()):
            taken = [one.name for one in (first, second) if one.links]
            at = running_simulation().time_ms()
            await asyncio.sleep(60)
            late = [one.name for one in (first, second) if one.links]
        return taken, at, late

    taken, at, late = simulate(scene)
    assert taken == late  # the loser's attempt has ended
    return taken, at, [one.following for one in switches]


def test_a_first_that_is_quick_is_the_only_one_asked():
    """Nobody else is troubled."""
    first, second = Recogniser("first", connect_ms=499), Recogniser("second")
    assert connected(first, second) == (["first"], 499, [])
    assert second.connects_ms == []


@pytest.mark.parametrize(
    ("first_ms", "second_ms", "taken", "at"),
    [(900, 100, "second", 600), (900, 500, "first", 900), (60_000, 300, "second", 800)],
)
def test_where_the_first_is_slow_the_one_that_is_ready_first_is_taken(
    first_ms, second_ms, taken, at
):
    """The second is asked after 500 ms; the one that is not taken is ended."""
    first = Recogniser("first", connect_ms=first_ms)
    second = Recogniser("second", connect_ms=second_ms)
    told = ["second"] if taken == "second" else []
    assert connected(first, second) == ([taken], at, told)
    assert second.connects_ms == [500]


def test_where_the_first_fails_the_second_is_asked_at_once():
    """There is nothing to wait for."""
    first = Recogniser("first", down("first"), connect_ms=100)
    assert connected(first, Recogniser("second", connect_ms=50)) == (["second"], 150, ["second"])


def test_a_second_that_fails_leaves_it_to_the_first():
    """It is waited for."""
    first = Recogniser("first", connect_ms=900)
    second = Recogniser("second", down("second"), connect_ms=50)
    assert connected(first, second) == (["first"], 900, [])


def test_where_both_fail_the_error_is_that_of_the_first():
    """Nothing is left of either."""
    first, second = Recogniser("first", down("first")), Recogniser("second", down("second"))
    with pytest.raises(Unreachable, match="first is down"):
        connected(first, second)


def test_without_a_token_the_first_is_waited_for():
    """One hedge was paid for, and the next caller has to be patient."""
    first = Recogniser("first", connect_ms=900)
    second = Recogniser("second", connect_ms=100)
    budget = RetryBudget(BudgetSettings(most=1, per_call=0, per_second=0))
    assert connected(first, second, budget=budget)[:2] == (["second"], 600)
    second.stt.links.clear()
    assert connected(first, second, budget=budget)[:2] == (["first"], 900)


def test_whoever_hangs_up_ends_both():
    """No attempt goes on."""
    first, second = (Recogniser(name, connect_ms=5000) for name in ("first", "second"))

    async def scene():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), Hedged(first, second).connect(SttOptions()):
                pass
        await asyncio.sleep(10)
        return first.links + second.links

    assert simulate(scene) == []


def test_what_is_told_names_who_was_late():
    """With the time that it had."""
    told = []

    async def scene():
        first = Recogniser("first", connect_ms=900)
        hedged = Hedged(first, Recogniser("second"), after_ms=50, on_switch=told.append)
        async with hedged.connect(SttOptions()):
            pass

    simulate(scene)
    reason = "it was not ready within 50 ms"
    assert told == [
        Switched(previous="first", following="second", reason=reason, is_mid_call=False)
    ]


def test_a_negative_time_makes_no_sense():
    """Nobody is asked before the first."""
    with pytest.raises(ConfigurationError, match="after_ms"):
        Hedged(Recogniser(), Recogniser(), after_ms=-1)
