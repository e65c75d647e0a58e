"""Streams, conditions, faults and ends of the simulated network."""

import asyncio
import contextvars
import socket
import ssl

import aiohttp
import aiohttp.web
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.testing.loop import Leftovers, NotSimulated, running_simulation, simulate
from beluga_voice.testing.network import (
    Arrival,
    Conditions,
    DirectionName,
    SimulatedNetwork,
    SimulatedServer,
    SimulatedTransport,
)

type Told = list[tuple[object, ...]]
type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Recorder(asyncio.Protocol):
    """Writes down what its transport tells it, each with the time in milliseconds."""

    def __init__(self, told: Told | None = None, *, keeps_open: bool = False) -> None:
        self.told: Told = [] if told is None else told
        self.keeps_open = keeps_open
        self.transport: asyncio.Transport | None = None
        self.connected = asyncio.Event()

    def _tell(self, *what: object) -> None:
        self.told.append((running_simulation().time_ms(), *what))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.connected.set()
        self._tell("made")

    def data_received(self, data: bytes) -> None:
        self._tell("data", data if len(data) < 20 else len(data))

    def eof_received(self) -> bool:
        self._tell("end")
        return self.keeps_open

    def pause_writing(self) -> None:
        self._tell("pause")

    def resume_writing(self) -> None:
        self._tell("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self._tell("lost", type(exc).__name__)


class Pair:
    """A client and a server that are connected, both ends recorded."""

    def __init__(self, client: Recorder, server: Recorder, listening: asyncio.AbstractServer):
        self.client = client
        self.server = server
        self.listening = listening

    @property
    def up(self) -> asyncio.Transport:
        assert self.client.transport is not None
        return self.client.transport

    @property
    def down(self) -> asyncio.Transport:
        assert self.server.transport is not None
        return self.server.transport

    async def end(self) -> None:
        self.up.abort()
        self.listening.close()
        await self.listening.wait_closed()


async def connect_pair(*, keeps_open: bool = False) -> Pair:
    """Connect, and let a millisecond pass: over the plain network it is then 1 ms."""
    loop = running_simulation()
    server = Recorder(keeps_open=keeps_open)
    client = Recorder(keeps_open=keeps_open)
    listening = await loop.create_server(lambda: server, "localhost", 80)
    await loop.create_connection(lambda: client, "localhost", 80)
    await server.connected.wait()
    await asyncio.sleep(0.001)
    return Pair(client, server, listening)


def link(**both: float) -> SimulatedNetwork:
    network = running_simulation().network
    network.set_conditions(Conditions(**both))  # type: ignore[arg-type]
    return network


def events(told: Told, *kinds: str) -> Told:
    return [each for each in told if each[1] in kinds]


async def accept_and_close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


# ── streams ─────────────────────────────────────────────────────────────────────────────────


def test_streams_carry_lines_both_ways() -> None:
    """asyncio's own streams work over it unchanged, and end in order."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            writer.write(line.upper())
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main() -> tuple[bytes, float]:
        link(latency_ms=10)
        async with await asyncio.start_server(echo, "localhost", 7) as server:
            assert server.is_serving()
            reader, writer = await asyncio.open_connection("localhost", 7)
            writer.write(b"one\ntwo\n")
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
        return answer, running_simulation().time()

    # A round trip to connect, and one for the words, their answer and the end.
    assert simulate(main) == (b"ONE\nTWO\n", 0.04)


def test_opening_takes_a_round_trip() -> None:
    """The client is connected after one round trip, the server half a round trip later."""

    async def main() -> tuple[Told, Told]:
        running_simulation().network.set_conditions(
            up=Conditions(latency_ms=30), down=Conditions(latency_ms=10)
        )
        pair = await connect_pair()
        pair.up.write(b"hello")
        await asyncio.sleep(0.1)
        told = list(pair.client.told), list(pair.server.told)
        await pair.end()
        return told

    client, server = simulate(main)
    assert client == [(40.0, "made")]
    assert server == [(70.0, "made"), (101.0, "data", b"hello")]


def test_addresses_are_told_to_both_ends() -> None:
    """Transports, sockets and servers know their addresses, deterministically."""

    async def main() -> None:
        pair = await connect_pair()
        client = pair.up.get_extra_info("sockname")
        assert client == ("127.0.0.1", 49152)
        assert pair.up.get_extra_info("peername") == ("127.0.0.1", 80)
        assert pair.down.get_extra_info("peername") == client
        assert pair.up.get_extra_info("sslcontext") is None
        assert pair.up.get_extra_info("connection") == 1
        sock = pair.down.get_extra_info("socket")
        assert (sock.family, sock.type, sock.fileno()) == (socket.AF_INET, socket.SOCK_STREAM, -1)
        assert sock.getsockname() == ("127.0.0.1", 80)
        assert sock.getpeername() == client
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
        assert sock.gettimeout() == 0
        assert "open" in repr(pair.up)
        assert "127.0.0.1:80" in repr(pair.listening)
        await pair.end()
        assert "closed" in repr(pair.down)

    simulate(main)


def test_receivers_keep_their_own_context() -> None:
    """What arrives runs in the context of the end that receives, not of the one that sent."""
    side = contextvars.ContextVar("side", default="nobody")
    seen: list[str] = []

    class Witness(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            seen.append(side.get())

    async def main() -> None:
        loop = running_simulation()
        side.set("server")
        server = await loop.create_server(Witness, "localhost", 80)
        side.set("client")
        transport, _ = await loop.create_connection(Witness, "localhost", 80)
        side.set("somebody else")
        await asyncio.sleep(1)
        transport.write(b"x")
        await asyncio.sleep(1)
        transport.close()
        server.close()
        await server.wait_closed()

    simulate(main)
    assert seen == ["server"]


def test_a_server_on_all_hosts_answers_for_every_name() -> None:
    """A server without a host, and on any free port, is reached by any name."""

    async def main() -> None:
        server = await asyncio.start_server(accept_and_close, None, 0)
        (listening,) = server.sockets
        _, port = listening.getsockname()
        for host in ("localhost", "api.example.com", "10.0.0.9"):
            reader, writer = await asyncio.open_connection(host, port)
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
        server.close()
        await server.wait_closed()
        assert server.sockets == ()

    simulate(main)


def test_an_address_is_taken_once() -> None:
    """Two servers cannot listen on one address, and its end frees it."""

    async def main() -> None:
        loop = running_simulation()
        server = await loop.create_server(asyncio.Protocol, ["localhost", "10.0.0.1"], 80)
        assert loop.network.listening == (("127.0.0.1", 80), ("10.0.0.1", 80))
        with pytest.raises(OSError, match="already"):
            await loop.create_server(asyncio.Protocol, "localhost", 80)
        server.close()
        server.close()
        async with await loop.create_server(asyncio.Protocol, "localhost", 80):
            pass

    simulate(main)


def test_a_server_may_serve_forever() -> None:
    """`serve_forever` serves until it is cancelled, and then closes."""

    async def main() -> None:
        loop = running_simulation()
        server = await loop.create_server(Recorder, "localhost", 80, start_serving=False)
        assert not server.is_serving()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("localhost", 80)
        serving = asyncio.create_task(server.serve_forever())
        _, writer = await asyncio.open_connection("localhost", 80)
        assert server.get_loop() is loop
        with pytest.raises(RuntimeError, match="already served"):
            await server.serve_forever()
        writer.close()
        await writer.wait_closed()
        serving.cancel()
        await asyncio.wait([serving])
        assert serving.cancelled()
        for again in (server.serve_forever, server.start_serving):
            with pytest.raises(RuntimeError, match="is closed"):
                await again()

    simulate(main)


def test_closing_ends_serving_forever() -> None:
    """A server that is closed elsewhere stops serving for ever."""

    async def main() -> None:
        server = await running_simulation().create_server(Recorder, "localhost", 80)
        serving = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(1)
        server.close()
        await asyncio.wait([serving])
        assert serving.cancelled()

    simulate(main)


def test_no_particular_host_is_this_host() -> None:
    """Connecting to the address of all hosts reaches this one, as on a real machine."""

    async def main() -> None:
        async with await asyncio.start_server(accept_and_close, "localhost", 80):
            _, writer = await asyncio.open_connection("0.0.0.0", 80)
            assert writer.get_extra_info("peername") == ("127.0.0.1", 80)
            writer.close()
            await writer.wait_closed()

    simulate(main)


def test_sockets_connect_by_themselves() -> None:
    """A socket of the network connects, is given away to a transport, or closes unused."""

    async def main() -> None:
        loop = running_simulation()
        async with await asyncio.start_server(accept_and_close, "localhost", 80):
            unused, used = loop.network.socket(), loop.network.socket()
            unused.bind(("127.0.0.1", 5))
            assert unused.getsockname() == ("127.0.0.1", 5)
            for each in (unused, used):
                each.setblocking(False)
                await loop.sock_connect(each, ("127.0.0.1", 80))
                assert each.getpeername() == ("127.0.0.1", 80)
            unused.close()
            unused.close()
            reader, writer = await asyncio.open_connection(sock=used)
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
            assert loop.network.connections == ()
            with socket.socket() as real, pytest.raises(NotSimulated, match="real socket"):
                await asyncio.open_connection(sock=real)

    simulate(main)


def test_a_server_ends_its_clients() -> None:
    """`close_clients` and `abort_clients` end what was accepted; `wait_closed` waits for that."""

    async def main(*, is_abort: bool) -> float:
        loop = running_simulation()
        link(latency_ms=5)
        pair = await connect_pair()
        pair.listening.close()
        waiter = asyncio.create_task(pair.listening.wait_closed())
        await asyncio.sleep(1)
        assert not waiter.done()
        assert isinstance(pair.listening, SimulatedServer)
        if is_abort:
            pair.listening.abort_clients()
        else:
            pair.listening.close_clients()
        await waiter
        ended = loop.time()
        await asyncio.sleep(1)
        assert [each[1] for each in pair.client.told] == ["made", "end", "lost"]
        return ended

    assert simulate(lambda: main(is_abort=True)) == simulate(lambda: main(is_abort=False))


def test_tls_is_refused() -> None:
    """Asking for TLS fails with the advice to leave it."""

    async def main() -> None:
        context = ssl.create_default_context()
        advice = "TLS is not simulated: use ws://"
        with pytest.raises(NotSimulated, match=advice):
            await asyncio.open_connection("localhost", 443, ssl=context)
        with pytest.raises(NotSimulated, match=advice):
            await asyncio.start_server(accept_and_close, "localhost", 443, ssl=context)

    simulate(main)


def test_wrong_calls_are_refused() -> None:
    """Connecting and listening without an address, or with a foreign socket, is an error."""

    async def main() -> None:
        loop = running_simulation()
        with pytest.raises(ValueError, match="port"):
            await loop.create_connection(asyncio.Protocol, "localhost")
        with pytest.raises(ValueError, match="port"):
            await loop.create_server(asyncio.Protocol)
        with pytest.raises(ValueError, match="not both"):
            await loop.create_connection(
                asyncio.Protocol, "localhost", 1, sock=loop.network.socket()
            )
        with pytest.raises(OSError, match="not connected"):
            await loop.create_connection(asyncio.Protocol, sock=loop.network.socket())
        with pytest.raises(NotSimulated):
            await loop.create_server(asyncio.Protocol, sock=object())
        for ask in (loop.network.socket().getsockname, loop.network.socket().getpeername):
            with pytest.raises(OSError, match="not connected"):
                ask()

    simulate(main)


# ── conditions ──────────────────────────────────────────────────────────────────────────────


def test_a_rate_spreads_bytes_in_time() -> None:
    """At 1000 bytes a second, 100 bytes take 100 ms, and wait for those before them."""

    async def main() -> Told:
        pair = await connect_pair()
        link(latency_ms=7, bytes_per_second=1000)
        pair.up.write(b"a" * 100)
        pair.up.write(b"b" * 50)
        await asyncio.sleep(1)
        await pair.end()
        return events(pair.server.told, "data")

    start = 1.0
    assert simulate(main) == [(start + 107, "data", 100), (start + 157, "data", 50)]


@given(st.integers(0, 2**32), st.lists(st.integers(0, 30), min_size=2, max_size=20))
def test_jitter_delays_but_never_reorders(seed: int, gaps: list[int]) -> None:
    """Under jitter everything arrives once, in order, and within latency and jitter."""

    async def main() -> list[tuple[float, float]]:
        loop = running_simulation()
        pair = await connect_pair()
        link(latency_ms=20, jitter_ms=50)
        sent: list[float] = []
        for number, gap in enumerate(gaps):
            pair.up.write(bytes([number]))
            sent.append(loop.time_ms())
            await asyncio.sleep(gap / 1000)
        await asyncio.sleep(1)
        await pair.end()
        arrivals = events(pair.server.told, "data")
        assert [each[2] for each in arrivals] == [bytes([n]) for n in range(len(gaps))]
        return [(at, float(str(each[0]))) for at, each in zip(sent, arrivals, strict=True)]

    times = simulate(main, seed=seed)
    latest = 0.0
    for sent, arrived in times:
        assert arrived >= sent + 20
        assert arrived <= max(latest, sent + 70)
        latest = arrived
    assert simulate(main, seed=seed) == times


def test_one_connections_traffic_does_not_shift_anothers() -> None:
    """The jitter of a connection is the same, whatever others send."""

    async def main(others: int) -> Told:
        pair = await connect_pair()
        loop = running_simulation()
        other, _ = await loop.create_connection(Recorder, "localhost", 80)
        link(jitter_ms=50)
        for _ in range(5):
            pair.down.write(b"x")
            for _ in range(others):
                other.write(b"y")
            await asyncio.sleep(0.1)
        other.abort()
        await pair.end()
        return events(pair.client.told, "data")

    assert simulate(lambda: main(0)) == simulate(lambda: main(3))


def test_each_direction_has_its_own_jitter() -> None:
    """Two ways of a connection, and two connections, jitter apart."""

    async def main() -> list[float]:
        loop = running_simulation()
        network = loop.network
        pair = await connect_pair()
        other, _ = await loop.create_connection(Recorder, "localhost", 80)
        await asyncio.sleep(0.1)
        link(jitter_ms=50)
        log: list[Arrival] = []
        network.log = log
        for transport in (pair.up, pair.down, other):
            transport.write(b"x")
        await asyncio.sleep(1)
        other.abort()
        await pair.end()
        return [arrival.at_ms for arrival in log]

    assert len(set(simulate(main))) == 3


def test_conditions_differ_by_direction_address_and_connection() -> None:
    """The nearest conditions count: a connection's, its address's, everybody's."""

    async def main() -> list[object]:
        loop = running_simulation()
        network = loop.network
        served: list[Recorder] = []

        def serve() -> Recorder:
            served.append(Recorder())
            return served[-1]

        server = await loop.create_server(serve, None, 80)
        network.set_conditions(Conditions(latency_ms=1))
        network.set_conditions(Conditions(latency_ms=10), host="far.example.com", port=80)
        took: list[object] = []
        clients: list[Recorder] = []
        for host in ("near.example.com", "far.example.com"):
            start = loop.time_ms()
            _, client = await loop.create_connection(Recorder, host, 80)
            clients.append(client)
            took.append(loop.time_ms() - start)
        near, far = network.connections
        assert (near.host, far.host, near.port) == ("near.example.com", "far.example.com", 80)
        network.set_conditions(up=Conditions(latency_ms=50), connection=near.id)
        await asyncio.sleep(1 - loop.time())
        for end in (*clients, *served):
            assert end.transport is not None
            end.transport.write(b"x")
        await asyncio.sleep(1)
        for end in (*clients, *served):
            took += [each[0] for each in events(end.told, "data")]
        assert network.reset() == 2
        server.close()
        await server.wait_closed()
        return took

    assert simulate(main) == [2.0, 20.0, 1001.0, 1010.0, 1050.0, 1010.0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"latency_ms": -1},
        {"jitter_ms": -1},
        {"bytes_per_second": 0},
        {"window_bytes": 0},
        {"stalls": ((2, 1),)},
    ],
)
def test_impossible_conditions_are_refused(wrong: dict[str, object]) -> None:
    """Conditions that no link can have are refused when they are made."""
    with pytest.raises(ValueError):  # noqa: PT011
        Conditions(**wrong)  # type: ignore[arg-type]


