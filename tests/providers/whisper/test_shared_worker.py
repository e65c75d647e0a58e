"""Who may compute, where all links share one process."""

import threading
from concurrent.futures import ThreadPoolExecutor

from beluga_voice.providers.shared_worker import Gate


def test_a_spare_turn_is_one_that_nobody_has_or_waits_for():
    """There is one while the gate is free; not while somebody is in, not while somebody waits."""
    gate = Gate(1)
    with gate.spare_turn() as has_turn:
        assert has_turn
        with gate.spare_turn() as another:
            assert not another
    with gate.turn(), gate.spare_turn() as has_turn:
        assert not has_turn
    with gate.spare_turn() as has_turn:
        assert has_turn


def test_who_waits_gets_the_turn_that_comes_free():
    """Somebody who waits while the gate is taken comes in when it is left, and leaves it free."""
    gate = Gate(1)
    entered = threading.Event()

    def wait() -> None:
        with gate.turn():
            entered.set()

    with ThreadPoolExecutor() as threads:
        with gate.turn():
            waiting = threads.submit(wait)
            assert not entered.is_set()
        waiting.result(timeout=10)
    with gate.spare_turn() as has_turn:
        assert has_turn


def test_an_error_gives_the_turn_back():
    """A computation that fails does not keep its turn."""
    gate = Gate(1)
    for _ in range(2):
        try:
            with gate.turn():
                raise ZeroDivisionError
        except ZeroDivisionError:
            continue
    with gate.spare_turn() as has_turn:
        assert has_turn
