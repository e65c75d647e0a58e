"""When a fault strikes: at which moment of a connection, for how long, and in which connections."""

from dataclasses import dataclass
from enum import StrEnum

from beluga_voice.errors import ConfigurationError


class Phase(StrEnum):
    """What a link is doing. Kinds of links that know no such moment never get there."""

    CONNECTING = "connecting"
    """It is being opened."""
    OPEN = "open"
    """It has just been opened."""
    HEARING = "hearing"
    """The person speaks: sound of an utterance goes up."""
    AWAITED = "awaited"
    """An answer is wanted: the turn is over, or text is to be spoken."""
    ANSWERING = "answering"
    """The first sound of an answer comes."""
    TOOL = "tool"
    """The model calls a tool."""
    INTERRUPTED = "interrupted"
    """An answer is stopped, by either side."""
    ANSWERED = "answered"
    """An answer is whole: `ResponseDone`, `SpeechDone`, the final transcript."""


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """The moment of a fault. Raises `ConfigurationError` for what makes no sense.

    The moment is when `phase` is reached for the `occurrence`-th time on a connection, then
    `after_events` pieces have passed in the fault's direction, counted from the one that begins the
    phase, and then `after_ms` are over. So with 0 of both, what begins a phase meets the fault
    already. It lasts for `lasting_ms`, or to the end of the connection.

    Of a provider's connections, every `every`-th one is struck, with the probability `chance`, and
    only the first `connections` of those; `None` is all.
    """

    phase: Phase = Phase.OPEN
    occurrence: int = 1
    after_events: int = 0
    after_ms: float = 0.0
    lasting_ms: float | None = None
    connections: int | None = None
    every: int = 1
    chance: float = 1.0

    def __post_init__(self) -> None:
        for name in ("occurrence", "every"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is at least 1", op="faults")
        for name in ("after_events", "after_ms"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"{name} is not negative", op="faults")
        if self.lasting_ms is not None and self.lasting_ms <= 0:
            raise ConfigurationError("lasting_ms should be above 0", op="faults")
        if self.connections is not None and self.connections < 1:
            raise ConfigurationError("connections is at least 1, or None for all", op="faults")
        if not 0 < self.chance <= 1:
            raise ConfigurationError("chance is above 0 and at most 1", op="faults")

    def strikes(self, connection: int, draw: float) -> bool:
        """Whether the connection of that number, from 1, is struck; `draw` is 0 up to 1."""
        turn, rest = divmod(connection, self.every)
        if rest or (self.connections is not None and turn > self.connections):
            return False
        return draw < self.chance


FIRST_ONLY = When(connections=1)
"""From the beginning of the first connection; the others are well."""
CONNECTING = When(phase=Phase.CONNECTING)
"""Each time it is connected to."""
