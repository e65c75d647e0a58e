"""What a history may not be like is found, whoever it is for."""

import pytest

from beluga_voice.events import Message, Role, ToolCallId, ToolResult, ToolUse
from session.wires import broken_rules

HELLO = Message(role=Role.USER, text="hello")
YES = Message(role=Role.AGENT, text="yes", is_cut=True)
NOTE = Message(role=Role.SYSTEM, text="they called before")
CALL = ToolUse(call_id=ToolCallId("c1"), name="look", arguments="{}")
RESULT = ToolResult(call_id=ToolCallId("c1"), output="")


@pytest.mark.parametrize(
    "items",
    [
        (),
        (YES, HELLO),
        (HELLO, HELLO, YES, YES),
        (NOTE, HELLO, CALL, RESULT, YES),
        (HELLO, CALL),
        (HELLO, Message(role=Role.AGENT, text="word " * 50_000), HELLO),
        tuple([HELLO, YES] * 200),
    ],
)
def test_a_history_of_a_session_is_valid_on_every_wire(items):
    """Alternation, sizes and calls that still run are for our codecs to see to."""
    assert broken_rules(items) == []


@pytest.mark.parametrize(
    ("items", "rule"),
    [
        ((HELLO, Message(role=Role.AGENT, text=" ")), "a message is empty"),
        ((RESULT, HELLO), "a result is not directly behind its call"),
        ((CALL, HELLO, RESULT), "a result is not directly behind its call"),
        ((CALL, RESULT, CALL), "a call stands twice"),
        ((CALL, RESULT, RESULT), "a call has two results"),
    ],
)
def test_a_rule_that_is_broken_is_told(items, rule):
    """Each of our own rules, without which a wire's would not hold."""
    assert rule in broken_rules(items)


def test_a_call_without_a_result_is_broken_once_nothing_runs():
    """While it runs, our codecs leave it out, or say that the result is not known."""
    assert broken_rules((CALL,), are_calls_over=True) == ["a call has no result, and nothing runs"]
