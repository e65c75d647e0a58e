"""Which tool calls run, and that each ends once."""

from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.engine.tools import Call, Tools
from beluga_voice.events import ToolCallId

ONE = ToolCallId("one")


def test_a_call_runs_until_it_is_answered():
    """A call is known with its name and its beginning, and its answer ends it."""
    tools = Tools()
    assert tools.ask(ONE, "look", 3.5)
    assert tools.running == (ONE,)
    ended = tools.finish(ONE)
    assert ended is not None
    assert (ended.name, ended.began, ended.machine.state) == ("look", 3.5, Call.ANSWERED)
    assert tools.running == ()


def test_a_call_of_an_id_that_was_used_is_refused():
    """The same id twice is one call, for as long as the link lasts; another has its own."""
    tools = Tools()
    assert tools.ask(ONE, "look", 0)
    assert not tools.ask(ONE, "other", 1)
    ended = tools.finish(ONE)
    assert ended is not None
    assert ended.name == "look"
    assert not tools.ask(ONE, "other", 2)
    tools.another_link()
    assert tools.ask(ONE, "other", 3)


def test_the_result_of_a_withdrawn_call_is_late():
    """A result that comes after the withdrawal was not waited for."""
    tools = Tools()
    tools.ask(ONE, "look", 0)
    withdrawn = tools.withdraw(ONE)
    assert withdrawn is not None
    assert withdrawn.machine.state is Call.WITHDRAWN
    assert tools.withdraw(ONE) is None
    late = tools.finish(ONE)
    assert late is not None
    assert late.is_late
    assert tools.finish(ONE) is None


@given(st.lists(st.tuples(st.sampled_from(["ask", "finish", "withdraw"]), st.integers(1, 4))))
def test_every_call_ends_exactly_once(operations):
    """Whatever comes in whatever order, a call that was asked for ends once and others not."""
    tools = Tools()
    running = {}
    withdrawn, asked = set(), set()
    for operation, number in operations:
        call_id = ToolCallId(str(number))
        if operation == "ask":
            assert tools.ask(call_id, f"tool {number}", 0) == (call_id not in asked)
            if call_id not in asked:
                running[call_id] = None
            asked.add(call_id)
        else:
            is_running = call_id in running
            if operation == "finish":
                ended = tools.finish(call_id)
                assert (ended is not None) == (is_running or call_id in withdrawn)
                assert ended is None or ended.is_late is not is_running
                if not is_running:
                    withdrawn.discard(call_id)
            else:
                assert (tools.withdraw(call_id) is not None) == is_running
                if is_running:
                    withdrawn.add(call_id)
            running.pop(call_id, None)
        assert tools.running == tuple(running)
