"""What happens in a scenario, as lines: the time in milliseconds, and what.

    an event    what an application is told (`SessionEvent`), without its ids
    # a note    what people do, what the agent is asked, and what is on the caller's line

Sound itself is not told, nor are the pieces of a text, and what opens and closes every session.
"""

import asyncio
import re

from msgspec import Struct

from beluga_voice.events import (
    AgentResponseAudio,
    AgentResponseEnded,
    AgentResponseText,
    SessionEvent,
    SessionStarted,
    SessionState,
    StateChanged,
)
from beluga_voice.session.happening import Happening

SHOWN_CHARACTERS = 100
"""Of longer texts, the beginning is shown, and how many words they have."""

_HIDDEN = frozenset(
    {"response_id", "utterance_id", "call_id", "session_id", "previous", "words", "ledger"}
)


class Notes:
    """Everything that happened, in order; an observer too."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.happenings: list[Happening] = []
        """The events, with the agent's sound."""

    def add(self, text: str) -> None:
        """A line with the present time."""
        self.lines.append(f"{_milliseconds(now_ms()):>7}  {text}")

    def observe(self, event: SessionEvent, /, *, at: float) -> None:
        """Keep an event, and tell it in a line unless it is a piece of something."""
        sequence = len(self.happenings)
        self.happenings.append(Happening(event=event, at=at, sequence=sequence))
        match event:
            case AgentResponseAudio() | AgentResponseText() | SessionStarted():
                pass
            case StateChanged(state=SessionState.CONNECTED | SessionState.DISCONNECTED):
                pass
            case _:
                self.add(shown(event))


def now_ms() -> float:
    """The time of the loop in milliseconds, to the microsecond."""
    return round(asyncio.get_running_loop().time() * 1000, 3)


def shown(event: Struct) -> str:
    """An event as a line: its kind, and what of it is not empty."""
    if isinstance(event, StateChanged):
        return f"state {event.state}"
    kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    hidden = _HIDDEN
    if isinstance(event, AgentResponseEnded) and event.heard_text == event.text:
        hidden |= {"text"}
    values = {name: getattr(event, name) for name in event.__struct_fields__ if name not in hidden}
    told = [f"{name}={_value(value)}" for name, value in values.items() if not _is_empty(value)]
    return " ".join([kind, *told])


def quoted(text: str) -> str:
    """A text in quotes, shortened if it is long."""
    if len(text) <= SHOWN_CHARACTERS:
        return repr(text)
    beginning = text[:SHOWN_CHARACTERS].rpartition(" ")[0]
    return f"{beginning + ' …'!r} ({len(text.split())} words)"


def _milliseconds(value: float) -> str:
    return f"{round(value, 3):.3f}".rstrip("0").rstrip(".")


def _is_empty(value: object) -> bool:
    return value is None or value is False or value == ""


def _value(value: object) -> str:
    if isinstance(value, float):
        return _milliseconds(value)
    return quoted(value) if type(value) is str else str(value)
