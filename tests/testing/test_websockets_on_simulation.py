"""Unmodified `websockets` clients and servers on simulated time and network."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError, InvalidMessage

from beluga_voice.testing.loop import OutOfTime, running_simulation, simulate
from beluga_voice.testing.network import Arrival, Conditions, DirectionName

URI = "ws://voice.example.com:8765"
HOST, PORT = "voice.example.com", 8765
FRAME = bytes(640)


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def listen_only(connection: ServerConnection) -> None:
    await connection.wait_closed()


async def send_frames(
    connection: ClientConnection | ServerConnection, frames: int, seconds: float
) -> None:
    for _ in range(frames):
        await connection.send(FRAME)
        await asyncio.sleep(seconds)


async def count_frames(connection: ClientConnection | ServerConnection, frames: int) -> None:
    for _ in range(frames):
        assert len(await connection.recv()) == len(FRAME)


def conversation(
    frames: int, seconds: float, conditions: Conditions
) -> Callable[[], Coroutine[Any, Any, tuple[float, float, list[Arrival]]]]:
    """Both sides send so many frames, one each so many seconds, and hear the other's.

    Gives the times at which the client was connected and at which it had heard everything, and
    the trace.
    """

    async def talk(connection: ClientConnection | ServerConnection) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(send_frames(connection, frames, seconds))
            group.create_task(count_frames(connection, frames))

    async def answer(connection: ServerConnection) -> None:
        await talk(connection)
        await connection.wait_closed()

    async def main() -> tuple[float, float, list[Arrival]]:
        loop = running_simulation()
        loop.network.set_conditions(conditions)
        loop.network.log = []
        async with (
            serve(answer, HOST, PORT, compression=None),
            connect(URI, proxy=None, compression=None) as connection,
        ):
            connected = loop.time()
            await talk(connection)
            ended = loop.time()
        return connected, ended, loop.network.log

    return main


def test_messages_arrive_to_the_millisecond() -> None:
    """Connecting takes two round trips, an echo one: 160 and 80 ms at 40 ms each way."""

    async def main() -> list[tuple[float, str | bytes]]:
        loop = running_simulation()
        loop.network.set_conditions(Conditions(latency_ms=40))
        got: list[tuple[float, str | bytes]] = []
        async with serve(echo, HOST, PORT), connect(URI, proxy=None) as connection:
            got.append((loop.time_ms(), "connected"))
            await connection.send("hello")
            got.append((loop.time_ms(), await connection.recv()))
            await asyncio.sleep(0.02)
            await connection.send(b"again")
            message = await connection.recv()
            got.append((loop.time_ms(), message))
            await (await connection.ping())
            got.append((loop.time_ms(), f"{connection.latency:.3f}"))
        return got

    assert [(at, what) for at, what in simulate(main) if what != "hello"] == [
        (160.0, "connected"),
        (340.0, b"again"),
        (420.0, "0.080"),
    ]


def test_directions_may_differ() -> None:
    """A slow way up and a fast way down add up in an echo."""

    async def main() -> float:
        loop = running_simulation()
        loop.network.set_conditions(up=Conditions(latency_ms=70), down=Conditions(latency_ms=5))
        async with serve(echo, HOST, PORT), connect(URI, proxy=None) as connection:
            start = loop.time_ms()
            await connection.send("hello")
            await connection.recv()
            return loop.time_ms() - start

    assert simulate(main) == 75.0


@pytest.mark.parametrize("direction", list(DirectionName))
def test_a_stall_ends_in_a_keepalive_timeout(direction: DirectionName) -> None:
    """With a ping each 20 s and 10 s to answer, a silent link fails 30 s after connecting."""

    async def main() -> tuple[float, ConnectionClosedError]:
        loop = running_simulation()
        async with serve(listen_only, HOST, PORT, ping_interval=None, close_timeout=1):
            connection = await connect(
                URI, proxy=None, ping_interval=20, ping_timeout=10, close_timeout=5
            )
            loop.network.stall(HOST, PORT, direction=direction)
            start = loop.time()
            with pytest.raises(ConnectionClosedError) as caught:
                await connection.recv()
            failed = loop.time() - start
            loop.network.reset()
        return failed, caught.value

    failed, error = simulate(main)
    # The timeout sends a close frame, for whose answer it waits the close timeout.
    assert failed == 35.0
    assert error.sent is not None
    assert (error.sent.code, error.sent.reason) == (1011, "keepalive ping timeout")
    assert error.rcvd is None


def test_a_short_stall_is_survived() -> None:
    """A stall shorter than the keepalive's patience only delays what was sent in it."""

    async def main() -> float:
        loop = running_simulation()
        loop.network.set_conditions(Conditions(latency_ms=40))
        async with (
            serve(echo, HOST, PORT),
            connect(URI, proxy=None, ping_interval=5, ping_timeout=10) as connection,
        ):
            await asyncio.sleep(10 - loop.time())
            loop.network.stall()
            await connection.send("hello")
            loop.call_later(9, loop.network.resume)
            await connection.recv()
            return loop.time()

    assert simulate(main) == 19.04


