"""What the agent is asked to answer: the person's words since it had the floor, and no others."""

import asyncio

from beluga_voice.events import (
    AgentResponseResumed,
    CreateResponse,
    Disregard,
    EndUserTurn,
    InputTranscript,
    Message,
    Role,
    SeedHistory,
    SendAudio,
    SendText,
    StartUserTurn,
    UtteranceId,
)
from beluga_voice.interfaces import AgentTurn, S2sOptions
from beluga_voice.testing.speech import pcm_of, speech
from cascade.test_cascade import run, stand
from session.stage import LONG, play, stage


def in_words(history):
    return [f"{one.role}: {one.text}" for one in history]


def listening(asked):
    """An agent that keeps what it was asked, and what it was told."""

    async def agent(turn: AgentTurn) -> str:
        asked.append((turn.text, in_words(turn.history)))
        return "well"

    return agent


def aside(at, text):
    """Say something that wants no answer yet."""
    at.send(StartUserTurn(), SendAudio(pcm=pcm_of(speech(text))), EndUserTurn(respond=False))


def test_words_that_are_to_be_disregarded_are_not_answered_later():
    """They stay in the history, and the next question is asked alone."""
    asked = []

    async def scene():
        async with stand(listening(asked)) as at:
            at.utter("hello")
            await asyncio.sleep(1)
            aside(at, "mm-hm")
            await asyncio.sleep(1)
            heard = at.of(InputTranscript)[-1]
            at.send(Disregard(utterance_id=heard.utterance_id))
            at.send(Disregard(utterance_id=UtteranceId("unknown")))
            at.utter("what now")
            await asyncio.sleep(1)

    run(scene)
    text, told = asked[-1]
    assert text == "what now"
    assert told == ["user: hello", "agent: well", "user: mm-hm", "user: what now"]


def test_words_that_nobody_disregards_are_answered_with_the_next():
    """What is said twice is one question."""
    asked = []

    async def scene():
        async with stand(listening(asked)) as at:
            aside(at, "the table")
            await asyncio.sleep(1)
            at.utter("for two")
            await asyncio.sleep(1)

    run(scene)
    assert [text for text, _ in asked] == ["the table for two"]


def test_a_backchannel_over_the_agent_is_no_part_of_the_next_question():
    """The agent goes on after "mm-hm", and is asked what was said after that."""
    asked = []

    async def agent(turn: AgentTurn) -> str:
        asked.append(turn.text)
        return LONG

    async def scene():
        async with stage(agent) as on:
            await on.caller.say("hello")
            await asyncio.sleep(2.0 - asyncio.get_running_loop().time())
            await on.caller.say("mm-hm right")
            await asyncio.sleep(4)
            await on.caller.say("what now")
            await asyncio.sleep(2)
            return len(on.trace.of(AgentResponseResumed)), on.user_words()

    resumed, user = play(scene)
    assert resumed == 1
    assert user == ["hello", "mm-hm right", "what now"]
    assert asked == ["hello", "what now"]


# ── after a lost link ───────────────────────────────────────────────────────────────────────

HELLO = Message(role=Role.USER, text="hello")
CUT = Message(role=Role.AGENT, text="one two", is_cut=True)


def seeded(*before, told=(CUT,)):
    """A link that was opened with a question is told late what was heard of the answer."""
    asked = []

    async def scene():
        async with stand(listening(asked), options=S2sOptions(history=(HELLO,))) as at:
            for text in before:
                aside(at, text)
                await asyncio.sleep(1)
            at.send(SeedHistory(items=told), CreateResponse())
            await asyncio.sleep(1)

    run(scene)
    return asked


def test_an_answer_that_is_told_late_stands_before_what_was_said_over_it():
    """The words that this link has heard itself came after it, and are the question."""
    assert seeded("stop", "please") == [
        ("stop please", ["user: hello", "agent: one two", "user: stop", "user: please"])
    ]


def test_an_answer_that_is_told_late_stands_after_what_it_answers():
    """What the link was opened with came before it."""
    assert seeded() == [("", ["user: hello", "agent: one two"])]


def test_what_both_said_is_told_in_its_order():
    """A part of a conversation comes after all that is known."""
    told = (CUT, Message(role=Role.USER, text="and then"))
    assert seeded("stop", told=told) == [
        ("and then", ["user: hello", "user: stop", "agent: one two", "user: and then"])
    ]


def test_typed_words_are_said_after_an_answer_that_is_told_late():
    """They were typed on this link, as spoken ones are spoken on it."""
    asked = []

    async def scene():
        async with stand(listening(asked), options=S2sOptions(history=(HELLO,))) as at:
            at.send(SendText(text="stop", respond=False))
            at.send(SeedHistory(items=(CUT,)), CreateResponse())
            await asyncio.sleep(1)

    run(scene)
    assert asked == [("stop", ["user: hello", "agent: one two", "user: stop"])]
