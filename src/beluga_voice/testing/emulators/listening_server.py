"""The server of emulated services that only hear, and what their sessions have in common."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Protocol, override

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from beluga_voice.testing.emulators.speech import Faults, Pace
from beluga_voice.testing.emulators.websocket_server import (
    EmulatedServer,
    End,
    Sent,
    Stall,
    refusal,
    write,
)


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


class ListeningServer[S: ListeningSession](EmulatedServer):
    """A service on a port; `faults` are those of each connection, in order."""

    def __init__(self, service: ListeningService[S], pace: Pace, faults: Sequence[Faults]) -> None:
        super().__init__(faults)
        self._service = service
        self._pace = pace
        self.sessions: list[S] = []
        """Every session that was opened, in order."""

    @property
    @override
    def url(self) -> str:
        """The address of the endpoint, as a provider takes it."""
        return super().url + self._service.path

    @override
    def _failure(self, status: int, faults: Faults) -> Response:
        return refusal(status, self._service.failure(status, faults.refuse_body))

    @override
    def _refuse(self, request: Request) -> Response | None:
        return self._service.refuse(request)

    @override
    async def _talk(self, connection: ServerConnection, request: Request, faults: Faults) -> None:
        outbox: asyncio.Queue[Sent] = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks:
            session = self._service.session(
                request, pace=self._pace, faults=faults, put=outbox.put_nowait, tasks=tasks
            )
            self.sessions.append(session)
            writer = tasks.create_task(write(connection, outbox), name="emulator writer")
            if faults.is_mute:
                outbox.put_nowait(Stall())
            session.begin()
            with suppress(ConnectionClosed):
                async for message in connection:
                    session.take(message)
            writer.cancel()
            session.end()
