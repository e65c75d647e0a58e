"""How long to wait before trying again."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from beluga_voice.errors import ConfigurationError
from beluga_voice.resilience.backoff import Backoff


def test_waits_double_up_to_the_limit():
    """Without chance, waits grow by the factor and stay at the limit."""
    backoff = Backoff(first_ms=200, factor=2, max_ms=1000)
    assert [backoff.delay_ms(attempt, 0.0) for attempt in range(1, 6)] == [
        200,
        400,
        800,
        1000,
        1000,
    ]


def test_chance_takes_away_its_part():
    """Jitter shortens a wait by as much of its part as chance says."""
    backoff = Backoff(first_ms=200, factor=2, max_ms=1000, jitter=0.5)
    assert [backoff.delay_ms(2, unit) for unit in (0.0, 0.5, 1.0)] == [400, 300, 200]


def test_what_the_service_asks_for_is_waited():
    """Where the service says when to come back, neither growth nor chance counts."""
    backoff = Backoff(first_ms=200, max_ms=1000)
    assert backoff.delay_ms(4, 0.7, retry_after_seconds=2.5) == 2500
    assert backoff.delay_ms(4, 0.7, retry_after_seconds=0) == 0


@given(
    attempt=some.integers(1, 10**9),
    unit=some.floats(0, 1),
    first=some.floats(0, 1000),
    factor=some.floats(1, 1e6),
    jitter=some.floats(0, 1),
)
def test_a_wait_is_never_negative_nor_beyond_the_limit(attempt, unit, first, factor, jitter):
    """Whatever the numbers, also absurd ones, the wait is between nothing and the limit."""
    backoff = Backoff(first_ms=first, factor=factor, max_ms=1000, jitter=jitter)
    assert 0 <= backoff.delay_ms(attempt, unit) <= 1000


@pytest.mark.parametrize(
    "settings",
    [{"first_ms": -1}, {"first_ms": 9000}, {"factor": 0.5}, {"jitter": 1.5}, {"jitter": -0.1}],
)
def test_settings_without_sense_are_refused(settings):
    """Waits that would shrink, or be negative, are a configuration error."""
    with pytest.raises(ConfigurationError):
        Backoff(**settings)
