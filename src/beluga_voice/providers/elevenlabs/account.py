"""An account at ElevenLabs: keys, addresses, and why a request was refused.

Sources, read 2026-11-21: the errors page of https://elevenlabs.io/docs (a refusal is
`{"detail": {"status": ..., "message": ...}}`), and the types of the Python SDK `elevenlabs` 2.78.0.
"""

import os
from collections.abc import Sequence
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from beluga_voice.errors import ConfigurationError, Denied

NAME = "elevenlabs"
ENDPOINT = "wss://api.elevenlabs.io"
KEY_VARIABLE = "ELEVENLABS_API_KEY"
MAX_REASON = 200
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class _Detail(msgspec.Struct):
    status: str = ""
    message: str = ""


class _Refusal(msgspec.Struct):
    detail: _Detail | str = ""


_refusals = msgspec.json.Decoder(_Refusal)


def base_of(endpoint: str) -> str:
    """Scheme, host and port, with the scheme of a websocket; raises `ConfigurationError`."""
    message = "the endpoint is no address: give scheme and host, wss://api.elevenlabs.io"
    try:
        parts = urlsplit(endpoint)
        is_address = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ConfigurationError(message, op=NAME) from None
    if not is_address:
        raise ConfigurationError(message, op=NAME)
    if parts.query or parts.fragment:
        raise ConfigurationError("the endpoint is scheme and host, without a query", op=NAME)
    return f"{_SCHEMES[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}"


def web_base_of(endpoint: str) -> str:
    """The same, with the scheme of what is asked for by HTTP."""
    return "http" + base_of(endpoint).removeprefix("ws")


def url_of(base: str, path: Sequence[str], query: Sequence[tuple[str, str]]) -> str:
    """An address below the base, each part of the path quoted."""
    whole = "/".join(quote(part, safe="") for part in path)
    return f"{base}/{whole}" + (f"?{urlencode(query)}" if query else "")


def key_of(given: str | None, *, op: str) -> str:
    """The key to use; raises `Denied` where there is none, or what can be none."""
    key = given or os.environ.get(KEY_VARIABLE, "")
    if not key:
        raise Denied(f"there is no key: set {KEY_VARIABLE}, or give api_key", op=op, provider=NAME)
    if not (key.isascii() and key.isprintable()):
        raise Denied("the key holds what no key holds; check api_key", op=op, provider=NAME)
    return key


def reason_of(body: bytes) -> str:
    """Why a request was refused: `code: words`, or "" where the answer does not say."""
    try:
        detail = _refusals.decode(body).detail
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""
    if isinstance(detail, str):
        return detail[:MAX_REASON]
    return ": ".join(part for part in (detail.status, detail.message) if part)[:MAX_REASON]


def primary(language: str) -> str:
    """A language without its region, which is how the service names languages."""
    return language.replace("_", "-").partition("-")[0].lower()
