"""A two-way stream to a model on Amazon Bedrock, as a channel of JSON messages.

How it works. Bedrock's `InvokeModelWithBidirectionalStream` is one HTTP/2 request over TLS whose
body and answer are event streams; each event holds one JSON message, and each of ours is signed,
the signatures chained. The vendor's SDK does that, on its own HTTP client, awscrt; both come with
the extra `nova` and are imported only when connecting.

The SDK waits for ever in several places, so none of its promises is awaited without a limit:

* It reports what fails before a request leaves only to a task of its own. So credentials, region
  and address are looked at before it is called, and the call has a deadline.
* awscrt does not tell who waits for an answer that the connection broke. `_bedrock_sdk` does.
* It keeps it to itself for up to half a minute that it does not trust a certificate. So a handshake
  that takes a quarter of its time is tried beside it with Python's TLS, which says what is wrong.
* The body holds 16 events and then waits for the peer, also for one that is gone. Sending ends
  when receiving ends.
* The service answers only after the first events, so opening does not wait for the answer.

What is said outside of the JSON becomes messages too, for a pure codec to read:
`{"accepted":{}}` once, when the service answered with 200, and
`{"exception":{"type":...,"message":...,"status":...,"retryAfter":...}}` for each failure it names.

Source: aws-sdk-bedrock-runtime 0.12.0 and awscrt 0.32.2, read and tried 2026-11-21.
"""

import asyncio
import logging
import os
import re
import ssl as tls
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec

from beluga_voice.errors import (
    ConfigurationError,
    Denied,
    ErrorCode,
    LinkLost,
    MissingExtra,
    Unreachable,
)
from beluga_voice.interfaces import WireMessage
from beluga_voice.transports.failures import no_connection

for _library in ("smithy_core", "smithy_http", "smithy_aws_core", "aws_sdk_bedrock_runtime"):
    # With DEBUG they log whole requests, so tokens; who wants all that sets their level again.
    logging.getLogger(_library).setLevel(logging.INFO)

CONNECT_SECONDS = 8.0
CLOSE_SECONDS = 1.0
REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
ACCEPTED = '{"accepted":{}}'
UNREADABLE = ""
"""In place of an event that the SDK could not read: no codec can read it either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What requests are signed with. Its `repr` shows no secret."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def credentials_of_environment() -> Credentials:
    """Those of AWS's usual variables; raises `Denied` naming the one that is missing."""
    found: dict[str, str] = {}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        found[name] = os.environ.get(name, "").strip()
        if not found[name]:
            raise Denied(f"there are no credentials; set {name}", op="connect")
    return Credentials(
        access_key=found["AWS_ACCESS_KEY_ID"],
        secret_key=found["AWS_SECRET_ACCESS_KEY"],
        session_token=os.environ.get("AWS_SESSION_TOKEN", "").strip() or None,
    )


def region_of_environment() -> str:
    """The region of AWS's usual variables; raises `ConfigurationError` if there is none."""
    for name in REGION_VARIABLES:
        if region := os.environ.get(name, "").strip():
            return region
    raise ConfigurationError("there is no region; set AWS_REGION, or give region", op="connect")