def test_a_target_is_an_address_or_a_connection() -> None:
    """Half an address, and an address together with a connection, are refused."""

    async def main() -> None:
        network = running_simulation().network
        with pytest.raises(ValueError, match="both a host and a port"):
            network.stall("localhost")
        with pytest.raises(ValueError, match="not both"):
            network.reset("localhost", 80, connection=1)

    simulate(main)


def test_planned_stalls_hold_back_what_would_arrive() -> None:
    """Nothing arrives in a planned stall; it arrives at the end, and later bytes after it."""

    async def main() -> Told:
        running_simulation().network.set_conditions(
            Conditions(latency_ms=10, stalls=((200, 300), (100, 200)))
        )
        pair = await connect_pair()
        loop = running_simulation()
        for at in (80, 90, 250, 289, 290):
            loop.call_at(at / 1000, pair.up.write, str(at).encode())
        await asyncio.sleep(1)
        await pair.end()
        return events(pair.server.told, "data")

    assert simulate(main) == [
        (90.0, "data", b"80"),
        (300.0, "data", b"90"),
        (300.0, "data", b"250"),
        (300.0, "data", b"289"),
        (300.0, "data", b"290"),
    ]


def test_the_log_records_arrivals() -> None:
    """With a log, every arrival is recorded: when, on which connection, which way, how much."""

    async def main() -> list[Arrival]:
        network = link(latency_ms=5)
        pair = await connect_pair()
        log = network.log = []
        await asyncio.sleep(1 - running_simulation().time())
        pair.up.write(b"four")
        await asyncio.sleep(0.1)
        pair.down.writelines([b"se", b"ven", b"::"])
        await asyncio.sleep(0.1)
        (info,) = network.connections
        assert (info.up_bytes, info.down_bytes, info.is_stalled) == (4, 7, False)
        await pair.end()
        return log

    assert simulate(main) == [
        Arrival(1005.0, 1, DirectionName.UP, 4),
        Arrival(1105.0, 1, DirectionName.DOWN, 7),
    ]


