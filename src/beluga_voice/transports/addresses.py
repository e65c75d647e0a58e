"""Addresses of services, as people give them."""

from urllib.parse import parse_qsl, urlsplit

from beluga_voice.errors import ConfigurationError

_KEY_NAMES = frozenset({"api_key", "api-key", "apikey", "key", "password", "secret"})
"""Parts of an address that hold a key; a `token` may be one that is made for one connection."""


def refuse_credentials(address: str) -> None:
    """Raise `ConfigurationError` for an address with a key in it: logs and errors show those."""
    try:
        parts = urlsplit(address)
        names = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    except ValueError:
        return  # it is none, which is told elsewhere
    if "@" in parts.netloc or names & _KEY_NAMES:
        message = "a key does not belong into an address: take it out, and give it as api_key"
        raise ConfigurationError(message, op="endpoint")
