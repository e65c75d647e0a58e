"""Processes that do blocking work for a live link.

Some engines hold the interpreter's lock while they work, some are not thread-safe, some are under
a licence that keeps them out of our process. They all run the same way:

    our process                        the source                         a worker
    open_worker() ── starts, once ──►  python -m <module>, loads
                  ── one end of a ──►  forks                   ─────────► serves that one link
                     socket pair       waits for the next one             until its socket ends

The *source* loads what is heavy once (a model, a library) and forks a *worker* for every link, so
workers share that memory and links share nothing: one link's slow, stuck or killed worker is that
link's alone, and a full socket is its own back-pressure. The source is started by its first user,
shared by all users of the same event loop and arguments, and stopped in order when its last user
leaves; `keep_warm` is a user that opens no worker. A source that died is replaced at the next use,
while its workers live on; so is one that has served before and now stands still (`Worker.give_up`).
Everything ends by itself when our process is gone, because then its sockets are. Ctrl-C in a
terminal does not reach the processes: they have a session of their own.

On the socket, either way, a message is four bytes (big-endian: the length, and in the top bit
from a worker "this completes your oldest request") and a body. Every request is completed exactly
once, which makes `busy` exact: a loop that runs faster than real time asks it whether time spent
waiting is time spent computing.

This needs `fork` and descriptor passing: Linux and macOS, not Windows.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import weakref
from collections.abc import AsyncGenerator, Callable
from importlib.util import find_spec
from typing import cast, override

from beluga_voice.errors import (
    AlreadyClosed,
    MissingExtra,
    Unreachable,
    Unsupported,
)
from beluga_voice.providers.worker_process import COMPLETES, HEADER, MAX_MESSAGE_BYTES

_STOP_SECONDS = 3.0

_at_work: "set[Worker | _Source]" = set()


def busy() -> bool:
    """Whether an answer is due from any worker of this process, or one starts or stops.

    True from the moment a request was written until its completion was read. A worker whose
    answers we do not read at present, because nobody took the earlier ones, is not counted.
    """
    return any(each.is_busy for each in _at_work)


def require(package: str, what: str, *, extra: str) -> None:
    """Raise `MissingExtra` if `package` is not installed, `Unsupported` where nothing can fork."""
    if find_spec(package) is None:
        raise MissingExtra(what, extra=extra, op="connect")
    if not hasattr(os, "fork"):
        raise Unsupported(f"{what} needs Linux or macOS", op="connect")


class Worker(asyncio.Protocol):
    """The line to one worker process: whole messages each way.

    `receive` is called with each body as it comes, `ended` once when the process closed the line
    or died, not when we closed it.
    """

    def __init__(self, receive: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        self._receive = receive
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._source: _Source | None = None
        self._process: asyncio.subprocess.Process | None = None
        """That of the source which forked it."""
        self._buffer = bytearray()
        self._owed = 0
        self._is_reading = True
        self._is_closed = False
        _at_work.add(self)

    @property
    def is_busy(self) -> bool:
        """Whether an answer is due, and is being waited for."""
        return self._owed > 0 and self._is_reading

    @property
    def is_prompt(self) -> bool:
        """Whether its source has served another link before: nothing heavy is being loaded."""
        source = self._source
        return source is not None and source.has_served(self._process)

    async def give_up(self) -> None:
        """End it, and the source, which stands still; the source's other workers live on."""
        self.close()
        if self._source is not None:
            await self._source.bury(self._process)

    def belongs_to(self, source: "_Source", process: asyncio.subprocess.Process | None) -> None:
        """Its source, and the process of that."""
        self._source, self._process = source, process

    def send(self, body: bytes, /) -> None:
        """Write one request; never waits. Raises `AlreadyClosed` when the line is gone."""
        if self._is_closed or self._transport is None:
            raise AlreadyClosed("the worker's line is closed", op="worker")
        self._owed += 1
        self._transport.write(HEADER.pack(len(body)) + body)

    def pause(self) -> None:
        """Stop reading: the worker will block when the socket is full."""
        if self._is_reading and not self._is_closed and self._transport is not None:
            self._is_reading = False
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if not self._is_reading and not self._is_closed and self._transport is not None:
            self._is_reading = True
            self._transport.resume_reading()

    def close(self) -> None:
        """Close the line, which ends the process; what was not answered is forgotten."""
        self._is_closed = True
        _at_work.discard(self)
        if self._transport is not None:
            self._transport.abort()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transports are no subclasses.
        self._transport = cast(asyncio.Transport, transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while not self._is_closed and len(self._buffer) >= HEADER.size:
            (word,) = HEADER.unpack_from(self._buffer)
            end = HEADER.size + (word & ~COMPLETES)
            if end - HEADER.size > MAX_MESSAGE_BYTES:
                self._finish()
                return
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[HEADER.size : end])
            del self._buffer[:end]
            if word & COMPLETES:
                self._owed -= 1
                if self._source is not None:
                    self._source.note_served(self._process)
            self._receive(body)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_closed:
            self._finish()

    def _finish(self) -> None:
        self.close()
        self._ended()