# ── backpressure ────────────────────────────────────────────────────────────────────────────


def test_a_receiver_that_stops_reading_is_felt() -> None:
    """The window fills, then the sender's buffer; the sender pauses until the receiver reads."""

    async def main() -> tuple[Told, list[int], int]:
        pair = await connect_pair()
        link(latency_ms=10, window_bytes=1000)
        pair.up.set_write_buffer_limits(high=500)
        assert isinstance(pair.up, SimulatedTransport)
        assert pair.up.get_write_buffer_limits() == (125, 500)
        pair.down.pause_reading()
        assert not pair.down.is_reading()
        sizes: list[int] = []
        for _ in range(8):
            pair.up.write(b"x" * 200)
            sizes.append(pair.up.get_write_buffer_size())
        await asyncio.sleep(1)
        assert events(pair.server.told, "data") == []
        pair.down.resume_reading()
        pair.down.resume_reading()
        assert pair.down.is_reading()
        await asyncio.sleep(1)
        told = events(pair.client.told, "pause", "resume")
        received = sum(int(str(each[2])) for each in events(pair.server.told, "data"))
        await pair.end()
        return told, sizes, received

    told, sizes, received = simulate(main)
    assert sizes == [0, 0, 0, 0, 0, 200, 400, 600]
    assert told == [(1.0, "pause"), (1001.0, "resume")]
    assert received == 1600


