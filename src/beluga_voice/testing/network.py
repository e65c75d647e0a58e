"""A network of byte streams inside one simulated loop, with every fault on request.

How it works. A *connection* joins a client to a server by two *directions*, `up` (client to
server) and `down`. A direction is a queue of things under way, each with the moment it arrives:
it left when the wire was free, took as long as the rate says, and is late by the latency and by
jitter. Nothing arrives before what was sent before it, so jitter delays but never reorders. The
three steps of opening a connection, the end of a stream and a reset travel the same queue, so
that a stall, or a slow link, holds them back as it does the bytes.

A direction takes no more than `window_bytes` that the receiver has not read: the buffers of both
kernels in one. What it does not take waits in the sender's transport, which pauses its protocol
above the high-water mark. So a receiver that stops reading is felt by the sender. The sender
learns that the window opened at once; that news does not take the way back.

An open takes one round trip for the client, and half a round trip more for the server. What a
closed transport had handed over still arrives, then the end of the stream. Bytes that reach a
transport that was closed come back as a reset.

Bytes can also arrive otherwise than they were sent: in slices, with some of them changed, or cut
off (`half_close_after_bytes`). No network reorders or repeats the bytes of a stream, because TCP
numbers them; `duplicate_share` is a broken proxy. For order and loss among whole messages, see
`beluga_voice.testing.faults`.

Everything random comes from the seed, apart for each direction of each connection, so that one
connection's traffic never shifts another's.
"""

import asyncio
import contextvars
import errno
import ipaddress
import logging
import random
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Literal, NamedTuple, NoReturn, cast

if TYPE_CHECKING:
    from beluga_voice.testing.loop import SimulatedLoop

type Address = tuple[str, int]
type SocketAddress = tuple[str, int] | tuple[str, int, int, int]
type AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, SocketAddress]
type ProtocolFactory = Callable[[], asyncio.BaseProtocol]

logger = logging.getLogger("asyncio")
# A write to a lost transport is dropped in silence this often, then logged: as asyncio does.
_SILENT_LOST_WRITES = 5
_ANY_HOST = "0.0.0.0"
_LOCALHOST = "127.0.0.1"
_FIRST_SERVER_PORT = 32768
_FIRST_CLIENT_PORT = 49152
_SERVICES = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class NotSimulated(NotImplementedError):
    """The program asked the simulation for something only a real machine has."""


class DirectionName(StrEnum):
    """Which way bytes go."""

    UP = "up"
    """From client to server."""
    DOWN = "down"
    """From server to client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What one direction of a connection is like. Times are milliseconds.

    `jitter_ms` is the most that is added to the latency, evenly spread. During each of `stalls`,
    pairs of begin and end on the loop's clock, nothing arrives; it arrives at the end.
    `reset_after_bytes` and `half_close_after_bytes` count all bytes of the direction: that many
    arrive, and with the last of them both ends are reset, or the receiver sees the end of the
    stream and the sender's further bytes vanish.

    What is written at once arrives in slices of 1 to `slice_bytes`, each `slice_ms` after the one
    before. `corrupt_share` of all bytes arrive as other ones, and `duplicate_share` of all that is
    written at once, slices if there are any, arrives twice. During each of `brownouts`, which are
    begin and end on the loop's clock and the milliseconds that the latency grows by, all is late.
    """

    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    bytes_per_second: float | None = None
    stalls: tuple[tuple[float, float], ...] = ()
    reset_after_bytes: int | None = None
    half_close_after_bytes: int | None = None
    window_bytes: int = 65536
    slice_bytes: int | None = None
    slice_ms: float = 0.0
    corrupt_share: float = 0.0
    duplicate_share: float = 0.0
    brownouts: tuple[tuple[float, float, float], ...] = ()

    def __post_init__(self) -> None:
        if self.latency_ms < 0 or self.jitter_ms < 0:
            raise ValueError("latency and jitter are never negative")
        if self.bytes_per_second is not None and self.bytes_per_second <= 0:
            raise ValueError("bytes_per_second is positive; use stall() to let nothing through")
        if self.window_bytes < 1:
            raise ValueError("window_bytes is at least 1")
        if any(begin > end for begin, end in self.stalls):
            raise ValueError("a stall ends after it begins")
        if self.slice_bytes is not None and self.slice_bytes < 1:
            raise ValueError("slice_bytes is at least 1")
        if self.slice_ms < 0 or any(slow < 0 for _, _, slow in self.brownouts):
            raise ValueError("slices and brownouts take time, they give none")
        if not 0 <= self.corrupt_share <= 1 or not 0 <= self.duplicate_share <= 1:
            raise ValueError("a share is 0 to 1")
        if any(begin > end for begin, end, _ in self.brownouts):
            raise ValueError("a brownout ends after it begins")

    @property
    def spoils(self) -> bool:
        """Whether bytes arrive otherwise than they were sent."""
        return bool(self.slice_bytes or self.corrupt_share or self.duplicate_share)


