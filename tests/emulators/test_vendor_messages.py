"""Each message of both sides is held against the vendor's types, and a wrong one is found out."""

import asyncio
import copy

import pytest

from beluga_voice.events import AnswerTool, ToolCalled
from beluga_voice.interfaces import S2sOptions
from beluga_voice.testing.conformance.conversation import Stage
from beluga_voice.testing.conformance.report import Rule
from beluga_voice.testing.conformance.s2s_talk import TOOL
from beluga_voice.testing.emulators.speech import Asked, Calls, Pace, Speaks
from beluga_voice.testing.emulators.witness import Seen, Side, witnessed
from beluga_voice.testing.loop import simulate
from emulators.six import WITH_TOOLS, Plan
from emulators.vendors import VENDORS, Inspector


def brain(asked: Asked):
    """A tool, what it gave, and something long to interrupt."""
    if asked.results:
        return Speaks(asked.results[-1].output)
    if "look" in asked.text:
        return Calls("look", '{"at":"moon"}')
    return Speaks("fine" if "stop" in asked.text else "one two three four five six seven eight")


def conversation(name):
    """All that both sides say in a talk with a tool and an interruption, and what they kept."""
    seen: list[Seen] = []

    async def scene():
        async with WITH_TOOLS[name](Plan(brain=brain, pace=Pace(word_ms=200))) as served:
            owner = served.provider.capabilities.turn_owners[0]
            on = Stage(None, Rule.TURNS, owner)
            options = S2sOptions(turn_owner=owner, tools=(TOOL,), instructions="Be brief.")
            async with on.talking(served.provider, options) as talk:
                await talk.say("look there")
                await talk.until(lambda: talk.record.of(ToolCalled), "a call")
                call_id = talk.record.of(ToolCalled)[0].call_id
                talk.send(AnswerTool(call_id=call_id, output="cheese"))
                await talk.hears("cheese")
                await talk.say("count")
                heard = await talk.begun(words=3)
                if owner != "duplex":
                    talk.interrupt(heard.id, "one two")
                await talk.say("stop it now")
                await talk.hears("fine")
            await asyncio.sleep(1)
            return served.sessions[0]

    with witnessed(seen.append):
        session = simulate(scene)
    return seen, session


def wrong_ones(message, path=()):
    """The message, with one of its values after the other of a type that it never has."""
    place = message
    for key in path:
        place = place[key]
    if isinstance(place, dict) and place:
        for key in place:
            yield from wrong_ones(message, (*path, key))
    elif isinstance(place, list) and place:
        yield from wrong_ones(message, (*path, 0))
    else:
        changed = copy.deepcopy(message)
        owner = changed
        for key in path[:-1]:
            owner = owner[key]
        owner[path[-1]] = [{"wrong": [None]}]
        yield changed


def kind_of(seen):
    """What tells the messages of a service apart."""
    return seen.side, seen.message.get("type") or tuple(sorted(seen.message))


@pytest.mark.parametrize("name", VENDORS)
def test_each_message_is_looked_at(name):
    """Whatever an emulated service sent or took was shown, in order, and nothing of it is wrong."""
    seen, session = conversation(name)
    inspector = Inspector()
    for one in seen:
        inspector.look(one)
    assert inspector.wrong == []
    assert [one.message for one in seen if one.side is Side.SERVICE] == session.sent
    assert [one.message for one in seen if one.side is Side.CLIENT] == session.received


@pytest.mark.parametrize("name", VENDORS)
def test_a_wrong_message_is_found_out(name):
    """No kind of message is let pass whatever is in it, and none that is of no kind."""
    seen, _ = conversation(name)
    for one in {kind_of(one): one for one in seen}.values():
        found = []
        for wrong in wrong_ones(one.message):
            inspector = Inspector()
            inspector.look(Seen(one.service, one.side, wrong))
            found.append(bool(inspector.wrong))
        assert any(found), one
    for side in Side:
        inspector = Inspector()
        inspector.look(Seen(name, side, {"type": "nonsense", "nonsense": {}}))
        assert inspector.wrong, side