def test_a_slow_link_paces_its_sender() -> None:
    """`drain` waits for a link that carries 10 000 bytes a second: two seconds for 20 000."""

    async def read_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def main() -> tuple[float, float]:
        loop = running_simulation()
        link(bytes_per_second=10_000, window_bytes=1000)
        async with await asyncio.start_server(read_all, "localhost", 80):
            _, writer = await asyncio.open_connection("localhost", 80)
            writer.transport.set_write_buffer_limits(high=0)
            for _ in range(20):
                writer.write(b"x" * 1000)
                await writer.drain()
            drained = loop.time()
            writer.close()
            await writer.wait_closed()
        return drained, loop.time()

    # The last thousand is under way when the nineteenth has been read.
    assert simulate(main) == (1.9, 2.0)


def test_writing_resumes_at_the_low_mark() -> None:
    """A paused protocol is resumed when no more than the low mark waits, and not before."""

    async def main() -> Told:
        pair = await connect_pair()
        link(bytes_per_second=1000, window_bytes=100)
        pair.up.set_write_buffer_limits(high=500, low=100)
        pair.up.write(b"x" * 1000)
        await asyncio.sleep(2)
        await pair.end()
        return events(pair.client.told, "pause", "resume")

    # Of the 900 bytes that wait, 100 leave each 100 ms.
    assert simulate(main) == [(1.0, "pause"), (801.0, "resume")]