def endpoint_of(address: str) -> str:
    """`https://host` or `https://host:port` from an address of one's own.

    Raises `ConfigurationError` for anything else; there is no Bedrock without TLS.
    """
    try:
        parts = urlsplit(address.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("https", "wss") or not host or parts.path.strip("/") or parts.query:
        raise ConfigurationError("the endpoint is https://host or https://host:port", op="bedrock")
    host = f"[{host}]" if ":" in host else host
    # The SDK's signer fails on a port that is the usual one.
    return f"https://{host}" if port in (None, 443) else f"https://{host}:{port}"


class BedrockChannel:
    """A stream that was opened; see `connect_bedrock`."""

    def __init__(self, stream: Any, transport: Any, sdk: Any, *, host: str) -> None:
        # The SDK has no types.
        self._stream = stream
        self._transport = transport
        self._sdk = sdk
        self._host = host
        self._sending: asyncio.Timeout | None = None
        self._is_over = False
        self._has_half_sent = False

    async def send(self, message: WireMessage, /) -> None:
        """Send one message, waiting while the peer is slow; raises `LinkLost` when it is gone.

        After a cancelled send nothing more can be sent: its signature may be missing in the chain.
        """
        if self._is_over or self._has_half_sent:
            raise self._lost()
        data = message.encode() if isinstance(message, str) else message
        self._has_half_sent = True
        try:
            async with asyncio.timeout(None) as self._sending:
                await self._stream.input_stream.send(self._sdk.chunk(data))
        except (TimeoutError, OSError, self._sdk.SmithyError) as error:
            raise self._lost() from error
        finally:
            self._sending = None
        self._has_half_sent = False

    async def __aiter__(self) -> AsyncIterator[WireMessage]:
        try:
            async for message in self._messages():
                yield message
        except (OSError, self._sdk.SmithyError) as error:
            self._end()
            raise self._lost() from error
        except LinkLost:
            self._end()
            raise
        self._end()

    async def _messages(self) -> AsyncGenerator[WireMessage]:
        try:
            _, received = await self._stream.await_output()
        except self._sdk.SmithyError as error:
            yield self._exception(error)
            return
        yield ACCEPTED
        while True:
            try:
                event = await received.receive()
            except (self._sdk.CallError, self._sdk.UnmodeledEventError) as error:
                yield self._exception(error)
                continue
            except (OSError, self._sdk.SmithyError):
                raise
            except Exception:
                # Whatever its readers stumble over. The frame is behind them: the next may be well.
                yield UNREADABLE
                continue
            if event is None:
                return
            # A kind of event that the SDK does not know has no value.
            data = getattr(getattr(event, "value", None), "bytes_", None)
            if isinstance(data, bytes):
                yield data

    def _end(self) -> None:
        """Nothing more is received; who sends must not wait any longer."""
        self._is_over = True
        if self._sending is not None:
            self._sending.reschedule(0)

    def _lost(self) -> LinkLost:
        return LinkLost(f"the connection to {self._host} broke", op="bedrock")

    def _exception(self, error: Any) -> str:
        """A failure that the service named, or one of the network under it."""
        if not isinstance(error, self._sdk.CallError | self._sdk.UnmodeledEventError):
            raise self._lost() from error
        kind, message, status = _described(error)
        # Of `x-amz-retry-after`, in seconds; the SDK's errors have it where the answer had.
        later = getattr(error, "retry_after", None)
        named = {"type": kind, "message": message, "status": status, "retryAfter": later}
        return msgspec.json.encode({"exception": named}).decode()

    async def finish(self) -> None:
        """Tell the service that nothing more comes, and wait until it ends the stream too."""
        if self._is_gone or self._has_half_sent:
            return
        # It waits for ever if the peer takes nothing more.
        closing = asyncio.create_task(self._stream.input_stream.close(), name="bedrock finish")
        try:
            await asyncio.wait({self._transport.end})
        finally:
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)

    @property
    def _is_gone(self) -> bool:
        end = self._transport.end
        return self._is_over or end is None or end.done()


@asynccontextmanager
async def connect_bedrock(
    model: str,
    *,
    region: str,
    credentials: Credentials,
    endpoint: str | None = None,
    connect_seconds: float = CONNECT_SECONDS,
    close_seconds: float = CLOSE_SECONDS,
    ssl: tls.SSLContext | None = None,
    provider: str = "",
) -> AsyncGenerator[BedrockChannel]:
    """Open a two-way stream to `model`, and close it on leaving, within `close_seconds` twice over.

    What is left in peace is ended politely, and else at once.

    The connection stands and is secure when it is entered; whether the service takes the request
    is the first message. `endpoint` is another address than the region's own. Of `ssl` its
    certificate authorities are used, and whether it checks at all: the HTTP client is not Python's.

    Raises `MissingExtra` without the SDK, `ConfigurationError` for an address or a region that
    make no sense, and `Unreachable`. Cancelling is safe.
    """
    address = None if endpoint is None else endpoint_of(endpoint)
    if not re.fullmatch(r"[a-z0-9-]{1,40}", region):
        raise ConfigurationError("the region is a name like us-east-1", op="bedrock")
    host = urlsplit(address or f"https://bedrock-runtime.{region}.amazonaws.com").netloc
    deadline = asyncio.get_running_loop().time() + connect_seconds
    late = Unreachable(
        f"{host} did not answer within {connect_seconds:g} s; check the network and the address",
        op="connect",
        code=ErrorCode.TIMEOUT,
        provider=provider,
    )
    try:
        async with asyncio.timeout_at(deadline):
            # Large files are read for both, and others wait for this loop.
            sdk = await asyncio.to_thread(_sdk)
            context = await asyncio.to_thread(sdk.tls_context, ssl)
    except TimeoutError as error:
        raise late from error
    transport = sdk.Http2(context, connect_seconds)
    waiting: list[asyncio.Task[Any]] = []
    try:
        try:
            async with asyncio.timeout_at(deadline):
                stream = await _invoke(sdk, transport, model, region, address, credentials)
                waiting += sdk.tasks_of(stream)
                await _connected(transport.connected, _doubt(host, ssl, connect_seconds / 4))
        except TimeoutError as error:
            raise late from error
        except tls.SSLError as error:
            message = no_connection(error, host)
            raise Unreachable(message, op="connect", provider=provider) from error
        except (OSError, sdk.AwsCrtError, sdk.SmithyError) as error:
            raise _unreachable(error, host, provider) from error
        channel = BedrockChannel(stream, transport, sdk, host=host)
        yield channel
        with suppress(TimeoutError):
            async with asyncio.timeout(close_seconds):
                await channel.finish()
    finally:
        for task in waiting:
            task.cancel()
        await transport.abort(close_seconds)
        await asyncio.gather(*waiting, return_exceptions=True)


