"""An asyncio event loop whose time is simulated.

How it works. Time stands still while anything is ready to run, and then goes straight to the
moment of the next timer. So a program that sleeps for an hour ends at once, and what should
happen at 20 ms happens at 20 ms and no later. Time is kept in whole nanoseconds, which floating
point would not do: `call_later(0.02)` fifty times over ends at exactly 1.0. Timers of the same
moment run in the order in which they were set.

There is nothing outside: no file descriptors, threads, processes, signals or names to look up.
Connections are made over `loop.network`. Work for an executor runs in the loop, in the next
iteration, and takes no time; the outcome is the same in every run. When nothing is ready and no
timer is set, nothing can ever happen again, and `Deadlock` says who waits for it, and where.

    result = simulate(main)

runs `main` like `asyncio.run`, then fails if it left anything behind or lost an exception.
"""

import asyncio
import concurrent.futures
import contextvars
import heapq
import math
import random
import threading
import types
import weakref
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from itertools import repeat
from typing import Any, NoReturn, cast

from beluga_voice.testing.network import (
    NotSimulated,
    SimulatedNetwork,
    SimulatedServer,
    SimulatedSocket,
    SimulatedTransport,
    SocketAddress,
    refuse_here,
    refuse_tls,
)

__all__ = [
    "Deadlock",
    "Leftovers",
    "NotSimulated",
    "OutOfTime",
    "SimulatedLoop",
    "SimulationError",
    "TimeStandsStill",
    "running_simulation",
    "simulate",
]

_NANOSECONDS = 1_000_000_000
# Cancelled timers stay in the heap until they come up; beyond this many, and half of all, the
# heap is rebuilt without them.
_FEW_CANCELLED = 100
_CLEANUP = 60 * _NANOSECONDS


class SimulationError(AssertionError):
    """The simulation cannot go on, or ended in disorder: the test has failed."""


class Deadlock(SimulationError):
    """Nothing is ready and no timer is set, so that those who wait would wait for ever."""


class TimeStandsStill(SimulationError):
    """The loop runs and runs, and nobody lets time pass."""


class OutOfTime(SimulationError):
    """The simulation was not over when its time was up."""


class Leftovers(SimulationError):
    """The program ended and left tasks, servers or connections behind."""

    def __init__(self, what: Iterable[str]) -> None:
        self.what = tuple(what)
        super().__init__("\n  ".join(("the program left behind:", *self.what)))


class _Call(asyncio.TimerHandle):
    """A callback to run, soon or at a moment.

    It does by itself all that asyncio's handles do, and uses nothing of their state: what one
    loop's handles keep is no other loop's business, and this takes a third of the time.
    """

    __slots__ = ("args", "callback", "context", "is_in_heap", "loop", "when_ns")

    def __init__(
        self,
        loop: "SimulatedLoop",
        callback: Callable[..., object],
        args: tuple[object, ...],
        context: contextvars.Context | None,
        when_ns: float,
    ) -> None:
        self.loop = loop
        self.callback: Callable[..., object] | None = callback
        self.args = args
        self.context = contextvars.copy_context() if context is None else context
        self.when_ns = when_ns
        self.is_in_heap = False

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"<call of {self.callback!r}>" if self.callback else "<cancelled call>"

    def when(self) -> float:
        return self.when_ns / _NANOSECONDS

    def cancelled(self) -> bool:
        return self.callback is None

    def cancel(self) -> None:
        if self.callback is not None:
            # What the callback holds on to may go now, and not only when its time comes.
            self.callback = None
            self.args = ()
            if self.is_in_heap:
                self.loop.forget_cancelled_timers()

    def get_context(self) -> contextvars.Context:
        return self.context


