"""An emulated Gemini Live service (developer API).

How it works. It listens on an address of the simulated network or of this machine, and each
connection is a conversation of its own. Its frames are binary JSON. What the service would close
the connection for, it does, with the same codes.

Sources: https://ai.google.dev/api/live and https://ai.google.dev/gemini-api/docs/live-session, read
2026-11-21; the types and the behaviour of google-genai 3.4.0.
"""

import re
import ssl as tls
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from beluga_voice.testing.emulators.gemini_live_conversation import (
    API_KEY,
    SILENCE_MS,
    GeminiLiveConversation,
    GeminiLiveService,
)
from beluga_voice.testing.emulators.speech import Brain, Faults, Pace, echo, faults_of
from beluga_voice.testing.emulators.websocket_server import late

__all__ = ["API_KEY", "HOST", "PORT", "GeminiLiveConversation", "GeminiLiveEmulator"]

HOST, PORT = "generativelanguage.example.com", 8765

PATH = re.compile(
    r"/+ws/google\.ai\.generativelanguage\.(v1|v1beta|v1alpha)"
    r"\.GenerativeService\.BidiGenerateContent"
)


class GeminiLiveEmulator:
    """The service.

    `faults` are those of the connections, in order; `holds_turns` keeps a turn open while its
    sound would be sounding. `go_away_ms` is how long before its end a session is warned.
    """

    def __init__(
        self,
        brain: Brain = echo,
        *,
        pace: Pace | None = None,
        faults: Sequence[Faults] = (),
        api_key: str = API_KEY,
        silence_ms: float = SILENCE_MS,
        holds_turns: bool = True,
        go_away_ms: float = 1000,
    ) -> None:
        self.faults = faults
        self.connections: list[GeminiLiveConversation] = []
        self._service = GeminiLiveService(
            brain=brain,
            pace=pace or Pace(),
            api_key=api_key,
            silence_ms=silence_ms,
            holds_turns=holds_turns,
            go_away_ms=go_away_ms,
        )
        self._opened = 0
        self._admitted: dict[ServerConnection, Faults] = {}

    @asynccontextmanager
    async def serving(
        self, host: str = HOST, port: int = PORT, *, ssl: tls.SSLContext | None = None
    ) -> AsyncGenerator[str]:
        """Listen; gives the address to connect to, without a path. Port 0 is any that is free."""
        async with serve(
            self._talk,
            host,
            port,
            ssl=ssl,
            process_request=self._admit,
            compression=None,
            ping_interval=None,
            close_timeout=1,
        ) as server:
            bound = next(iter(server.sockets)).getsockname()[1] if port == 0 else port
            yield f"{'ws' if ssl is None else 'wss'}://{host}:{bound}"

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer the handshake with an error, or with nothing."""
        faults = faults_of(self.faults, self._opened)
        self._opened += 1
        await late(faults)
        address = urlsplit(request.path)
        keys = parse_qs(address.query).get("key", [])
        key = request.headers.get("x-goog-api-key", keys[0] if keys else "")
        refusal: Response | None = None
        if faults.refuse_status is not None:
            refusal = connection.respond(HTTPStatus(faults.refuse_status), faults.refuse_body)
            if faults.retry_after is not None:
                refusal.headers["Retry-After"] = faults.retry_after
        elif PATH.fullmatch(address.path) is None:
            refusal = connection.respond(HTTPStatus.NOT_FOUND, "Not Found")
        elif not key:
            refusal = connection.respond(
                HTTPStatus.FORBIDDEN, "Method doesn't allow unregistered callers"
            )
        if refusal is None:
            # For the conversation this becomes: others may be admitted before it does.
            self._admitted[connection] = faults
        return refusal

    async def _talk(self, connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        faults = self._admitted.pop(connection)
        talk = GeminiLiveConversation(self._service, connection, faults, request)
        self.connections.append(talk)
        await talk.run()
