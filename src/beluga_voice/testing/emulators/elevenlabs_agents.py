"""An emulated ElevenLabs Agents service, for an unmodified client.

How it works. It listens on an address of the simulated network or of this machine, gives signed
addresses to those who have a key, and each connection to an agent is a conversation of its own.

Where the vendor's documents are silent, this is a guess: an agent that does not exist, and one that
is called without what it asks for, is closed with 3000 after the handshake (users report that code:
https://github.com/elevenlabs/packages/issues/626), and sounds, responses and pings share one
count of events.

Sources: the AsyncAPI types of `@elevenlabs/types` 0.23.0,
https://elevenlabs.io/docs/eleven-agents/customization/events, and the behaviour of the Python SDK
`elevenlabs` 2.78.0, read 2026-11-21.
"""

import asyncio
import ssl as tls
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from beluga_voice.testing.emulators.elevenlabs_agents_conversation import (
    PING_SECONDS,
    RECEIVE_TIMEOUT_SECONDS,
    SILENCE_MS,
    SURE_MS,
    AgentConversation,
    AgentService,
    Ending,
)
from beluga_voice.testing.emulators.elevenlabs_agents_settings import EmulatedAgent
from beluga_voice.testing.emulators.speech import Brain, Faults, Pace, echo, faults_of
from beluga_voice.testing.emulators.websocket_server import late
from beluga_voice.testing.speech import WORD_MS

__all__ = ["AGENT", "KEY", "AgentConversation", "ElevenLabsAgentsEmulator", "EmulatedAgent"]

PATH = "/v1/convai/conversation"
SIGNED_URL_PATH = f"{PATH}/get-signed-url"
KEY = "sk_emulated"
AGENT = "agent_emulated"
SIGNED_SECONDS = 900
"""How long a signed address lets one begin a conversation."""


class ElevenLabsAgentsEmulator:
    """The service, with its agents by their ids.

    `faults` are those of each call in order; one that refuses the handshake refuses a signed
    address as well. `ending` is how the end of a response is told: by a message, by a mark of its
    last sound, or not at all. A voice of `sure_ms` interrupts; a call without sound of the person
    for `receive_seconds` ends; a signed address is good for `signed_seconds`.
    """

    def __init__(
        self,
        brain: Brain = echo,
        *,
        pace: Pace | None = None,
        word_ms: int = WORD_MS,
        faults: Sequence[Faults] = (),
        keys: Collection[str] = (KEY,),
        agents: Mapping[str, EmulatedAgent] | None = None,
        silence_ms: float = SILENCE_MS,
        sure_ms: float = SURE_MS,
        receive_seconds: float = RECEIVE_TIMEOUT_SECONDS,
        signed_seconds: float = SIGNED_SECONDS,
        ping_seconds: float = PING_SECONDS,
        ending: Ending = "complete",
    ) -> None:
        self._service = AgentService(
            brain=brain,
            pace=pace or Pace(),
            word_ms=word_ms,
            silence_ms=silence_ms,
            sure_ms=sure_ms,
            receive_seconds=receive_seconds,
            ping_seconds=ping_seconds,
            ending=ending,
        )
        self._faults = faults
        self._signed_seconds = signed_seconds
        self._keys = keys
        self._agents = dict(agents or {AGENT: EmulatedAgent()})
        self._refused = 0
        self._admitted: dict[ServerConnection, Faults] = {}
        self._signed: dict[str, tuple[str, float]] = {}
        self.sessions: list[AgentConversation] = []
        """Every conversation, in order."""
        self.url = ""
        """The address, without a path."""

    @asynccontextmanager
    async def serving(
        self, host: str = "127.0.0.1", port: int = 0, *, ssl: tls.SSLContext | None = None
    ) -> "AsyncGenerator[ElevenLabsAgentsEmulator]":
        """Take calls; port 0 is any that is free."""
        async with serve(
            self._talk,
            host,
            port,
            ssl=ssl,
            process_request=self._admit,
            compression=None,
            ping_interval=None,
            close_timeout=1,
            max_size=16 * 1024 * 1024,
        ) as server:
            bound = next(iter(server.sockets)).getsockname()[1] if port == 0 else port
            self.url = f"{'ws' if ssl is None else 'wss'}://{host}:{bound}"
            yield self

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer what is no call, or a call that is not taken."""
        faults = faults_of(self._faults, len(self.sessions) + self._refused)
        await late(faults)
        path = urlsplit(request.path).path
        if faults.refuse_status is not None:
            self._refused += 1
            after = {} if faults.retry_after is None else {"Retry-After": faults.retry_after}
            return _answer(faults.refuse_status, {"detail": faults.refuse_body}, after)
        if path == SIGNED_URL_PATH:
            return self._sign(request)
        if path != PATH:
            return _answer(404, {"detail": "Not Found"})
        # For the conversation this becomes: others may be admitted before it does.
        self._admitted[connection] = faults
        return None

    def _sign(self, request: Request) -> Response:
        agent_id = _field(request, "agent_id")
        if request.headers.get("xi-api-key") not in self._keys:
            return _answer(401, _detail("invalid_api_key", "Invalid API key"))
        if agent_id not in self._agents:
            return _answer(404, _detail("agent_not_found", "The agent was not found."))
        token = f"token_{len(self._signed) + 1}"
        self._signed[token] = (agent_id, asyncio.get_running_loop().time() + self._signed_seconds)
        return _answer(200, {"signed_url": f"{self.url}{PATH}?agent_id={agent_id}&token={token}"})

    async def _talk(self, connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        agent = self._agents.get(_field(request, "agent_id"))
        refusal = ""
        if agent is None:
            refusal = "Request error"
        elif agent.is_private and not self._is_allowed(request):
            refusal = "The agent you are trying to reach requires authentication."
        talk = AgentConversation(
            self._service,
            connection,
            self._admitted.pop(connection),
            number=len(self.sessions) + 1,
            agent=agent or EmulatedAgent(),
            refusal=refusal,
        )
        self.sessions.append(talk)
        await talk.run()

    def _is_allowed(self, request: Request) -> bool:
        if request.headers.get("xi-api-key") in self._keys:
            return True
        agent_id, until = self._signed.get(_field(request, "token"), ("", 0.0))
        is_fresh = asyncio.get_running_loop().time() < until
        return is_fresh and agent_id == _field(request, "agent_id")


def _field(request: Request, name: str) -> str:
    return parse_qs(urlsplit(request.path).query).get(name, [""])[0]


def _detail(status: str, message: str) -> dict[str, object]:
    return {"detail": {"status": status, "message": message}}


def _answer(
    status: int, body: dict[str, object], headers: Mapping[str, str] | None = None
) -> Response:
    content = msgspec.json.encode(body)
    fields = {
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        "Connection": "close",
    }
    return Response(
        status, HTTPStatus(status).phrase, Headers({**fields, **(headers or {})}), content
    )
