"""The list of voices, asked for by HTTP, page by page.

Source: the reference of `GET /voices` at docs.cartesia.ai, and the types of the Python SDK
`cartesia` 4.2.0, read on 2026-11-21.
"""

import ssl as tls
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from beluga_voice.errors import (
    BrokenProtocol,
    Denied,
    ErrorCode,
    MissingExtra,
    Overloaded,
    ProviderError,
    Rejected,
    Unreachable,
)
from beluga_voice.interfaces import Voice
from beluga_voice.providers.cartesia.service import NAME, failure_in, headers, web_url
from beluga_voice.providers.tts.cartesia._capabilities import (
    MAX_PAGES,
    VOICES_PATH,
    VOICES_PER_PAGE,
)

if TYPE_CHECKING:
    import httpx


class _Locale(msgspec.Struct, frozen=True):
    locale: str


class _Listed(msgspec.Struct, frozen=True):
    id: str
    name: str = ""
    description: str = ""
    language: str = ""
    locales: list[_Locale] | None = None


class _Page(msgspec.Struct, frozen=True):
    data: list[_Listed]
    has_more: bool = False


async def fetch_voices(
    endpoint: str, *, key: str, version: str, seconds: float, ssl: tls.SSLContext | None
) -> tuple[Voice, ...]:
    """All voices that the key may use; each page within `seconds`. Cancelling is safe.

    Raises `MissingExtra` without the extra `cartesia`, `Denied`, `Rejected`, `Overloaded`,
    `Unreachable`, or `BrokenProtocol` for an answer that makes no sense.
    """
    try:
        import httpx
    except ImportError as error:
        raise MissingExtra("the list of voices", extra="cartesia", op="voices") from error
    url = web_url(endpoint, VOICES_PATH)
    host = httpx.URL(url).host
    voices: list[Voice] = []
    seen: set[str] = set()
    verify = True if ssl is None else ssl
    async with httpx.AsyncClient(
        headers=headers(key, version), timeout=seconds, verify=verify
    ) as client:
        for _ in range(MAX_PAGES):
            query: dict[str, Any] = {"limit": VOICES_PER_PAGE}
            if voices:
                query["starting_after"] = voices[-1].id
            page = _page(await _get(client, url, query, host), host)
            fresh = [one for one in page.data if one.id not in seen]
            seen.update(one.id for one in fresh)
            voices += [_voice(one) for one in fresh]
            if not page.has_more or not fresh:
                break
    return tuple(voices)


async def _get(
    client: "httpx.AsyncClient", url: str, query: dict[str, Any], host: str
) -> "httpx.Response":
    import httpx

    try:
        response = await client.get(url, params=query)
    except httpx.TimeoutException as error:
        message = f"{host} gave no list of voices in time; check the network"
        raise Unreachable(message, op="voices", provider=NAME, code=ErrorCode.TIMEOUT) from error
    except httpx.HTTPError as error:
        message = f"no connection to {host} for the list of voices ({type(error).__name__})"
        raise Unreachable(message, op="voices", provider=NAME) from error
    if response.status_code != HTTPStatus.OK:
        raise _refused(response, host)
    return response


def _refused(response: "httpx.Response", host: str) -> ProviderError:
    status = response.status_code
    seen = f"{host} gave no list of voices (HTTP status {status})"
    if reason := failure_in(response.content).reason:
        seen = f"{seen}: {reason}"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return Denied(f"{seen}; check the key and what it may do", op="voices", provider=NAME)
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        after = _retry_after(response.headers)
        message = f"{seen}; come back later"
        return Overloaded(message, op="voices", provider=NAME, retry_after=after)
    if status >= 500 or status == HTTPStatus.REQUEST_TIMEOUT:
        return Unreachable(f"{seen}; the service is in trouble", op="voices", provider=NAME)
    return Rejected(f"{seen}; check the version and the endpoint", op="voices", provider=NAME)


def _retry_after(fields: "httpx.Headers") -> float | None:
    """Seconds, from a number, or from a date by the service's own clock (RFC 9110, 10.2.3)."""
    text = fields.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
        seconds = (until - parsedate_to_datetime(fields.get("Date", ""))).total_seconds()
    except (ValueError, TypeError):
        return None
    return max(seconds, 0.0)


def _page(response: "httpx.Response", host: str) -> _Page:
    try:
        return msgspec.json.decode(response.content, type=_Page)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        message = f"what {host} gave is no list of voices"
        raise BrokenProtocol(message, op="voices", provider=NAME) from None


def _voice(listed: _Listed) -> Voice:
    locales = tuple(one.locale for one in listed.locales or ())
    own = (listed.language,) if listed.language else ()
    return Voice(
        id=listed.id,
        name=listed.name,
        languages=locales or own,
        description=listed.description,
    )
