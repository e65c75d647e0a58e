"""When twice as many call as there is room for, those who are in a call notice nothing."""

import asyncio

import pytest

from beluga_voice import VoiceSession
from beluga_voice.errors import Overloaded
from beluga_voice.resilience.fallback import Fallback
from beluga_voice.resilience.limited import Limited
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad

ROOM = 5
QUESTIONS = ("what time is it", "and where are we", "is that so")


async def agent(text: str) -> str:
    """Say it back."""
    return f"you said {text}"


def session_over(ears, voice, line):
    """A call over the parts that all share."""
    return VoiceSession(
        stt=ears, agent=agent, tts=voice, vad=ScriptedVad(), line=line, ready_words=None
    )


async def talk(ears, voice):
    """What somebody in a call hears, and when."""
    caller = ScriptedCaller()
    async with session_over(ears, voice, caller) as session, caller.on(session):
        for question in QUESTIONS:
            await caller.say(question)
            await asyncio.sleep(3)
        return caller.heard, caller.sounds_ms


async def is_refused(ears, voice):
    """One call too many, which is told so once it has tried for as long as a lost one would."""
    began = asyncio.get_running_loop().time()
    with pytest.raises(Overloaded):
        async with session_over(ears, voice, ScriptedCaller()):
            pass
    return round(asyncio.get_running_loop().time() - began, 3)


def load(*, too_many):
    """What those in a call hear while so many others try to get in, and how long these wait."""

    async def scene():
        ears = Limited(ScriptedStt(delay_ms=50), limit=ROOM)
        first, second = ScriptedTts(delay_ms=30), ScriptedTts(delay_ms=40)
        second.name = "second"
        voice = Fallback(first, second)
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(talk(ears, voice)) for _ in range(ROOM)]
            await asyncio.sleep(0.5)
            refused = []
            for _ in range(too_many):
                refused.append(group.create_task(is_refused(ears, voice)))
                await asyncio.sleep(0.4)
        return [one.result() for one in calls], [one.result() for one in refused]

    return simulate(scene)


def test_nobody_in_a_call_notices_who_is_refused():
    """They hear the same at the same millisecond, whether or not others try to get in."""
    alone, _ = load(too_many=0)
    crowded, waits = load(too_many=2 * ROOM)
    assert crowded == alone
    assert [heard for heard, _ in alone] == [
        " ".join(f"you said {one}" for one in QUESTIONS)
    ] * ROOM
    assert waits == [3.1] * 2 * ROOM