async def _invoke(
    sdk: Any, transport: Any, model: str, region: str, address: str | None, keys: Credentials
) -> Any:
    """Begin the request; comes back when its body can be written."""
    overrides = {} if address is None else {"endpoint_uri": address}
    try:
        config = await sdk.Config.resolve(
            region=region,
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            aws_session_token=keys.session_token,
            transport=transport,
            max_attempts=1,
            **overrides,
        )
    except (sdk.SmithyError, ValueError) as error:
        # Not chained: it may quote what is in a file of credentials.
        message = f"the AWS configuration of this machine is broken: {type(error).__name__}"
        raise ConfigurationError(message, op="bedrock") from None
    client = sdk.Client(config=config)
    return await client.invoke_model_with_bidirectional_stream(sdk.operation(model))


async def _connected(connected: asyncio.Future[None], doubting: Coroutine[Any, Any, None]) -> None:
    """Wait until the connection stands, or until what doubts it meanwhile says why it cannot."""
    doubt = asyncio.create_task(doubting, name="bedrock doubt")
    try:
        await asyncio.wait({connected, doubt}, return_when=FIRST_COMPLETED)
        if not connected.done():
            doubt.result()
        await asyncio.shield(connected)
    finally:
        doubt.cancel()
        await asyncio.gather(doubt, return_exceptions=True)


async def _doubt(host: str, ssl: tls.SSLContext | None, after_seconds: float) -> None:
    """Try after a while whether a secure connection comes about; raises `SSLError` if none may."""
    await asyncio.sleep(after_seconds)
    place = urlsplit(f"https://{host}")
    context = await asyncio.to_thread(tls.create_default_context) if ssl is None else ssl
    try:
        _, writer = await asyncio.open_connection(place.hostname, place.port or 443, ssl=context)
    except tls.SSLError:
        raise
    except OSError:
        return
    writer.transport.abort()


def _unreachable(error: BaseException, host: str, provider: str) -> Unreachable:
    """Our error for what kept a connection from standing."""
    text = f"{error} {error.__cause__ or ''}"
    if "CONNECTION_REFUSED" in text:
        message = f"{host} refused the connection; check that the service runs there"
    elif "DNS" in text:
        message = f"there is no address for {host}; check the name and the network"
    elif "TLS" in text:
        message = (
            f"no secure connection to {host}; check this machine's clock and certificates, or give "
            "an ssl context that knows the issuer"
        )
    elif "ALPN" in text or isinstance(error, ConnectionAbortedError):
        message = f"{host} does not speak HTTP/2; check the address"
    else:
        message = (
            f"{host} ended the connection while it was opened; check the network, and whether the "
            "address is one with TLS"
        )
    return Unreachable(message, op="connect", provider=provider)


def _described(error: Any) -> tuple[str, str, int | None]:
    """The name, the words and the HTTP status of what the service reported."""
    if isinstance(code := getattr(error, "code", None), str):
        return code, str(error.message), None
    status = error.response_metadata.http_status_code
    kind = type(error).__name__
    message = str(error.message)
    if kind == "CallError":
        # One the SDK has no class for; it names it within a sentence.
        found = re.search(r"\bid: (?:[\w.]+#)?(\w+)", message)
        kind, message = found[1] if found else "Unknown", f"HTTP status {status}"
    return kind, message, status


def _sdk() -> Any:
    """What is used of the SDK; raises `MissingExtra` without it."""
    try:
        from beluga_voice.transports import _bedrock_sdk
    except ImportError as error:
        raise MissingExtra("Amazon Bedrock", extra="nova", op="connect") from error
    return _bedrock_sdk
