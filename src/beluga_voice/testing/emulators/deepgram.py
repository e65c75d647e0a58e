"""Deepgram's services, emulated, for unmodified clients: two ways to listen, and one to speak.

They listen on the loop they run on: on simulated addresses under simulation, else on real ones.

    async with DeepgramEmulator().serving("api.example.com", 80) as service:
        ...

Where the documentation leaves open what the service does, these do what is harder for the client:
`Finalize` remains without an answer if there is nothing to settle, a turn is cut off where it is
when it is ended, and old sound comes after `Clear`.
"""

import asyncio
import http
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from beluga_voice.testing.emulators.deepgram_session import (
    DeepgramSession,
    Query,
    Quirks,
    Refused,
)
from beluga_voice.testing.emulators.deepgram_stt import NovaSession
from beluga_voice.testing.emulators.deepgram_stt_flux import FluxSession
from beluga_voice.testing.emulators.deepgram_tts import AuraSession
from beluga_voice.testing.emulators.speech import Faults, Pace, faults_of
from beluga_voice.testing.speech import WORD_MS

KEY = "dg-emulated"
CLOSE_SECONDS = 1.0
ROUTES: dict[str, type[DeepgramSession]] = {
    "/v1/listen": NovaSession,
    "/v2/listen": FluxSession,
    "/v1/speak": AuraSession,
}


class DeepgramEmulator:
    """The services on one port; `faults` are those of each connection in order."""

    def __init__(
        self,
        *,
        pace: Pace | None = None,
        word_ms: int = WORD_MS,
        faults: Sequence[Faults] = (),
        keys: Collection[str] = (KEY,),
        quirks: Quirks | None = None,
    ) -> None:
        self._pace = pace or Pace()
        self._word_ms = word_ms
        self._faults = faults
        self._keys = keys
        self._quirks = quirks or Quirks()
        self._opened = 0
        self._admitted: dict[ServerConnection, tuple[Faults, Query]] = {}
        self.sessions: list[DeepgramSession] = []
        """Every session that was opened, in order."""
        self.host = ""
        self.port = 0

    @property
    def url(self) -> str:
        """What a provider takes as its `endpoint`."""
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
            ping_interval=None,
            close_timeout=CLOSE_SECONDS,
        ) as server:
            self.host, self.port = host, port or _port_of(server)
            yield self

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a handshake that is not taken."""
        faults = faults_of(self._faults, self._opened)
        self._opened += 1
        if faults.refuse_status is not None:
            return _refusal(faults.refuse_status, faults.refuse_body, faults.retry_after)
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme not in ("Token", "Bearer") or key not in self._keys:
            return _refusal(401, "Invalid credentials.")
        parts = urlsplit(request.path)
        kind = ROUTES.get(parts.path)
        if kind is None:
            return _refusal(404, "There is nothing here.")
        query = Query(parse_qs(parts.query, keep_blank_values=True))
        try:
            kind.check(query)
        except Refused as refused:
            return _refusal(400, str(refused))
        # For the session this becomes: others may be admitted before it does.
        self._admitted[connection] = faults, query
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        faults, query = self._admitted.pop(connection)
        assert connection.request is not None
        kind = ROUTES[urlsplit(connection.request.path).path]
        session = kind(
            query,
            name=f"request-{len(self.sessions) + 1}",
            pace=self._pace,
            word_ms=self._word_ms,
            faults=faults,
            quirks=self._quirks,
        )
        self.sessions.append(session)
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(session.write(connection), name="emulator writer")
            session.begin()
            with suppress(ConnectionClosed):
                async for message in connection:
                    session.take(message)
            writer.cancel()
            session.end()


def _refusal(status: int, reason: str, retry_after: str | None = None) -> Response:
    """An answer that is no websocket, with the reason where Deepgram has it."""
    body: dict[str, Any] = {"err_code": http.HTTPStatus(status).name, "err_msg": reason}
    encoded = msgspec.json.encode({**body, "request_id": "refused"})
    headers = Headers({"Content-Type": "application/json", "dg-request-id": "refused"})
    headers["Content-Length"] = str(len(encoded))
    if reason:
        headers["dg-error"] = reason
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    return Response(status, http.HTTPStatus(status).phrase, headers, encoded)


def _port_of(server: Server) -> int:
    address: Any = next(iter(server.sockets)).getsockname()
    return int(address[1])
