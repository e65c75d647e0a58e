"""Cartesia as a service, as data: where it is, who may call, and what its errors mean.

Sources, read on 2026-11-21: the API conventions and error pages of docs.cartesia.ai, and the types
of the Python SDK `cartesia` 4.2.0. The service itself was not reachable.
"""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from beluga_voice.errors import ConfigurationError
from beluga_voice.events import ErrorCategory, ServiceFailed
from beluga_voice.providers.advice import advice_on

NAME = "cartesia"
KEY_VARIABLE = "CARTESIA_API_KEY"
ENDPOINT = "wss://api.cartesia.ai"
VERSION = "2026-08-14"
"""The version of the interface that is spoken here; every request has to name one."""
VERSION_HEADER = "Cartesia-Version"
PLAIN_VOICE_VERSION = "2026-08-14"
"""Since this version a voice is named by its id alone; before, with a mode."""
_WEBSOCKET = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_WEB = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}")
MAX_REASON = 200
"""Characters of the service's own words that a message quotes."""


class Failure(msgspec.Struct, frozen=True):
    """What the service says of a failure: in a frame, or in the body of an answer."""

    title: str = ""
    message: str = ""
    error_code: str = ""
    status_code: int | None = None
    context_id: str = ""
    request_id: str = ""

    @property
    def reason(self) -> str:
        """The service's own words, on one line, and no more of them than one reads."""
        told = ": ".join(part for part in (self.title, self.message) if part) or self.error_code
        return " ".join(told.split())[:MAX_REASON]


def headers(key: str, version: str) -> dict[str, str]:
    """What every request carries."""
    return {"X-API-Key": key, VERSION_HEADER: version}


def check_version(version: str) -> None:
    """Raise `ConfigurationError` for what is no version of the interface."""
    if not _VERSION.fullmatch(version):
        raise ConfigurationError(f"version {version!r} is no date such as {VERSION}", op=NAME)


def websocket_url(endpoint: str, path: str, query: Sequence[tuple[str, str]] = ()) -> str:
    """The address of a websocket; `endpoint` is without a path. Raises `ConfigurationError`."""
    return _url(endpoint, path, query, _WEBSOCKET)


def web_url(endpoint: str, path: str) -> str:
    """The address of what is asked for by HTTP. Raises `ConfigurationError`."""
    return _url(endpoint, path, (), _WEB)


def _url(
    endpoint: str, path: str, query: Sequence[tuple[str, str]], schemes: dict[str, str]
) -> str:
    parts = urlsplit(endpoint)
    if parts.scheme not in schemes or not parts.netloc:
        message = "the endpoint is no address: give wss://host or https://host"
        raise ConfigurationError(message, op=NAME)
    joined = "&".join(filter(None, (parts.query, urlencode(query))))
    whole = parts.path.rstrip("/") + path
    return urlunsplit((schemes[parts.scheme], parts.netloc, whole, joined, ""))


def category_of(status: int | None) -> ErrorCategory:
    """What kind of failure a status means."""
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return ErrorCategory.AUTH
        case HTTPStatus.TOO_MANY_REQUESTS:
            return ErrorCategory.RATE_LIMIT
        case HTTPStatus.REQUEST_TIMEOUT | HTTPStatus.GATEWAY_TIMEOUT:
            return ErrorCategory.TIMEOUT
        case int() if 400 <= status < 500:
            return ErrorCategory.INVALID_REQUEST
        case _:
            return ErrorCategory.RETRYABLE


def failed(failure: Failure, *, is_fatal: bool) -> ServiceFailed:
    """The event for an error frame."""
    category = category_of(failure.status_code)
    told = advice_on(category, variable=KEY_VARIABLE, status=failure.status_code)
    # What is said about a key might quote it.
    seen = "the key is refused" if category is ErrorCategory.AUTH else failure.reason
    return ServiceFailed(
        category=category,
        message=f"{seen.rstrip('.') or 'the service failed without a reason'}; {told}",
        is_fatal=is_fatal,
        provider_code=failure.error_code or None,
    )


def failure_in(body: bytes | bytearray) -> Failure:
    """What an answer with an error status says: the service's own form, or plain text."""
    decoded: Any = None
    try:
        decoded = msgspec.json.decode(body)
        return msgspec.convert(decoded, Failure)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # A proxy's page says nothing that helps.
        plain = bytes(body).decode(errors="replace")
        is_page = plain.lstrip()[:1] in ("<", "{", "[")
        return Failure(message="" if is_page else plain)
