"""The server of emulated services: who is let in, with which faults, and how a connection ends."""

import asyncio
import http
import math
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from beluga_voice.testing.emulators.speech import Faults, faults_of

CLOSE_SECONDS = 1.0
MAX_MESSAGE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class End:
    """The connection ends here: with a close code, or by breaking."""

    code: int | None = None
    reason: str = ""


class Stall:
    """Nothing more is sent."""


type Sent = str | bytes | End | Stall


class EmulatedServer(ABC):
    """A service on a port; `faults` are those of each connection, in order."""

    def __init__(self, faults: Sequence[Faults]) -> None:
        self._faults = faults
        self._opened = 0
        self._admitted: dict[ServerConnection, Faults] = {}
        self.host = ""
        self.port = 0

    @property
    def url(self) -> str:
        """The address, without a path."""
        return f"ws://{self.host}:{self.port}"

    @asynccontextmanager
    async def serving(self, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[Self]:
        """Take connections; port 0 is any that is free."""
        async with serve(
            self._serve,
            host,
            port,
            process_request=self._admit,
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            ping_interval=None,
            close_timeout=CLOSE_SECONDS,
        ) as server:
            address: Any = next(iter(server.sockets)).getsockname() if not port else (host, port)
            self.host, self.port = host, int(address[1])
            yield self

    @abstractmethod
    def _failure(self, status: int, faults: Faults) -> Response:
        """A refusal for a reason that is no fault of the request."""

    @abstractmethod
    def _refuse(self, request: Request) -> Response | None:
        """The answer to what is no handshake, or is not taken."""

    @abstractmethod
    async def _talk(self, connection: ServerConnection, request: Request, faults: Faults) -> None:
        """Be the service for one connection, until it ends."""

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        faults = faults_of(self._faults, self._opened)
        self._opened += 1
        await late(faults)
        if faults.refuse_status is not None:
            failed = self._failure(faults.refuse_status, faults)
            if faults.retry_after is not None:
                failed.headers["Retry-After"] = faults.retry_after
            return failed
        refused = self._refuse(request)
        if refused is None:
            # For the session this becomes: others may be admitted before it does.
            self._admitted[connection] = faults
        return refused

    async def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        await self._talk(connection, connection.request, self._admitted.pop(connection))


async def late(faults: Faults) -> None:
    """Wait for as long as a handshake is to wait for its answer."""
    if math.isinf(faults.answers_after_ms):
        await asyncio.get_running_loop().create_future()
    elif faults.answers_after_ms:
        await asyncio.sleep(faults.answers_after_ms / 1000)


async def write(connection: ServerConnection, outbox: asyncio.Queue[Sent]) -> None:
    """Send what the service says, until the connection ends."""
    with suppress(ConnectionClosed):
        while True:
            match await outbox.get():
                case str() | bytes() as message:
                    await connection.send(message)
                case End() as end:
                    if end.code is None:
                        connection.transport.abort()
                    else:
                        await connection.close(end.code, end.reason)
                    return
                case Stall():
                    return


def key_of(request: Request) -> str:
    """The key of a handshake, "" if it has none."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key if scheme == "Bearer" else ""


def query_of(request: Request) -> dict[str, str]:
    """The query of a handshake, each name once."""
    return {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}


def refusal(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that is no websocket, in JSON."""
    encoded = msgspec.json.encode(body)
    fields = {"Content-Type": "application/json", "Content-Length": str(len(encoded))}
    phrase = http.HTTPStatus(status).phrase
    return Response(status, phrase, Headers({**fields, **(headers or {})}), encoded)
