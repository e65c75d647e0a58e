"""Two tools are called at once, answered in either order, or withdrawn: the same on all six."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from beluga_voice.events import (
    AnswerTool,
    ResponseAudio,
    ServiceFailed,
    ToolCalled,
    ToolCallWithdrawn,
    ToolSpec,
)
from beluga_voice.interfaces import S2sOptions
from beluga_voice.testing.conformance.conversation import Stage
from beluga_voice.testing.conformance.report import Rule
from beluga_voice.testing.conformance.s2s_talk import TOOL
from beluga_voice.testing.emulators.speech import Asked, Calls, Speaks
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.speech import words_in
from emulators.six import WITH_TOOLS, Plan

LISTEN = ToolSpec(name="listen", description="Listens.", parameters=TOOL.parameters)
LOOK, HEAR = Calls("look", '{"at":"moon"}'), Calls("listen", '{"at":"sea"}')
OUTPUTS = {"look": "only cheese", "listen": "only waves"}


WITHDRAWS = {"gemini_live"}
"""Who takes back what it asked for, when the person speaks meanwhile."""


def brain(asked: Asked):
    """Calls both when asked what there is, and says what they gave."""
    if "stop" in asked.text:
        return Speaks("never mind")
    if asked.results:
        return Speaks(" and ".join(sorted(one.output for one in asked.results)))
    return [LOOK, HEAR] if "what" in asked.text else Speaks(asked.text or "well")


@asynccontextmanager
async def talking(name):
    """A person, a service that calls both tools, and its side of the connection."""
    async with WITH_TOOLS[name](Plan(brain=brain)) as served:
        owner = served.provider.capabilities.turn_owners[0]
        options = S2sOptions(turn_owner=owner, tools=(TOOL, LISTEN))
        on = Stage(None, Rule.TOOLS, owner)
        async with on.talking(served.provider, options) as talk:
            await talk.say("what is there")
            await talk.until(lambda: len(talk.record.of(ToolCalled)) == 2, "both calls")
            yield talk, served.sessions[0]


def answer(talk, call):
    """Give what a tool gives."""
    talk.send(AnswerTool(call_id=call.call_id, output=OUTPUTS[call.name]))


def words(talk):
    """All that was heard."""
    return words_in(b"".join(one.pcm for one in talk.record.of(ResponseAudio)))


@pytest.mark.parametrize("is_reversed", [False, True], ids=["in order", "the other way round"])
@pytest.mark.parametrize("name", WITH_TOOLS)
def test_two_calls_at_once(name, is_reversed):
    """Both come before either is answered; what they gave is spoken of when both are there."""

    async def scene():
        async with talking(name) as (talk, _):
            called = talk.record.of(ToolCalled)
            for one in reversed(called) if is_reversed else called:
                await asyncio.sleep(0.5)
                assert not words(talk)
                answer(talk, one)
            await talk.until(lambda: len(words(talk)) >= 5, "the answer")
            await asyncio.sleep(2)
            return called, words(talk)

    called, heard = simulate(scene)
    assert [(one.name, json.loads(one.arguments)) for one in called] == [
        ("look", {"at": "moon"}),
        ("listen", {"at": "sea"}),
    ]
    assert len({one.call_id for one in called}) == 2
    assert heard == ["only", "cheese", "and", "only", "waves"]


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", WITH_TOOLS)
def test_one_is_answered_and_the_other_too_late(name, first):
    """Who speaks meanwhile is answered; a late result is spoken of, unless it was taken back."""

    async def scene():
        async with talking(name) as (talk, session):
            called = talk.record.of(ToolCalled)
            answer(talk, called[first])
            await asyncio.sleep(0.5)
            await talk.say("stop it please")
            await talk.until(lambda: "mind" in words(talk), "what is answered to that")
            await asyncio.sleep(1)
            answer(talk, called[1 - first])
            await asyncio.sleep(2)
            await talk.say("hello")
            await talk.until(lambda: words(talk)[-1:] == ["hello"], "another answer")
            return called, talk.record, words(talk), session

    called, record, heard, session = simulate(scene)
    late = called[1 - first]
    withdrawn = [one for event in record.of(ToolCallWithdrawn) for one in event.call_ids]
    assert withdrawn == ([late.call_id] if name in WITHDRAWS else [])
    assert (OUTPUTS[late.name].split()[-1] in heard) is (name not in WITHDRAWS)
    assert len(record.of(ToolCalled)) == 2
    assert not record.of(ServiceFailed)
    assert not getattr(session, "errors", [])


def test_gemini_calls_both_in_one_message():
    """As its protocol has it: a message has a list of calls."""

    async def scene():
        async with talking("gemini_live") as (_, session):
            return [one["toolCall"]["functionCalls"] for one in session.sent if "toolCall" in one]

    (calls,) = simulate(scene)
    assert [one["name"] for one in calls] == ["look", "listen"]
