"""A history that is made shorter in mid-call: a summary takes the place of its oldest part."""

import asyncio

import pytest

from beluga_voice.events import (
    AnswerTool,
    CondenseHistory,
    Interrupt,
    Message,
    ResponseStarted,
    Role,
    SendText,
    ToolCalled,
    ToolCallId,
    ToolResult,
    ToolUse,
)
from beluga_voice.interfaces import AgentTurn, S2sOptions
from beluga_voice.providers.s2s.conversation import WITHDRAWN
from cascade.test_cascade import run, stand

SUMMARY = Message(role=Role.SYSTEM, text="in short")


def user(text):
    return Message(role=Role.USER, text=text)


def agent(text):
    return Message(role=Role.AGENT, text=text)


def used(name, output="found"):
    """A call, and its result."""
    call_id = ToolCallId(name)
    return [
        ToolUse(call_id=call_id, name="find", arguments="{}"),
        ToolResult(call_id=call_id, output=output, is_error=output == WITHDRAWN),
    ]


def condensed(items, keep):
    """What is left of that, and what an agent is told next."""
    told = []

    async def listener(turn: AgentTurn) -> str:
        told.append(list(turn.history))
        return "well"

    async def scene():
        async with stand(listener, options=S2sOptions(history=tuple(items))) as at:
            at.send(CondenseHistory(summary="in short", keep=keep))
            left = at.link.history
            at.send(SendText(text="next"))
            await asyncio.sleep(1)
            return left

    left = run(scene)
    assert told == [[*left, user("next")]]
    return left


TALK = [user("one"), agent("two"), user("three"), agent("four")]


@pytest.mark.parametrize("keep", [0, 1, 2, 4, 9])
def test_the_last_items_are_kept_behind_the_summary(keep):
    """So many as were asked for, or all there are; the summary is a note before them."""
    assert condensed([user("zero"), agent("zero"), *TALK], keep)[0] == SUMMARY
    left = condensed(TALK, keep)
    assert left == [SUMMARY, *TALK[max(0, 4 - keep) :]]


@pytest.mark.parametrize("keep", [2, 3])
def test_a_call_stays_with_its_result(keep):
    """Where the line falls between the two, both stay."""
    items = [user("one"), *used("a"), user("two")]
    assert condensed(items, keep) == [SUMMARY, *items[1:]]


def test_that_a_call_was_withdrawn_is_not_counted():
    """The session knows only of the call: what it counts is kept, and what was noted here too."""
    items = [user("one"), agent("two"), user("three"), *used("a", WITHDRAWN), user("four")]
    assert condensed(items, 3) == [SUMMARY, *items[2:]]


def test_a_call_without_a_result_gets_one():
    """What a lost link left unanswered is told as withdrawn, and counted once."""
    use, gone = used("a", WITHDRAWN)
    assert condensed([user("one"), use, user("two")], 2) == [SUMMARY, use, gone, user("two")]


def test_a_call_that_runs_stays():
    """Its result finds it, however much is summarised meanwhile."""
    known = []

    async def looks(turn: AgentTurn) -> str:
        found = await turn.call_tool("find", "{}")
        known.extend(turn.history)
        return found

    async def scene():
        async with stand(looks, options=S2sOptions(history=tuple(TALK))) as at:
            at.utter("look")
            await asyncio.sleep(1)
            (called,) = at.of(ToolCalled)
            at.send(CondenseHistory(summary="in short", keep=0))
            at.send(AnswerTool(call_id=called.call_id, output="found"))
            await asyncio.sleep(1)
            return called, at.link.history, at.spoken()

    called, history, spoken = run(scene)
    use = ToolUse(call_id=called.call_id, name="find", arguments="{}")
    assert known == [SUMMARY, use, ToolResult(call_id=called.call_id, output="found")]
    assert history == [*known, agent("found")]
    assert spoken == "found"


@pytest.mark.parametrize("keep", [0, 2])
def test_a_response_that_is_spoken_meanwhile_can_still_be_interrupted(keep):
    """What was heard of it is told where it stands, if it was not summarised."""

    async def speaks(text: str) -> str:
        return "one two three"

    async def scene():
        async with stand(speaks, options=S2sOptions(history=tuple(TALK))) as at:
            at.utter("go")
            await asyncio.sleep(0.3)
            (started,) = at.of(ResponseStarted)
            at.send(CondenseHistory(summary="in short", keep=keep))
            before = at.link.history
            at.send(
                Interrupt(response_id=started.response_id, heard_samples=100, heard_text="one two")
            )
            return before, at.link.history

    before, after = run(scene)
    cut = Message(role=Role.AGENT, text="one two", is_cut=True)
    assert before == [SUMMARY, *[user("go"), agent("one two three")][2 - keep :]]
    assert after == [SUMMARY, *[user("go"), cut][2 - keep :]]


def test_a_response_without_words_yet_is_counted():
    """The session counts it from its beginning on; what was said before it stays as it was."""

    async def thinks(text: str) -> str:
        await asyncio.sleep(1)
        return "well"

    async def scene():
        async with stand(thinks, options=S2sOptions(history=tuple(TALK))) as at:
            at.utter("go")
            await asyncio.sleep(0.5)
            at.send(CondenseHistory(summary="in short", keep=2))
            during = at.link.history
            await asyncio.sleep(1)
            at.send(CondenseHistory(summary="shorter", keep=2))
            return during, at.link.history

    shorter = Message(role=Role.SYSTEM, text="shorter")
    assert run(scene) == ([SUMMARY, user("go")], [shorter, user("go"), agent("well")])


def test_a_newer_summary_takes_the_place_of_the_older():
    """It was told that one with the rest."""

    async def nobody(text: str) -> str:
        return ""

    async def scene():
        async with stand(nobody, options=S2sOptions(history=tuple(TALK))) as at:
            at.send(CondenseHistory(summary="in short", keep=3))
            at.send(CondenseHistory(summary="shorter", keep=1))
            return at.link.history

    assert run(scene) == [Message(role=Role.SYSTEM, text="shorter"), TALK[-1]]
