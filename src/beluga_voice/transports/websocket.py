"""A websocket as a channel.

What may go wrong is named here, at the edge, in our own errors: those above see `Unreachable`,
`Denied`, `Overloaded`, `Rejected` or `BrokenProtocol` when no connection came about, and `LinkLost`
when one broke. Addresses and headers carry keys, so a message names the host and nothing else of
them; for the same reason redirects are refused, which would take the headers to another host.
"""

import asyncio
import ipaddress
import logging
import math
import ssl as tls
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedOK,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)
from websockets.typing import Subprotocol

from beluga_voice.errors import (
    BelugaError,
    BrokenProtocol,
    ConfigurationError,
    Denied,
    ErrorCode,
    LinkLost,
    Overloaded,
    Rejected,
    Unreachable,
)
from beluga_voice.interfaces import WireMessage
from beluga_voice.transports.failures import ADVICE, Advice, no_connection

wire_log = logging.getLogger(f"{__name__}.frames")
"""What the library logs: with `DEBUG`, every header and message, so keys and people's words."""
wire_log.setLevel(logging.INFO)  # whatever the root's level is: who wants all that says so here

CONNECT_SECONDS = 10.0
CLOSE_SECONDS = 1.0
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_PORTS = {"ws": 80, "wss": 443}
_UNNAMED = "the service"
_DENIALS = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_OVERLOADS = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}


class WebSocketChannel:
    """A connected websocket; see `connect_websocket`.

    Cancelling `send` is safe, and may have sent the message. The messages have one reader.
    """

    def __init__(self, connection: ClientConnection, *, host: str, provider: str = "") -> None:
        self._connection = connection
        self._host = host
        self._provider = provider

    @property
    def close_code(self) -> int | None:
        """The peer's close code; 1006 if it sent none, `None` while the websocket is open."""
        return self._connection.close_code

    @property
    def close_reason(self) -> str:
        """The peer's own words on why it closed."""
        return self._connection.close_reason or ""

    async def send(self, message: WireMessage, /) -> None:
        """Send one message, waiting while the peer is slow; raises `LinkLost` when it is gone."""
        try:
            await self._connection.send(message)
        except ConnectionClosed as error:
            raise self._lost(error) from error

    async def __aiter__(self) -> AsyncIterator[WireMessage]:
        try:
            while True:
                yield await self._connection.recv()
        except ConnectionClosedOK:
            return
        except ConnectionClosed as error:
            raise self._lost(error) from error

    def _lost(self, error: ConnectionClosed) -> LinkLost:
        if error.rcvd is not None:
            seen = f"{self._host} closed the connection with code {error.rcvd.code}"
        elif error.sent is not None:
            seen = f"the connection to {self._host} was given up with code {error.sent.code}"
        else:
            seen = f"the connection to {self._host} broke (code {self.close_code})"
        return LinkLost(seen, op="websocket", provider=self._provider)


@asynccontextmanager
async def connect_websocket(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    subprotocols: tuple[str, ...] = (),
    connect_seconds: float = CONNECT_SECONDS,
    close_seconds: float = CLOSE_SECONDS,
    max_size: int = MAX_MESSAGE_BYTES,
    ping_seconds: float | None = 20.0,
    pong_seconds: float | None = 20.0,
    compression: Literal["deflate"] | None = None,
    ssl: tls.SSLContext | None = None,
    proxy: str | None = None,
    provider: str = "",
    advice: Advice = ADVICE,
) -> AsyncGenerator[WebSocketChannel]:
    """Open a websocket, and close it on leaving, within `close_seconds` whatever the peer does.

    A ping is sent each `ping_seconds`; a peer that does not answer it within `pong_seconds` is
    gone. `max_size` is the longest message that is taken, in bytes. Sound does not compress, so
    there is no compression unless asked for. `proxy` is the address of a proxy; without it the
    environment's is used (`HTTPS_PROXY`, `NO_PROXY`, ...), and never one for this machine itself.
    `advice` is what is said when the service refuses.

    Raises `ConfigurationError` for an address or a proxy that makes no sense, `Unreachable`,
    `Denied`, `Overloaded`, `Rejected`, or `BrokenProtocol` where no websocket answers. Cancelling
    is safe.
    """
    host = _host_of(url)
    # Only where it was given: the library takes a context for wss:// alone, and no `None` there.
    options: dict[str, Any] = {} if ssl is None else {"ssl": ssl}
    try:
        opening = _Opening(
            url,
            additional_headers=headers,
            # A NewType of str, which a caller need not know.
            subprotocols=cast("list[Subprotocol]", list(subprotocols)) or None,
            compression=compression,
            proxy=None if _is_this_machine(url) else proxy or True,
            open_timeout=connect_seconds,
            close_timeout=close_seconds,
            ping_interval=ping_seconds,
            ping_timeout=pong_seconds,
            max_size=max_size,
            logger=wire_log,
            **options,
        )
        connection = await opening
    except (OSError, InvalidHandshake, EOFError) as error:
        raise _named(error, host, provider, connect_seconds, advice) from error
    except (InvalidURI, InvalidProxy, ValueError, ImportError) as error:
        # Not chained: these quote addresses, and addresses have keys in them.
        raise _misconfigured(error, host) from None
    try:
        yield WebSocketChannel(connection, host=host, provider=provider)
    finally:
        await _close(connection, close_seconds)


