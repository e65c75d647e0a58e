"""What a caller has not heard yet is given again: no sample twice, and none left out."""

from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.backends.websocket.unheard import Continued, Unheard


def sound(start: int, end: int) -> bytes:
    """Samples that are their own positions."""
    return b"".join(n.to_bytes(2, "little") for n in range(start, end))


def given_out(unheard: Unheard) -> bytes:
    """All that is given at once."""
    pieces: list[bytes] = []
    while (pcm := unheard.give()) is not None:
        pieces.append(pcm)
    return b"".join(pieces)


def account(limit: int = 1000, ahead: int = 100) -> Unheard:
    return Unheard(limit=limit, ahead=ahead)


def test_sound_passes_by_while_nothing_is_behind():
    """What is put in is given out with that, and waits for nobody to confirm it."""
    unheard = account()
    assert all(unheard.put(sound(n, n + 50)) for n in range(0, 500, 50))
    assert unheard.give() is None
    assert (unheard.end, unheard.kept) == (500, 500)


def test_what_was_heard_is_not_kept():
    """Whole pieces go when they were heard, and nobody has heard what was not given."""
    unheard = account()
    unheard.put(sound(0, 50))
    unheard.put(sound(50, 100))
    unheard.confirm(60)
    assert unheard.kept == 50
    unheard.confirm(1_000_000)
    assert (unheard.kept, unheard.end) == (0, 100)


def test_a_caller_who_comes_back_gets_what_they_lack():
    """Sound goes on in the middle of a piece, in portions, as it is heard."""
    unheard = account(ahead=100)
    for n in range(0, 200, 50):
        unheard.put(sound(n, n + 50))
    unheard.confirm(50)
    unheard.hold(sound(200, 250))
    assert unheard.resume(70) == Continued(position=70, was_cleared=False)
    assert given_out(unheard) == sound(70, 200)
    assert not unheard.put(sound(250, 300)), "it has to wait for its turn"
    unheard.confirm(199)
    assert given_out(unheard) == sound(200, 300)
    assert unheard.put(sound(300, 310)), "nothing is behind any more"


def test_what_was_cleared_is_not_given_again():
    """A clear that the caller missed is told, and sound goes on after it."""
    unheard = account()
    unheard.put(sound(0, 50))
    assert unheard.clear() == 50
    unheard.hold(sound(50, 60))
    assert unheard.resume(20) == Continued(position=50, was_cleared=True)
    assert given_out(unheard) == sound(50, 60)


def test_a_clear_that_arrived_is_not_told_again():
    """Who is at the position that a clear gave lacks nothing of it."""
    unheard = account()
    unheard.put(sound(0, 50))
    unheard.clear()
    assert unheard.resume(50) == Continued(position=50, was_cleared=False)


def test_a_position_beyond_the_end_is_the_end():
    """Nobody can have heard what does not exist."""
    unheard = account()
    unheard.put(sound(0, 50))
    assert unheard.resume(70) == Continued(position=50, was_cleared=False)
    assert unheard.put(sound(50, 60))


def test_too_much_unheard_sound_loses_its_beginning():
    """Beyond the limit the oldest pieces go, given or not."""
    unheard = account(limit=100)
    for n in range(0, 300, 50):
        unheard.hold(sound(n, n + 50))
    assert unheard.kept == 100
    assert unheard.resume(0) == Continued(position=200, was_cleared=False)
    assert given_out(unheard) == sound(200, 300)


def test_a_clear_while_much_is_on_its_way_does_not_block_what_follows():
    """After a clear, nothing is outstanding, whatever was confirmed before."""
    unheard = account(ahead=10)
    unheard.put(sound(0, 500))
    unheard.clear()
    unheard.hold(sound(500, 520))
    unheard.resume(500)
    assert given_out(unheard) == sound(500, 520)


actions = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 40)),
        st.tuples(st.just("lose"), st.integers(0, 60)),
        st.tuples(st.just("hear"), st.integers(0, 60)),
        st.tuples(st.just("clear"), st.just(0)),
    ),
    max_size=60,
)


@given(actions)
def test_a_caller_hears_every_sample_once_and_in_order(actions: list[tuple[str, int]]):
    """Whenever connections are lost, what is heard is what was put in, less what was cleared."""
    unheard = account(limit=10_000, ahead=30)
    received: list[int] = []  # what the caller has, heard or not
    heard = 0  # how many of them
    made = position = 0
    wanted: list[int] = []

    def arrive(pcm: bytes) -> None:
        nonlocal position
        samples = [int.from_bytes(pcm[i : i + 2], "little") for i in range(0, len(pcm), 2)]
        received.extend(samples)
        position += len(samples)

    def take() -> None:
        arrive(given_out(unheard))

    for action, amount in actions:
        if action == "put":
            pcm = sound(made, made + amount)
            wanted.extend(range(made, made + amount))
            made += amount
            if unheard.put(pcm):
                arrive(pcm)
        elif action == "hear":
            heard = min(len(received), heard + amount)
            unheard.confirm(position - (len(received) - heard))
            take()
        elif action == "lose":
            # Of what was sent last, some never arrived.
            lost = min(amount, len(received) - heard)
            if lost:
                del received[-lost:]
            position = unheard.resume(position - lost).position
            take()
        else:
            position = unheard.clear()
            del received[heard:]
            wanted = wanted[: len(received)]
    for _ in range(made):
        heard = len(received)
        unheard.confirm(position)
        take()
    assert received == wanted
