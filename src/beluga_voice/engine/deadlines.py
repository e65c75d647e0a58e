"""What must happen by when.

How it works. Each thing that can be overdue has one slot with a time, or none. The dead-air
contract is made of two of them: while the person waits for an answer, `ANSWER` is set; when it
passes, the ladder goes up one rung and sets it again, until something is heard.
"""

from dataclasses import dataclass
from enum import auto

from beluga_voice.engine.table import Label


class Due(Label):
    """The slots."""

    END_OF_TURN = auto()
    """The pause is long enough: the turn is over."""
    END_OF_RESPONSE = auto()
    """The last sample of a response has sounded."""
    ANSWER = auto()
    """The person waits for an answer and hears nothing."""
    PROGRESS = auto()
    """A response broke off in silence: all of it has sounded, and more should have come."""
    SIGN_OF_LIFE = auto()
    """The person has spoken, and the service has told nothing."""
    LATE_WORDS = auto()
    """The words of an utterance will not come any more."""
    GAP = auto()
    """A response is stuck in its middle, and others wait behind it."""
    STALLED_INPUT = auto()
    """The line may have stopped bringing sound."""
    RECONNECT = auto()
    """The next attempt to connect."""
    RENEW = auto()
    """The link to the service should be replaced before it ends."""
    LAST_WORDS = auto()
    """The person has hung up, and what they said last may never be understood."""
    FAREWELL = auto()
    """The service has ended the conversation, and what it still owes may never come."""
    KEYS = auto()
    """No more telephone keys follow."""
    WORDS = auto()
    """The words that tell whether a response was interrupted may never come."""
    IDLE = auto()
    """Nobody has said anything for too long."""
    MAX_DURATION = auto()
    """The session has lasted as long as it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadAirSettings:
    """How long a person may wait in silence. In milliseconds."""

    answer_ms: float = 6000
    """Until the first rung of the ladder."""
    rung_ms: float = 3000
    """Between two rungs."""
    swaps: bool = True
    """Whether a service that stays silent is given up for another, where there is one, and one that
    has not even understood what was said for a new connection."""
    transfer_ms: float = 30_000
    """The call is given to somebody else when nobody has answered for so long, where the session
    was told to whom (`transfer`)."""
    end_ms: float | None = 120_000
    """The session ends when nobody has answered for so long; `None` lets the person wait."""


class Deadlines:
    """The slots and their times, in seconds of the clock that the engine is given."""

    __slots__ = ("_times", "next")

    def __init__(self) -> None:
        self._times: dict[Due, float] = {}
        self.next: float | None = None
        """The earliest time of all slots."""

    def set(self, due: Due, at: float) -> None:
        """It is due at that time."""
        self._times[due] = at
        self.next = min(self._times.values())

    def clear(self, due: Due) -> None:
        """It is not due any more."""
        if self._times.pop(due, None) is not None:
            self.next = min(self._times.values(), default=None)

    def clear_all(self) -> None:
        """Nothing is due."""
        self._times.clear()
        self.next = None

    def expired(self, now: float) -> Due | None:
        """Take out the earliest slot that is due by `now`."""
        if self.next is None or self.next > now:
            return None
        due = min(self._times, key=self._times.__getitem__)
        self.clear(due)
        return due
