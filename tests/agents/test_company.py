"""An agent that keeps the person company while it works, in simulated time."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from beluga_voice.agents.company import Accompanied
from beluga_voice.app import VoiceSession
from beluga_voice.errors import ConfigurationError
from beluga_voice.events import AgentResponseEnded, ErrorOccurred, ResponseOutcome
from beluga_voice.interfaces import AgentTurn
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad
from beluga_voice.testing.trace import Trace


def call(agent, *, tools=(), seconds=30.0, stops_at=None):
    """Ask something, and listen. Gives what sounded when since, and what was told."""

    async def scene():
        caller, trace = ScriptedCaller(), Trace()
        session = VoiceSession(
            stt=ScriptedStt(delay_ms=50),
            agent=agent,
            tts=ScriptedTts(delay_ms=30),
            vad=ScriptedVad(),
            line=caller,
            tools=tools,
            observers=[trace],
        )
        async with session, caller.on(session):
            await caller.say("where is it")
            asked = running_simulation().time_ms()
            if stops_at is not None:
                await asyncio.sleep(stops_at)
                caller.press_stop()
            await asyncio.sleep(seconds)
            sounds = [(start - asked, end - asked) for start, end in caller.sounds_ms]
        return sounds, trace

    return simulate(scene)


def heard(trace):
    return [one.heard_text for one in trace.of(AgentResponseEnded)]


async def look() -> str:
    """Look for it."""
    await asyncio.sleep(11)
    return "here"


async def finder(turn: AgentTurn) -> AsyncIterator[str]:
    """Say that it looks, look, and say what it found."""
    yield "Let me look. "
    found = await turn.call_tool("look", "{}")
    yield f"It is {found}."


def test_speech_goes_on_while_a_tool_runs():
    """Words before a tool sound while it runs, and words meanwhile fill what is left of it.

    The person stops at 0, is answered from 680 ms for 600 ms, and the tool runs from 650 to
    11650 ms. "Let me look." is taken for 780 ms of sound, and 2.5 s later comes the first filler.
    """
    agent = Accompanied(finder, words=["One moment.", "Still looking."])
    sounds, trace = call(agent, tools=[look])
    assert heard(trace) == ["Let me look. One moment. Still looking. Still looking. It is here."]
    assert trace.of(ErrorOccurred) == []
    assert sounds == [
        (680, 1280),
        (3960, 4360),
        (7175, 7575),
        (10585, 10985),
        (11680, 12280),
    ]


async def slow(text: str) -> str:
    """Take long, with nothing to be seen of it from outside."""
    await asyncio.sleep(8)
    return "Here."


def test_an_agent_that_is_silent_from_the_start_is_spoken_for():
    """It is neither asked a second time nor given up, since something is heard of it."""
    sounds, trace = call(Accompanied(slow, quiet_ms=2000))
    assert heard(trace) == ["One moment, please. I am still looking. Here."]
    assert trace.of(ErrorOccurred) == []
    assert sounds[0][0] == 2680


def test_a_quick_agent_is_left_alone():
    """Words that come in time are all there is."""

    async def quick(text: str) -> AsyncIterator[str]:
        for word in ("It ", "", "is ", "here."):
            await asyncio.sleep(1)
            yield word

    _, trace = call(Accompanied(quick))
    assert heard(trace) == ["It is here."]


@pytest.mark.parametrize(
    ("first", "text"),
    [
        ("The order num", "The order number."),
        ("Yes, ", "Yes, ber."),
        ("Yes.", "Yes. Hm. Hm. ber."),
        ("He said: “Yes!”", "He said: “Yes!” Hm. ber."),
        ("Well\n", "Well\nHm. Hm. ber."),
    ],
)
def test_nothing_is_said_in_the_middle_of_a_sentence(first, text):
    """A sentence that waits for its end is not torn apart."""

    async def stuck(_: str) -> AsyncIterator[str]:
        yield first
        await asyncio.sleep(6)
        yield "ber."

    async def scene():
        pieces = Accompanied(stuck, words=["Hm."]).respond(Turn())
        return "".join([piece async for piece in pieces])

    assert simulate(scene) == text


class Turn:
    """What an agent is given."""

    text = "words"
    history = ()
    instructions = ""
    tools = ()

    async def call_tool(self, name, arguments, /):
        raise AssertionError


def test_an_interruption_stops_the_agent_at_once():
    """The agent is cancelled where it waits, and nothing is said for it any more."""
    ended: list[float] = []

    async def endless(text: str) -> str:
        try:
            await asyncio.sleep(1e6)
        finally:
            ended.append(running_simulation().time_ms())
        return ""

    asked = 580.0
    sounds, trace = call(Accompanied(endless, quiet_ms=2000), stops_at=3.0, seconds=20)
    (response,) = trace.of(AgentResponseEnded)
    assert (response.outcome, response.heard_text) == (ResponseOutcome.CUT, "One")
    assert ended == [asked + 3000]
    assert sounds == [(2680, 3000)]


def test_an_agent_that_fails_fails_its_response():
    """What it raises comes out as without company."""

    async def fails(text: str) -> str:
        await asyncio.sleep(3)
        raise KeyError

    _, trace = call(Accompanied(fails))
    error, *_ = trace.of(ErrorOccurred)
    assert error.message == "the agent failed: KeyError"


def test_an_agent_that_is_cancelled_from_inside_fails_its_response():
    """It is not waited for, though it never ended in order."""

    async def gives_up(text: str) -> str:
        raise asyncio.CancelledError

    _, trace = call(Accompanied(gives_up))
    error, *_ = trace.of(ErrorOccurred)
    assert error.message == "the agent was cancelled from inside"


def test_what_the_agent_brings_along_is_handed_on():
    """Likely phrases and tools of an agent are those of the accompanied one."""

    class Clerk:
        phrases = ("where is it",)
        tools = (look,)

        async def respond(self, turn: AgentTurn, /) -> AsyncIterator[str]:
            yield "Here."

    clerk = Accompanied(Clerk())
    assert (clerk.phrases, clerk.tools) == (("where is it",), (look,))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"words": []}, "words is a list of sentences"),
        ({"words": "One moment."}, "words is a list of sentences"),
        ({"words": ["One moment.", " "]}, "words is a list of sentences"),
        ({"quiet_ms": 0}, "quiet_ms 0 should be above 0"),
    ],
)
def test_company_needs_words_and_time(settings, told):
    """What cannot work is refused at once."""
    with pytest.raises(ConfigurationError, match=told):
        Accompanied(slow, **settings)
