"""Who has the floor.

How it works. `QUIET` is nobody. The person's voice gives the person the floor (`USER`); when the
voice stops, the turn is not over yet but `PAUSED`, and goes on if the voice returns in time. Once
it is over, a response is awaited (`WAITING`) until its first sound leaves for the person (`AGENT`).
Voice while the agent sounds is not an interruption at once: in `OVERLAP` it is judged, and either
lasts long enough to take the floor, or is ignored.

Voice while a response is awaited takes the floor without being judged: nothing sounds that it could
cut, and the words just said and the words that follow are one turn to the agent.

Who says that a turn is over (`OVER`) is either our own timer or the service; the table is the same.
"""

from dataclasses import dataclass
from enum import auto

from beluga_voice.engine.table import Label, Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnSettings:
    """When a turn ends. Times are milliseconds."""

    end_silence_ms: float = 600
    """From the end of the voice to the end of the turn, where nothing tells how likely it is."""
    sure_silence_ms: float = 250
    """The same, when a turn detector is sure that the person is done."""
    unsure_silence_ms: float = 1800
    """The same, when it is sure that they are not: in the middle of a number, say."""
    adapts: bool = True
    """Whether a person who was cut off is given more time from then on."""
    prepares: bool = False
    """Whether an answer is made ready, unheard, while it is not yet sure that the turn is over.
    Tools of the session wait until it is; what an agent does by itself does not."""
    keys_pause_ms: float = 2000
    """Telephone keys that follow one another within this time are one input."""
    keys_end: str = "#"
    """Keys that end an input at once; empty for none."""
    stalled_input_ms: float = 2000
    """If the line brings no sound for so long while the person speaks, the voice has stopped."""


class Floor(Label):
    """The states."""

    QUIET = auto()
    USER = auto()
    PAUSED = auto()
    WAITING = auto()
    AGENT = auto()
    OVERLAP = auto()


class Turn(Label):
    """The inputs."""

    VOICE = auto()
    """The person's voice started."""
    HUSH = auto()
    """The person's voice stopped."""
    OVER = auto()
    """The person's turn is over."""
    ASKED = auto()
    """A response was asked for without a spoken turn: by text, or by the application."""
    SOUND = auto()
    """The first sound of a response goes to the person."""
    SPENT = auto()
    """Nothing sounds any more, and nothing more is coming."""
    TAKEN = auto()
    """The voice in an overlap is an interruption."""
    GONE = auto()
    """The response was stopped from outside, without the person taking the floor."""
    OWED = auto()
    """What sounded is over, and an answer that has no sound yet is still owed."""
    RESUMED = auto()
    """What was taken for an interruption was none: the agent goes on."""


TABLE: dict[tuple[Floor, Turn], Floor] = {
    (Floor.QUIET, Turn.VOICE): Floor.USER,
    (Floor.QUIET, Turn.ASKED): Floor.WAITING,
    (Floor.QUIET, Turn.SOUND): Floor.AGENT,
    (Floor.QUIET, Turn.SPENT): Floor.QUIET,
    (Floor.QUIET, Turn.GONE): Floor.QUIET,
    (Floor.USER, Turn.HUSH): Floor.PAUSED,
    (Floor.USER, Turn.OVER): Floor.WAITING,
    (Floor.USER, Turn.ASKED): Floor.USER,
    (Floor.USER, Turn.SOUND): Floor.OVERLAP,
    (Floor.USER, Turn.SPENT): Floor.USER,
    (Floor.USER, Turn.GONE): Floor.USER,
    (Floor.PAUSED, Turn.VOICE): Floor.USER,
    (Floor.PAUSED, Turn.OVER): Floor.WAITING,
    (Floor.PAUSED, Turn.ASKED): Floor.PAUSED,
    (Floor.PAUSED, Turn.SOUND): Floor.AGENT,
    (Floor.PAUSED, Turn.SPENT): Floor.PAUSED,
    (Floor.PAUSED, Turn.GONE): Floor.PAUSED,
    (Floor.WAITING, Turn.VOICE): Floor.USER,
    (Floor.WAITING, Turn.OVER): Floor.WAITING,
    (Floor.WAITING, Turn.ASKED): Floor.WAITING,
    (Floor.WAITING, Turn.SOUND): Floor.AGENT,
    (Floor.WAITING, Turn.SPENT): Floor.QUIET,
    (Floor.WAITING, Turn.GONE): Floor.QUIET,
    (Floor.WAITING, Turn.RESUMED): Floor.AGENT,
    (Floor.USER, Turn.RESUMED): Floor.OVERLAP,
    (Floor.AGENT, Turn.VOICE): Floor.OVERLAP,
    (Floor.AGENT, Turn.ASKED): Floor.AGENT,
    (Floor.AGENT, Turn.SOUND): Floor.AGENT,
    (Floor.AGENT, Turn.SPENT): Floor.QUIET,
    (Floor.AGENT, Turn.GONE): Floor.QUIET,
    (Floor.AGENT, Turn.OWED): Floor.WAITING,
    (Floor.OVERLAP, Turn.HUSH): Floor.AGENT,
    (Floor.OVERLAP, Turn.TAKEN): Floor.USER,
    (Floor.OVERLAP, Turn.ASKED): Floor.OVERLAP,
    (Floor.OVERLAP, Turn.SOUND): Floor.OVERLAP,
    (Floor.OVERLAP, Turn.SPENT): Floor.USER,
    (Floor.OVERLAP, Turn.GONE): Floor.USER,
    (Floor.OVERLAP, Turn.OWED): Floor.USER,
}


def turns() -> Machine[Floor, Turn]:
    """A new machine; nobody has the floor."""
    return Machine("turns", Floor.QUIET, TABLE)