def test_write_limits_are_checked() -> None:
    """Write limits have asyncio's defaults and its checks."""

    async def main() -> None:
        pair = await connect_pair()
        assert isinstance(pair.up, SimulatedTransport)
        assert pair.up.get_write_buffer_limits() == (16384, 65536)
        pair.up.set_write_buffer_limits(low=100)
        assert pair.up.get_write_buffer_limits() == (100, 400)
        pair.up.set_write_buffer_limits()
        assert pair.up.get_write_buffer_limits() == (16384, 65536)
        with pytest.raises(ValueError, match="must be >="):
            pair.up.set_write_buffer_limits(high=1, low=2)
        await pair.end()

    simulate(main)


# ── ends ────────────────────────────────────────────────────────────────────────────────────


def test_close_sends_what_waits() -> None:
    """`close` lets buffered bytes out first; the peer gets all of them, then the end."""

    async def main() -> tuple[Told, Told]:
        pair = await connect_pair()
        link(latency_ms=10, window_bytes=100)
        pair.up.write(b"x" * 250)
        pair.up.close()
        assert pair.up.is_closing()
        await asyncio.sleep(1)
        await pair.end()
        return pair.client.told, pair.server.told

    client, server = simulate(main)
    assert client[1:] == [(21.0, "lost", "NoneType")]
    assert server[1:] == [
        (11.0, "data", 100),
        (21.0, "data", 100),
        (31.0, "data", 50),
        (31.0, "end"),
        (31.0, "lost", "NoneType"),
    ]


def test_abort_drops_what_waits() -> None:
    """`abort` ends at once: what the network had taken arrives, the rest does not."""

    async def main() -> Told:
        pair = await connect_pair()
        link(latency_ms=10, window_bytes=100)
        pair.up.write(b"x" * 250)
        pair.up.write_eof()
        pair.up.abort()
        await asyncio.sleep(1)
        await pair.end()
        return pair.server.told

    assert simulate(main)[1:] == [
        (11.0, "data", 100),
        (11.0, "end"),
        (11.0, "lost", "NoneType"),
    ]


def test_half_a_connection_may_go_on() -> None:
    """After `write_eof` the other way still carries bytes, if the receiver keeps it open."""

    async def main() -> tuple[Told, Told]:
        pair = await connect_pair(keeps_open=True)
        link(latency_ms=10)
        assert pair.up.can_write_eof()
        pair.up.write(b"last words")
        pair.up.write_eof()
        pair.up.write_eof()
        with pytest.raises(RuntimeError, match="after write_eof"):
            pair.up.write(b"more")
        await asyncio.sleep(0.1)
        pair.down.write(b"answer")
        pair.down.close()
        await asyncio.sleep(0.1)
        told = pair.client.told[1:], pair.server.told[1:]
        await pair.end()
        return told

    client, server = simulate(main)
    assert server == [(11.0, "data", b"last words"), (11.0, "end"), (101.0, "lost", "NoneType")]
    assert client == [(111.0, "data", b"answer"), (111.0, "end")]


def test_closing_with_unread_bytes_resets_the_peer() -> None:
    """Who closes without having read what arrived resets the peer, behind the end."""

    async def main() -> Told:
        pair = await connect_pair(keeps_open=True)
        link(latency_ms=10)
        pair.down.pause_reading()
        pair.up.write(b"never read")
        await asyncio.sleep(0.1)
        pair.down.close()
        await asyncio.sleep(1)
        await pair.end()
        return pair.client.told[1:]

    assert simulate(main) == [(111.0, "end"), (111.0, "lost", "ConnectionResetError")]


def test_a_closing_end_hears_no_more() -> None:
    """A transport that is closed, and has yet to send what waits, delivers nothing more."""

    async def main() -> Told:
        pair = await connect_pair()
        link(window_bytes=10)
        pair.down.pause_reading()
        pair.up.write(b"x" * 15)
        pair.up.close()
        pair.down.write(b"too late")
        await asyncio.sleep(1)
        await pair.end()
        return events(pair.client.told, "data")

    assert simulate(main) == []


def test_nothing_arrives_before_the_connection_is_made() -> None:
    """Bytes that come with the last step of opening wait for `connection_made`."""
    told: Told = []

    async def main() -> None:
        loop = running_simulation()
        link(latency_ms=10)
        async with await loop.create_server(lambda: Recorder(told), "localhost", 80):
            transport, _ = await loop.create_connection(Recorder, "localhost", 80)
            transport.write(b"at once")
            await asyncio.sleep(1)
            transport.close()

    simulate(main)
    assert told[:2] == [(30.0, "made"), (30.0, "data", b"at once")]


def test_the_end_waits_for_the_buffer() -> None:
    """`write_eof` with bytes still waiting sends the end behind them."""

    async def main() -> Told:
        pair = await connect_pair()
        link(latency_ms=10, window_bytes=10)
        pair.up.write(b"x" * 15)
        pair.up.write_eof()
        await asyncio.sleep(1)
        await pair.end()
        return pair.server.told[1:-1]

    assert simulate(main) == [
        (11.0, "data", b"x" * 10),
        (21.0, "data", b"x" * 5),
        (21.0, "end"),
    ]