class _Opening(connect):
    """Follows no redirect."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """The answer itself is the error."""
        return exc


async def _close(connection: ClientConnection, seconds: float) -> None:
    """Say goodbye, then hang up. The library's own limit does not cover a peer that reads not."""
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await connection.close()
    finally:
        connection.transport.abort()
    await connection.wait_closed()


def _named(
    error: Exception, host: str, provider: str, connect_seconds: float, advice: Advice
) -> BelugaError:
    """Our error for what kept a websocket from opening."""
    code: ErrorCode | None = None
    match error:
        case InvalidStatus():
            return _refused(error, host, provider, advice)
        case TimeoutError():
            message = f"{host} did not answer within {connect_seconds:g} s; check the network"
            code = ErrorCode.TIMEOUT
        case ProxyError():
            message = f"the proxy gave no connection to {host}; check its settings and NO_PROXY"
        case InvalidMessage() | EOFError() | OSError():
            message = no_connection(error, host)
        case _:
            message = f"{host} does not speak websocket; check the address"
            return BrokenProtocol(message, op="connect", provider=provider)
    return Unreachable(message, op="connect", code=code, provider=provider)


def _refused(error: InvalidStatus, host: str, provider: str, advice: Advice) -> BelugaError:
    """Our error for an HTTP status that is not 101."""
    status = error.response.status_code
    seen = f"{host} answered with HTTP status {status}"
    if status in _DENIALS:
        return Denied(f"{seen}; {advice.denied}", op="connect", provider=provider)
    if 200 <= status < 300:
        message = f"{seen}, like a web page: it does not speak websocket; check the address"
        return BrokenProtocol(message, op="connect", provider=provider)
    if status in _OVERLOADS:
        return Overloaded(
            f"{seen}; come back later",
            op="connect",
            provider=provider,
            retry_after=_retry_after(error.response.headers),
        )
    if status >= 500 or status == HTTPStatus.REQUEST_TIMEOUT:
        return Unreachable(f"{seen}; the service is in trouble", op="connect", provider=provider)
    told = advice.rejected
    if 300 <= status < 400:
        told = "redirects are not followed; use the address it redirects to"
    elif status == HTTPStatus.NOT_FOUND:
        told = f"{told}, and the address"
    return Rejected(f"{seen}; {told}", op="connect", provider=provider)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from a number, or from a date by the service's own clock (RFC 9110, 10.2.3)."""
    text = headers.get("Retry-After", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            until = parsedate_to_datetime(text)
            seconds = (until - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _misconfigured(error: Exception, host: str) -> ConfigurationError:
    match error:
        case _ if isinstance(error, InvalidURI) or host == _UNNAMED:
            message = "this is no websocket address: give ws://... or wss://..."
        case InvalidProxy():
            message = "the proxy of the settings or the environment has no valid address"
        case ImportError():
            message = "the proxy is a SOCKS proxy, which needs: pip install python-socks"
        case _:
            message = f"these settings do not fit the address of {host}; is it wss:// you want?"
    return ConfigurationError(message, op="connect")


def _host_of(url: str) -> str:
    """What may be shown of an address."""
    try:
        parts = urlsplit(url)
        name, port = parts.hostname or _UNNAMED, parts.port
    except ValueError:
        return _UNNAMED
    return name if port in (None, _PORTS.get(parts.scheme)) else f"{name}:{port}"


def _is_this_machine(url: str) -> bool:
    try:
        name = urlsplit(url).hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
