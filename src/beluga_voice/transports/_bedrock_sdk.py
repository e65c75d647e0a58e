"""What is used of AWS's SDK, and the HTTP/2 client it runs on.

Importing this needs the extra `nova`. The SDK's own client on awscrt takes no certificates, and
waits for ever for an answer that the connection broke; this one does not. awscrt answers from a
thread of its own and fails if a promise it keeps was cancelled, so what is awaited of it runs in
tasks that nobody cancels before the connection is closed.
"""

import asyncio
import ssl as tls
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine
from contextlib import suppress
from typing import Any, cast

# Neither package has types: `py.typed` is missing.
from aws_sdk_bedrock_runtime.client import (
    AsyncBedrockRuntimeClient as Client,
)
from aws_sdk_bedrock_runtime.config import (
    AsyncBedrockRuntimeConfig as Config,
)
from aws_sdk_bedrock_runtime.models import (
    BidirectionalInputPayloadPart,
    InvokeModelWithBidirectionalStreamInputChunk,
    InvokeModelWithBidirectionalStreamOperationInput,
)
from awscrt.aio.http import AIOHttpClientConnectionUnified
from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpHeaders, HttpRequest, HttpVersion
from awscrt.io import ClientBootstrap, ClientTlsContext, SocketOptions, TlsContextOptions
from smithy_aws_event_stream.exceptions import UnmodeledEventError
from smithy_core.exceptions import CallError, SmithyError
from smithy_http import Field, Fields
from smithy_http.aio import HTTPResponse

__all__ = [
    "AwsCrtError",
    "CallError",
    "Client",
    "Config",
    "Http2",
    "SmithyError",
    "UnmodeledEventError",
    "chunk",
    "operation",
    "tasks_of",
    "tls_context",
]

KEEP_ALIVE_SECONDS = 10
"""A peer that answers none of three probes is gone."""


def operation(model: str) -> Any:
    """The request for a stream to a model."""
    return InvokeModelWithBidirectionalStreamOperationInput(model_id=model)


def chunk(data: bytes) -> Any:
    """One message as an event."""
    part = BidirectionalInputPayloadPart(bytes_=data)
    return InvokeModelWithBidirectionalStreamInputChunk(value=part)


def tasks_of(stream: Any) -> list[asyncio.Task[Any]]:
    """The tasks that the SDK runs for a stream: one, which waits for the others."""
    return [stream._output_future]


def tls_context(ssl: tls.SSLContext | None) -> Any:
    """A context of awscrt with the authorities of `ssl`; reads those of this machine without."""
    options: Any = TlsContextOptions()
    if ssl is not None:
        options.verify_peer = ssl.verify_mode is not tls.CERT_NONE
        known = ssl.get_ca_certs(binary_form=True)
        if known:
            pem = "".join(tls.DER_cert_to_PEM_cert(one) for one in known)
            options.override_default_trust_store(pem.encode())
    return ClientTlsContext(options)


