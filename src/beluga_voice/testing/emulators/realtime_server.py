"""The server of emulated Realtime services: handshakes, connections, and their sessions."""

import asyncio
import http
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, Self
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from beluga_voice.testing.emulators.realtime_manners import Manners
from beluga_voice.testing.emulators.realtime_response import End, Sent, Stall
from beluga_voice.testing.emulators.realtime_session import EmulatedSession
from beluga_voice.testing.emulators.speech import Brain, Faults, Pace, faults_of

CLOSE_SECONDS = 1.0


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


class RealtimeServer:
    """A service on a port. `brain` decides what is said; `faults` are those of each connection."""

    def __init__(
        self, service: Service, brain: Brain, pace: Pace, word_ms: int, faults: Sequence[Faults]
    ) -> None:
        self._service = service
        self._brain = brain
        self._pace = pace
        self._word_ms = word_ms
        self._faults = faults
        self._opened = 0
        self._admitted: dict[ServerConnection, Faults] = {}
        self.sessions: list[EmulatedSession] = []
        """Every session that was opened, in order."""
        self.host = ""
        self.port = 0

    @property
    def url(self) -> str:
        """The address of the endpoint, without a model."""
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
            self.host, self.port = host, port or _port_of(server)
            yield self

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a handshake that is not taken."""
        number = self._opened
        self._opened += 1
        faults = faults_of(self._faults, number)
        if faults.refuse_status is not None:
            headers = {} if faults.retry_after is None else {"Retry-After": faults.retry_after}
            body = self._service.failure(faults.refuse_status, faults.refuse_body)
            return refusal(faults.refuse_status, body, headers)
        refused = self._service.refuse(request)
        if refused is None:
            # For the session this becomes: others may be admitted before it does.
            self._admitted[connection] = faults
        return refused

    async def _serve(self, connection: ServerConnection) -> None:
        faults = self._admitted.pop(connection)
        assert connection.request is not None
        outbox: asyncio.Queue[Sent] = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks:
            session = EmulatedSession(
                manners=self._service.manners(query_of(connection.request)),
                brain=self._brain,
                pace=self._pace,
                word_ms=self._word_ms,
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


def key_of(request: Request) -> str:
    """The key of a handshake, "" if it has none."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key if scheme == "Bearer" else ""


def query_of(request: Request) -> dict[str, str]:
    """The query of a handshake, each name once."""
    return {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}


def refusal(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    """An answer that is no websocket."""
    encoded = msgspec.json.encode(body)
    fields = {"Content-Type": "application/json", "Content-Length": str(len(encoded))}
    phrase = http.HTTPStatus(status).phrase
    return Response(status, phrase, Headers({**fields, **(headers or {})}), encoded)


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


def _port_of(server: Server) -> int:
    address: Any = next(iter(server.sockets)).getsockname()
    return int(address[1])
