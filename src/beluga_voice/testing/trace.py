"""What happened, as lines that can be compared."""

from beluga_voice.events import (
    AgentResponseAudio,
    AgentResponseText,
    SessionEvent,
    StateChanged,
)
from beluga_voice.session.happening import Happening
from beluga_voice.session.jsonform import TYPES
from beluga_voice.session.session import Session

_NAMES = {kind: name for name, kind in TYPES.items()}


class Trace:
    """An observer that keeps every event with its time.

    Give it to the session as one of its `observers`.
    """

    def __init__(self) -> None:
        self.happenings: list[Happening] = []

    def observe(self, event: SessionEvent, /, *, at: float) -> None:
        """Keep it."""
        sequence = len(self.happenings)
        self.happenings.append(Happening(event=event, at=at, sequence=sequence))

    def of[E](self, kind: type[E]) -> list[E]:
        """The events of one kind, in order."""
        return [one.event for one in self.happenings if isinstance(one.event, kind)]

    def at_ms(self, kind: type[object], index: int = 0) -> float:
        """When the event of that kind happened: the first, or another by its index."""
        times = [one.at for one in self.happenings if isinstance(one.event, kind)]
        return round(times[index] * 1000, 3)

    def lines(self) -> list[str]:
        """Every event as a line, all fields told; sound only by its length."""
        return [_line(one) for one in self.happenings]

    def story(self) -> list[str]:
        """The time in ms and the name of what matters to a reader: no sound, no single words."""
        return [
            f"{one.at * 1000:g} {_NAMES[type(one.event)]}"
            for one in self.happenings
            if not isinstance(one.event, AgentResponseAudio | AgentResponseText | StateChanged)
        ]


def _line(one: Happening) -> str:
    fields: list[str] = []
    for name in one.event.__struct_fields__:
        value = getattr(one.event, name)
        shown = f"<{len(value)} bytes>" if isinstance(value, bytes) else repr(value)
        fields.append(f"{name}={shown}")
    return f"{one.at * 1000:.3f} {_NAMES[type(one.event)]} {' '.join(fields)}"


def trace(session: Session) -> Trace:
    """A trace of a session that has not been entered yet."""
    found = Trace()
    session.watch(found)
    return found
