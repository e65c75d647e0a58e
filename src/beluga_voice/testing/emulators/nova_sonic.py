"""An emulated Amazon Nova Sonic.

It listens on the loop it runs on, in one of two ways:

* with a TLS context, as Bedrock does: HTTP/2, event streams, signatures verified. The vendor's own
  SDK talks to that, on real sockets. Needs the extra `emulators`; `certificate` makes one.
* without, as a plain websocket, which the simulated network can carry: the same sessions and the
  same messages, one to each, with what Bedrock says outside of them as a provider's transport
  tells it. `plain` opens a channel to that.
"""

import asyncio
import ssl as tls
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from beluga_voice.errors import MissingExtra
from beluga_voice.interfaces import Channel, S2sOptions
from beluga_voice.testing.emulators.nova_sonic_said import Accept, End, Raise, Said, Stall
from beluga_voice.testing.emulators.nova_sonic_session import (
    IDLE_MS,
    MAX_CONNECTION_MS,
    SURE_MS,
    NovaSonicService,
    NovaSonicSession,
)
from beluga_voice.testing.emulators.speech import Brain, Faults, Pace, echo, faults_of
from beluga_voice.testing.speech import WORD_MS
from beluga_voice.transports.websocket import connect_websocket

MODELS = ("amazon.nova-2-sonic-v1:0", "amazon.nova-2-5-sonic")
ACCESS_KEY, SECRET_KEY = "AKIAEMULATED", "emulated-secret"
KEYS = {ACCESS_KEY: SECRET_KEY}
CLOSE_SECONDS = 1.0

_REFUSALS = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}