def test_bytes_for_a_closed_end_come_back_as_a_reset() -> None:
    """Who writes to a peer that is gone gets a reset one round trip later."""

    async def main() -> Told:
        pair = await connect_pair(keeps_open=True)
        link(latency_ms=10)
        pair.down.close()
        await asyncio.sleep(0.099)
        pair.up.write(b"anybody there?")
        await asyncio.sleep(1)
        await pair.end()
        return pair.client.told[1:]

    assert simulate(main) == [(11.0, "end"), (120.0, "lost", "ConnectionResetError")]


def test_writing_to_a_lost_transport_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Writes after the end vanish, and after some of them a warning says so."""

    async def main() -> None:
        pair = await connect_pair()
        pair.up.abort()
        for _ in range(6):
            pair.up.write(b"x")
        await asyncio.sleep(1)
        await pair.end()

    simulate(main)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_only_bytes_are_written() -> None:
    """Text is refused at the call; no bytes at all are no event."""

    async def main() -> None:
        pair = await connect_pair()
        with pytest.raises(TypeError, match="not str"):
            pair.up.write("text")  # type: ignore[arg-type]
        pair.up.write(b"")
        mutable = bytearray(b"before")
        pair.up.write(mutable)
        mutable[:] = b"after!"
        await asyncio.sleep(1)
        assert events(pair.server.told, "data") == [(1.0, "data", b"before")]
        await pair.end()

    simulate(main)


# ── faults ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("by", ["all", "address", "connection"])
def test_a_stall_holds_everything_back(by: str) -> None:
    """In a stall nothing arrives; on `resume` all of it does, in order."""

    async def main() -> Told:
        pair = await connect_pair()
        network = link(latency_ms=10)
        host, port = ("localhost", 80) if by == "address" else (None, None)
        connection = 1 if by == "connection" else None
        network.stall(host, port, connection=connection, direction="up")
        assert network.connections[0].is_stalled
        pair.up.write(b"one")
        pair.up.write(b"two")
        pair.down.write(b"three")
        await asyncio.sleep(0.199)
        assert [each[1:] for each in pair.client.told[1:]] == [("data", b"three")]
        network.resume(host, port, connection=connection, direction="up")
        pair.up.write(b"four")
        await asyncio.sleep(1)
        await pair.end()
        return events(pair.server.told, "data")

    assert simulate(main) == [
        (200.0, "data", b"one"),
        (200.0, "data", b"two"),
        (210.0, "data", b"four"),
    ]


def test_a_stall_holds_back_those_who_connect() -> None:
    """A connection to a stalled address comes about when the stall ends."""

    async def main() -> float:
        loop = running_simulation()
        loop.network.stall("localhost", 80)
        loop.call_later(3, loop.network.resume, "localhost", 80)
        async with await asyncio.start_server(accept_and_close, "localhost", 80):
            _, writer = await asyncio.open_connection("localhost", 80)
            connected = loop.time()
            writer.close()
            await writer.wait_closed()
        return connected

    assert simulate(main) == 3.0


def test_a_reset_ends_both() -> None:
    """A reset ends both transports at once with `ConnectionResetError`; others live on."""

    async def main() -> tuple[Told, Told, Told]:
        loop = running_simulation()
        pair = await connect_pair()
        other, protocol = await loop.create_connection(Recorder, "localhost", 80)
        link(latency_ms=10)
        pair.up.write(b"lost on its way")
        assert loop.network.reset(connection=1) == 1
        assert loop.network.reset(connection=1) == 0
        await asyncio.sleep(1)
        assert loop.network.reset("localhost", 80) == 1
        await asyncio.sleep(1)
        assert other.is_closing()
        await pair.end()
        return pair.client.told[1:], pair.server.told[1:2], protocol.told[1:]

    client, server, other = simulate(main)
    assert client == [(1.0, "lost", "ConnectionResetError")]
    assert server == [(1.0, "made")]
    assert other == [(1001.0, "lost", "ConnectionResetError")]


def test_a_connection_is_reset_after_so_many_bytes() -> None:
    """Ten bytes arrive, and with the tenth both ends are reset."""

    async def main() -> tuple[Told, Told]:
        pair = await connect_pair()
        running_simulation().network.set_conditions(
            up=Conditions(latency_ms=10, reset_after_bytes=10)
        )
        for _ in range(4):
            pair.up.write(b"four")
        await asyncio.sleep(1)
        await pair.end()
        return pair.client.told[1:], pair.server.told[1:]

    client, server = simulate(main)
    assert server == [
        (11.0, "data", b"four"),
        (11.0, "data", b"four"),
        (11.0, "data", b"fo"),
        (11.0, "lost", "ConnectionResetError"),
    ]
    assert client == [(11.0, "lost", "ConnectionResetError")]


def test_a_reset_does_not_wait_for_a_reader() -> None:
    """A receiver that does not read is reset all the same, and its unread bytes are gone."""

    async def main() -> Told:
        pair = await connect_pair()
        link(latency_ms=10, reset_after_bytes=4)
        pair.down.pause_reading()
        pair.up.write(b"four")
        await asyncio.sleep(1)
        await pair.end()
        return pair.server.told[1:]

    assert simulate(main) == [(11.0, "lost", "ConnectionResetError")]


def test_a_direction_is_half_closed_after_so_many_bytes() -> None:
    """Six bytes arrive, then the end; what follows vanishes, and the other way lives."""

    async def main() -> tuple[Told, Told]:
        pair = await connect_pair(keeps_open=True)
        running_simulation().network.set_conditions(up=Conditions(half_close_after_bytes=6))
        for _ in range(3):
            pair.up.write(b"four")
        pair.down.write(b"still here")
        await asyncio.sleep(1)
        told = pair.client.told[1:], pair.server.told[1:]
        pair.down.abort()
        await pair.end()
        return told

    client, server = simulate(main)
    assert server == [(1.0, "data", b"four"), (1.0, "data", b"fo"), (1.0, "end")]
    assert client == [(1.0, "data", b"still here")]


def test_an_address_may_refuse() -> None:
    """A refused connection fails after a round trip, until the address is restored."""

    async def main() -> list[float]:
        loop = running_simulation()
        network = link(latency_ms=10)
        times: list[float] = []
        async with await asyncio.start_server(accept_and_close, "localhost", 80):
            network.refuse("localhost", 80)
            with pytest.raises(ConnectionRefusedError, match="localhost:80"):
                await asyncio.open_connection("localhost", 80)
            times.append(loop.time_ms())
            network.restore("localhost", 80)
            _, writer = await asyncio.open_connection("localhost", 80)
            times.append(loop.time_ms())
            writer.close()
            await writer.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("localhost", 80)
        assert network.connections == ()
        return times

    assert simulate(main) == [20.0, 40.0]


def test_a_black_hole_never_answers() -> None:
    """Connecting into a black hole lasts until the time limit, or until it is restored."""

    async def main() -> list[float]:
        loop = running_simulation()
        times: list[float] = []
        async with await asyncio.start_server(accept_and_close, "localhost", 80):
            loop.network.black_hole("localhost", 80)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(10):
                    await asyncio.open_connection("localhost", 80)
            times.append(loop.time())
            loop.call_later(5, loop.network.restore, "localhost", 80)
            _, writer = await asyncio.open_connection("localhost", 80)
            times.append(loop.time())
            writer.close()
            await writer.wait_closed()
        assert loop.network.connections == ()
        return times

    assert simulate(main) == [10.0, 15.0]


def test_a_hidden_name_cannot_be_connected_to() -> None:
    """Connecting to a name that does not resolve fails as with a resolver."""

    async def main() -> None:
        running_simulation().network.hide_name("gone.example.com")
        with pytest.raises(socket.gaierror):
            await asyncio.open_connection("gone.example.com", 80)

    simulate(main)


def test_a_client_that_gives_up_leaves_nothing() -> None:
    """A connection that is cancelled while it opens is gone from the network."""

    async def main() -> None:
        loop = running_simulation()
        link(latency_ms=100)
        async with await asyncio.start_server(accept_and_close, "localhost", 80):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.15):
                    await asyncio.open_connection("localhost", 80)
            assert loop.network.connections == ()
            await asyncio.sleep(1)

    simulate(main)


def test_a_client_that_gives_up_at_the_last_moment_is_closed() -> None:
    """A client cancelled when the connection was just made ends it, at both ends."""

    async def main() -> None:
        loop = running_simulation()
        protocol = Recorder()

        class Impatient(Recorder):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                connecting.cancel()

        impatient = Impatient()
        async with await loop.create_server(lambda: protocol, "localhost", 80):
            connecting = asyncio.create_task(
                loop.create_connection(lambda: impatient, "localhost", 80)
            )
            await asyncio.wait([connecting])
            assert connecting.cancelled()
        assert [each[1] for each in impatient.told] == ["made", "lost"]
        assert [each[1] for each in protocol.told] == ["made", "end", "lost"]

    simulate(main)


def test_a_reset_may_hit_an_opening_connection() -> None:
    """A connection that is reset while it opens fails for who wanted it."""

    async def main() -> float:
        loop = running_simulation()
        link(latency_ms=100)
        loop.call_later(0.15, loop.network.reset)
        async with await asyncio.start_server(accept_and_close, "localhost", 80):
            with pytest.raises(ConnectionResetError):
                await asyncio.open_connection("localhost", 80)
        return loop.time()

    assert simulate(main) == 0.15


def test_a_server_that_closes_meanwhile_resets() -> None:
    """Who was let in by a server that closed before hearing of it is reset."""

    async def main() -> Told:
        loop = running_simulation()
        link(latency_ms=10)
        server = await loop.create_server(Recorder, "localhost", 80)
        _, client = await loop.create_connection(Recorder, "localhost", 80)
        server.close()
        await server.wait_closed()
        await asyncio.sleep(1)
        assert loop.network.connections == ()
        return client.told

    assert simulate(main) == [(20.0, "made"), (40.0, "lost", "ConnectionResetError")]


# ── protocols that misbehave ────────────────────────────────────────────────────────────────


class Failing(Recorder):
    """Raises where it is told to."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def _tell(self, *what: object) -> None:
        super()._tell(*what)
        if what[0] == self.where:
            raise ValueError(self.where)


