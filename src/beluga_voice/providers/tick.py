"""What a codec is told when a moment has come.

A codec is pure and knows no timers, yet a service may owe an answer by a certain time. So a codec
names the next moment at which it wants to be called, and finds `TICK` among the messages of the
service then. What it has to say, it says as after any message: events, and `replies`. See
`ticking` for the channel that does it.
"""

from typing import Protocol

TICK = "\0tick"
"""No service sends it: it is told by identity."""


class Ticking(Protocol):
    """Who wants to be called at a moment of the loop's clock; `None` while at none.

    Being told the tick moves the moment on, or away.
    """

    @property
    def deadline(self) -> float | None: ...
