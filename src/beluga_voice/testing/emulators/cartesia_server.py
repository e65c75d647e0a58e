"""The server of emulated Cartesia services: who is let in, and how a connection goes wrong."""

import asyncio
import http
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from beluga_voice.testing.emulators.speech import Faults, faults_of

KEY = "sk_car_emulated"
VERSIONS = ("2026-08-14", "2026-03-01", "2025-04-16", "2024-11-13")
CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class End:
    """The connection ends: with a close code, or by breaking."""

    code: int | None = None
    reason: str = ""


type Sent = dict[str, Any] | str | End


class CartesiaSession:
    """One connection: what came, what went, and what was wrong with what came."""

    def __init__(self, query: dict[str, list[str]], version: str, faults: Faults) -> None:
        self.query = query
        self.version = version
        self.request_id = ""
        self.faults = faults
        self.outbox: asyncio.Queue[Sent] = asyncio.Queue()
        self.received: list[Any] = []
        """Orders as they came, text or decoded; sound as bytes."""
        self.sent: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self.is_over = False
        self._audio_ms = 0.0
        self._is_stalled = faults.is_mute
        self._has_babbled = False
        self._has_failed = False

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """The connection is open."""

    def take(self, message: str | bytes) -> None:
        """A message of the client's."""

    def end(self) -> None:
        """The connection is gone."""
        self.is_over = True

    def send(self, frame: dict[str, Any]) -> None:
        """A message for the client, unless nothing comes any more."""
        if not self._is_stalled and not self.is_over:
            self.sent.append(frame)
            self.outbox.put_nowait(frame)

    def refuse(self, message: str, *, code: str = "invalid_request", **more: Any) -> None:
        """An error of the client's."""
        self.errors.append(message)
        self.send(error(400, code, message, request_id=self.request_id, **more))

    def count(self, milliseconds: float) -> None:
        """So much sound passed: what goes wrong after that goes wrong now."""
        self._audio_ms += milliseconds
        faults = self.faults
        if _is_past(faults.drop_after_audio_ms, self._audio_ms):
            self.hang_up(faults.close_code, "emulated")
        if _is_past(faults.stall_after_audio_ms, self._audio_ms):
            self._is_stalled = True
        if _is_past(faults.malformed_after_audio_ms, self._audio_ms) and not self._has_babbled:
            self._has_babbled = True
            self.outbox.put_nowait('{"type": "chunk", "transcript"')

    def fail_once(self, **more: Any) -> bool:
        """Fail as the faults have it; whether it did."""
        code = self.faults.error_code
        if code is None or self._has_failed:
            return False
        self._has_failed = True
        self.send(error(500, code, "emulated failure", request_id=self.request_id, **more))
        return True

    def hang_up(self, code: int | None, reason: str = "") -> None:
        """End the connection after what was sent."""
        if not self.is_over:
            self.is_over = True
            self.outbox.put_nowait(End(code, reason))


class CartesiaServer(ABC):
    """A service on a port; `faults` are those of each connection in order."""

    def __init__(
        self,
        *,
        faults: Sequence[Faults] = (),
        keys: Collection[str] = (KEY,),
        versions: Collection[str] = VERSIONS,
    ) -> None:
        self._faults = faults
        self._keys = keys
        self._versions = versions
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
            max_size=16 * 1024 * 1024,
            ping_interval=None,
            close_timeout=CLOSE_SECONDS,
        ) as server:
            self.host, self.port = host, port or _port_of(server)
            yield self

    @abstractmethod
    def answer(self, path: str, query: dict[str, list[str]]) -> Response | None:
        """The answer to a request that becomes no connection; `None` if it does."""

    @abstractmethod
    def session(
        self, path: str, query: dict[str, list[str]], version: str, faults: Faults
    ) -> CartesiaSession:
        """What a connection becomes."""

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        faults = faults_of(self._faults, self._opened)
        self._opened += 1
        if faults.refuse_status is not None:
            after = {} if faults.retry_after is None else {"Retry-After": faults.retry_after}
            body = error(faults.refuse_status, "emulated", faults.refuse_body)
            return answer_of(faults.refuse_status, body, after)
        path, query = split(request)
        if _key_of(request, query) not in self._keys:
            return refusal(401, "unauthorized", "Invalid API key.")
        if _version_of(request, query) not in self._versions:
            return refusal(400, "invalid_version", "Name a valid Cartesia-Version.")
        answered = self.answer(path, query)
        if answered is None:
            # For the session this becomes: others may be admitted before it does.
            self._admitted[connection] = faults
        return answered

    async def _serve(self, connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        path, query = split(request)
        faults = self._admitted.pop(connection)
        session = self.session(path, query, _version_of(request, query), faults)
        async with asyncio.TaskGroup() as tasks:
            working = [
                tasks.create_task(_write(connection, session), name="emulator writer"),
            ]
            if faults.expire_after_ms is not None:
                expiring = _expire(session, faults.expire_after_ms)
                working.append(tasks.create_task(expiring, name="emulator expiry"))
            session.begin(tasks)
            with suppress(ConnectionClosed):
                async for message in connection:
                    session.take(message)
            for one in working:
                one.cancel()
            session.end()


async def _write(connection: ServerConnection, session: CartesiaSession) -> None:
    with suppress(ConnectionClosed):
        while True:
            match await session.outbox.get():
                case End() as end if end.code is None:
                    connection.transport.abort()
                    return
                case End() as end:
                    await connection.close(end.code or 1000, end.reason)
                    return
                case str() as text:
                    await connection.send(text)
                case frame:
                    await connection.send(msgspec.json.encode(frame).decode())


async def _expire(session: CartesiaSession, milliseconds: float) -> None:
    await asyncio.sleep(milliseconds / 1000)
    session.hang_up(1000, "idle")


def error(status: int, code: str, message: str, **more: Any) -> dict[str, Any]:
    """An error as the service has it, in a frame and in a body."""
    title = http.HTTPStatus(status).phrase
    told = {"title": title, "message": message, "error_code": code, "status_code": status}
    return {"type": "error", **told, **more}


def answer_of(status: int, body: Any, headers: dict[str, str] | None = None) -> Response:
    """An answer that is no websocket."""
    encoded = msgspec.json.encode(body)
    fields = {"Content-Type": "application/json", "Content-Length": str(len(encoded))}
    phrase = http.HTTPStatus(status).phrase
    return Response(status, phrase, Headers({**fields, **(headers or {})}), encoded)


def refusal(status: int, code: str, message: str) -> Response:
    """An answer with an error."""
    return answer_of(status, error(status, code, message))


def split(request: Request) -> tuple[str, dict[str, list[str]]]:
    """Path and query."""
    parts = urlsplit(request.path)
    return parts.path, parse_qs(parts.query)


def _key_of(request: Request, query: dict[str, list[str]]) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme == "Bearer":
        return token
    return request.headers.get("X-API-Key") or query.get("access_token", [""])[0]


def _version_of(request: Request, query: dict[str, list[str]]) -> str:
    return request.headers.get("Cartesia-Version") or query.get("cartesia_version", [""])[0]


def _is_past(limit: float | None, now: float) -> bool:
    return limit is not None and now >= limit


def _port_of(server: Server) -> int:
    address: Any = next(iter(server.sockets)).getsockname()
    return int(address[1])
