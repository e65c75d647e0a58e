"""Who may call this server.

On a loopback address everybody on this machine may, but a web page from elsewhere may not: its
`Origin` gives it away, and the `Host` of a name rebound to 127.0.0.1 gives that trick away. On any
other address a token is needed too. It travels in a header, never in a URL, because URLs are
logged: programs send `Authorization: Bearer <token>`, and pages, which cannot set headers on a
websocket, offer the subprotocols `beluga.v1` and `beluga.token.<token>`.
"""

import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from beluga_voice.errors import ConfigurationError

TOKEN_SUBPROTOCOL = "beluga.token."
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,256}")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """A request is refused with this HTTP status, for this reason."""

    status: int
    message: str


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Access:
    """The rules of one server.

    Raises `ConfigurationError` for a token that is short or cannot travel in a header, for an
    origin that is not one, and for an open address without a token, unless that is asked for.
    """

    def __init__(
        self,
        *,
        host: str,
        token: str | None = None,
        allowed_origins: tuple[str, ...] = (),
        allow_unauthenticated: bool = False,
    ) -> None:
        if token is not None and not _TOKEN.fullmatch(token):
            raise ConfigurationError(
                "the token must be 16 to 256 of A-Z a-z 0-9 . _ ~ -; "
                "python -c 'import secrets; print(secrets.token_urlsafe())' makes a good one",
                op="server",
            )
        self._is_local = is_loopback(host)
        if not self._is_local and token is None and not allow_unauthenticated:
            raise ConfigurationError(
                f"{host} can be reached from other machines, so a token is needed; "
                "set one (BELUGA_VOICE_TOKEN, or `token`), listen on 127.0.0.1, or allow "
                "unauthenticated calls explicitly",
                op="server",
            )
        self._token = token
        self._origins = frozenset(_origin(origin) for origin in allowed_origins)
        self._names = _LOCAL_NAMES | {
            _name(urlsplit(origin).netloc.lower()) for origin in self._origins
        }

    def check_host(self, host: str) -> Denial | None:
        """Refuse a request that was meant for another name; checked for every request."""
        if not _HOST.fullmatch(host):
            return Denial(status=400, message="the Host header is not a host")
        if self._is_local and _name(host.lower()) not in self._names:
            return Denial(
                status=403,
                message="this server answers to localhost only; "
                "allow the origin of the page to reach it by another name",
            )
        return None

    def check(self, headers: Mapping[str, str]) -> Denial | None:
        """Refuse a caller who is not allowed to: a wrong origin, or no valid token."""
        origin = headers.get("Origin")
        if origin is not None and not self._is_known_origin(origin, headers.get("Host", "")):
            return Denial(status=403, message="pages of this origin may not call here")
        if self._token is not None and not self._has_token(headers, self._token):
            return Denial(status=401, message="a valid token is needed")
        return None

    def _is_known_origin(self, origin: str, host: str) -> bool:
        try:
            parts = urlsplit(origin.lower())
        except ValueError:
            return False
        if parts.scheme not in _DEFAULT_PORTS:
            return False
        port = _DEFAULT_PORTS[parts.scheme]
        is_same = parts.netloc.removesuffix(port) == host.lower().removesuffix(port)
        return is_same or f"{parts.scheme}://{parts.netloc.removesuffix(port)}" in self._origins

    def _has_token(self, headers: Mapping[str, str], token: str) -> bool:
        scheme, _, given = headers.get("Authorization", "").partition(" ")
        offers = [given.strip()] if scheme.lower() == "bearer" else []
        for name in headers.get("Sec-WebSocket-Protocol", "").split(","):
            if name.strip().startswith(TOKEN_SUBPROTOCOL):
                offers.append(name.strip().removeprefix(TOKEN_SUBPROTOCOL))
        return any(hmac.compare_digest(_bytes(offer), _bytes(token)) for offer in offers)


def _bytes(text: str) -> bytes:
    """A header as it came, also where it is no text."""
    return text.encode("utf-8", "surrogateescape")


def _name(netloc: str) -> str:
    """A host without its port."""
    found = _HOST.fullmatch(netloc)
    return found[1] if found else ""


def _origin(text: str) -> str:
    parts = urlsplit(text.lower())
    if parts.scheme not in _DEFAULT_PORTS or not _HOST.fullmatch(parts.netloc) or parts.path:
        raise ConfigurationError(
            f"{text!r} is not an origin; write it like https://voice.example.com", op="server"
        )
    return f"{parts.scheme}://{parts.netloc.removesuffix(_DEFAULT_PORTS[parts.scheme])}"