class SimulatedLoop(asyncio.BaseEventLoop):
    """An event loop with a clock of its own, which starts at 0 and never waits.

    `until` is the time, in seconds, after which a program that is not over raises `OutOfTime`; it
    has a minute more to clean up.
    More than `max_iterations_without_time` turns of the loop at one moment raise
    `TimeStandsStill`.
    """

    # What the base class keeps, and its type stubs do not tell.
    _ready: deque[_Call]
    _stopping: bool
    _closed: bool
    _thread_id: int | None

    def __init__(
        self,
        *,
        seed: int = 0,
        until: float | None = None,
        max_iterations_without_time: int = 1_000_000,
    ) -> None:
        super().__init__()
        self.network = SimulatedNetwork(self, seed=seed)
        self._now = 0
        self._until = math.inf if until is None else round(until * _NANOSECONDS)
        self._max_iterations = max_iterations_without_time
        self._timers: list[tuple[int, int, _Call]] = []
        self._timer_count = 0
        self._cancelled_timers = 0
        self._is_settling = False
        self._tasks: weakref.WeakValueDictionary[int, asyncio.Task[Any]] = (
            weakref.WeakValueDictionary()
        )
        self._task_count = 0

    # ── time ────────────────────────────────────────────────────────────────────────────────

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now / _NANOSECONDS

    def time_ms(self) -> float:
        """Milliseconds since the loop was made, to the nearest microsecond."""
        return round(self._now / 1000) / 1000

    def time_ns(self) -> int:
        """Nanoseconds since the loop was made: the exact time."""
        return self._now

    def is_alone(self) -> bool:
        """Whether the callback that runs now is the last one of this moment, so far."""
        timers = self._timers
        return not self._ready and not (timers and timers[0][0] <= self._now)

    # ── callbacks ───────────────────────────────────────────────────────────────────────────

    def call_soon[*Ts](
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        call = _Call(self, callback, args, context, self._now)
        self._ready.append(call)
        return call

    def call_soon_threadsafe[*Ts](
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Like `call_soon`. Another thread has no place here: when it calls would be chance."""
        if self._thread_id not in (None, threading.get_ident()):
            refuse_here("another thread", "use run_in_executor, which runs inline here")
        return self.call_soon(callback, *args, context=context)

    def call_later[*Ts](
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        if delay in (math.inf, -math.inf):
            return self.call_at(delay, callback, *args, context=context)
        return self._set(self._now + round(delay * _NANOSECONDS), callback, args, context)

    def call_at[*Ts](
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call at the nanosecond nearest to `when`; never, if it is infinite."""
        if when == math.inf:
            return _Call(self, callback, args, context, math.inf)
        when_ns = self._now if when == -math.inf else round(when * _NANOSECONDS)
        return self._set(when_ns, callback, args, context)

    def call_at_ns[*Ts](
        self,
        when_ns: int,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call at a whole nanosecond of the loop's time; soon, if that is over."""
        return self._set(when_ns, callback, args, context)

    def _set(
        self,
        when_ns: int,
        callback: Callable[..., object],
        args: tuple[object, ...],
        context: contextvars.Context | None,
    ) -> asyncio.TimerHandle:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        timer = _Call(self, callback, args, context, when_ns)
        timer.is_in_heap = True
        self._timer_count += 1
        heapq.heappush(self._timers, (when_ns, self._timer_count, timer))
        return timer

    def forget_cancelled_timers(self) -> None:
        """Called by a timer that was cancelled: rebuild the heap when too many lie in it."""
        self._cancelled_timers += 1
        if self._cancelled_timers > max(_FEW_CANCELLED, len(self._timers) // 2):
            for _, _, timer in self._timers:
                timer.is_in_heap = timer.callback is not None
            # In place: the running loop holds on to the list.
            self._timers[:] = [entry for entry in self._timers if entry[2].is_in_heap]
            heapq.heapify(self._timers)
            self._cancelled_timers = 0

    # ── running ─────────────────────────────────────────────────────────────────────────────

    def _run_once(self) -> None:
        """Run until stopped: the base class calls this over and over until then."""
        ready = self._ready
        take = ready.popleft
        timers = self._timers
        heappop = heapq.heappop
        iterations = 0
        while True:
            if not ready and not self._stopping:
                if not timers:
                    if self._is_settling:
                        self._stopping = True
                        return
                    raise Deadlock(
                        f"at {self.time_ms()} ms nothing is ready and no timer is set"
                        f"{self._who_waits()}"
                    )
                moment, _, timer = timers[0]
                if timer.callback is None:
                    heapq.heappop(timers)
                    timer.is_in_heap = False
                    self._cancelled_timers -= 1
                    continue
                if moment > self._now:
                    if self._is_settling:
                        self._stopping = True
                        return
                    if moment > self._until:
                        self._now = int(self._until)
                        # Tasks that are cancelled now may take some time to clean up.
                        self._until += _CLEANUP
                        raise OutOfTime(f"not over at {self.time_ms()} ms{self._who_waits()}")
                    self._now = moment
                    iterations = 0
            now = self._now
            while timers and timers[0][0] <= now:
                timer = heappop(timers)[2]
                timer.is_in_heap = False
                if timer.callback is None:
                    self._cancelled_timers -= 1
                else:
                    ready.append(timer)
            # What these callbacks make ready waits for the next turn, as in asyncio.
            for _ in repeat(None, len(ready)):
                call = take()
                callback = call.callback
                if callback is None:
                    continue
                try:
                    call.context.run(callback, *call.args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as exc:
                    self._report(call, exc)
            if self._stopping:
                return
            iterations += 1
            if iterations > self._max_iterations:
                raise TimeStandsStill(
                    f"{iterations} turns of the loop at {self.time_ms()} ms, and still something "
                    f"is ready: {self._ready_now()}{self._who_waits()}"
                )

    def _report(self, call: _Call, exc: BaseException) -> None:
        self.call_exception_handler(
            {"message": f"exception in {call!r}", "exception": exc, "handle": call}
        )

    def settle(self) -> None:
        """Run what is ready, until nothing is left to do at this moment; time does not move."""
        self._is_settling = True
        try:
            self.run_forever()
        finally:
            self._is_settling = False

    def close(self) -> None:
        super().close()
        self._timers.clear()

    # ── tasks ───────────────────────────────────────────────────────────────────────────────

    def create_task[T](self, coro: Coroutine[Any, Any, T], **options: Any) -> asyncio.Task[T]:
        task = super().create_task(coro, **options)
        self._task_count += 1
        self._tasks[self._task_count] = task
        return task

    def waiting(self) -> list[str]:
        """Every task that is not done, and where it waits, oldest first."""
        return [
            f"task {task.get_name()!r} is at {_place(task.get_coro())}"
            for _, task in sorted(self._tasks.items())
            if not task.done()
        ]

    def leftovers(self) -> list[str]:
        """What a tidy program would have ended: tasks, servers, connections."""
        return self.waiting() + self.network.leftovers()

    def take_lost_exceptions(self) -> list[BaseException]:
        """Exceptions of tasks that are done and that nobody asked for; each is given once."""
        lost: list[BaseException] = []
        for _, task in sorted(self._tasks.items()):
            # The flag by which a task tells, when it is collected, that nobody asked.
            if task.done() and task._log_traceback:  # pyright: ignore[reportPrivateUsage]
                exc = task.exception()
                assert exc is not None
                exc.add_note(f"raised in task {task.get_name()!r}, whose outcome nobody awaited")
                lost.append(exc)
        return lost

    def _who_waits(self) -> str:
        waiting = [*self.waiting()]
        waiting += [
            f"connection {each.id} to {each.host}:{each.port} is stalled"
            for each in self.network.connections
            if each.is_stalled
        ]
        return "".join(f"\n  {line}" for line in waiting)

    def _ready_now(self) -> str:
        return ", ".join(repr(handle) for handle in list(self._ready)[:3])

    # ── work elsewhere ──────────────────────────────────────────────────────────────────────

    def run_in_executor[*Ts, T](
        self,
        executor: concurrent.futures.Executor | None,
        func: Callable[[*Ts], T],
        *args: *Ts,
    ) -> asyncio.Future[T]:
        """Run the function in the loop's next iteration; it takes no simulated time.

        As in a thread, it sees no running loop, and no context but that which it brings along.
        The executor is not used.
        """
        future: asyncio.Future[T] = self.create_future()
        self.call_soon(_run_inline, self, future, func, args, context=contextvars.Context())
        return future

    def set_default_executor(self, executor: concurrent.futures.Executor) -> None:
        """Accepts any executor and does not use it: see `run_in_executor`."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Nothing to shut down."""

    # ── connections ─────────────────────────────────────────────────────────────────────────

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """One made-up address for every name, in the order in which names are first asked for."""
        return [
            *self.network.address_info(
                host.decode() if isinstance(host, bytes) else host,
                port.decode() if isinstance(port, bytes) else port,
                family=family,
                type=type,
                flags=flags,
            )
        ]

    async def getnameinfo(self, sockaddr: SocketAddress, flags: int = 0) -> tuple[str, str]:
        return self.network.name_of(sockaddr[0]), str(sockaddr[1])

    # The many options of the real one change nothing here; its overloads would say no more.
    async def create_connection[P: asyncio.BaseProtocol](  # type: ignore[override]
        self,
        protocol_factory: Callable[[], P],
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: object = None,
        sock: SimulatedSocket | None = None,
        local_addr: tuple[str, int] | None = None,
        **options: object,
    ) -> tuple[SimulatedTransport, P]:
        """Connect over `network`; one round trip on the clock."""
        refuse_tls(ssl)
        if sock is not None:
            if host is not None or port is not None:
                raise ValueError("give an address or a socket, not both")
            connection = _simulated(sock).detach()
        elif port is None:
            raise ValueError("a connection needs a port")
        else:
            connection = await self.network.dial(host, int(port), local=local_addr)
        return await self.network.connect(protocol_factory, connection)

    async def sock_connect(  # type: ignore[override]
        self, sock: SimulatedSocket, address: SocketAddress
    ) -> None:
        """Connect a socket that `network.socket` made."""
        connection = await self.network.dial(address[0], address[1])
        _simulated(sock).attach(connection)

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | Iterable[str] | None = None,
        port: int | None = None,
        *,
        ssl: object = None,
        sock: object = None,
        start_serving: bool = True,
        **options: object,
    ) -> SimulatedServer:
        """Listen on `network`; on no host, or `0.0.0.0`, for connections to any name."""
        refuse_tls(ssl)
        if sock is not None:
            refuse_here("a server on a socket of yours", "give it a host and a port")
        if port is None and host is None:
            raise ValueError("a server needs a port")
        hosts = [host] if host is None or isinstance(host, str) else list(host)
        server = self.network.listen(protocol_factory, hosts, port or 0)
        if start_serving:
            await server.start_serving()
        return server

    # ── what there is not ───────────────────────────────────────────────────────────────────

    def start_tls(self, *args: object, **options: object) -> NoReturn:
        refuse_here("TLS", "use ws:// or http://")

    def create_datagram_endpoint(self, *args: object, **options: object) -> NoReturn:
        refuse_here("UDP", "put a double where the datagrams are read and written")

    def create_unix_connection(self, *args: object, **options: object) -> NoReturn:
        refuse_here("a Unix socket", "use a host and a port")

    def create_unix_server(self, *args: object, **options: object) -> NoReturn:
        refuse_here("a Unix socket", "use a host and a port")

    def connect_accepted_socket(self, *args: object, **options: object) -> NoReturn:
        _refuse_sockets()

    def sendfile(self, *args: object, **options: object) -> NoReturn:
        refuse_here("sendfile", "read the file and write its bytes")

    def sock_sendfile(self, *args: object, **options: object) -> NoReturn:
        _refuse_sockets()

    def sock_recv(self, *args: object, **options: object) -> NoReturn:
        _refuse_sockets()

    def sock_recv_into(self, *args: object, **options: object) -> NoReturn:
        _refuse_sockets()

    def sock_recvfrom(self, *args: object, **options: object) -> NoReturn:
        _refuse_sockets()

    def sock_recvfrom_into(self, *args: object, **options: object) -> NoReturn:
        _refuse_sockets()

    def sock_sendall(self, *args: object, **options: object) -> NoReturn:
        _refuse_sockets()

    def sock_sendto(self, *args: object, **options: object) -> NoReturn:
        _refuse_sockets()

    def sock_accept(self, *args: object, **options: object) -> NoReturn:
        _refuse_sockets()

    def add_reader(self, *args: object, **options: object) -> NoReturn:
        _refuse_sockets()

    def remove_reader(self, *args: object, **options: object) -> NoReturn:
        _refuse_sockets()

    def add_writer(self, *args: object, **options: object) -> NoReturn:
        _refuse_sockets()

    def remove_writer(self, *args: object, **options: object) -> NoReturn:
        _refuse_sockets()

    def connect_read_pipe(self, *args: object, **options: object) -> NoReturn:
        _refuse_sockets()

    def connect_write_pipe(self, *args: object, **options: object) -> NoReturn:
        _refuse_sockets()

    def subprocess_exec(self, *args: object, **options: object) -> NoReturn:
        refuse_here("a subprocess", "put a double where the program starts it")

    def subprocess_shell(self, *args: object, **options: object) -> NoReturn:
        refuse_here("a subprocess", "put a double where the program starts it")

    def add_signal_handler(self, *args: object, **options: object) -> NoReturn:
        refuse_here("a signal", "call the handler, with loop.call_later, when it should come")

    def remove_signal_handler(self, *args: object, **options: object) -> NoReturn:
        refuse_here("a signal", "call the handler, with loop.call_later, when it should come")


def running_simulation() -> SimulatedLoop:
    """The simulated loop that runs now; `RuntimeError` if the running loop is a real one."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, SimulatedLoop):
        raise RuntimeError(f"{loop!r} is not simulated: run the program with simulate()")
    return loop


def simulate[T](
    main: Coroutine[Any, Any, T] | Callable[[], Coroutine[Any, Any, T]],
    *,
    seed: int = 0,
    until: float | None = None,
) -> T:
    """Run a program on a new simulated loop to its end, and return its result.

    The seed is that of the network, and of the module `random` while the program runs. `until`
    is the longest the program may take, in simulated seconds.

    Raises what the program raises; `Deadlock`, `OutOfTime` or `TimeStandsStill` if it does not
    come to an end; an `ExceptionGroup` of the exceptions that reached only the loop's exception
    handler, or nobody; `Leftovers` for tasks, servers and connections that were not ended.
    """
    lost: list[BaseException] = []

    def keep(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        exc = context.get("exception") or SimulationError(context["message"])
        exc.add_note(f"reported to the event loop: {context['message']}")
        lost.append(exc)

    random_state = random.getstate()
    random.seed(seed)
    try:
        with asyncio.Runner(loop_factory=lambda: SimulatedLoop(seed=seed, until=until)) as runner:
            loop = cast(SimulatedLoop, runner.get_loop())
            loop.set_exception_handler(keep)
            try:
                result = runner.run(main() if callable(main) else main)
                loop.settle()
            except BaseException as exc:
                for other in lost:
                    exc.add_note(f"besides, the event loop was told of {other!r}")
                raise
            leftovers = loop.leftovers()
            lost += loop.take_lost_exceptions()
    finally:
        random.setstate(random_state)
    if leftovers:
        lost.append(Leftovers(leftovers))
    match lost:
        case []:
            return result
        case [Leftovers() as only]:
            raise only
        case _:
            raise BaseExceptionGroup("the simulated program lost exceptions", lost)


def _simulated(sock: object) -> SimulatedSocket:
    if not isinstance(sock, SimulatedSocket):
        _refuse_sockets()
    return sock


def _refuse_sockets() -> NoReturn:
    refuse_here("a real socket or file descriptor", "use create_connection or create_server")


def _run_inline[*Ts, T](
    loop: SimulatedLoop, future: asyncio.Future[T], func: Callable[[*Ts], T], args: tuple[*Ts]
) -> None:
    if future.cancelled():
        return
    events._set_running_loop(None)
    try:
        outcome = func(*args)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as exc:
        future.set_exception(exc)
    else:
        future.set_result(outcome)
    finally:
        events._set_running_loop(loop)


def _place(awaited: object) -> str:
    """Where a coroutine waits: from its own line to the innermost, as file, line, function."""
    places: list[str] = []
    while awaited is not None:
        frame: types.FrameType | None = None
        inner: object = None
        for kind, below in (("cr", "await"), ("gi", "yieldfrom"), ("ag", "await")):
            frame = frame or getattr(awaited, f"{kind}_frame", None)
            inner = inner or getattr(awaited, f"{kind}_{below}", None)
        if frame is not None:
            code = frame.f_code
            places.append(f"{code.co_filename}:{frame.f_lineno} {code.co_name}")
        awaited = inner
    return " > ".join(places) or "an unknown place"