class Arrival(NamedTuple):
    """Bytes that a receiver read, for traces."""

    at_ms: float
    connection: int
    direction: DirectionName
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionInfo:
    """A connection that is open, or being opened, at this moment."""

    id: int
    host: str
    port: int
    is_stalled: bool
    up_bytes: int
    """Bytes the client handed over to the network so far."""
    down_bytes: int


class _Mark(Enum):
    """What travels a direction besides bytes."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    CONFIRMED = "confirmed"
    END = "end of stream"
    RESET = "reset"


class SimulatedSocket:
    """Stands where a program expects a socket: has addresses and options, carries no bytes.

    As the `socket_factory` of a client that connects its own sockets, `network.socket` gives one
    that `loop.sock_connect` can connect and `loop.create_connection(sock=...)` can use.
    """

    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(
        self, local: SocketAddress | None = None, remote: SocketAddress | None = None
    ) -> None:
        self._local = local
        self._remote = remote
        self._connection: _Connection | None = None

    @property
    def family(self) -> socket.AddressFamily:
        address = self._local or self._remote
        is_ipv6 = address is not None and ":" in address[0]
        return socket.AF_INET6 if is_ipv6 else socket.AF_INET

    def fileno(self) -> int:
        """-1: there is no file descriptor."""
        return -1

    def getsockname(self) -> SocketAddress:
        if self._local is None:
            raise OSError(errno.EINVAL, "the simulated socket is not connected")
        return self._local

    def getpeername(self) -> SocketAddress:
        if self._remote is None:
            raise OSError(errno.ENOTCONN, "the simulated socket is not connected")
        return self._remote

    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None:
        """Accepts every option; none changes the simulation."""

    def getsockopt(self, level: int, option: int, /) -> int:
        return 0

    def setblocking(self, flag: bool, /) -> None:
        """Accepts either: nothing ever blocks here."""

    def gettimeout(self) -> float:
        return 0.0

    def bind(self, address: SocketAddress, /) -> None:
        self._local = address

    def close(self) -> None:
        if self._connection is not None:
            self._connection.abandon()
            self._connection = None

    def attach(self, connection: "_Connection") -> None:
        """Belong to a connection that was just opened."""
        self._connection = connection
        self._local = connection.client_address
        self._remote = connection.server_address

    def detach(self) -> "_Connection":
        """Give the connection away, to a transport."""
        connection = self._connection
        if connection is None:
            raise OSError(errno.ENOTCONN, "the simulated socket is not connected")
        self._connection = None
        return connection


class _Direction:
    """One way of one connection: an ordered stream, paid for in time."""

    def __init__(self, loop: "SimulatedLoop", connection: "_Connection", name: DirectionName):
        self._loop = loop
        self._network = connection.network
        self._connection = connection
        self.name = name
        self.conditions = Conditions()
        self.is_stalled = False
        self.sender: SimulatedTransport | None = None
        self.receiver: SimulatedTransport | None = None
        self.receiver_context: contextvars.Context | None = None
        self.sent_bytes = 0
        self._under_way: deque[tuple[int, bytes | _Mark]] = deque()
        self._unread_bytes = 0
        self._wire_free_at = 0
        self._is_cut = False
        self._random: random.Random | None = None
        self._spoiling: random.Random | None = None

    @property
    def under_way_bytes(self) -> int:
        return self._unread_bytes

    def offer(self, data: memoryview) -> memoryview:
        """Take what the window has room for; return the rest.

        A view, so that what is left of a large message is not copied for each window of it.
        """
        room = self.conditions.window_bytes - self._unread_bytes
        if room <= 0:
            return data
        taken, rest = bytes(data[:room]), data[room:]
        if self._is_cut:
            return rest
        last: _Mark | None = None
        for limit, mark in (
            (self.conditions.reset_after_bytes, _Mark.RESET),
            (self.conditions.half_close_after_bytes, _Mark.END),
        ):
            if limit is not None and self.sent_bytes + len(taken) >= limit:
                taken = taken[: max(0, limit - self.sent_bytes)]
                last = mark
        if taken:
            self.sent_bytes += len(taken)
            pieces = self._spoiled(taken) if self.conditions.spoils else [(taken, 0.0)]
            for piece, late_ms in pieces:
                self._unread_bytes += len(piece)
                self._carry(piece, len(piece), late_ms)
        if last is not None:
            self.signal(last)
            self._is_cut = True
        return rest

    def signal(self, mark: _Mark) -> None:
        """Send a mark behind everything sent before it."""
        if not self._is_cut:
            self._carry(mark, 0)

    def cut(self) -> None:
        """Drop what is under way, and whatever is sent from now on."""
        self._is_cut = True
        self._under_way.clear()
        self._unread_bytes = 0

    def _spoiled(self, data: bytes) -> Iterator[tuple[bytes, float]]:
        """What arrives of it, piece by piece, and how much later each piece does."""
        conditions = self.conditions
        if self._spoiling is None:
            self._spoiling = self._network.random_for(self._connection.id, self.name, "spoiled")
        chance = self._spoiling
        if conditions.corrupt_share:
            changed = (
                one ^ chance.randrange(1, 256)
                if chance.random() < conditions.corrupt_share
                else one
                for one in data
            )
            data = bytes(changed)
        start = count = 0
        while start < len(data):
            most = conditions.slice_bytes
            end = len(data) if most is None else start + chance.randint(1, most)
            is_twice = chance.random() < conditions.duplicate_share
            for _ in range(2 if is_twice else 1):
                yield data[start:end], count * conditions.slice_ms
            start, count = end, count + 1

    def _carry(self, item: bytes | _Mark, size: int, slice_late_ms: float = 0.0) -> None:
        conditions = self.conditions
        leaves = self._loop.time_ns()
        if conditions.bytes_per_second is not None and size:
            leaves = max(leaves, self._wire_free_at)
            leaves += round(size * 1e9 / conditions.bytes_per_second)
            self._wire_free_at = leaves
        late_ms = conditions.latency_ms + slice_late_ms
        for begin_ms, end_ms, slow_ms in conditions.brownouts:
            if begin_ms * 1e6 <= leaves < end_ms * 1e6:
                late_ms += slow_ms
        if conditions.jitter_ms:
            if self._random is None:
                self._random = self._network.random_for(self._connection.id, self.name)
            late_ms += self._random.random() * conditions.jitter_ms
        arrival = leaves + round(late_ms * 1e6)
        if conditions.stalls:
            for begin_ms, end_ms in sorted(conditions.stalls):
                if begin_ms * 1e6 <= arrival < end_ms * 1e6:
                    arrival = round(end_ms * 1e6)
        self._under_way.append((arrival, item))
        # What arrives runs in the receiver's context, never in that of the task that sent it.
        self._loop.call_at_ns(arrival, self.pump, context=self.receiver_context)

    def pump(self) -> None:
        """Hand over what has arrived, as far as the receiver reads.

        Only the head of the queue is looked at: what is behind it has to wait for it.
        """
        under_way = self._under_way
        while under_way and not self.is_stalled:
            now = self._loop.time_ns()
            arrival, item = under_way[0]
            if arrival > now:
                return
            receiver = self.receiver
            is_for_protocol = isinstance(item, bytes) or item is _Mark.END
            if is_for_protocol and receiver is not None and receiver.holds_back():
                last_arrival, last = under_way[-1]
                # A reset does not wait until the receiver reads again.
                if last is _Mark.RESET and last_arrival <= now:
                    self._connection.reset()
                return
            under_way.popleft()
            if isinstance(item, bytes):
                self._unread_bytes -= len(item)
                if receiver is None or receiver.is_lost:
                    self._connection.bounce(self)
                    continue
                log = self._network.log
                if log is not None:
                    log.append(
                        Arrival(self._loop.time_ms(), self._connection.id, self.name, len(item))
                    )
                receiver.receive(item)
                sender = self.sender
                if sender is not None and sender.wants_room():
                    self._loop.call_soon(sender.flush, context=sender.context)
            elif item is _Mark.END:
                if receiver is not None:
                    receiver.receive_end()
            elif item is _Mark.RESET:
                self._connection.reset()
            else:
                self._connection.handshake(item)


class _Connection:
    """Two directions between a client and a server, from the first step of opening to the end."""

    def __init__(
        self,
        network: "SimulatedNetwork",
        loop: "SimulatedLoop",
        number: int,
        host: str,
        client_address: SocketAddress,
        server_address: SocketAddress,
    ) -> None:
        self.network = network
        self.id = number
        self.host = host
        self.client_address = client_address
        self.server_address = server_address
        self._loop = loop
        self.up = _Direction(loop, self, DirectionName.UP)
        self.down = _Direction(loop, self, DirectionName.DOWN)
        self.opened: asyncio.Future[None] = loop.create_future()
        self._is_abandoned = False
        self._awaits_server = False
        self._server: SimulatedServer | None = None

    @property
    def address(self) -> Address:
        return self.server_address[0], self.server_address[1]

    @property
    def directions(self) -> tuple[_Direction, _Direction]:
        return self.up, self.down

    def info(self) -> ConnectionInfo:
        return ConnectionInfo(
            id=self.id,
            host=self.host,
            port=self.server_address[1],
            is_stalled=self.up.is_stalled or self.down.is_stalled,
            up_bytes=self.up.sent_bytes,
            down_bytes=self.down.sent_bytes,
        )

    def dial(self) -> None:
        self.up.signal(_Mark.OPEN)

    def handshake(self, mark: _Mark) -> None:
        match mark:
            case _Mark.OPEN:
                self._server = self.network.listener(self.address)
                if self._server is not None:
                    self.up.receiver_context = self._server.context
                self.down.signal(_Mark.REFUSED if self._server is None else _Mark.ACCEPTED)
            case _Mark.ACCEPTED:
                if not self._is_abandoned and not self.opened.done():
                    self.opened.set_result(None)
            case _Mark.REFUSED:
                if not self.opened.done():
                    self.opened.set_exception(_refusal(self.host, self.server_address[1]))
            case _Mark.CONFIRMED:
                self._accept()
            case _Mark.END | _Mark.RESET:
                raise AssertionError(f"{mark} is not part of opening")

    def _accept(self) -> None:
        server = self._server
        self._awaits_server = False
        if server is None or not server.is_serving():
            self._turn_away()
            return
        try:
            protocol = server.protocol_factory()
        except Exception as exc:
            self._loop.call_exception_handler(
                {"message": "the server's protocol factory failed", "exception": exc}
            )
            self._turn_away()
            return
        self.open_end(protocol, self.down, self.up, server.context, server)

    def _turn_away(self) -> None:
        self.down.signal(_Mark.RESET)
        self.forget_if_over()

    def open_end(
        self,
        protocol: asyncio.BaseProtocol,
        outgoing: _Direction,
        incoming: _Direction,
        context: contextvars.Context,
        server: "SimulatedServer | None" = None,
    ) -> "SimulatedTransport":
        transport = SimulatedTransport(
            self._loop, self, protocol, outgoing, incoming, context, server
        )
        outgoing.sender = incoming.receiver = transport
        self._loop.call_soon(transport.begin, context=context)
        return transport

    def addresses_of(self, outgoing: _Direction) -> tuple[SocketAddress, SocketAddress]:
        """The addresses of the end that sends on `outgoing`: its own, then its peer's."""
        if outgoing is self.up:
            return self.client_address, self.server_address
        return self.server_address, self.client_address

    def confirm(self) -> None:
        """The client is ready: tell the server."""
        self._awaits_server = True
        self.up.signal(_Mark.CONFIRMED)

    def abandon(self) -> None:
        """The client no longer wants to connect."""
        self._is_abandoned = True
        self.up.cut()
        self.down.cut()
        self.opened.cancel()
        self.network.forget(self)

    def bounce(self, direction: _Direction) -> None:
        """Bytes met nobody: their sender learns it by a reset."""
        back = self.down if direction is self.up else self.up
        sender = direction.sender
        if sender is not None and not sender.is_lost:
            back.signal(_Mark.RESET)

    def reset(self) -> None:
        """End both transports with `ConnectionResetError`, now."""
        self._awaits_server = False
        for direction in self.directions:
            direction.cut()
        if not self.opened.done():
            self.opened.set_exception(_reset_error())
        for transport in (self.up.sender, self.down.sender):
            if transport is not None:
                transport.break_off(_reset_error())
        self.network.forget(self)

    def forget_if_over(self) -> None:
        client, server = self.up.sender, self.down.sender
        if not self.opened.done() or self._awaits_server:
            return
        if all(end is None or end.is_lost for end in (client, server)):
            self.network.forget(self)

    def leftovers(self) -> Iterator[str]:
        where = f"connection {self.id} to {self.host}:{self.server_address[1]}"
        if self._awaits_server:
            yield f"{where}, which its server has yet to hear of"
        for end, transport in (("client", self.up.sender), ("server", self.down.sender)):
            if transport is not None and not transport.is_lost:
                incoming = self.down if end == "client" else self.up
                yield (
                    f"the {end}'s transport of {where}, "
                    f"{transport.get_write_buffer_size()} bytes unsent, "
                    f"{incoming.under_way_bytes} bytes on their way to it"
                )


