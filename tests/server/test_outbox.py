"""What waits for a caller, what is withdrawn, and what is too much."""

from scripted_session import on_loop

from beluga_voice.backends.websocket.outbox import Outbox, Pong
from beluga_voice.backends.websocket.protocol import CLEAR


class Overflows:
    """Counts how often the outbox overflowed."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def small(on_overflow: Overflows) -> Outbox:
    return Outbox(max_messages=4, max_audio_bytes=100, on_overflow=on_overflow)


async def emptied(outbox: Outbox) -> list[object]:
    outbox.finish()
    items: list[object] = []
    while (item := await outbox.get()) is not None:
        items.append(item)
    return items


@on_loop
async def test_things_come_in_order() -> None:
    """Text, sound and pongs come out in the order in which they were put."""
    outbox = small(Overflows())
    outbox.put_text("a")
    outbox.put_audio(b"12")
    outbox.put_audio(b"")
    outbox.put_pong(b"x")
    assert await emptied(outbox) == ["a", b"12", Pong(payload=b"x")]


@on_loop
async def test_a_clear_withdraws_sound_and_comes_first() -> None:
    """A clear removes all sound, keeps the rest in order behind it, and stands there once."""
    outbox = small(Overflows())
    outbox.put_audio(b"1234")
    outbox.put_text("a")
    outbox.clear()
    outbox.put_audio(b"56")
    outbox.clear()
    assert outbox.audio_bytes == 0
    outbox.put_audio(b"78")
    assert await emptied(outbox) == [CLEAR, "a", b"78"]


@on_loop
async def test_what_can_be_written_at_once_does_not_wait() -> None:
    """A message before which nothing waits is written; one that cannot be holds all others back."""
    written: list[object] = []
    has_room = True

    def write_now(message: str | bytes) -> bool:
        if has_room:
            written.append(message)
        return has_room

    outbox = Outbox(
        max_messages=4, max_audio_bytes=100, on_overflow=Overflows(), write_now=write_now
    )
    outbox.put_text("a")
    outbox.put_audio(b"12")
    outbox.put_audio(b"")
    has_room = False
    outbox.put_audio(b"34")
    has_room = True
    outbox.put_text("b")
    assert outbox.audio_bytes == 2
    assert written == ["a", b"12"]
    assert await emptied(outbox) == [b"34", "b"]
    outbox.put_text("c")
    assert written == ["a", b"12"]


def test_sound_is_bounded() -> None:
    """The bound itself is taken; one sample more overflows once, and nothing is taken then."""
    overflows = Overflows()
    outbox = small(overflows)
    outbox.put_audio(b"\0" * 100)
    assert (overflows.count, outbox.is_finished) == (0, False)
    outbox.put_audio(b"\0\0")
    outbox.put_audio(b"\0\0")
    outbox.put_text("late")
    assert (overflows.count, outbox.is_finished) == (1, True)


def test_text_is_bounded() -> None:
    """A caller who reads no events overflows too."""
    overflows = Overflows()
    outbox = small(overflows)
    for number in range(5):
        assert overflows.count == 0
        outbox.put_text(str(number))
    assert overflows.count == 1


@on_loop
async def test_what_was_taken_makes_room() -> None:
    """Sound that was written counts no more."""
    overflows = Overflows()
    outbox = small(overflows)
    for _ in range(20):
        outbox.put_audio(b"\0" * 100)
        assert await outbox.get() == b"\0" * 100
    assert overflows.count == 0
