"""The parts of a session's settings that services have in common, as they want them."""

from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from beluga_voice.errors import ConfigurationError
from beluga_voice.events import ToolSpec

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


def tool_on_wire(tool: ToolSpec, *, op: str) -> dict[str, Any]:
    """A tool as a service wants it; raises `ConfigurationError` if its schema is no object."""
    try:
        parameters = msgspec.json.decode(tool.parameters or "{}", type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"the parameters of the tool {tool.name!r} are no JSON object", op=op
        ) from error
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": parameters,
    }


def url_of(endpoint: str, *, op: str, **query: str) -> str:
    """The address of a session. Raises `ConfigurationError` for what is no web address."""
    parts = urlsplit(endpoint)
    if parts.scheme not in _SCHEMES or not parts.netloc:
        raise ConfigurationError("the endpoint is no address: wss://... or https://...", op=op)
    joined = "&".join(filter(None, (parts.query, urlencode(query))))
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, parts.path, joined, ""))
