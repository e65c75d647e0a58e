"""When a service is left alone, and when it is asked again."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from beluga_voice.errors import ConfigurationError
from beluga_voice.resilience.breaker import (
    ORDINARY,
    Breaker,
    BreakerSettings,
    BreakerState,
    Outcome,
)

GOOD, SLOW, FAILED = Outcome.GOOD, Outcome.SLOW, Outcome.FAILED
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def breaker(**settings):
    settings = {"window_seconds": 10, "minimum_calls": 4, "open_seconds": 5} | settings
    return Breaker(BreakerSettings(**settings))


def opened(now=0.0, **settings):
    """A breaker that opened at that time."""
    made = breaker(**settings)
    for _ in range(4):
        made.record(ORDINARY, FAILED, now)
    return made


@pytest.mark.parametrize(
    ("calls", "state"),
    [
        ([(0, FAILED)] * 3, CLOSED),  # too few to tell
        ([(0, FAILED)] * 4, OPEN),
        ([(0, GOOD), (0, GOOD), (0, FAILED), (0, FAILED)], OPEN),  # half of them
        ([(0, GOOD), (0, GOOD), (0, GOOD), (0, FAILED)], CLOSED),
        ([(0, FAILED), (0, FAILED), (0, GOOD), (0, GOOD)], CLOSED),  # never on a good call
        ([(0, SLOW)] * 4, OPEN),  # a brownout: nothing fails
        ([(0, GOOD), (0, SLOW), (0, SLOW), (0, SLOW)], CLOSED),  # 3 of 4, of 4 of 5
        ([(0, GOOD), *[(0, SLOW)] * 4], OPEN),
        ([(0, GOOD), *[(0, SLOW)] * 3, (0, FAILED)], OPEN),  # what fails was slow, too
        ([(0, FAILED), (0, FAILED), (10, FAILED), (10, FAILED)], CLOSED),  # out of the window
        ([(0, FAILED), (0, FAILED), (9.9, FAILED), (9.9, FAILED)], OPEN),
    ],
)
def test_enough_bad_calls_in_the_window_open_it(calls, state):
    """Of at least four calls in ten seconds, half failed, or four of five were slow or failed."""
    made = breaker()
    for now, outcome in calls:
        made.record(ORDINARY, outcome, now)
    assert made.state is state


def test_an_open_breaker_lets_nobody_through_until_its_time():
    """It says how long to wait, and then takes two probes and no more."""
    made = opened()
    assert made.admit(4.999) is None
    assert made.retry_after(4.0) == 1.0
    assert [made.admit(5.0) for _ in range(4)] == [1, 2, None, None]
    assert made.state is HALF_OPEN
    assert made.retry_after(5.0) is None


def test_probes_that_do_well_close_it():
    """All of them have to, and then the window is empty."""
    made = opened()
    one, two = made.admit(5), made.admit(5)
    made.record(one, GOOD, 6)
    assert (made.state, made.admit(6)) == (HALF_OPEN, None)
    made.record(two, GOOD, 7)
    assert (made.state, made.admit(7)) == (CLOSED, ORDINARY)
    made.record(ORDINARY, FAILED, 7)
    assert made.state is CLOSED


def test_the_first_probe_that_fails_opens_it_for_twice_as_long():
    """5, 10, 20 seconds and so on up to the limit; what closes it begins anew."""
    made = opened(max_open_seconds=30)
    now, waits = 5.0, []
    for _ in range(4):
        made.record(made.admit(now), FAILED, now)
        waits.append(made.retry_after(now))
        now += waits[-1]
    assert waits == [10, 20, 30, 30]
    for _ in range(2):
        made.record(made.admit(now), GOOD, now)
    for _ in range(4):
        made.record(ORDINARY, FAILED, now)
    assert made.retry_after(now) == 5


def test_slow_probes_open_it_again():
    """A service that is still slow is not back."""
    made = opened()
    for permit in (made.admit(5), made.admit(5)):
        made.record(permit, SLOW, 6)
    assert made.state is OPEN


def test_a_probe_that_is_given_back_or_forgotten_may_be_taken_by_another():
    """Else those who hang up while they try would keep it half open for ever."""
    made = opened()
    one, _ = made.admit(5), made.admit(5)
    made.give_back(one)
    assert (made.admit(6), made.admit(6)) == (3, None)
    assert made.admit(5 + 30) == 4  # the second was never heard of again
    made.record(one, FAILED, 36)
    assert made.state is HALF_OPEN


def test_what_was_asked_before_does_not_count_while_it_is_half_open():
    """Links that were open all the time go on reporting; only probes are judged."""
    made = opened()
    made.admit(5)
    made.record(ORDINARY, FAILED, 5)
    assert made.state is HALF_OPEN


@pytest.mark.parametrize("state", [CLOSED, OPEN])
def test_a_service_that_says_when_to_come_back_is_left_alone_until_then(state):
    """Whether there were failures or not; a time that is over changes nothing."""
    made = breaker() if state is CLOSED else opened()
    made.rest(-1, 0)
    assert made.state is state
    made.rest(60, 1)
    assert made.retry_after(1) == 59
    assert made.admit(59.9) is None
    assert made.admit(60) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"window_seconds": 0},
        {"open_seconds": 0},
        {"probe_seconds": -1},
        {"failure_rate": 0},
        {"slow_rate": 1.1},
        {"minimum_calls": 0},
        {"probes": 0},
        {"open_seconds": 200},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    """Before anything is asked."""
    with pytest.raises(ConfigurationError):
        BreakerSettings(**settings)


@given(
    steps=some.lists(
        some.tuples(
            some.sampled_from(["admit", "good", "slow", "failed", "give_back", "rest"]),
            some.floats(0, 20),
        ),
        max_size=60,
    )
)
def test_whatever_happens_it_is_bounded_and_comes_back(steps):
    """Never more probes than allowed are out, it stays open no longer than it says, and closes."""
    made = breaker(max_open_seconds=40, probe_seconds=1000)
    now, out = 0.0, []
    outcomes = {"good": GOOD, "slow": SLOW, "failed": FAILED}
    for step, passed in steps:
        now += passed
        if step == "admit":
            permit = made.admit(now)
            if permit is not None:
                out.append(permit)
        elif step == "rest":
            made.rest(now + passed, now)
        elif out:
            permit = out.pop(0)
            if step == "give_back":
                made.give_back(permit)
            else:
                made.record(permit, outcomes[step], now)
        wait = made.retry_after(now)
        assert wait is None or 0 < wait <= 40
        if made.state is not HALF_OPEN:
            out = [one for one in out if one == ORDINARY]
        assert len([one for one in out if one != ORDINARY]) <= 2
    now += 1040
    for _ in range(2):
        permit = made.admit(now)
        assert permit is not None
        made.record(permit, GOOD, now)
    assert made.state_at(now) is CLOSED
