"""An account at OpenAI, or at a server that speaks as it does: keys, addresses, refusals.

Sources, read 2026-11-21: the error reference of the API documentation, and the types of the
official SDK for Python, 3.52.0. A refusal is `{"error": {"message", "type", "code", "param"}}`.
"""

import os
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit, urlunsplit

import msgspec

from beluga_voice.errors import ConfigurationError, Denied
from beluga_voice.events import ErrorCategory, ServiceFailed
from beluga_voice.providers.advice import MONEY, advice_on

NAME = "openai"
ENDPOINT = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
MAX_REASON = 300
_SECURE = {"http": False, "ws": False, "https": True, "wss": True}

_MONEY = ("insufficient_quota", "credit_balance_exhausted")

CODES = {
    **dict.fromkeys(
        ("invalid_api_key", "authentication_error", "permission_denied"), ErrorCategory.AUTH
    ),
    # The limit is one of money: to try again does not help.
    **dict.fromkeys(_MONEY, ErrorCategory.INVALID_REQUEST),
    "rate_limit_exceeded": ErrorCategory.RATE_LIMIT,
    "session_expired": ErrorCategory.SESSION_EXPIRED,
    "model_not_found": ErrorCategory.INVALID_REQUEST,
    "invalid_request_error": ErrorCategory.INVALID_REQUEST,
    "timeout": ErrorCategory.TIMEOUT,
}
"""Codes and types of errors; the code is looked up first."""

_STATUSES: dict[int, ErrorCategory] = {
    HTTPStatus.UNAUTHORIZED: ErrorCategory.AUTH,
    HTTPStatus.FORBIDDEN: ErrorCategory.AUTH,
    HTTPStatus.REQUEST_TIMEOUT: ErrorCategory.RETRYABLE,
    HTTPStatus.TOO_MANY_REQUESTS: ErrorCategory.RATE_LIMIT,
    HTTPStatus.SERVICE_UNAVAILABLE: ErrorCategory.RATE_LIMIT,
}


class ErrorObject(msgspec.Struct):
    """What went wrong, in the service's words."""

    message: str = ""
    type: str | None = None
    code: str | None = None
    event_id: str | None = None


class _Refusal(msgspec.Struct):
    error: ErrorObject | str = ""


_refusals = msgspec.json.Decoder(_Refusal)


def base_of(endpoint: str | None, *, is_websocket: bool) -> str:
    """The address under which all others are, without a slash at its end.

    `http`, `https`, `ws` and `wss` are taken for both. Raises `ConfigurationError` for what is no
    address.
    """
    message = "the endpoint is no address: give one as https://api.openai.com/v1, without a query"
    try:
        parts = urlsplit(endpoint or ENDPOINT)
        is_address = parts.scheme in _SECURE and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ConfigurationError(message, op=NAME) from None
    if not is_address or parts.query or parts.fragment:
        raise ConfigurationError(message, op=NAME)
    scheme = ("ws" if is_websocket else "http") + ("s" if _SECURE[parts.scheme] else "")
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def headers_of(
    key: str | None, *, organization: str | None = None, project: str | None = None
) -> dict[str, str]:
    """Who asks; raises `Denied` where there is no key, or what can be none."""
    found = key or os.environ.get(KEY_VARIABLE, "")
    if not found:
        message = f"there is no key: set {KEY_VARIABLE}, or give api_key"
        raise Denied(message, op="connect", provider=NAME)
    if not (found.isascii() and found.isprintable()):
        message = "the key holds what no key holds; check api_key"
        raise Denied(message, op="connect", provider=NAME)
    headers = {"Authorization": f"Bearer {found}"}
    if organization is not None:
        headers["OpenAI-Organization"] = organization
    if project is not None:
        headers["OpenAI-Project"] = project
    return headers


def category_of(error: ErrorObject) -> ErrorCategory:
    """What kind of failure an error in a stream is; one without a known name may be retried."""
    return _of_code(error.code) or CODES.get(error.type or "") or ErrorCategory.RETRYABLE


def _of_code(code: str | None) -> ErrorCategory | None:
    if (code or "").endswith("_spend_limit_exceeded"):
        return ErrorCategory.INVALID_REQUEST
    return CODES.get(code or "")


def _of_money(kind: str | None) -> ErrorCategory | None:
    return CODES.get(kind or "") if kind in _MONEY else None


def message_of(error: ErrorObject, category: ErrorCategory) -> str:
    """What may be shown of it: where the key is wrong, services quote from it."""
    name = error.code or error.type or ""
    if category is ErrorCategory.AUTH:
        return f"{name or 'denied'}: check the key and what it may do"
    return ": ".join(part for part in (name, error.message) if part)[:MAX_REASON]


def refusal_of(status: int, headers: Mapping[str, str], body: bytes) -> ServiceFailed:
    """What an answer other than 200 means, as a fatal failure."""
    error = error_in(body)
    category = _of_code(error.code) or _of_money(error.type) or _STATUSES.get(status)
    if category is None:
        is_theirs = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        category = ErrorCategory.RETRYABLE if is_theirs else ErrorCategory.INVALID_REQUEST
    told = MONEY if error.type in _MONEY else None
    told = told or advice_on(category, variable=KEY_VARIABLE, status=status)
    is_quoted = category is not ErrorCategory.AUTH
    said = message_of(error, category) if is_quoted else error.code or error.type or ""
    return ServiceFailed(
        category=category,
        message=f"HTTP status {status}; {told}" + (f" ({said})" if said else ""),
        is_fatal=True,
        provider_code=error.code or error.type,
        retry_after_seconds=_seconds(headers.get("retry-after", "")),
    )


def error_in(body: bytes) -> ErrorObject:
    """The error in an answer; an empty one where there is none."""
    try:
        error = _refusals.decode(body).error
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ErrorObject()
    return ErrorObject(message=error) if isinstance(error, str) else error


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 else None
