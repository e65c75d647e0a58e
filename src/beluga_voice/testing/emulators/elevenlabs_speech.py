"""The server of ElevenLabs' emulated recogniser and voices: handshakes, keys and connections.

A wrong key, like a wrong setting, is no refused handshake here: the connection is opened, and
closed with an error. What is asked for by HTTP is answered on the same port.
"""

import asyncio
import http
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, Self
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from beluga_voice.testing.emulators.speech import Faults, faults_of

KEY = "elevenlabs-emulated"
CLOSE_SECONDS = 1.0
POLICY_VIOLATION = 1008

type Event = dict[str, Any]
type Query = dict[str, list[str]]


class Refused(Exception):
    """What a client did is not allowed: `kind` is the service's code for it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Line:
    """The service's side of one connection: what it says, and how it ends."""

    def __init__(self, connection: ServerConnection, faults: Faults) -> None:
        self._connection = connection
        self._outbox: asyncio.Queue[str | tuple[int, str] | None] = asyncio.Queue()
        self.faults = faults
        self._counted_ms = 0.0
        self._is_stalled = faults.is_mute
        self.is_over = False
        self.sent: list[Event] = []

    def say(self, frame: Event) -> None:
        """Send a message."""
        if not (self.is_over or self._is_stalled):
            self.sent.append(frame)
            self._outbox.put_nowait(msgspec.json.encode(frame).decode())

    def close(self, code: int, reason: str = "") -> None:
        """End in order, after what was said."""
        if not self.is_over:
            self.is_over = True
            self._outbox.put_nowait((code, reason))

    def count(self, milliseconds: float) -> bool:
        """So much more sound was heard or sent; gives whether the service goes on."""
        faults, before = self.faults, self._counted_ms
        self._counted_ms += milliseconds

        def is_due(after_ms: float | None) -> bool:
            return after_ms is not None and before < after_ms <= self._counted_ms

        if is_due(faults.malformed_after_audio_ms):
            self._outbox.put_nowait('{"message_type": 1, "audio": [')
        if is_due(faults.stall_after_audio_ms):
            self._is_stalled = True
        if is_due(faults.drop_after_audio_ms):
            self.drop()
        return not self.is_over

    def drop(self) -> None:
        """Break, or close as the faults say."""
        if self.faults.close_code is not None:
            self.close(self.faults.close_code)
        elif not self.is_over:
            self.is_over = True
            self._outbox.put_nowait(None)

    async def write(self) -> None:
        """Send what is said, until the end."""
        with suppress(ConnectionClosed):
            while True:
                match await self._outbox.get():
                    case str() as text:
                        await self._connection.send(text)
                    case (code, reason):
                        await self._connection.close(code, reason)
                        return
                    case None:
                        self._connection.transport.abort()
                        return


class SpeechSession(Protocol):
    """One connection's worth of a service."""

    @property
    def line(self) -> Line: ...

    def begin(self) -> None: ...

    def take(self, message: str | bytes) -> None: ...

    def end(self) -> None: ...


class SpeechServer[S: SpeechSession](ABC):
    """A service on a port; `faults` are those of each connection in order."""

    def __init__(self, keys: Collection[str], faults: Sequence[Faults]) -> None:
        self.keys = keys
        self._faults = faults
        self._opened = 0
        self._admitted: dict[ServerConnection, Faults] = {}
        self.sessions: list[S] = []
        """Every session that was opened, in order."""
        self.host = ""
        self.port = 0

    @property
    def url(self) -> str:
        """Scheme, host and port."""
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
            max_size=16 * 1024 * 1024,
            ping_interval=None,
            close_timeout=CLOSE_SECONDS,
        ) as server:
            self.host, self.port = host, port or _port_of(server)
            yield self

    @abstractmethod
    def open(self, line: Line, path: tuple[str, ...], query: Query, key: str) -> S:
        """The session of a connection."""

    @abstractmethod
    def refuse(self, path: tuple[str, ...], query: Query, key: str) -> Response | None:
        """The answer to what is no handshake, or is not taken."""

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        number = self._opened
        self._opened += 1
        faults = faults_of(self._faults, number)
        if faults.refuse_status is not None:
            headers = {} if faults.retry_after is None else {"Retry-After": faults.retry_after}
            body = detail(faults.error_code or "refused", faults.refuse_body or "Not now.")
            return answer(faults.refuse_status, body, headers)
        refused = self.refuse(*_asked(request))
        if refused is None:
            self._admitted[connection] = faults
        return refused

    async def _serve(self, connection: ServerConnection) -> None:
        faults = self._admitted.pop(connection)
        assert connection.request is not None
        line = Line(connection, faults)
        session = self.open(line, *_asked(connection.request))
        self.sessions.append(session)
        loop = asyncio.get_running_loop()
        writer = loop.create_task(line.write(), name="emulator writer")
        try:
            session.begin()
            with suppress(ConnectionClosed):
                async for message in connection:
                    if not line.is_over:
                        session.take(message)
        finally:
            session.end()
            writer.cancel()
            await asyncio.wait({writer})


def detail(status: str, message: str) -> Event:
    """The body of a refusal."""
    return {"detail": {"status": status, "message": message}}


def answer(status: int, body: Event, headers: dict[str, str] | None = None) -> Response:
    """An answer that is no websocket."""
    encoded = msgspec.json.encode(body)
    fields = {"Content-Type": "application/json", "Content-Length": str(len(encoded))}
    phrase = http.HTTPStatus(status).phrase
    return Response(status, phrase, Headers({**fields, **(headers or {})}), encoded)


def _asked(request: Request) -> tuple[tuple[str, ...], Query, str]:
    """The path, the query, and the key."""
    parts = urlsplit(request.path)
    path = tuple(unquote(part) for part in parts.path.split("/") if part)
    query = parse_qs(parts.query, keep_blank_values=True)
    return path, query, request.headers.get("xi-api-key", "")


def _port_of(server: Server) -> int:
    address: Any = next(iter(server.sockets)).getsockname()
    return int(address[1])
