"""A call that was answered is not made again by an event that comes twice."""

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.happened import ToolFinished
from beluga_voice.events import FunctionCalled, ToolCalled, ToolCallId
from beluga_voice.interfaces import Capabilities, TurnOwner
from engine.desk import Desk
from session.wires import broken_rules


def test_a_call_that_was_answered_is_not_made_again():
    """The tool runs once, and the history holds the call once."""
    desk = Desk(owner=TurnOwner.PROVIDER, capabilities=Capabilities(), settings=EngineSettings())
    called = ToolCalled(call_id=ToolCallId("t1"), name="book", arguments="{}")
    desk.give(called)
    desk.give(ToolFinished(call_id=ToolCallId("t1"), output="booked", is_error=False))
    desk.give(called)
    assert len([one for one in desk.emitted if isinstance(one, FunctionCalled)]) == 1
    assert broken_rules(desk.engine.history) == []
