"""The server of ElevenLabs' emulated recogniser and voices: handshakes, keys and connections.

A wrong key, like a wrong setting, is no refused handshake here: the connection is opened, and
closed with an error. What is asked for by HTTP is answered on the same port.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, Protocol, override
from urllib.parse import parse_qs, unquote, urlsplit

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

KEY = "elevenlabs-emulated"
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
        self._outbox: asyncio.Queue[Sent] = asyncio.Queue()
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
            self._outbox.put_nowait(End(code, reason))

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
            self._outbox.put_nowait(End())

    async def write(self) -> None:
        """Send what is said, until the end."""
        await write(self._connection, self._outbox)


class SpeechSession(Protocol):
    """One connection's worth of a service."""

    @property
    def line(self) -> Line: ...

    def begin(self) -> None: ...

    def take(self, message: str | bytes) -> None: ...

    def end(self) -> None: ...


class SpeechServer[S: SpeechSession](EmulatedServer):
    """A service on a port; `faults` are those of each connection in order."""

    def __init__(self, keys: Collection[str], faults: Sequence[Faults]) -> None:
        super().__init__(faults)
        self.keys = keys
        self.sessions: list[S] = []
        """Every session that was opened, in order."""

    @abstractmethod
    def open(self, line: Line, path: tuple[str, ...], query: Query, key: str) -> S:
        """The session of a connection."""

    @abstractmethod
    def refuse(self, path: tuple[str, ...], query: Query, key: str) -> Response | None:
        """The answer to what is no handshake, or is not taken."""

    @override
    def _failure(self, status: int, faults: Faults) -> Response:
        code, message = faults.error_code or "refused", faults.refuse_body or "Not now."
        return refusal(status, detail(code, message))

    @override
    def _refuse(self, request: Request) -> Response | None:
        return self.refuse(*_asked(request))

    @override
    async def _talk(self, connection: ServerConnection, request: Request, faults: Faults) -> None:
        line = Line(connection, faults)
        session = self.open(line, *_asked(request))
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


def _asked(request: Request) -> tuple[tuple[str, ...], Query, str]:
    """The path, the query, and the key."""
    parts = urlsplit(request.path)
    path = tuple(unquote(part) for part in parts.path.split("/") if part)
    query = parse_qs(parts.query, keep_blank_values=True)
    return path, query, request.headers.get("xi-api-key", "")
