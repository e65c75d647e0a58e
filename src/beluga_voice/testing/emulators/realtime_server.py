"""The server of emulated Realtime services: a session for each connection."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol, override

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from beluga_voice.testing.emulators.realtime_manners import Manners
from beluga_voice.testing.emulators.realtime_session import EmulatedSession
from beluga_voice.testing.emulators.speech import Brain, Faults, Pace
from beluga_voice.testing.emulators.websocket_server import (
    EmulatedServer,
    Sent,
    Stall,
    query_of,
    refusal,
    write,
)


class Service(Protocol):
    """What one service does before a session begins."""

    @property
    def path(self) -> str: ...

    def refuse(self, request: Request) -> Response | None:
        """The answer to a handshake that is not taken."""
        ...

    def failure(self, status: int, message: str) -> dict[str, Any]:
        """The body of a refusal for a reason that is no fault of the request."""
        ...

    def manners(self, query: dict[str, str]) -> Manners:
        """How it behaves on a connection with that query."""
        ...


class RealtimeServer(EmulatedServer):
    """A service on a port. `brain` decides what is said; `faults` are those of each connection."""

    def __init__(
        self, service: Service, brain: Brain, pace: Pace, word_ms: int, faults: Sequence[Faults]
    ) -> None:
        super().__init__(faults)
        self._service = service
        self._brain = brain
        self._pace = pace
        self._word_ms = word_ms
        self.sessions: list[EmulatedSession] = []
        """Every session that was opened, in order."""

    @property
    @override
    def url(self) -> str:
        """The address of the endpoint, without a model."""
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
            session = EmulatedSession(
                manners=self._service.manners(query_of(request)),
                brain=self._brain,
                pace=self._pace,
                word_ms=self._word_ms,
                faults=faults,
                put=outbox.put_nowait,
                tasks=tasks,
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