class SimulatedTransport(asyncio.Transport):
    """One end of a simulated connection; behaves as asyncio's own socket transport does."""

    def __init__(
        self,
        loop: "SimulatedLoop",
        connection: _Connection,
        protocol: asyncio.BaseProtocol,
        outgoing: _Direction,
        incoming: _Direction,
        context: contextvars.Context,
        server: "SimulatedServer | None",
    ) -> None:
        local, remote = connection.addresses_of(outgoing)
        super().__init__(
            {
                "socket": SimulatedSocket(local, remote),
                "sockname": local,
                "peername": remote,
                "connection": connection.id,
            }
        )
        self.context = context
        self.is_lost = False
        self._loop = loop
        self._connection = connection
        self._protocol = protocol
        self._outgoing = outgoing
        self._incoming = incoming
        self._server = server
        self._buffer: deque[memoryview] = deque()
        self._buffer_bytes = 0
        self._high_water = 65536
        self._low_water = 16384
        self._has_begun = False
        self._is_reading_paused = False
        self._is_writing_paused = False
        self._is_closing = False
        self._is_losing = False
        self._has_written_end = False
        self._has_read_end = False
        self._lost_writes = 0
        if server is not None:
            server.attach(self)

    def __repr__(self) -> str:
        state = "closed" if self.is_lost else "closing" if self._is_closing else "open"
        return f"<SimulatedTransport {state} connection={self._connection.id}>"

    # ── the protocol ────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        """Tell the protocol that it is connected, then let bytes come."""
        try:
            self._protocol.connection_made(self)
        except Exception as exc:
            self._report(exc, "protocol.connection_made() failed")
        self._has_begun = True
        self._loop.call_soon(self._incoming.pump, context=self.context)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    # ── reading ─────────────────────────────────────────────────────────────────────────────

    def holds_back(self) -> bool:
        """Whether what arrived has to wait; a lost transport takes all, and drops it."""
        if self.is_lost:
            return False
        return not self._has_begun or self._is_reading_paused or self._is_closing

    def receive(self, data: bytes) -> None:
        protocol = self._protocol
        try:
            if isinstance(protocol, asyncio.BufferedProtocol):
                self._fill(protocol, data)
            else:
                # Whatever is not buffered has `data_received`: asyncio asks no more either.
                cast(asyncio.Protocol, protocol).data_received(data)
        except Exception as exc:
            self._report(exc, "the protocol failed on the data it received")
            self.break_off(exc)

    def _fill(self, protocol: asyncio.BufferedProtocol, data: bytes) -> None:
        while data and not self._is_closing:
            buffer = memoryview(protocol.get_buffer(-1))
            if not len(buffer):
                raise RuntimeError("get_buffer() returned an empty buffer")
            piece = data[: len(buffer)]
            buffer[: len(piece)] = piece
            protocol.buffer_updated(len(piece))
            data = data[len(piece) :]

    def receive_end(self) -> None:
        if self._is_closing or self._has_read_end:
            return
        self._has_read_end = True
        protocol = self._protocol
        try:
            keeps_open = cast(asyncio.Protocol, protocol).eof_received()
        except Exception as exc:
            self._report(exc, "protocol.eof_received() failed")
            self.break_off(exc)
            return
        if not keeps_open:
            self.close()

    def is_reading(self) -> bool:
        return not self._is_closing and not self._is_reading_paused

    def pause_reading(self) -> None:
        if self.is_reading():
            self._is_reading_paused = True

    def resume_reading(self) -> None:
        if self._is_closing or not self._is_reading_paused:
            return
        self._is_reading_paused = False
        self._loop.call_soon(self._incoming.pump, context=self.context)

    # ── writing ─────────────────────────────────────────────────────────────────────────────

    def write(self, data: bytes | bytearray | memoryview) -> None:
        # A wrong type is caught here, not where the bytes arrive, as in asyncio.
        if not isinstance(data, (bytes, bytearray, memoryview)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"data is bytes-like, not {type(data).__name__}")
        if self._has_written_end:
            raise RuntimeError("write() after write_eof()")
        if not data:
            return
        if self._is_losing:
            if self._lost_writes >= _SILENT_LOST_WRITES:
                logger.warning("write() on %r, which is closed", self)
            self._lost_writes += 1
            return
        rest = memoryview(bytes(data))
        if not self._buffer:
            rest = self._outgoing.offer(rest)
            if not rest:
                return
        self._buffer.append(rest)
        self._buffer_bytes += len(rest)
        self._pause_writing_if_high()

    def wants_room(self) -> bool:
        return bool(self._buffer)

    def flush(self) -> None:
        """The window opened: hand over what waited for it."""
        buffer = self._buffer
        if not buffer:
            return
        while buffer:
            rest = self._outgoing.offer(buffer[0])
            self._buffer_bytes -= len(buffer[0]) - len(rest)
            if rest:
                buffer[0] = rest
                break
            buffer.popleft()
        if self._is_writing_paused and self._buffer_bytes <= self._low_water:
            self._is_writing_paused = False
            self._tell_protocol(self._protocol.resume_writing, "resume_writing")
        if not buffer:
            if self._is_closing:
                self._lose(None)
            elif self._has_written_end:
                self._outgoing.signal(_Mark.END)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self._is_closing or self._has_written_end:
            return
        self._has_written_end = True
        if not self._buffer:
            self._outgoing.signal(_Mark.END)

    def get_write_buffer_size(self) -> int:
        return self._buffer_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low_water, self._high_water

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = 65536 if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high}) must be >= low ({low}) must be >= 0")
        self._high_water = high
        self._low_water = low
        self._pause_writing_if_high()

    def _pause_writing_if_high(self) -> None:
        if self._buffer_bytes > self._high_water and not self._is_writing_paused:
            self._is_writing_paused = True
            self._tell_protocol(self._protocol.pause_writing, "pause_writing")

    # ── the end ─────────────────────────────────────────────────────────────────────────────

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        """Send what waits, then end."""
        if self._is_closing:
            return
        self._is_closing = True
        if not self._buffer:
            self._lose(None)

    def abort(self) -> None:
        """End now; what waits in this transport is dropped."""
        self.break_off(None)

    def break_off(self, exc: Exception | None) -> None:
        if self._is_losing:
            return
        self._buffer.clear()
        self._buffer_bytes = 0
        self._is_closing = True
        self._lose(exc)

    def _lose(self, exc: Exception | None) -> None:
        if not self._is_losing:
            self._is_losing = True
            self._loop.call_soon(self._finish, exc, context=self.context)

    def _finish(self, exc: Exception | None) -> None:
        try:
            self._protocol.connection_lost(exc)
        finally:
            self.is_lost = True
            # After a `write_eof` this is a second end, which the receiver passes over.
            self._outgoing.signal(_Mark.END)
            # What arrived unread, and what still comes, meets nobody.
            self._incoming.pump()
            if self._server is not None:
                self._server.detach(self)
            self._connection.forget_if_over()

    def _tell_protocol(self, call: Callable[[], None], name: str) -> None:
        try:
            call()
        except Exception as exc:
            self._report(exc, f"protocol.{name}() failed")

    def _report(self, exc: Exception, message: str) -> None:
        self._loop.call_exception_handler(
            {
                "message": message,
                "exception": exc,
                "transport": self,
                "protocol": self._protocol,
            }
        )


