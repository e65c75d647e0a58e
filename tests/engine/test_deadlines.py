"""What must happen by when."""

from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.engine.deadlines import Deadlines, Due


def test_a_slot_holds_one_time():
    """Setting a slot again moves it, and clearing it leaves the others."""
    deadlines = Deadlines()
    assert deadlines.next is None
    deadlines.set(Due.ANSWER, 5.0)
    deadlines.set(Due.KEYS, 3.0)
    assert deadlines.next == 3.0
    deadlines.set(Due.KEYS, 7.0)
    assert deadlines.next == 5.0
    deadlines.clear(Due.ANSWER)
    assert deadlines.next == 7.0
    deadlines.clear(Due.ANSWER)
    deadlines.clear_all()
    assert deadlines.next is None
    assert deadlines.expired(100.0) is None


def test_a_slot_is_due_at_its_very_time_and_once():
    """Nothing is due a moment before, and an expired slot is gone."""
    deadlines = Deadlines()
    deadlines.set(Due.END_OF_TURN, 2.0)
    assert deadlines.expired(1.999999) is None
    assert deadlines.expired(2.0) is Due.END_OF_TURN
    assert deadlines.expired(2.0) is None


operation = st.one_of(
    st.tuples(st.just("set"), st.sampled_from(Due), st.floats(0, 100)),
    st.tuples(st.just("clear"), st.sampled_from(Due)),
    st.tuples(st.just("expire"), st.floats(0, 100)),
)


@given(st.lists(operation, max_size=50))
def test_the_slots_are_a_map_whose_earliest_comes_first(operations):
    """Whatever is set and cleared, `next` is the earliest time and slots expire in its order."""
    deadlines = Deadlines()
    model = {}
    for one in operations:
        match one:
            case ("set", due, at):
                deadlines.set(due, at)
                model[due] = at
            case ("clear", due):
                deadlines.clear(due)
                model.pop(due, None)
            case ("expire", now):
                times = []
                while (due := deadlines.expired(now)) is not None:
                    times.append(model.pop(due))
                assert times == sorted(times)
                assert all(at <= now for at in times)
                assert all(at > now for at in model.values())
        assert deadlines.next == min(model.values(), default=None)
