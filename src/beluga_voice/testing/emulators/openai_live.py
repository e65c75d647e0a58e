"""An emulated OpenAI Live service, for an unmodified client.

It listens on the loop it runs on: on simulated addresses under simulation, else on real ones.

    async with OpenAILiveEmulator(brain).serving("api.example.com", 80) as service:
        ...

Only the primary WebSocket is emulated: no WebRTC, sideband, fork, fixture or decision.
"""

import asyncio
import http
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from beluga_voice.testing.emulators.openai_live_session import (
    EmulatedLiveSession,
    End,
    Manners,
    Sent,
    Stall,
)
from beluga_voice.testing.emulators.speech import Brain, Faults, Pace, echo, faults_of
from beluga_voice.testing.speech import WORD_MS

PATH = "/v1/live/sessions"
MODELS = ("gpt-live-1",)
KEY = "sk-emulated"
CLOSE_SECONDS = 1.0


class OpenAILiveEmulator:
    """The service. `brain` decides what is said; `faults` are those of each connection in order.

    A brain that `Calls` delegates: to the client, which is told no more than that, or to the
    working model of the service, which makes the call. `pace` is in time of the session, except
    `word_ms`, which means nothing here: the model speaks in real time.
    """

    def __init__(
        self,
        brain: Brain = echo,
        *,
        pace: Pace | None = None,
        word_ms: int = WORD_MS,
        faults: Sequence[Faults] = (),
        keys: Collection[str] = (KEY,),
        models: Collection[str] = MODELS,
        manners: Manners | None = None,
    ) -> None:
        self._brain = brain
        self._pace = pace or Pace()
        self._word_ms = word_ms
        self._faults = faults
        self._keys = keys
        self._models = models
        self._manners = manners or Manners()
        self._opened = 0
        self._admitted: dict[ServerConnection, Faults] = {}
        self.sessions: list[EmulatedLiveSession] = []
        """Every session that was opened, in order."""
        self.host = ""
        self.port = 0

    @property
    def url(self) -> str:
        """The address of the endpoint."""
        return f"ws://{self.host}:{self.port}{PATH}"

    @asynccontextmanager
    async def serving(
        self, host: str = "127.0.0.1", port: int = 0
    ) -> "AsyncGenerator[OpenAILiveEmulator]":
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
            return _refusal(faults.refuse_status, faults.refuse_body, "refused", headers)
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or key not in self._keys:
            return _refusal(401, "Incorrect API key provided.", "invalid_api_key")
        parts = urlsplit(request.path)
        if parts.path != PATH:
            return _refusal(404, f"Unknown request URL: GET {parts.path}.", "unknown_url")
        if parts.query:
            return _refusal(400, "The session is configured by session.start.", "unknown_parameter")
        # For the session this becomes: others may be admitted before it does.
        self._admitted[connection] = faults
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        faults = self._admitted.pop(connection)
        outbox: asyncio.Queue[Sent] = asyncio.Queue()
        session = EmulatedLiveSession(
            number=len(self.sessions) + 1,
            models=self._models,
            brain=self._brain,
            pace=self._pace,
            word_ms=self._word_ms,
            faults=faults,
            manners=self._manners,
            put=outbox.put_nowait,
        )
        self.sessions.append(session)
        if faults.is_mute:
            outbox.put_nowait(Stall())
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(_write(connection, outbox), name="emulator writer")
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


def _refusal(
    status: int, message: str, code: str, headers: dict[str, str] | None = None
) -> Response:
    kind = "invalid_request_error"
    error = {"message": message, "type": kind, "param": None, "code": code}
    body = msgspec.json.encode({"error": error})
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    phrase = http.HTTPStatus(status).phrase
    return Response(status, phrase, Headers({**fields, **(headers or {})}), body)


def _port_of(server: Server) -> int:
    address: Any = next(iter(server.sockets)).getsockname()
    return int(address[1])
