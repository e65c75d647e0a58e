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
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import override
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
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
from beluga_voice.testing.emulators.speech import Faults, Pace
from beluga_voice.testing.emulators.websocket_server import EmulatedServer, refusal
from beluga_voice.testing.speech import WORD_MS

KEY = "dg-emulated"
ROUTES: dict[str, type[DeepgramSession]] = {
    "/v1/listen": NovaSession,
    "/v2/listen": FluxSession,
    "/v1/speak": AuraSession,
}


class DeepgramEmulator(EmulatedServer):
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
        super().__init__(faults)
        self._pace = pace or Pace()
        self._word_ms = word_ms
        self._keys = keys
        self._quirks = quirks or Quirks()
        self.sessions: list[DeepgramSession] = []
        """Every session that was opened, in order."""

    @override
    def _failure(self, status: int, faults: Faults) -> Response:
        return _refusal(status, faults.refuse_body)

    @override
    def _refuse(self, request: Request) -> Response | None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme not in ("Token", "Bearer") or key not in self._keys:
            return _refusal(401, "Invalid credentials.")
        parts = urlsplit(request.path)
        kind = ROUTES.get(parts.path)
        if kind is None:
            return _refusal(404, "There is nothing here.")
        try:
            kind.check(_query_of(request))
        except Refused as refused:
            return _refusal(400, str(refused))
        return None

    @override
    async def _talk(self, connection: ServerConnection, request: Request, faults: Faults) -> None:
        kind = ROUTES[urlsplit(request.path).path]
        query = _query_of(request)
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


def _query_of(request: Request) -> Query:
    return Query(parse_qs(urlsplit(request.path).query, keep_blank_values=True))


def _refusal(status: int, reason: str) -> Response:
    """An answer that is no websocket, with the reason where Deepgram has it."""
    body = {"err_code": http.HTTPStatus(status).name, "err_msg": reason, "request_id": "refused"}
    headers = {"dg-request-id": "refused"}
    if reason:
        headers["dg-error"] = reason
    return refusal(status, body, headers)