class Greeter(Recorder):
    """Says a word and no more, but listens on."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.write(b"hello")
        self.transport.write_eof()


@pytest.mark.parametrize(
    ("where", "lost"),
    [
        ("made", "NoneType"),
        ("data", "ValueError"),
        ("end", "ValueError"),
        ("pause", "NoneType"),
        ("resume", "NoneType"),
        ("lost", "NoneType"),
    ],
)
def test_a_protocols_exception_comes_to_light(where: str, lost: str) -> None:
    """What a protocol raises is reported; on data, or at the end, it ends the connection."""
    failing = Failing(where)

    async def main() -> None:
        loop = running_simulation()
        link(window_bytes=10)
        async with await loop.create_server(Greeter, "localhost", 80):
            transport, _ = await loop.create_connection(lambda: failing, "localhost", 80)
            transport.set_write_buffer_limits(high=0)
            transport.write(b"x" * 15)
            await asyncio.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        simulate(main)
    assert [str(each) for each in caught.value.exceptions] == [where]
    assert events(failing.told, "lost") == [(0.0, "lost", lost)]


def test_a_failing_factory_resets_its_client() -> None:
    """A server whose protocol cannot be made resets who connected, and the error is raised."""
    told: Told = []

    def fail() -> asyncio.Protocol:
        raise ValueError("no protocol")

    async def main() -> None:
        loop = running_simulation()
        async with await loop.create_server(fail, "localhost", 80):
            await loop.create_connection(lambda: Recorder(told), "localhost", 80)
            await asyncio.sleep(1)
            with pytest.raises(ValueError, match="no protocol"):
                await loop.create_connection(fail, "localhost", 80)
            assert loop.network.connections == ()

    with pytest.raises(ExceptionGroup, match="lost exceptions"):
        simulate(main)
    assert told[1:] == [(0.0, "lost", "ConnectionResetError")]


class Buffered(asyncio.BufferedProtocol):
    """Reads into a buffer of four bytes, or of none."""

    def __init__(self, size: int) -> None:
        self.buffer = bytearray(size)
        self.got: list[bytes] = []

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.got.append(bytes(self.buffer[:nbytes]))


def test_buffered_protocols_are_filled() -> None:
    """A buffered protocol gets its bytes by the bufferful."""

    async def main() -> list[bytes]:
        loop = running_simulation()
        async with await loop.create_server(Greeter, "localhost", 80):
            transport, protocol = await loop.create_connection(lambda: Buffered(4), "localhost", 80)
            await asyncio.sleep(1)
            assert transport.is_closing()
        return protocol.got

    assert simulate(main) == [b"hell", b"o"]


def test_a_buffer_without_room_is_an_error() -> None:
    """A buffered protocol that offers no room fails its connection."""

    async def main() -> None:
        loop = running_simulation()
        async with await loop.create_server(Greeter, "localhost", 80):
            await loop.create_connection(lambda: Buffered(0), "localhost", 80)
            await asyncio.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        simulate(main)
    assert "empty buffer" in str(caught.value.exceptions[0])


def test_a_protocol_may_be_exchanged() -> None:
    """After `set_protocol` the new protocol hears what comes."""

    async def main() -> Told:
        pair = await connect_pair()
        second = Recorder()
        pair.down.set_protocol(second)
        assert pair.down.get_protocol() is second
        pair.up.write(b"for the second")
        await asyncio.sleep(1)
        await pair.end()
        return second.told

    assert simulate(main)[0] == (1.0, "data", b"for the second")


# ── what is left, and other libraries ───────────────────────────────────────────────────────


def test_left_connections_and_servers_are_reported() -> None:
    """Open transports and servers that outlive the program are named."""

    async def main() -> None:
        pair = await connect_pair()
        link(latency_ms=50)
        pair.up.write(b"never read")

    with pytest.raises(Leftovers) as caught:
        simulate(main)
    assert caught.value.what == (
        "the server on 127.0.0.1:80",
        "the client's transport of connection 1 to localhost:80, 0 bytes unsent, "
        "0 bytes on their way to it",
        "the server's transport of connection 1 to localhost:80, 0 bytes unsent, "
        "10 bytes on their way to it",
    )


def test_a_connection_on_its_way_is_reported() -> None:
    """A client that closes before its server heard of it leaves a delivery pending."""

    async def main() -> None:
        loop = running_simulation()
        link(latency_ms=50)
        async with await loop.create_server(Recorder, "localhost", 80):
            transport, _ = await loop.create_connection(Recorder, "localhost", 80)
            transport.close()

    with pytest.raises(Leftovers, match="which its server has yet to hear of"):
        simulate(main)


def test_aiohttp_runs_on_it() -> None:
    """aiohttp's server runs unchanged, its client with the network's sockets."""

    async def hello(request: aiohttp.web.Request) -> aiohttp.web.WebSocketResponse:
        answer = aiohttp.web.WebSocketResponse()
        await answer.prepare(request)
        async for message in answer:
            await answer.send_str(message.data.upper())
        return answer

    async def main() -> tuple[str, float]:
        loop = running_simulation()
        link(latency_ms=20)
        app = aiohttp.web.Application()
        app.router.add_get("/", hello)
        runner = aiohttp.web.AppRunner(app)
        await runner.setup()
        await aiohttp.web.TCPSite(runner, "voice.example.com", 80).start()
        connector = aiohttp.TCPConnector(socket_factory=loop.network.socket)  # type: ignore[arg-type]
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.ws_connect("http://voice.example.com/") as link_to_it,
        ):
            connected = loop.time_ms()
            await link_to_it.send_str("hello")
            answer = await link_to_it.receive_str()
            took = loop.time_ms() - connected
        await runner.cleanup()
        return answer, took

    assert simulate(main) == ("HELLO", 40.0)
