"""What a recogniser that takes over is told."""

from hypothesis import given
from hypothesis import strategies as some

from beluga_voice.events import (
    DropUtterance,
    FinishUtterance,
    SendAudio,
    Transcript,
    UtteranceId,
)
from beluga_voice.resilience.unheard import Unheard


def final(name):
    return Transcript(text="so", is_final=True, utterance_id=UtteranceId(name))


def told(unheard):
    """The commands as text: sound as it is, orders in capitals."""
    commands, owed = unheard.again()
    assert owed == []
    return [
        one.pcm.decode() if isinstance(one, SendAudio) else f"FINISH {one.utterance_id}"
        for one in commands
    ]


def given_all(*commands, limit=1000):
    unheard = Unheard(limit)
    for one in commands:
        match one:
            case "DROP":
                unheard.sent(DropUtterance())
            case str() if one.isupper():
                unheard.sent(FinishUtterance(utterance_id=UtteranceId(one)))
            case _:
                unheard.sent(SendAudio(pcm=one.encode()))
    return unheard


def test_all_that_is_not_answered_is_told_again():
    """In its order, with the names of the utterances."""
    unheard = given_all("one", "two", "A", "three", "B", "four")
    assert told(unheard) == ["one", "two", "FINISH A", "three", "FINISH B", "four"]
    unheard.received(final("A"))
    assert told(unheard) == ["three", "FINISH B", "four"]
    unheard.received(final("B"))
    assert told(unheard) == ["four"]


def test_an_answer_out_of_order_forgets_its_utterance_only():
    """The first one is still owed."""
    unheard = given_all("one", "A", "two", "B")
    unheard.received(final("B"))
    assert told(unheard) == ["one", "FINISH A"]


def test_what_was_dropped_is_not_told():
    """But what was finished before it is."""
    assert told(given_all("one", "A", "two", "DROP", "three")) == ["one", "FINISH A", "three"]


def test_words_that_are_not_final_settle_nothing():
    """Nor does a final transcript that names no utterance."""
    unheard = given_all("one")
    unheard.received(Transcript(text="o", is_final=False))
    unheard.received(Transcript(text="one", is_final=True))
    assert told(unheard) == ["one"]


def test_beyond_the_limit_the_oldest_sound_goes_and_no_order():
    """How much that is, is counted."""
    unheard = given_all("aaaa", "A", "bbbb", "cccc", limit=9)
    assert told(unheard) == ["FINISH A", "bbbb", "cccc"]
    assert (unheard.lost_bytes, unheard.kept_bytes) == (4, 8)


@given(
    some.lists(some.sampled_from(["a", "bb", "ccc", "DROP", "A", "B", "final A"]), max_size=40),
    some.integers(1, 12),
)
def test_what_is_kept_is_bounded_and_counted(steps, limit):
    """Whatever comes, the bytes add up and stay within the limit."""
    unheard = Unheard(limit)
    for step in steps:
        if step.startswith("final"):
            unheard.received(final("A"))
        elif step == "DROP":
            unheard.sent(DropUtterance())
        elif step.isupper():
            unheard.sent(FinishUtterance(utterance_id=UtteranceId(step)))
        else:
            unheard.sent(SendAudio(pcm=step.encode()))
        kept = sum(len(one.pcm) for one in unheard.again()[0] if isinstance(one, SendAudio))
        assert kept == unheard.kept_bytes <= limit
