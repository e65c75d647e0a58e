"""Tokens that let callers back in: each is good once, and not for ever."""

import pytest

from beluga_voice.backends.websocket.parking import REMEMBERED, Gone, Parking, hashed


def test_a_token_leads_to_its_call_while_the_caller_is_connected():
    """A token has no end of its own as long as nobody left."""
    parking: Parking[str] = Parking()
    parking.issue("a call", "one")
    assert parking.take("one", 1e9) == "a call"


def test_a_token_is_good_for_one_use():
    """The next token takes the place of the one that was used, once the caller has it."""
    parking: Parking[str] = Parking()
    parking.issue("a call", "one")
    assert parking.take("one", 0.0) == "a call"
    parking.issue("a call", "two")
    assert parking.take("one", 0.0) == "a call", "the answer may have been lost"
    parking.issue("a call", "three")
    assert parking.take("two", 0.0) is Gone.USED
    parking.confirm("a call")
    assert parking.take("one", 0.0) is Gone.USED
    assert parking.take("three", 0.0) == "a call"


def test_a_token_dies_when_its_caller_stays_away():
    """It is good until just before the stated time, and is said to have expired after that."""
    parking: Parking[str] = Parking()
    parking.issue("a call", "one")
    parking.leave("a call", until=30.0)
    assert parking.take("one", 29.999) == "a call"
    parking.leave("a call", until=30.0)
    assert parking.take("one", 30.0) is Gone.EXPIRED
    assert parking.take("one", 1.0) is Gone.EXPIRED
    assert len(parking) == 0


def test_a_new_token_has_no_end_until_its_caller_leaves():
    """Coming back lifts the end that was set when the caller left."""
    parking: Parking[str] = Parking()
    parking.issue("a call", "one")
    parking.leave("a call", until=30.0)
    parking.issue("a call", "two")
    assert parking.take("two", 31.0) == "a call"


@pytest.mark.parametrize("why", [Gone.OVER, Gone.EXPIRED])
def test_a_dropped_call_explains_itself(why: Gone):
    """Whoever comes with any of its tokens is told what became of the call."""
    parking: Parking[str] = Parking()
    parking.issue("a call", "one")
    parking.issue("another", "two")
    parking.drop("a call", why)
    assert parking.take("one", 0.0) is why
    assert parking.take("two", 0.0) == "another"
    parking.drop("a call")
    assert parking.take("one", 0.0) is why


def test_an_unknown_token_opens_nothing():
    """A token that was never issued, or was forgotten, is unknown."""
    parking: Parking[int] = Parking()
    assert parking.take("a guess", 0.0) is Gone.UNKNOWN
    for number in range(REMEMBERED + 1):
        parking.issue(number, str(number))
        parking.drop(number)
    assert parking.take("0", 0.0) is Gone.UNKNOWN
    assert parking.take("1", 0.0) is Gone.OVER


def test_tokens_are_not_kept():
    """What is kept of a token does not let anybody in."""
    parking: Parking[str] = Parking()
    parking.issue("a call", "one")
    assert parking.take(hashed("one"), 0.0) is Gone.UNKNOWN
