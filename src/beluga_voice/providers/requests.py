"""Requests over HTTP to a service: opened, sent, read, and what goes wrong with them.

The library for it is an extra of each service, and is imported when a link is opened. Redirects are
not followed: they would take the key to another host.
"""

import logging
import ssl as tls
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING

from beluga_voice.errors import MissingExtra, where
from beluga_voice.events import ErrorCategory, ServiceFailed
from beluga_voice.providers.advice import advice_on
from beluga_voice.providers.mute import ELSEWHERE

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)

MAX_REFUSAL_BYTES = 64 * 1024
MAX_CONNECTIONS = 16

type ReadRefusal = Callable[[int, Mapping[str, str], bytes], ServiceFailed]
"""What a service means by a status, headers and the body of an answer that says no."""


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
    what: str,
    extra: str,
) -> "AsyncGenerator[httpx.AsyncClient]":
    """A client for that address; raises `MissingExtra` where its library is not installed.

    An answer may go quiet for `quiet_seconds`, and no longer.
    """
    try:
        import httpx
    except ImportError as error:
        raise MissingExtra(what, extra=extra, op="connect") from error
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


@asynccontextmanager
async def answer(
    client: "httpx.AsyncClient", request: "httpx.Request"
) -> "AsyncGenerator[httpx.Response]":
    """Send a request and read its answer piece by piece; raises `RequestFailed`.

    Leaving before the end of the answer breaks off the request.
    """
    import httpx

    host = request.url.host
    has_begun = False
    try:
        response = await client.send(request, stream=True)
        has_begun = True
        try:
            yield response
        finally:
            await response.aclose()
    except httpx.ConnectTimeout as error:
        raise _lost(f"{host} did not answer; check the network", ErrorCategory.TIMEOUT) from error
    except httpx.TimeoutException as error:
        what = f"{host} went quiet in mid-answer; {ELSEWHERE}"
        raise _lost(what, ErrorCategory.TIMEOUT) from error
    except httpx.ConnectError as error:
        seen = _why(error)
        what = f"no connection to {host}{seen}; check the address, and that the service runs there"
        raise _lost(what) from error
    except httpx.HTTPError as error:
        seen = "in mid-answer" if has_begun else "before an answer, or gave none; check the address"
        raise _lost(f"the connection to {host} broke {seen}; {ELSEWHERE}") from error


_STATUSES: dict[int, ErrorCategory] = {
    HTTPStatus.UNAUTHORIZED: ErrorCategory.AUTH,
    HTTPStatus.FORBIDDEN: ErrorCategory.AUTH,
    HTTPStatus.REQUEST_TIMEOUT: ErrorCategory.RETRYABLE,
    HTTPStatus.TOO_MANY_REQUESTS: ErrorCategory.RATE_LIMIT,
    HTTPStatus.SERVICE_UNAVAILABLE: ErrorCategory.RATE_LIMIT,
}


def refusal(
    status: int, headers: Mapping[str, str], reason: str, *, variable: str
) -> ServiceFailed:
    """What a status means where the service gives no code for it; `reason` is its own words.

    `variable` is where its key comes from.
    """
    category = _STATUSES.get(status)
    if category is None:
        is_theirs = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        category = ErrorCategory.RETRYABLE if is_theirs else ErrorCategory.INVALID_REQUEST
    # What is said about a key might quote it.
    said = "" if category is ErrorCategory.AUTH else reason
    told = advice_on(category, variable=variable, status=status)
    waited = headers.get("retry-after", "")
    return ServiceFailed(
        category=category,
        message=f"HTTP status {status}; {told}" + (f" ({said})" if said else ""),
        is_fatal=True,
        retry_after_seconds=float(waited) if waited.isdecimal() else None,
    )


async def expect_success(response: "httpx.Response", read_refusal: ReadRefusal) -> None:
    """Raise `RequestFailed` for an answer that says no."""
    if response.status_code != HTTPStatus.OK:
        body = await beginning_of(response)
        raise RequestFailed(read_refusal(response.status_code, response.headers, body))


async def beginning_of(response: "httpx.Response") -> bytes:
    """Of an answer that says no, as much as a reason may take."""
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


def unexpected(error: Exception) -> ServiceFailed:
    """A defect of ours or of the library: logged without words, and the end of the link."""
    log.error("a request failed: %s", where(error))
    message = f"a request failed: {type(error).__name__}"
    return ServiceFailed(category=ErrorCategory.RETRYABLE, message=message, is_fatal=True)