class SimulatedServer(asyncio.AbstractServer):
    """What `loop.create_server` gives on the simulation."""

    def __init__(
        self,
        network: "SimulatedNetwork",
        loop: "SimulatedLoop",
        protocol_factory: ProtocolFactory,
        addresses: tuple[Address, ...],
    ) -> None:
        self.protocol_factory = protocol_factory
        self.context = contextvars.copy_context()
        self.addresses = addresses
        self._network = network
        self._loop = loop
        self._is_serving = False
        self._is_closed = False
        # In the order of arrival: a set would end clients in another order each run.
        self._clients: dict[SimulatedTransport, None] = {}
        self._closed_waiters: list[asyncio.Future[None]] = []
        self._forever: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<SimulatedServer {', '.join(f'{host}:{port}' for host, port in self.addresses)}>"

    @property
    def sockets(self) -> tuple[SimulatedSocket, ...]:
        if self._is_closed:
            return ()
        return tuple(SimulatedSocket(_socket_address(*address)) for address in self.addresses)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def is_serving(self) -> bool:
        return self._is_serving

    def attach(self, transport: SimulatedTransport) -> None:
        self._clients[transport] = None

    def detach(self, transport: SimulatedTransport) -> None:
        self._clients.pop(transport, None)
        self._wake_if_over()

    def begin(self) -> None:
        self._is_serving = True

    async def start_serving(self) -> None:
        if self._is_closed:
            raise RuntimeError(f"{self!r} is closed")
        self.begin()
        await asyncio.sleep(0)

    async def serve_forever(self) -> None:
        if self._forever is not None:
            raise RuntimeError(f"{self!r} is already served forever")
        if self._is_closed:
            raise RuntimeError(f"{self!r} is closed")
        self.begin()
        self._forever = self._loop.create_future()
        try:
            await self._forever
        except asyncio.CancelledError:
            self.close()
            await self.wait_closed()
            raise
        finally:
            self._forever = None

    def close(self) -> None:
        """Stop listening; open connections live on."""
        if self._is_closed:
            return
        self._is_closed = True
        self._is_serving = False
        self._network.stop_listening(self)
        if self._forever is not None and not self._forever.done():
            self._forever.cancel()
        self._wake_if_over()

    def close_clients(self) -> None:
        for transport in list(self._clients):
            transport.close()

    def abort_clients(self) -> None:
        for transport in list(self._clients):
            transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the server is closed and every connection it accepted has ended."""
        if self._is_closed and not self._clients:
            return
        waiter = self._loop.create_future()
        self._closed_waiters.append(waiter)
        await waiter

    def _wake_if_over(self) -> None:
        if self._is_closed and not self._clients:
            for waiter in self._closed_waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._closed_waiters.clear()


type _Target = Address | int | None
"""An address, the id of a connection, or `None` for all."""


class SimulatedNetwork:
    """All connections of a simulated loop, and the faults they suffer.

    Where a method takes `host` and `port`, both together mean every connection to that address,
    open or yet to come; `connection` means the one with that id; neither means all.
    """

    def __init__(self, loop: "SimulatedLoop", *, seed: int = 0) -> None:
        self.log: list[Arrival] | None = None
        """Set it to a list to have every arrival recorded."""
        self._loop = loop
        self._seed = seed
        self._servers: dict[Address, SimulatedServer] = {}
        self._connections: dict[int, _Connection] = {}
        self._connection_count = 0
        self._addresses_by_name = {"localhost": _LOCALHOST}
        self._names_by_address = {_LOCALHOST: "localhost"}
        self._hidden_names: set[str] = set()
        self._conditions: dict[tuple[_Target, DirectionName], Conditions] = {}
        self._stalled: set[tuple[_Target, DirectionName]] = set()
        self._refused: set[Address] = set()
        self._black_holes: dict[Address, asyncio.Future[None]] = {}

    # ── faults ──────────────────────────────────────────────────────────────────────────────

    def set_conditions(
        self,
        both: Conditions | None = None,
        *,
        up: Conditions | None = None,
        down: Conditions | None = None,
        host: str | None = None,
        port: int | None = None,
        connection: int | None = None,
    ) -> None:
        """Change what links are like, from the next byte on.

        `up` and `down` go before `both`. What was set for a connection goes before what was set
        for its address, and that before what was set for all.
        """
        target = self._target(host, port, connection)
        for name, conditions in ((DirectionName.UP, up), (DirectionName.DOWN, down)):
            chosen = conditions or both
            if chosen is not None:
                self._conditions[target, name] = chosen
        self._refresh()

    def stall(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        connection: int | None = None,
        direction: DirectionName | Literal["up", "down"] | None = None,
    ) -> None:
        """Let nothing arrive until `resume`, on open connections and on those yet to come."""
        target = self._target(host, port, connection)
        self._stalled |= {(target, name) for name in _names(direction)}
        self._refresh()

    def resume(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        connection: int | None = None,
        direction: DirectionName | Literal["up", "down"] | None = None,
    ) -> None:
        """Undo the `stall` with the same arguments; what is overdue arrives at once, in order."""
        target = self._target(host, port, connection)
        self._stalled -= {(target, name) for name in _names(direction)}
        self._refresh()

    def reset(
        self, host: str | None = None, port: int | None = None, *, connection: int | None = None
    ) -> int:
        """End open connections with `ConnectionResetError` at both ends; returns how many."""
        target = self._target(host, port, connection)
        hit = [
            each
            for each in self._connections.values()
            if target is None or target in (each.id, each.address)
        ]
        for each in hit:
            each.reset()
        return len(hit)

    def refuse(self, host: str, port: int) -> None:
        """Answer everybody who connects there with `ConnectionRefusedError`."""
        self._refused.add((self.resolve(host), port))

    def black_hole(self, host: str, port: int) -> None:
        """Answer nobody who connects there: the attempt lasts until its own time limit."""
        self._black_holes.setdefault((self.resolve(host), port), self._loop.create_future())

    def restore(self, host: str, port: int) -> None:
        """Undo `refuse` and `black_hole`; attempts that wait in the black hole go on."""
        address = (self.resolve(host), port)
        self._refused.discard(address)
        hole = self._black_holes.pop(address, None)
        if hole is not None and not hole.done():
            hole.set_result(None)

    def hide_name(self, host: str) -> None:
        """Let the name be unknown: looking it up fails with `socket.gaierror`."""
        self._hidden_names.add(host)

    def show_name(self, host: str) -> None:
        """Undo `hide_name`."""
        self._hidden_names.discard(host)

    # ── what is there ───────────────────────────────────────────────────────────────────────

    @property
    def connections(self) -> tuple[ConnectionInfo, ...]:
        """The open connections, oldest first."""
        return tuple(connection.info() for connection in self._connections.values())

    @property
    def listening(self) -> tuple[Address, ...]:
        """The addresses that servers listen on."""
        return tuple(self._servers)

    def leftovers(self) -> list[str]:
        """What a tidy program would have closed: servers, and open transports."""
        servers = [f"the server on {host}:{port}" for host, port in self._servers]
        return servers + [
            what for connection in self._connections.values() for what in connection.leftovers()
        ]

    # ── names ───────────────────────────────────────────────────────────────────────────────

    def resolve(self, host: str | None) -> str:
        """The address of a name: itself if it is one, else one made up for each new name."""
        if not host:
            return _ANY_HOST
        if host in self._hidden_names:
            raise socket.gaierror(socket.EAI_NONAME, f"the name {host!r} is hidden")
        try:
            ip = ipaddress.ip_address(host)
        except ValueError:
            pass
        else:
            return _ANY_HOST if ip.is_unspecified else str(ip)
        address = self._addresses_by_name.get(host)
        if address is None:
            # 198.18.0.0/15 is reserved for tests of networks, so it can be nobody's.
            number = len(self._addresses_by_name)
            address = str(ipaddress.ip_address("198.18.0.0") + number)
            self._addresses_by_name[host] = address
            self._names_by_address[address] = host
        return address

    def name_of(self, address: str) -> str:
        """The name an address was made up for, else the address."""
        return self._names_by_address.get(address, address)

    def address_info(
        self, host: str | None, port: str | int | None, *, family: int, type: int, flags: int
    ) -> list[AddressInfo]:
        """What `getaddrinfo` answers: always one address."""
        if not host and not flags & socket.AI_PASSIVE:
            host = _LOCALHOST
        address = _socket_address(self.resolve(host), _port_number(port))
        found = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        if family not in (socket.AF_UNSPEC, found):
            raise socket.gaierror(socket.EAI_FAMILY, f"{host!r} has no address of that family")
        if type == socket.SOCK_DGRAM:
            return [(found, socket.SOCK_DGRAM, socket.IPPROTO_UDP, "", address)]
        return [(found, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)]

    # ── for the loop ────────────────────────────────────────────────────────────────────────

    def socket(self, address_info: object = None, /) -> SimulatedSocket:
        """Make a socket: the `socket_factory` for clients that connect their own sockets."""
        return SimulatedSocket()

    async def dial(
        self, host: str | None, port: int, *, local: SocketAddress | None = None
    ) -> _Connection:
        """Open a connection, as far as the network is concerned."""
        address = (self.resolve(host or _LOCALHOST), port)
        if address[0] == _ANY_HOST:
            address = (_LOCALHOST, port)
        hole = self._black_holes.get(address)
        if hole is not None:
            await asyncio.shield(hole)
        self._connection_count += 1
        number = self._connection_count
        connection = _Connection(
            self,
            self._loop,
            number,
            self.name_of(address[0]),
            local or _socket_address(_LOCALHOST, _client_port(number)),
            _socket_address(*address),
        )
        self._connections[number] = connection
        self._apply(connection)
        connection.dial()
        try:
            await connection.opened
        except BaseException:
            connection.abandon()
            raise
        return connection

    async def connect[P: asyncio.BaseProtocol](
        self, protocol_factory: Callable[[], P], connection: _Connection
    ) -> tuple[SimulatedTransport, P]:
        """Put a transport and a protocol on the client's end of an opened connection."""
        try:
            protocol = protocol_factory()
        except BaseException:
            connection.abandon()
            raise
        context = contextvars.copy_context()
        connection.down.receiver_context = context
        transport = connection.open_end(protocol, connection.up, connection.down, context)
        connection.confirm()
        made = self._loop.create_future()
        self._loop.call_soon(_finish_waiting, made)
        try:
            await made
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    def listen(
        self, protocol_factory: ProtocolFactory, hosts: Iterable[str | None], port: int
    ) -> SimulatedServer:
        """Take addresses for a server that does not serve yet."""
        resolved = list(dict.fromkeys(self.resolve(host) for host in hosts))
        if port == 0:
            taken = {used for _, used in self._servers}
            port = next(free for free in range(_FIRST_SERVER_PORT, 65536) if free not in taken)
        addresses = tuple((host, port) for host in resolved)
        for address in addresses:
            if address in self._servers:
                raise OSError(errno.EADDRINUSE, f"a server listens on {address} already")
        server = SimulatedServer(self, self._loop, protocol_factory, addresses)
        self._servers |= dict.fromkeys(addresses, server)
        return server

    def stop_listening(self, server: SimulatedServer) -> None:
        for address in server.addresses:
            self._servers.pop(address, None)

    def listener(self, address: Address) -> SimulatedServer | None:
        """Who answers at an address now; a server on all hosts answers for any name."""
        if address in self._refused:
            return None
        server = self._servers.get(address) or self._servers.get((_ANY_HOST, address[1]))
        return server if server is not None and server.is_serving() else None

    def forget(self, connection: _Connection) -> None:
        self._connections.pop(connection.id, None)

    def random_for(
        self, connection: int, direction: DirectionName, what: str = ""
    ) -> random.Random:
        """The randomness of one direction, from the seed; `what` names one more, apart from it."""
        return random.Random(f"{self._seed}/{connection}/{direction}{what}")

    # ── inside ──────────────────────────────────────────────────────────────────────────────

    def _target(self, host: str | None, port: int | None, connection: int | None) -> _Target:
        if (host is None) != (port is None):
            raise ValueError("an address is both a host and a port")
        if connection is not None:
            if host is not None:
                raise ValueError("give an address or a connection, not both")
            return connection
        return None if host is None or port is None else (self.resolve(host), port)

    def _refresh(self) -> None:
        for connection in self._connections.values():
            self._apply(connection)

    def _apply(self, connection: _Connection) -> None:
        targets: tuple[_Target, ...] = (connection.id, connection.address, None)
        for direction in connection.directions:
            keys = [(target, direction.name) for target in targets]
            set_for = next((key for key in keys if key in self._conditions), None)
            direction.conditions = self._conditions[set_for] if set_for else Conditions()
            was_stalled = direction.is_stalled
            direction.is_stalled = any(key in self._stalled for key in keys)
            if was_stalled and not direction.is_stalled:
                self._loop.call_soon(direction.pump, context=direction.receiver_context)


