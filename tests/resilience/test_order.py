"""Which of several providers is asked first."""

from hypothesis import given
from hypothesis import strategies as some

from beluga_voice.resilience.order import Order


def test_one_that_failed_rests():
    """The others come first until its rest is over."""
    order = Order(3, 30)
    assert order.at(0) == [0, 1, 2]
    order.lost(0, 0)
    assert order.at(29.9) == [1, 2, 0]
    assert order.at(30) == [0, 1, 2]


def test_those_that_rest_are_asked_all_the_same():
    """Last, and the one first that is ready soonest."""
    order = Order(3, 30)
    for now, one in ((0, 1), (1, 0), (2, 2)):
        order.lost(one, now)
    assert order.at(3) == [1, 0, 2]


def test_one_that_rested_is_tried_by_one_caller():
    """Until that is known to go well, all others stay where they are."""
    order = Order(2, 30)
    order.lost(0, 0)
    order.begin(0)
    assert order.at(31) == [1, 0]
    order.worked(0, 32)
    assert order.at(32) == [0, 1]


def test_a_try_that_fails_or_is_given_up():
    """A failure is another rest; one who hangs up leaves it to the next."""
    order = Order(2, 30)
    order.lost(0, 0)
    order.begin(0)
    order.given_up(0)
    assert order.at(31) == [0, 1]
    order.begin(0)
    order.failed(0, 31)
    assert order.at(60.9) == [1, 0]
    assert order.at(61) == [0, 1]


def test_a_success_of_before_the_failure_does_not_end_the_rest():
    """Who began to connect before another lost it knows nothing of that."""
    order = Order(2, 30)
    order.begin(0)
    order.lost(0, 1)
    order.worked(0, 2)
    assert order.at(3) == [1, 0]


@given(
    steps=some.lists(
        some.tuples(some.integers(0, 2), some.sampled_from(["begin", "lost"]), some.floats(0, 40))
    )
)
def test_all_are_always_there_and_the_first_comes_back(steps):
    """Whatever fails, everyone is in the order once; in the end the first is first."""
    order = Order(3, 30)
    now, begun = 0.0, []
    for one, step, passed in steps:
        now += passed
        if step == "begin":
            order.begin(one)
            begun.append(one)
        else:
            order.lost(one, now)
        assert sorted(order.at(now)) == [0, 1, 2]
    for one in begun:
        order.given_up(one)
    assert order.at(now + 30) == [0, 1, 2]
