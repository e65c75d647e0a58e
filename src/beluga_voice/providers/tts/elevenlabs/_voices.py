"""Asks the service which voices an account has.

Source: the types of the Python SDK `elevenlabs` 2.78.0 (`GET /v2/voices`, in pages of 100 at most),
read 2026-11-21.
"""

import ssl as tls
from http import HTTPStatus
from typing import TYPE_CHECKING

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
from beluga_voice.providers.elevenlabs.account import NAME, reason_of

if TYPE_CHECKING:
    import httpx

PATH = ("v2", "voices")
PAGE_SIZE = 100
MAX_PAGES = 100


class _Language(msgspec.Struct, frozen=True):
    language: str = ""
    locale: str | None = None


class _Voice(msgspec.Struct, frozen=True):
    voice_id: str
    name: str | None = None
    description: str | None = None
    labels: dict[str, str | None] | None = None
    verified_languages: list[_Language] | None = None


class _Page(msgspec.Struct, frozen=True):
    voices: list[_Voice]
    has_more: bool = False
    next_page_token: str | None = None


_pages = msgspec.json.Decoder(_Page)


async def fetch_voices(
    url: str, key: str, *, seconds: float, ssl: tls.SSLContext | None = None
) -> tuple[Voice, ...]:
    """All of them, page by page, each within `seconds`.

    Raises `MissingExtra` without httpx, `Denied`, `Rejected`, `Overloaded`, `Unreachable`, or
    `BrokenProtocol` for an answer that makes no sense. Cancelling is safe.
    """
    try:
        import httpx
    except ImportError as error:
        raise MissingExtra("the list of voices", extra="elevenlabs", op="voices") from error
    found: list[Voice] = []
    token: str | None = None
    verify = True if ssl is None else ssl
    try:
        async with httpx.AsyncClient(timeout=seconds, verify=verify) as client:
            for _ in range(MAX_PAGES):
                query = {"page_size": str(PAGE_SIZE)}
                if token is not None:
                    query["next_page_token"] = token
                page = _page(await client.get(url, params=query, headers={"xi-api-key": key}))
                found += [_voice(one) for one in page.voices]
                token = page.next_page_token
                if not page.has_more or not token:
                    return tuple(found)
    except httpx.TimeoutException as error:
        message = f"no list of voices within {seconds:g} s; check the network"
        raise Unreachable(message, op="voices", provider=NAME, code=ErrorCode.TIMEOUT) from error
    except httpx.HTTPError as error:
        # Not chained: what it quotes may hold the address.
        message = f"no connection for the list of voices ({type(error).__name__})"
        raise Unreachable(message, op="voices", provider=NAME) from None
    raise BrokenProtocol("the list of voices has no end", op="voices", provider=NAME)


def _page(response: "httpx.Response") -> _Page:
    if response.status_code != HTTPStatus.OK:
        raise _refused(response)
    try:
        return _pages.decode(response.content)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        seen = type(error).__name__
    raise BrokenProtocol(f"the list of voices is none ({seen})", op="voices", provider=NAME)


def _voice(voice: _Voice) -> Voice:
    verified = voice.verified_languages or []
    tags = dict.fromkeys(one.locale or one.language for one in verified)
    labels = voice.labels or {}
    if not tags and (language := labels.get("language")):
        tags = {language: None}
    told = [text for name, text in labels.items() if text and name != "language"]
    return Voice(
        id=voice.voice_id,
        name=voice.name or "",
        languages=tuple(tag for tag in tags if tag),
        description=voice.description or ", ".join(told),
    )


def _refused(response: "httpx.Response") -> ProviderError:
    status = response.status_code
    reason = reason_of(response.content)
    seen = f"the list of voices was refused with HTTP status {status}"
    seen += f" ({reason.partition(':')[0]})" if reason else ""
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return Denied(f"{seen}; check the key and what it may do", op="voices", provider=NAME)
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        after = response.headers.get("Retry-After", "")
        return Overloaded(
            f"{seen}; come back later",
            op="voices",
            provider=NAME,
            retry_after=float(after) if after.isascii() and after.isdigit() else None,
        )
    if status >= 500 or status == HTTPStatus.REQUEST_TIMEOUT:
        return Unreachable(f"{seen}; the service is in trouble", op="voices", provider=NAME)
    return Rejected(f"{seen}; check the endpoint", op="voices", provider=NAME)
