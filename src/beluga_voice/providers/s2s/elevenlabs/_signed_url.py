"""Asks the service for an address that lets one call in.

An agent that asks for authentication is called at such an address, which is good for a quarter of
an hour, for the beginning of a call. The address is a secret, as the key is: neither is ever part
of a message.

Source: https://elevenlabs.io/docs/eleven-agents/customization/authentication, read 2026-11-21.
"""

import asyncio
import ssl as tls
from collections.abc import Generator
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec
from websockets.http11 import Response

from beluga_voice.errors import (
    BrokenProtocol,
    Denied,
    ErrorCode,
    Overloaded,
    ProviderError,
    Rejected,
    Unreachable,
)
from beluga_voice.providers.s2s.elevenlabs._capabilities import NAME
from beluga_voice.transports.failures import ADVICE, Advice, no_connection

MAX_BYTES = 64 * 1024
"""Of an answer, with its headers."""


class _Answer(msgspec.Struct, frozen=True):
    signed_url: str


async def fetch_signed_url(
    url: str,
    key: str,
    *,
    seconds: float,
    ssl: tls.SSLContext | None = None,
    advice: Advice = ADVICE,
) -> str:
    """Ask at `url`; gives a websocket address, within `seconds`. No proxy is used.

    `advice` is what is said when the service refuses.

    Raises `Denied`, `Rejected`, `Overloaded`, `Unreachable`, or `BrokenProtocol` for an answer that
    makes no sense. Cancelling is safe.
    """
    host = urlsplit(url).netloc or "the service"
    try:
        async with asyncio.timeout(seconds):
            response = await _get(url, key, ssl)
    except TimeoutError as error:
        message = f"{host} did not answer within {seconds:g} s; check the network"
        raise Unreachable(message, op="connect", provider=NAME, code=ErrorCode.TIMEOUT) from error
    except (OSError, EOFError) as error:
        raise Unreachable(no_connection(error, host), op="connect", provider=NAME) from error
    except Exception as error:
        # The parser has many names for what is no HTTP, and quotes from it.
        message = f"{host} does not speak HTTP: {type(error).__name__}; check the address"
        raise BrokenProtocol(message, op="connect", provider=NAME) from None
    if response.status_code != HTTPStatus.OK:
        raise _refused(response, host, advice)
    return _address(response.body, host, is_secure=url.startswith("https"))


async def _get(url: str, key: str, ssl: tls.SSLContext | None) -> Response:
    parts = urlsplit(url)
    is_secure = parts.scheme == "https"
    port = parts.port or (443 if is_secure else 80)
    context = (ssl or tls.create_default_context()) if is_secure else None
    reader, writer = await asyncio.open_connection(
        parts.hostname, port, ssl=context, limit=MAX_BYTES
    )
    try:
        lines = (
            f"GET {parts.path}?{parts.query} HTTP/1.1",
            f"Host: {parts.netloc}",
            f"xi-api-key: {key}",
            "Accept: application/json",
            "Connection: close",
        )
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        return await _read(reader)
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Response:
    """Read an answer with the parser of the websocket library, which takes what bytes there are."""
    received = bytearray()
    is_over = False

    def line(limit: int, error: type[Exception]) -> Generator[None, None, bytes]:
        while (end := received.find(b"\n") + 1) == 0:
            if len(received) > limit:
                raise error
            if is_over:
                raise EOFError
            yield
        return take(end)

    def exact(count: int) -> Generator[None, None, bytes]:
        while len(received) < count:
            if is_over:
                raise EOFError
            yield
        return take(count)

    def rest(limit: int, error: type[Exception]) -> Generator[None, None, bytes]:
        while not is_over:
            if len(received) > limit:
                raise error
            yield
        return take(len(received))

    def take(count: int) -> bytes:
        taken = bytes(received[:count])
        del received[:count]
        return taken

    parsing = Response.parse(line, exact, rest)
    total = 0
    while True:
        try:
            next(parsing)
        except StopIteration as done:
            response: Response = done.value
            return response
        data = await reader.read(MAX_BYTES)
        total += len(data)
        if total > MAX_BYTES:
            raise ValueError("the answer is too long")
        is_over = not data
        received += data


def _refused(response: Response, host: str, advice: Advice) -> ProviderError:
    status = response.status_code
    seen = f"{host} answered with HTTP status {status}"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return Denied(f"{seen}; {advice.denied}", op="connect", provider=NAME)
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        after = response.headers.get("Retry-After", "")
        return Overloaded(
            f"{seen}; come back later",
            op="connect",
            provider=NAME,
            retry_after=float(after) if after.isascii() and after.isdigit() else None,
        )
    if status >= 500 or status == HTTPStatus.REQUEST_TIMEOUT:
        return Unreachable(f"{seen}; the service is in trouble", op="connect", provider=NAME)
    if status == HTTPStatus.NOT_FOUND:
        seen = f"{seen}: it knows no such agent, or is another service"
    return Rejected(f"{seen}; {advice.rejected}, and the address", op="connect", provider=NAME)


def _address(body: bytes | bytearray, host: str, *, is_secure: bool) -> str:
    schemes = ("wss://",) if is_secure else ("ws://", "wss://")
    try:
        address = msgspec.json.decode(body, type=_Answer).signed_url
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        address = ""
    if not address.startswith(schemes):
        message = f"what {host} gave is no signed address; check the endpoint"
        raise BrokenProtocol(message, op="connect", provider=NAME)
    return address
