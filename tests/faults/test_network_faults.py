"""What else can happen to bytes: they come in slices, changed, doubled, or late for a while."""

import asyncio

import pytest

from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.network import Conditions

MESSAGE = bytes(range(200))


def received(
    conditions: Conditions, *, seed: int = 0, at: float = 0.001
) -> list[tuple[float, bytes]]:
    """What a client gets of a message that a server sends at a time, piece by piece."""
    told: list[tuple[float, bytes]] = []

    class Client(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            told.append((running_simulation().time_ms(), data))

    async def scene() -> None:
        loop = running_simulation()
        loop.network.set_conditions(down=conditions)
        writers: list[asyncio.StreamWriter] = []

        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)

        server = await asyncio.start_server(serve, "localhost", 7)
        transport, _ = await loop.create_connection(Client, "localhost", 7)
        await asyncio.sleep(at)
        writers[0].write(MESSAGE)
        await asyncio.sleep(60)
        writers[0].close()
        transport.close()
        server.close()
        await server.wait_closed()

    simulate(scene, seed=seed)
    return told


def test_slices_are_small_come_one_after_the_other_and_are_all_there() -> None:
    """One to three bytes each, a millisecond apart; the same seed cuts alike."""
    pieces = received(Conditions(slice_bytes=3, slice_ms=1))
    assert {len(data) for _, data in pieces} == {1, 2, 3}
    assert b"".join(data for _, data in pieces) == MESSAGE
    assert [at for at, _ in pieces] == list(range(1, len(pieces) + 1))
    assert pieces == received(Conditions(slice_bytes=3, slice_ms=1))
    assert pieces != received(Conditions(slice_bytes=3, slice_ms=1), seed=1)


def test_some_bytes_arrive_as_others() -> None:
    """About a tenth of them, each in its place; all of them, if all are meant."""
    (changed,) = [data for _, data in received(Conditions(corrupt_share=0.1))]
    assert len(changed) == len(MESSAGE)
    assert 10 < sum(a != b for a, b in zip(changed, MESSAGE, strict=True)) < 35
    (other,) = [data for _, data in received(Conditions(corrupt_share=1.0))]
    assert not any(a == b for a, b in zip(other, MESSAGE, strict=True))


def test_what_was_written_at_once_arrives_twice() -> None:
    """As from a broken proxy; with slices, each slice."""
    twice = received(Conditions(duplicate_share=1.0))
    assert [data for _, data in twice] == [MESSAGE, MESSAGE]
    slices = [data for _, data in received(Conditions(duplicate_share=1.0, slice_bytes=50))]
    assert slices[::2] == slices[1::2]
    assert b"".join(slices[::2]) == MESSAGE


@pytest.mark.parametrize(
    ("at", "arrives"), [(0.5, 510.0), (1.0, 3010.0), (1.9, 3910.0), (2.0, 2010.0)]
)
def test_in_a_brownout_everything_takes_longer(at: float, arrives: float) -> None:
    """By 2 s, for what leaves within a second of it; before and after, nothing is late."""
    conditions = Conditions(latency_ms=10, brownouts=((1000, 2000, 2000),))
    # The connection is open 10 ms after it was begun.
    assert [moment for moment, _ in received(conditions, at=at - 0.01)] == [arrives]


def test_slices_do_not_shift_the_jitter() -> None:
    """Each has a randomness of its own."""
    plain = received(Conditions(jitter_ms=50))
    sliced = received(Conditions(jitter_ms=50, slice_bytes=200))
    assert sliced[0][0] == plain[0][0]


@pytest.mark.parametrize(
    "settings",
    [
        {"slice_bytes": 0},
        {"slice_ms": -1},
        {"corrupt_share": 1.5},
        {"duplicate_share": -0.1},
        {"brownouts": ((2, 1, 5),)},
        {"brownouts": ((1, 2, -5),)},
    ],
)
def test_conditions_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    """When they are made."""
    with pytest.raises(ValueError, match=r"slice|share|brownout"):
        Conditions(**settings)  # type: ignore[arg-type]