def test_a_reset_is_a_closed_connection() -> None:
    """A reset in mid-conversation surfaces at once, at both ends, as `ConnectionClosedError`."""
    server_errors: list[ConnectionClosedError] = []

    async def listen(connection: ServerConnection) -> None:
        try:
            await connection.recv()
        except ConnectionClosedError as exc:
            server_errors.append(exc)

    async def main() -> float:
        loop = running_simulation()
        loop.network.set_conditions(Conditions(latency_ms=40))
        async with serve(listen, HOST, PORT), connect(URI, proxy=None) as connection:
            loop.call_later(2, loop.network.reset)
            start = loop.time()
            with pytest.raises(ConnectionClosedError) as caught:
                await connection.recv()
            assert isinstance(caught.value.__cause__, ConnectionResetError)
            return loop.time() - start

    assert simulate(main) == 2.0
    assert [type(exc.__cause__) for exc in server_errors] == [ConnectionResetError]


def test_a_reset_may_hit_the_middle_of_a_frame() -> None:
    """A link that dies 1000 bytes into the stream loses the frame that was cut."""

    async def main() -> int:
        loop = running_simulation()
        heard = 0

        async def say(connection: ServerConnection) -> None:
            with pytest.raises(ConnectionClosedError):
                await send_frames(connection, 100, 0.02)

        async with (
            serve(say, HOST, PORT, compression=None),
            connect(URI, proxy=None, compression=None) as connection,
        ):
            before = loop.network.connections[0].down_bytes
            loop.network.set_conditions(
                down=Conditions(reset_after_bytes=before + 1000), connection=1
            )
            with suppress(ConnectionClosedError):
                while True:
                    await connection.recv()
                    heard += 1
        return heard

    # The first frame was under way before; of the next 1000 bytes, a frame takes 644.
    assert simulate(main) == 2


def test_a_half_closed_link_fails_the_handshake() -> None:
    """A server whose answer is cut by the end of the stream is an invalid answer."""

    async def main() -> None:
        running_simulation().network.set_conditions(down=Conditions(half_close_after_bytes=20))
        async with serve(echo, HOST, PORT):
            with pytest.raises(InvalidMessage):
                await connect(URI, proxy=None)

    simulate(main)


def test_connecting_fails_as_on_a_real_network() -> None:
    """A refusal comes after a round trip; a black hole lasts until the open timeout."""

    async def main() -> list[float]:
        loop = running_simulation()
        loop.network.set_conditions(Conditions(latency_ms=40))
        failed: list[float] = []
        with pytest.raises(ConnectionRefusedError):
            await connect(URI, proxy=None)
        failed.append(loop.time())
        loop.network.black_hole(HOST, PORT)
        with pytest.raises(TimeoutError):
            await connect(URI, proxy=None, open_timeout=10)
        failed.append(loop.time())
        return failed

    assert simulate(main) == [0.08, 10.08]


def test_a_slow_reader_is_felt() -> None:
    """A server that stops reading stops its client's `send`, within the buffers between them."""
    release: list[asyncio.Event] = []

    async def ignore(connection: ServerConnection) -> None:
        release.append(asyncio.Event())
        await release[0].wait()
        async for _ in connection:
            pass

    async def main() -> int:
        loop = running_simulation()
        loop.network.set_conditions(Conditions(window_bytes=10_000))
        sent = 0
        async with serve(ignore, HOST, PORT, max_queue=4, compression=None):
            connection = await connect(URI, proxy=None, compression=None, write_limit=5000)
            with suppress(TimeoutError):
                async with asyncio.timeout(10):
                    while True:
                        await connection.send(FRAME)
                        sent += 1
            stopped = sent
            release[0].set()
            await send_frames(connection, 100, 0.02)
            await connection.close()
        return stopped

    # 16 to 24 frames of 648 bytes fit into window and buffer, and a few into the queue.
    assert 20 <= simulate(main) <= 30


def test_a_minute_of_frames_each_way() -> None:
    """A minute of 20 ms frames each way ends on time: one minute and the way of the last."""
    connected, ended, log = simulate(conversation(3000, 0.02, Conditions(latency_ms=40)))
    assert (connected, ended) == (0.16, 60.16)
    # Both handshakes, and at the end what the keepalive sent.
    assert len([arrival for arrival in log if arrival.size >= len(FRAME)]) == 6000
    down = [a.at_ms for a in log if a.direction == "down" and a.size == len(FRAME) + 4]
    assert down == [160.0 + 20.0 * n for n in range(3000)]


def test_an_hour_with_keepalive() -> None:
    """An hour of one frame a second each way, pings and all, ends on time."""
    connected, ended, log = simulate(conversation(3600, 1.0, Conditions(latency_ms=40)))
    assert (connected, ended) == (0.16, 3600.16)
    assert len(log) > 7200


def test_the_same_seed_gives_the_same_trace() -> None:
    """Two runs under jitter are the same to the microsecond; another seed differs."""
    main = conversation(200, 0.02, Conditions(latency_ms=40, jitter_ms=30))
    first, again, other = (simulate(main, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first[2] != other[2]
    # Bytes that arrive late together may arrive as they were sent, never merged.
    assert [a.size for a in first[2] if a.direction == "up"] == [
        a.size for a in other[2] if a.direction == "up"
    ]


def test_a_hang_is_found_even_though_keepalive_goes_on() -> None:
    """A wait that never ends, over a link whose pings keep time going, ends by `until`."""

    async def main() -> None:
        async with serve(listen_only, HOST, PORT), connect(URI, proxy=None) as connection:
            await connection.recv()

    with pytest.raises(OutOfTime, match=r"not over at 600000\.0 ms"):
        simulate(main, until=600)
