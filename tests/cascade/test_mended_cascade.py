"""What the cascade tells its agent, and agents that do not stop: each was wrong once."""

import asyncio

import pytest

from beluga_voice.events import (
    AnswerTool,
    CreateResponse,
    Interrupt,
    LinkClosed,
    Message,
    ResponseDone,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    Role,
    SendText,
    ToolCalled,
    ToolResult,
    ToolUse,
)
from beluga_voice.interfaces import AgentTurn, S2sOptions
from beluga_voice.providers.s2s.conversation import HISTORY_LIMIT
from cascade.test_cascade import run, stand


def noted(number):
    """A message of the person's that wants no answer."""
    return SendText(text=f"note {number}", respond=False)


@pytest.mark.parametrize("remembered", [0, HISTORY_LIMIT])
def test_an_agent_is_told_the_newest_400_things(remembered):
    """The oldest are forgotten, also those that a link was opened with, and the order is kept."""
    histories = []

    async def agent(turn: AgentTurn) -> str:
        histories.append(turn.history)
        return "well"

    items = tuple(Message(role=Role.AGENT, text=f"old {number}") for number in range(remembered))

    async def scene():
        async with stand(agent, options=S2sOptions(history=items)) as at:
            for count in (HISTORY_LIMIT - 1, 1, 1):
                for number in range(count):
                    at.send(noted(number))
                at.send(CreateResponse())
                await asyncio.sleep(1)

    run(scene)
    assert HISTORY_LIMIT == 400
    lengths = [len(one) for one in histories]
    assert lengths == [HISTORY_LIMIT - (not remembered), HISTORY_LIMIT, HISTORY_LIMIT]
    notes = [f"note {number}" for number in range(HISTORY_LIMIT - 1)]
    last = [one.text for one in histories[-1]]
    assert last == [*notes[3:], "well", "note 0", "well", "note 0"]


def test_the_result_of_a_tool_stands_next_to_its_call():
    """Whatever is said while tools run comes after them, and each result follows its own call."""
    histories = []

    async def agent(turn: AgentTurn) -> str:
        if turn.text == "go":
            async with asyncio.TaskGroup() as tasks:
                for name in ("first", "second"):
                    tasks.create_task(turn.call_tool(name, "{}"))
        histories.append(turn.history)
        return "done"

    async def scene():
        async with stand(agent) as at:
            at.utter("go")
            await asyncio.sleep(1)
            at.send(noted(1))
            first, second = (one.call_id for one in at.of(ToolCalled))
            at.send(AnswerTool(call_id=second, output="two"), noted(2))
            at.send(AnswerTool(call_id=first, output="one"))
            await asyncio.sleep(1)
            return first, second

    first, second = run(scene)
    assert histories == [
        [
            Message(role=Role.USER, text="go"),
            ToolUse(call_id=first, name="first", arguments="{}"),
            ToolResult(call_id=first, output="one"),
            ToolUse(call_id=second, name="second", arguments="{}"),
            ToolResult(call_id=second, output="two"),
            Message(role=Role.USER, text="note 1"),
            Message(role=Role.USER, text="note 2"),
        ]
    ]


@pytest.mark.parametrize("ends", ["interrupted", "closed"])
def test_an_agent_that_swallows_its_cancellation_is_not_heard_again(ends):
    """After its response is done no event of it comes, and closing waits only until it returns."""

    async def agent(text: str):
        yield "one two. "
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(0.3)
        for _ in range(3):
            yield "and another thing. "
            await asyncio.sleep(100)

    async def scene():
        async with stand(agent) as at:
            at.utter("go")
            await asyncio.sleep(1)
            if ends == "interrupted":
                (started,) = at.of(ResponseStarted)
                at.send(
                    Interrupt(response_id=started.response_id, heard_samples=4800, heard_text="one")
                )
                await asyncio.sleep(1)
        return at, asyncio.get_running_loop().time()

    at, over = run(scene)
    assert over == (2 if ends == "interrupted" else 1.3)
    planned = [one.delta for one in at.of(ResponseText) if one.end is None]
    assert planned == ["one two. "]
    assert at.spoken() == "one two."
    assert at.tts.links[0].texts == ["one two."]
    (done,) = at.of(ResponseDone)
    cut = ResponseStatus.CANCELLED if ends == "interrupted" else ResponseStatus.FAILED
    assert done.status is cut
    assert [type(one) for one in at.events[-2:]] == [ResponseDone, LinkClosed]
    heard = "one" if ends == "interrupted" else "one two. "
    assert at.link.history[-1].text == heard
