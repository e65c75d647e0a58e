"""The server of emulated services that only hear: handshakes, connections, and their sessions."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, Self

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from beluga_voice.testing.emulators.realtime_response import End, Sent, Stall
from beluga_voice.testing.emulators.realtime_server import refusal
from beluga_voice.testing.emulators.speech import Faults, Pace, faults_of

CLOSE_SECONDS = 1.0


class ListeningSession(ABC):
    """The service's side of one connection: what came, what went, and what takes time.

    Faults count the sound that the client sent, in milliseconds.
    """

    def __init__(
        self, *, pace: Pace, faults: Faults, put: Callable[[Sent], None], tasks: asyncio.TaskGroup
    ) -> None:
        self.pace = pace
        self.faults = faults
        self._put = put
        self._tasks = tasks
        self._running: set[asyncio.Task[None]] = set()
        self.received: list[dict[str, Any]] = []
        """Every message of the client that is JSON, in order."""
        self.sent: list[dict[str, Any]] = []
        """Every message of the service, in order."""
        self.errors: list[str] = []
        """The codes of the errors that were answered."""
        self.heard_ms = 0.0

    @abstractmethod
    def begin(self) -> None:
        """Say hello."""

    @abstractmethod
    def take(self, message: str | bytes) -> None:
        """A message of the client."""

    def end(self) -> None:
        """The connection is over, and with it whatever takes time."""
        for task in self._running:
            task.cancel()

    def say(self, message: dict[str, Any]) -> None:
        """A message for the client."""
        text = msgspec.json.encode(message).decode()
        self.sent.append(msgspec.json.decode(text))
        self._put(text)

    def hang_up(self, code: int | None, reason: str = "") -> None:
        """Close, or break the connection if there is no code."""
        self._put(End(code, reason))

    def later(self, milliseconds: float, work: Callable[[], None]) -> None:
        """Do that so much later; at once if there is nothing to wait for."""
        if milliseconds:
            self.start(_after(milliseconds, work))
        else:
            work()

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Do that while the connection lasts."""
        task = self._tasks.create_task(work, name="emulator work")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def hears(self, ms: float) -> None:
        """So much more sound came: is it time for a fault?"""
        before, self.heard_ms = self.heard_ms, self.heard_ms + ms
        faults = self.faults

        def is_due(after_ms: float | None) -> bool:
            return after_ms is not None and before < after_ms <= self.heard_ms

        if is_due(faults.malformed_after_audio_ms):
            self._put('{"type": ')
        if is_due(faults.stall_after_audio_ms):
            self._put(Stall())
        if is_due(faults.drop_after_audio_ms):
            self._put(End(faults.close_code))


async def _after(milliseconds: float, work: Callable[[], None]) -> None:
    await asyncio.sleep(milliseconds / 1000)
    work()


class ListeningService[S: ListeningSession](Protocol):
    """What one service does before a session begins."""

    @property
    def path(self) -> str: ...

    def refuse(self, request: Request) -> Response | None:
        """The answer to a handshake that is not taken."""
        ...

    def failure(self, status: int, message: str) -> dict[str, Any]:
        """The body of a refusal for a reason that is no fault of the request."""
        ...

    def session(
        self,
        request: Request,
        *,
        pace: Pace,
        faults: Faults,
        put: Callable[[Sent], None],
        tasks: asyncio.TaskGroup,
    ) -> S: ...


class ListeningServer[S: ListeningSession]:
    """A service on a port; `faults` are those of each connection, in order."""

    def __init__(self, service: ListeningService[S], pace: Pace, faults: Sequence[Faults]) -> None:
        self._service = service
        self._pace = pace
        self._faults = faults
        self._opened = 0
        self._admitted: dict[ServerConnection, Faults] = {}
        self.sessions: list[S] = []
        """Every session that was opened, in order."""
        self.host = ""
        self.port = 0

    @property
    def url(self) -> str:
        """The address of the endpoint, as a provider takes it."""
        return f"ws://{self.host}:{self.port}{self._service.path}"

    @asynccontextmanager
    async def serving(self, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[Self]:
        """Take connections; port 0 is any that is free."""
        async with serve(
            self._serve,
            host,
            port,
            process_request=self._admit,
            compression=None,
            max_size=16 * 1024 * 1024,
            ping_interval=None,
            close_timeout=CLOSE_SECONDS,
        ) as server:
            address: Any = next(iter(server.sockets)).getsockname() if not port else (host, port)
            self.host, self.port = host, int(address[1])
            yield self

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a handshake that is not taken."""
        faults = faults_of(self._faults, self._opened)
        self._opened += 1
        if faults.refuse_status is not None:
            headers = {} if faults.retry_after is None else {"Retry-After": faults.retry_after}
            body = self._service.failure(faults.refuse_status, faults.refuse_body)
            return refusal(faults.refuse_status, body, headers)
        refused = self._service.refuse(request)
        if refused is None:
            self._admitted[connection] = faults
        return refused

    async def _serve(self, connection: ServerConnection) -> None:
        faults = self._admitted.pop(connection)
        assert connection.request is not None
        outbox: asyncio.Queue[Sent] = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks:
            session = self._service.session(
                connection.request,
                pace=self._pace,
                faults=faults,
                put=outbox.put_nowait,
                tasks=tasks,
            )
            self.sessions.append(session)
            writer = tasks.create_task(_write(connection, outbox), name="emulator writer")
            if faults.is_mute:
                outbox.put_nowait(Stall())
            session.begin()
            with suppress(ConnectionClosed):
                async for message in connection:
                    session.take(message)
            writer.cancel()
            session.end()


async def _write(connection: ServerConnection, outbox: asyncio.Queue[Sent]) -> None:
    """Send what the session says, until the connection ends."""
    with suppress(ConnectionClosed):
        while True:
            match await outbox.get():
                case str() as text:
                    await connection.send(text)
                case End() as end:
                    if end.code is None:
                        connection.transport.abort()
                    else:
                        await connection.close(end.code, end.reason)
                    return
                case Stall():
                    return
