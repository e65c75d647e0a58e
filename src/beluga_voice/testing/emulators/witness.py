"""Who looks at each message of the emulated services as it passes; nobody, unless asked to.

A message of a service is shown when it is sent, and one of a client when it was taken: what is
refused is answered with an error, and is none of the protocol. Neither are the malformed messages
of faults.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Side(StrEnum):
    """Who says something."""

    CLIENT = "client"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Seen:
    """A message, in JSON as it is on the wire, of a service by the name of its provider."""

    service: str
    side: Side
    message: dict[str, Any]


type Look = Callable[[Seen], None]

_looking: list[Look] = []


@contextmanager
def witnessed(look: Look) -> Generator[None]:
    """Let `look` see the messages of all services of this process; it must not raise."""
    _looking.append(look)
    try:
        yield
    finally:
        _looking.remove(look)


def show(service: str, side: Side, message: dict[str, Any]) -> None:
    """Let those who look see a message."""
    if _looking:
        seen = Seen(service, side, message)
        for look in _looking:
            look(seen)
