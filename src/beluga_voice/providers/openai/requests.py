"""Requests over HTTP to OpenAI, or to a server that speaks as it does.

The library for it is the extra `openai`, and is imported when a link is opened. Redirects are not
followed: they would take the key to another host.
"""

import asyncio
import logging
import ssl as tls
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import msgspec

from beluga_voice.errors import ErrorCode, MissingExtra, ProviderError, Unreachable, where
from beluga_voice.events import ErrorCategory, ServiceFailed
from beluga_voice.providers.openai.account import NAME, error_in, refusal_of
from beluga_voice.transports.failures import error_of

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)


class _Model(msgspec.Struct):
    shutdown_date: str | None = None


_models = msgspec.json.Decoder(_Model)

_announced: set[str] = set()
"""Models whose shutdown was logged; once is enough."""

MAX_REFUSAL_BYTES = 64 * 1024
MAX_CONNECTIONS = 16


class RequestFailed(Exception):
    """A request was not answered as it should have been; `failure` says how, for a link."""

    def __init__(self, failure: ServiceFailed) -> None:
        super().__init__(failure.message)
        self.failure = failure


@asynccontextmanager
async def open_client(
    base: str,
    headers: dict[str, str],
    *,
    connect_seconds: float,
    quiet_seconds: float,
    ssl: tls.SSLContext | None,
) -> "AsyncGenerator[httpx.AsyncClient]":
    """A client for that address; raises `MissingExtra` where its library is not installed.

    An answer may go quiet for `quiet_seconds`, and no longer.
    """
    try:
        import httpx
    except ImportError as error:
        raise MissingExtra("OpenAI over HTTP", extra="openai", op="connect") from error
    async with httpx.AsyncClient(
        base_url=base,
        headers=headers,
        timeout=httpx.Timeout(quiet_seconds, connect=connect_seconds, pool=None),
        limits=httpx.Limits(max_connections=MAX_CONNECTIONS),
        verify=ssl or _trusted(),
    ) as client:
        yield client


@cache
def _trusted() -> tls.SSLContext:
    """Whom we trust where nothing is said: read once, because that blocks for a while."""
    import httpx

    return httpx.create_ssl_context()


async def check_model(client: "httpx.AsyncClient", model: str, *, seconds: float) -> None:
    """Ask whether the key and the model are good, which also warms the connection.

    A server that has no such page is taken as it is. Raises `Denied`, `Rejected`, `Overloaded` or
    `Unreachable`. A model that is about to be shut down is logged.
    """
    host = urlsplit(str(client.base_url)).netloc
    try:
        async with asyncio.timeout(seconds):
            response = await fetch(client, f"/models/{quote(model, safe='')}")
    except TimeoutError as error:
        message = f"{host} did not answer within {seconds:g} s; check the network"
        raise Unreachable(message, op="connect", provider=NAME, code=ErrorCode.TIMEOUT) from error
    except RequestFailed as failed:
        raise _refused(failed.failure, host) from failed.__cause__
    status, body = response
    if status == HTTPStatus.OK:
        day = _shutdown_date(body)
        if day and model not in _announced:
            _announced.add(model)
            log.warning("the model %s will be shut down on %s", model, day)
        return
    missing = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)
    if status in missing and error_in(body).code is None:
        return
    raise _refused(refusal_of(status, {}, body), host)


async def fetch(client: "httpx.AsyncClient", path: str) -> tuple[int, bytes]:
    """The status and the beginning of an answer; raises `RequestFailed`."""
    async with answer(client, client.build_request("GET", path)) as response:
        found = response.status_code, await _beginning(response)
        if found[0] in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            raise RequestFailed(refusal_of(found[0], response.headers, found[1]))
        return found


@asynccontextmanager
async def answer(
    client: "httpx.AsyncClient", request: "httpx.Request"
) -> "AsyncGenerator[httpx.Response]":
    """Send a request and read its answer piece by piece; raises `RequestFailed`.

    Leaving before the end of the answer breaks off the request.
    """
    import httpx

    host = request.url.host
    try:
        response = await client.send(request, stream=True)
        try:
            yield response
        finally:
            await response.aclose()
    except httpx.ConnectTimeout as error:
        raise _lost(f"{host} did not answer; check the network", ErrorCategory.TIMEOUT) from error
    except httpx.TimeoutException as error:
        raise _lost(f"{host} went quiet in mid-answer", ErrorCategory.TIMEOUT) from error
    except httpx.ConnectError as error:
        seen = _why(error)
        raise _lost(f"no connection to {host}{seen}; check that the service runs there") from error
    except httpx.HTTPError as error:
        raise _lost(f"the connection to {host} broke in mid-answer") from error


async def expect_success(response: "httpx.Response") -> None:
    """Raise `RequestFailed` for an answer that says no."""
    if response.status_code != HTTPStatus.OK:
        body = await _beginning(response)
        raise RequestFailed(refusal_of(response.status_code, response.headers, body))


async def _beginning(response: "httpx.Response") -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) >= MAX_REFUSAL_BYTES:
            break
    return bytes(body)


def _why(error: "httpx.ConnectError") -> str:
    """What the certificate check said, which is what people can mend."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, tls.SSLCertVerificationError):
            return f" (its certificate is not trusted: {cause.verify_message})"
        cause = cause.__cause__ or cause.__context__
    return ""


def _lost(message: str, category: ErrorCategory = ErrorCategory.RETRYABLE) -> RequestFailed:
    return RequestFailed(ServiceFailed(category=category, message=message, is_fatal=True))


def _refused(failure: ServiceFailed, host: str) -> ProviderError:
    kind = error_of(failure, op="connect", provider=NAME, otherwise=Unreachable)
    if failure.category is ErrorCategory.TIMEOUT:
        kind = Unreachable(failure.message, op="connect", provider=NAME, code=ErrorCode.TIMEOUT)
    if failure.provider_code is not None or failure.message.startswith("HTTP"):
        kind.message = f"{host} answered with {failure.message}"
        kind.args = (kind.message,)
    return kind


def _shutdown_date(body: bytes) -> str:
    try:
        return (_models.decode(body).shutdown_date or "")[:32]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""


def unexpected(error: Exception) -> ServiceFailed:
    """A defect of ours or of the library: logged without words, and the end of the link."""
    log.error("a request failed: %s", where(error))
    message = f"a request failed: {type(error).__name__}"
    return ServiceFailed(category=ErrorCategory.RETRYABLE, message=message, is_fatal=True)