class Http2:
    """An HTTP client for the SDK, for one request with a body and an answer that flow at once."""

    SUPPORTS_DUPLEX_STREAMING = True
    TIMEOUT_EXCEPTIONS: tuple[type[Exception], ...] = (TimeoutError,)

    def __init__(self, context: Any, connect_seconds: float) -> None:
        self._context = context
        self._socket = SocketOptions()
        self._socket.connect_timeout_ms = round(connect_seconds * 1000)
        self._socket.keep_alive = True
        self._socket.keep_alive_interval_secs = KEEP_ALIVE_SECONDS
        self._socket.keep_alive_timeout_secs = KEEP_ALIVE_SECONDS
        self._socket.keep_alive_max_probes = 3
        self._connection: Any = None
        self._stream: Any = None
        self._connecting: asyncio.Task[Any] | None = None
        self.end: asyncio.Task[Any] | None = None
        """Done when both sides ended the stream, or it broke; `None` before it began."""
        self._promises: set[asyncio.Task[Any]] = set()
        self._is_aborted = False
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the connection stands and speaks HTTP/2, or failed."""

    def __deepcopy__(self, memo: object) -> "Http2":
        """The SDK copies its configuration, and a connection has no copy."""
        return self

    async def send(self, request: Any, *, request_config: Any = None) -> HTTPResponse:
        """Connect, begin the request, and wait for the head of the answer."""
        try:
            connection = await self._connect(request.destination)
        except Exception as error:
            if not self.connected.done():
                self.connected.set_exception(error)
            raise
        if not self.connected.done():
            self.connected.set_result(None)
        fields = [
            (one.name, value)
            for one in request.fields.entries.values()
            if one.kind == "header"
            for value in one.values
        ]
        if "host" not in request.fields:
            fields.append(("host", request.destination.netloc))
        head = HttpRequest(
            method=request.method,
            path=request.destination.path or "/",
            headers=HttpHeaders(fields),
        )
        self._stream = connection.request(head, request_body_generator=_body(request.body))
        # Not public, and the only way to hear of it: a write that failed is seen by nobody else.
        self._stream._writer.add_done_callback(_seen)
        return await self._answer(self._stream)

    async def _connect(self, address: Any) -> Any:
        options = self._context.new_connection_options()
        options.set_server_name(address.host.strip("[]"))
        options.set_alpn_list(["h2"])
        connecting = AIOHttpClientConnectionUnified.new(
            bootstrap=ClientBootstrap.get_or_create_static_default(),
            host_name=address.host.strip("[]"),
            port=address.port or 443,
            socket_options=self._socket,
            tls_connection_options=options,
        )
        self._connecting = self._promise(connecting, name="bedrock connect")
        self._connecting.add_done_callback(self._stood)
        connection = await asyncio.shield(self._connecting)
        if connection.version is not HttpVersion.Http2:
            raise ConnectionAbortedError("no HTTP/2")
        return connection

    def _stood(self, connecting: asyncio.Task[Any]) -> None:
        """A connection stands; if nobody wants it any more, it is closed."""
        if not connecting.cancelled() and connecting.exception() is None:
            self._connection = connecting.result()
            if self._is_aborted:
                self._promise(self._connection.close(), name="bedrock close")

    async def _answer(self, stream: Any) -> HTTPResponse:
        status = self._promise(stream.get_response_status_code(), name="bedrock status")
        self.end = self._promise(stream.wait_for_completion(), name="bedrock end")
        await asyncio.wait({status, self.end}, return_when=asyncio.FIRST_COMPLETED)
        if not status.done():
            raise ConnectionResetError("the connection ended before the answer")
        fields = Fields()
        for name, value in await stream.get_response_headers():
            if name in fields:
                fields[name].add(value)
            else:
                fields.set_field(Field(name=name, values=[value]))
        return HTTPResponse(body=self._chunks(stream), status=status.result(), fields=fields)

    async def _chunks(self, stream: Any) -> AsyncGenerator[bytes]:
        while data := await self._keep(stream.get_next_response_chunk(), name="bedrock read"):
            yield data
        # An end and a break look the same to who reads; this promise knows.
        completion = stream._completion_future
        if completion.done() and completion.exception() is not None:
            raise ConnectionResetError("the connection broke")

    def _promise(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._promises.add(task)
        task.add_done_callback(self._promises.discard)
        task.add_done_callback(_seen)
        return task

    async def _keep[T](self, coroutine: Coroutine[Any, Any, T], *, name: str) -> T:
        """Wait for a promise of awscrt, which a cancellation of the waiting leaves alone."""
        # A task of `Any` holds what the coroutine gives.
        return cast("T", await asyncio.shield(self._promise(coroutine, name=name)))

    async def abort(self, seconds: float) -> None:
        """Hang up; returns when awscrt is done with the connection, at the latest after `seconds`.

        Making a connection cannot be stopped: its task stays until it failed, or until it stands
        and is closed.
        """
        self._is_aborted = True
        if self.connected.done():
            _seen(self.connected)
        else:
            self.connected.cancel()
        if self._stream is not None:
            self._stream._writer.cancel()
        with suppress(TimeoutError, AwsCrtError):
            async with asyncio.timeout(seconds):
                if self._connection is not None:
                    await self._keep(self._connection.close(), name="bedrock close")
                if self.end is not None:
                    await asyncio.wait({self.end})
        rest = self._promises - {self._connecting}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


async def _body(body: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    async for data in body:
        yield bytes(data)


def _seen(future: asyncio.Future[Any]) -> None:
    """Look at how it ended, so that nobody complains that nobody did."""
    if not future.cancelled():
        future.exception()
