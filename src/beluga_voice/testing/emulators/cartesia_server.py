"""The server of emulated Cartesia services: who is let in, and how a connection goes wrong."""

import asyncio
import http
from abc import abstractmethod
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, override
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from beluga_voice.testing.emulators.speech import Faults
from beluga_voice.testing.emulators.websocket_server import (
    EmulatedServer,
    End,
    Sent,
    refusal,
    write,
)

KEY = "sk_car_emulated"
VERSIONS = ("2026-08-14", "2026-03-01", "2025-04-16", "2024-11-13")


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
            self.outbox.put_nowait(msgspec.json.encode(frame).decode())

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


class CartesiaServer(EmulatedServer):
    """A service on a port; `faults` are those of each connection in order."""

    def __init__(
        self,
        *,
        faults: Sequence[Faults] = (),
        keys: Collection[str] = (KEY,),
        versions: Collection[str] = VERSIONS,
    ) -> None:
        super().__init__(faults)
        self._keys = keys
        self._versions = versions

    @abstractmethod
    def answer(self, path: str, query: dict[str, list[str]]) -> Response | None:
        """The answer to a request that becomes no connection; `None` if it does."""

    @abstractmethod
    def session(
        self, path: str, query: dict[str, list[str]], version: str, faults: Faults
    ) -> CartesiaSession:
        """What a connection becomes."""

    @override
    def _failure(self, status: int, faults: Faults) -> Response:
        return failed(status, "emulated", faults.refuse_body)

    @override
    def _refuse(self, request: Request) -> Response | None:
        path, query = split(request)
        if _key_of(request, query) not in self._keys:
            return failed(401, "unauthorized", "Invalid API key.")
        if _version_of(request, query) not in self._versions:
            return failed(400, "invalid_version", "Name a valid Cartesia-Version.")
        return self.answer(path, query)

    @override
    async def _talk(self, connection: ServerConnection, request: Request, faults: Faults) -> None:
        path, query = split(request)
        session = self.session(path, query, _version_of(request, query), faults)
        async with asyncio.TaskGroup() as tasks:
            working = [
                tasks.create_task(write(connection, session.outbox), name="emulator writer"),
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


async def _expire(session: CartesiaSession, milliseconds: float) -> None:
    await asyncio.sleep(milliseconds / 1000)
    session.hang_up(1000, "idle")


def error(status: int, code: str, message: str, **more: Any) -> dict[str, Any]:
    """An error as the service has it, in a frame and in a body."""
    title = http.HTTPStatus(status).phrase
    told = {"title": title, "message": message, "error_code": code, "status_code": status}
    return {"type": "error", **told, **more}


def failed(status: int, code: str, message: str) -> Response:
    """An answer with an error."""
    return refusal(status, error(status, code, message))


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
