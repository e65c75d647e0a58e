"""What the caller of a handle gave, looked at before anything is made of it."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, cast

from beluga_voice.errors import ConfigurationError
from beluga_voice.events import Message, ToolResult, ToolUse
from beluga_voice.interfaces import Tool, TurnDetection
from beluga_voice.transports.addresses import refuse_credentials

_TEXT = (str,)
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "model": (_TEXT, "text"),
    "api_key": (_TEXT, "text"),
    "endpoint": (_TEXT, "an address, as text"),
    "instructions": (_TEXT, "text"),
    "voice": (_TEXT, "the name of a voice, as text"),
    "language": (_TEXT, "a language tag such as en or de-AT, as text"),
    "temperature": ((int, float), "a number"),
    "max_output_tokens": ((int,), "a whole number"),
    "turn_detection": (
        (TurnDetection,),
        "a TurnDetection; a kind of the service's own is given to the provider itself",
    ),
}
"""What each argument is, and how that is told; nothing is `None`."""


def check_types(given: Mapping[str, Any]) -> None:
    """Look at the arguments of a handle, by their names.

    Raises `ConfigurationError` for one of another type, which would fail deep inside, or at the
    service.
    """
    for name, (kinds, told) in _KINDS.items():
        value = given.get(name)
        if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
            raise _wrong(name, told, value)
    if given.get("endpoint") == "":
        message = "the endpoint is empty; leave it out, or give an address"
        raise ConfigurationError(message, op="endpoint")
    refuse_credentials(given.get("endpoint") or "")
    tools = given.get("tools", ())
    if isinstance(tools, str) or not isinstance(tools, Iterable):
        raise _wrong("tools", "a list of functions", tools)
    for one in cast("Iterable[object]", tools):  # its parts may be of any type
        if not callable(one) and not isinstance(one, Tool):
            raise _wrong("each of tools", "a function or a Tool", one)


def check_history(given: object) -> None:
    """Raise `ConfigurationError` for what is not a sequence of what was said."""
    told = "a sequence of Message, ToolUse and ToolResult (beluga_voice.events)"
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise _wrong("context", told, given)
    for one in cast("Iterable[object]", given):  # its parts may be of any type
        if not isinstance(one, Message | ToolUse | ToolResult):
            raise _wrong("context", told, one)


def one_of[E: StrEnum](words: type[E], name: str, given: str | None) -> E | None:
    """One of a few words; raises `ConfigurationError` naming them for any other."""
    if given is None:
        return None
    try:
        return words(given)
    except ValueError:
        message = f"{name} should be one of {', '.join(words)}"
        raise ConfigurationError(message, op="s2s") from None


def _wrong(name: str, told: str, value: object) -> ConfigurationError:
    message = f"{name} should be {told}, not of the type {type(value).__name__}"
    return ConfigurationError(message, op="s2s")