class NovaSonicEmulator:
    """The service. `brain` decides what is said; `faults` are those of each stream in order.

    `keys` are secret keys by access key, and `session_token` goes with them. `silence_ms` is the
    pause that ends a turn, instead of the one of the client's sensitivity, and a voice of `sure_ms`
    interrupts. A stream lasts `max_connection_ms`, and `idle_ms` without input. With
    `ends_completions` each turn is a completion of its own; else the prompt is one.
    """

    def __init__(
        self,
        brain: Brain = echo,
        *,
        pace: Pace | None = None,
        word_ms: int = WORD_MS,
        faults: Sequence[Faults] = (),
        keys: Mapping[str, str] = KEYS,
        session_token: str | None = None,
        models: Collection[str] = MODELS,
        silence_ms: float | None = None,
        sure_ms: float = SURE_MS,
        idle_ms: float = IDLE_MS,
        max_connection_ms: float = MAX_CONNECTION_MS,
        ends_completions: bool = False,
    ) -> None:
        self._service = NovaSonicService(
            brain=brain,
            pace=pace or Pace(),
            word_ms=word_ms,
            silence_ms=silence_ms,
            sure_ms=sure_ms,
            idle_ms=idle_ms,
            max_connection_ms=max_connection_ms,
            ends_completions=ends_completions,
        )
        self._faults = faults
        self._keys = keys
        self._session_token = session_token
        self._models = models
        self._opened = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self.sessions: list[NovaSonicSession] = []
        """Every stream that was taken, in order."""
        self.host = ""
        self.port = 0
        self._scheme = "ws"

    @property
    def url(self) -> str:
        """The address of the service."""
        return f"{self._scheme}://{self.host}:{self.port}"

    @asynccontextmanager
    async def serving(
        self, host: str = "127.0.0.1", port: int = 0, *, ssl: tls.SSLContext | None = None
    ) -> "AsyncGenerator[NovaSonicEmulator]":
        """Take streams; port 0 is any that is free. Raises `MissingExtra` if TLS needs it."""
        if ssl is None:
            async with serve(
                self._websocket,
                host,
                port,
                compression=None,
                max_size=16 * 1024 * 1024,
                ping_interval=None,
                close_timeout=CLOSE_SECONDS,
            ) as server:
                bound = next(iter(server.sockets)).getsockname()[1] if port == 0 else port
                self.host, self.port, self._scheme = host, int(bound), "ws"
                yield self
            return
        async with self._http2(host, port, ssl):
            yield self

    def _open(
        self, tasks: asyncio.TaskGroup, model: str, put: Callable[[Said], None]
    ) -> NovaSonicSession | Raise:
        """A session for the next request, or what refuses it."""
        faults = faults_of(self._faults, self._opened)
        self._opened += 1
        if faults.refuse_status is not None:
            kind, _, message = faults.refuse_body.rpartition(": ")
            kind = kind or _REFUSALS[faults.refuse_status]
            # Bedrock tells it in a header of its own, which has no dates.
            later = None if faults.retry_after is None else float(faults.retry_after)
            return Raise(kind, message or "refused", later)
        if model not in self._models:
            return Raise("ValidationException", "The provided model identifier is invalid.")
        session = NovaSonicSession(
            self._service, faults, put, tasks, model=model, number=self._opened
        )
        self.sessions.append(session)
        session.begin()
        return session

    # ── as Bedrock ──────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def _http2(self, host: str, port: int, ssl: tls.SSLContext) -> AsyncGenerator[None]:
        try:
            from beluga_voice.testing.emulators.nova_sonic_http2 import Http2Server
        except ImportError as error:
            raise MissingExtra("HTTP/2", extra="emulators") from error

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._writers.add(writer)
            try:
                opening = partial(self._open, tasks)
                await Http2Server(reader, writer, opening, self._keys, self._session_token).run()
            finally:
                self._writers.discard(writer)

        ssl.set_alpn_protocols(["h2"])
        server = await asyncio.start_server(talk, host, port, ssl=ssl, start_serving=False)
        self.host, self.port = host, int(server.sockets[0].getsockname()[1])
        self._scheme = "https"
        body_error: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            await server.start_serving()
            try:
                yield
            except Exception as error:
                # Kept for later: a task group would wrap what is the caller's own.
                body_error = error
            finally:
                server.close()
                self.hang_up()
                await server.wait_closed()
        if body_error is not None:
            raise body_error

    def hang_up(self) -> None:
        """Break all connections to Bedrock without a word."""
        for writer in list(self._writers):
            writer.transport.abort()

    # ── as a plain wire ─────────────────────────────────────────────────────────────────────

    async def _websocket(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        outbox: asyncio.Queue[Said] = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks:
            model = connection.request.path.removeprefix("/model/")
            session = self._open(tasks, model, outbox.put_nowait)
            if isinstance(session, Raise):
                await _write(connection, [session, End()])
                return
            writer = tasks.create_task(_empty(connection, outbox), name="emulator writer")
            with suppress(ConnectionClosed):
                async for message in connection:
                    session.take(message)
            writer.cancel()
            session.end()


async def _empty(connection: ServerConnection, outbox: asyncio.Queue[Said]) -> None:
    """Send what the session says, until the connection ends."""
    while await _write(connection, [await outbox.get()]):
        pass


async def _write(connection: ServerConnection, sayings: Sequence[Said]) -> bool:
    """Send what is said; whether more may come."""
    try:
        for said in sayings:
            match said:
                case Accept():
                    await connection.send('{"accepted":{}}')
                case Raise():
                    await connection.send(msgspec.json.encode({"exception": _named(said)}))
                case bytes():
                    await connection.send(said)
                case End(is_broken=True, code=None):
                    connection.transport.abort()
                    return False
                case End(is_broken=True, code=int() as code):
                    await connection.close(code)
                    return False
                case End():
                    await connection.close(1000)
                    return False
                case Stall():
                    return False
    except ConnectionClosed:
        return False
    return True


def _named(error: Raise) -> dict[str, Any]:
    """An exception as a provider's transport tells it."""
    named: dict[str, Any] = {"type": error.kind, "message": error.message}
    return named if error.retry_after is None else {**named, "retryAfter": error.retry_after}


def plain(
    url: str, model: str = MODELS[0]
) -> Callable[[S2sOptions], AbstractAsyncContextManager[Channel]]:
    """What opens a channel to the plain wire at `url`: `NovaSonic(open_channel=plain(url))`."""
    return lambda _: connect_websocket(f"{url}/model/{model}", provider="nova_sonic")


def certificate(host: str = "127.0.0.1") -> tuple[tls.SSLContext, bytes]:
    """A TLS context for `host` with a certificate made for it, and the PEM of who issued it.

    Clients have to be told to trust the issuer: most take a file of it from `SSL_CERT_FILE`.
    Raises `MissingExtra` without the extra `emulators`.
    """
    try:
        import trustme
    except ImportError as error:
        raise MissingExtra("a certificate", extra="emulators") from error
    authority = trustme.CA()
    context = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
    issued: Any = authority.issue_cert(host)  # its types ask for a library that is not here
    issued.configure_cert(context)
    return context, authority.cert_pem.bytes()
