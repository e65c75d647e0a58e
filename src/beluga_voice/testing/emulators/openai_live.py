"""An emulated OpenAI Live service, for an unmodified client.

It listens on the loop it runs on: on simulated addresses under simulation, else on real ones.

    async with OpenAILiveEmulator(brain).serving("api.example.com", 80) as service:
        ...

Only the primary WebSocket is emulated: no WebRTC, sideband, fork, fixture or decision.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, override
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from beluga_voice.testing.emulators.openai_live_session import EmulatedLiveSession, Manners
from beluga_voice.testing.emulators.speech import Brain, Faults, Pace, echo
from beluga_voice.testing.emulators.websocket_server import (
    EmulatedServer,
    Sent,
    Stall,
    key_of,
    refusal,
    write,
)
from beluga_voice.testing.speech import WORD_MS

PATH = "/v1/live/sessions"
MODELS = ("gpt-live-1",)
KEY = "sk-emulated"


class OpenAILiveEmulator(EmulatedServer):
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
        super().__init__(faults)
        self._brain = brain
        self._pace = pace or Pace()
        self._word_ms = word_ms
        self._keys = keys
        self._models = models
        self._manners = manners or Manners()
        self.sessions: list[EmulatedLiveSession] = []
        """Every session that was opened, in order."""

    @property
    @override
    def url(self) -> str:
        """The address of the endpoint."""
        return super().url + PATH

    @override
    def _failure(self, status: int, faults: Faults) -> Response:
        return refusal(status, _error(faults.refuse_body, "refused"))

    @override
    def _refuse(self, request: Request) -> Response | None:
        if key_of(request) not in self._keys:
            return refusal(401, _error("Incorrect API key provided.", "invalid_api_key"))
        parts = urlsplit(request.path)
        if parts.path != PATH:
            return refusal(404, _error(f"Unknown request URL: GET {parts.path}.", "unknown_url"))
        if parts.query:
            message = "The session is configured by session.start."
            return refusal(400, _error(message, "unknown_parameter"))
        return None

    @override
    async def _talk(self, connection: ServerConnection, request: Request, faults: Faults) -> None:
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
            writer = tasks.create_task(write(connection, outbox), name="emulator writer")
            with suppress(ConnectionClosed):
                async for message in connection:
                    session.take(message)
            writer.cancel()
            session.end()


def _error(message: str, code: str) -> dict[str, Any]:
    kind = "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
