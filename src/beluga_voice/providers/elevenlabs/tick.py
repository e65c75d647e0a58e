"""How a codec, which knows no timers, is told that a moment has come.

A codec may name the next moment at which it wants to be called (`deadline`, on the clock it was
given). The channel then hands it one message of its own, the tick, between those of the service.
What a codec has to say then, it says as after any message: events, and `replies`.
"""

from typing import Protocol

from beluga_voice.interfaces import WireMessage

TICK: WireMessage = b""
"""Never sent by the service, whose messages are text."""


class Timed(Protocol):
    """Who wants to be called at a moment; `None` while at none.

    Being told the tick moves the moment on, or away.
    """

    @property
    def deadline(self) -> float | None: ...