class _Source:
    """The process that workers are forked from."""

    def __init__(self, module: str, arguments: tuple[str, ...]) -> None:
        self._command = ("-m", module, *arguments)
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._served: asyncio.subprocess.Process | None = None
        """The process, once a worker of it has completed a request."""
        self.users = 0

    @property
    def is_busy(self) -> bool:
        return True

    def note_served(self, process: asyncio.subprocess.Process | None) -> None:
        """A worker of that process has completed a request."""
        if process is self._process:
            self._served = process

    def has_served(self, process: asyncio.subprocess.Process | None) -> bool:
        """Whether a worker of that process, which is the present one, has completed a request."""
        return process is not None and process is self._process is self._served

    async def bury(self, process: asyncio.subprocess.Process | None) -> None:
        """End that process, unless another one has taken its place."""
        if process is self._process:
            await self._bury()

    async def start(self) -> socket.socket:
        """The control socket of a running process, started if there is none."""
        async with self._lock:
            if self._control is not None and self._process is not None:
                if self._process.returncode is None:
                    return self._control
                self._control.close()
            ours, theirs = socket.socketpair()
            try:
                ours.setblocking(False)
                _at_work.add(self)
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *self._command,
                    stdin=theirs.fileno(),
                    stdout=asyncio.subprocess.DEVNULL,
                    start_new_session=True,
                    # A process with threads must not fork; numpy's library starts some otherwise.
                    env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                )
            except BaseException as error:
                ours.close()
                self._control = self._process = None
                if isinstance(error, OSError):
                    raise Unreachable(f"no process: {error}", op="worker") from error
                raise
            finally:
                _at_work.discard(self)
                theirs.close()
            self._control = ours
            return ours

    async def fork(self, worker: Worker) -> None:
        """Connect `worker` to a new process; raises `Unreachable`."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                await self._hand_over(theirs)
            worker.belongs_to(self, self._process)
            ours.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.create_unix_connection(lambda: worker, sock=ours)
        except BaseException:
            ours.close()
            raise

    async def _hand_over(self, end: socket.socket) -> None:
        for _ in range(2):
            control = await self.start()
            try:
                socket.send_fds(control, [b"+"], [end.fileno()])
            except BlockingIOError:
                break
            except OSError:
                await self._bury()
            else:
                return
        raise Unreachable("the worker's source takes no more work", op="worker")

    async def _bury(self) -> None:
        async with self._lock:
            if self._process is not None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()  # alone: its workers are well
                _at_work.add(self)
                try:
                    await self._process.wait()
                finally:
                    _at_work.discard(self)
            if self._control is not None:
                self._control.close()
            self._process = self._control = self._served = None

    async def stop(self) -> None:
        """End in order: workers first, since their lines are closed, then the source."""
        if self._control is not None:
            self._control.close()
        if self._process is None:
            return
        _at_work.add(self)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            await _end(self._process)
        except asyncio.CancelledError:
            await _end(self._process)
            raise
        finally:
            _at_work.discard(self)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


type _Key = tuple[str, tuple[str, ...]]
_sources: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, _Source]] = (
    weakref.WeakKeyDictionary()
)


@contextlib.asynccontextmanager
async def _use(module: str, arguments: tuple[str, ...]) -> AsyncGenerator[_Source]:
    sources = _sources.setdefault(asyncio.get_running_loop(), {})
    key = (module, arguments)
    source = sources.setdefault(key, _Source(module, arguments))
    source.users += 1
    try:
        yield source
    finally:
        source.users -= 1
        if not source.users:
            del sources[key]
            await source.stop()


@contextlib.asynccontextmanager
async def keep_warm(module: str, *arguments: str) -> AsyncGenerator[None]:
    """Have the source of `module` running for as long as the context lasts."""
    async with _use(module, arguments) as source:
        await source.start()
        yield


@contextlib.asynccontextmanager
async def open_worker(
    module: str,
    *arguments: str,
    receive: Callable[[bytes], None],
    ended: Callable[[], None],
) -> AsyncGenerator[Worker]:
    """A worker process of `module`, started as `python -m module *arguments`, for one link.

    Raises `Unreachable` when no process came about. The worker may still be loading: what is sent
    meanwhile waits for it. Leaving the context ends the process; cancelling is safe.
    """
    async with _use(module, arguments) as source:
        worker = Worker(receive, ended)
        try:
            await source.fork(worker)
            yield worker
        finally:
            worker.close()
