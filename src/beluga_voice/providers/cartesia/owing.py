"""Codecs that owe answers which the wire does not bring.

How it works. A codec on a wire speaks when it is spoken to. Cartesia's protocols need more: an
answer to an order that needs no word from the service, silence so that a connection is not closed,
and a verdict when the service keeps quiet. So the codec says what it owes after each order, and by
when it wants to be woken; it is woken by a `Tick`, an order that no caller gives.
"""

from dataclasses import dataclass
from typing import Protocol

from beluga_voice.interfaces import Codec


@dataclass(frozen=True, slots=True)
class Tick:
    """The moment that the codec asked for has come."""


class OwingCodec[S, R](Codec[S | Tick, R], Protocol):
    """A codec that gives events of its own, and keeps time by the clock it was given."""

    def owed(self) -> list[R]:
        """Events since it was last asked, that no message brought."""
        ...

    @property
    def deadline(self) -> float | None:
        """When it wants a `Tick`, on the loop's clock."""
        ...