def _names(direction: DirectionName | Literal["up", "down"] | None) -> tuple[DirectionName, ...]:
    return tuple(DirectionName) if direction is None else (DirectionName(direction),)


def _finish_waiting(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _refusal(host: str, port: int) -> ConnectionRefusedError:
    return ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens on {host}:{port}")


def _reset_error() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, "the simulated connection was reset")


def _socket_address(host: str, port: int) -> SocketAddress:
    return (host, port, 0, 0) if ":" in host else (host, port)


def _client_port(number: int) -> int:
    return _FIRST_CLIENT_PORT + (number - 1) % (65536 - _FIRST_CLIENT_PORT)


def _port_number(port: str | int | None) -> int:
    if port is None:
        return 0
    if isinstance(port, str) and port in _SERVICES:
        return _SERVICES[port]
    try:
        return int(port)
    except ValueError as exc:
        raise socket.gaierror(socket.EAI_SERVICE, f"there is no service {port!r}") from exc


def refuse_tls(ssl: object) -> None:
    """Raise for a program that wants TLS."""
    if ssl:
        raise NotSimulated("TLS is not simulated: use ws:// or http://")


def refuse_here(what: str, instead: str) -> NoReturn:
    """Raise for what the simulation has not, saying what to do."""
    raise NotSimulated(f"{what} is not simulated: {instead}")
