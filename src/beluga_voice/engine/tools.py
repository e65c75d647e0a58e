"""Which tools run, and what other work is done out of sight.

How it works. A call is `RUNNING` from the moment it was asked for, until it is `ANSWERED`, or
`WITHDRAWN` by the model. Every call that was not withdrawn is answered exactly once, also when the
tool fails. One that was may still have a result, `LATE`, if the tool ran to its end.
"""

from dataclasses import dataclass
from enum import auto

from beluga_voice.engine.table import Label, Machine
from beluga_voice.events import ToolCallId, ToolResult, WorkId

LATE_CALLS = 64
"""Of so many calls that were withdrawn a result is still taken."""


class Call(Label):
    """The states."""

    RUNNING = auto()
    ANSWERED = auto()
    WITHDRAWN = auto()
    LATE = auto()


class CallInput(Label):
    """The inputs."""

    RESULT = auto()
    WITHDRAWAL = auto()


TABLE: dict[tuple[Call, CallInput], Call] = {
    (Call.RUNNING, CallInput.RESULT): Call.ANSWERED,
    (Call.RUNNING, CallInput.WITHDRAWAL): Call.WITHDRAWN,
    (Call.WITHDRAWN, CallInput.RESULT): Call.LATE,
}


@dataclass(slots=True)
class Running:
    """A call and when it began."""

    name: str
    began: float
    machine: Machine[Call, CallInput]

    @property
    def is_late(self) -> bool:
        """Whether nobody waited for its result."""
        return self.machine.state is Call.LATE


class Tools:
    """The calls that run."""

    __slots__ = ("_asked", "_running", "_withdrawn", "work")

    def __init__(self) -> None:
        self._running: dict[ToolCallId, Running] = {}
        self._withdrawn: dict[ToolCallId, Running] = {}
        self._asked: set[ToolCallId] = set()
        """Every call of the present link."""
        self.work: set[WorkId] = set()
        """What the provider does out of sight for an answer."""

    @property
    def is_busy(self) -> bool:
        """Whether a tool or other work runs, so that silence has a reason."""
        return bool(self._running or self.work)

    @property
    def running(self) -> tuple[ToolCallId, ...]:
        """The calls that were neither answered nor withdrawn."""
        return tuple(self._running)

    def ask(self, call_id: ToolCallId, name: str, now: float) -> bool:
        """A call begins; false if one of that id was asked for already over this link."""
        if call_id in self._running or call_id in self._asked:
            return False
        self._asked.add(call_id)
        self._running[call_id] = Running(name, now, Machine("tool", Call.RUNNING, TABLE))
        return True

    def another_link(self) -> None:
        """The ids of calls to come are those of another link."""
        self._asked.clear()

    def finish(self, call_id: ToolCallId) -> Running | None:
        """A result is there; `None` for a call that never began."""
        running = self._running.pop(call_id, None) or self._withdrawn.pop(call_id, None)
        if running is not None:
            running.machine.take(CallInput.RESULT)
        return running

    def withdraw(self, call_id: ToolCallId) -> Running | None:
        """The model no longer wants it; `None` if it was over already."""
        running = self._running.pop(call_id, None)
        if running is not None:
            running.machine.take(CallInput.WITHDRAWAL)
            self._withdrawn[call_id] = running
            if len(self._withdrawn) > LATE_CALLS:
                del self._withdrawn[next(iter(self._withdrawn))]
        return running


def withdrawn(call_id: ToolCallId) -> ToolResult:
    """What the history holds for a call whose result nobody wants: no call stands without one."""
    return ToolResult(call_id=call_id, output="withdrawn", is_error=True)
