"""Tests of an agent in simulated time: to the millisecond, to the word, in a fraction of a second.

./dev test examples/simulated_test.py
"""

import asyncio

from beluga_voice import VoiceSession
from beluga_voice.events import BargedIn, Message, Role, TurnMeasured
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad
from beluga_voice.testing.trace import Trace
from examples.first_agent import answer


def call(caller: ScriptedCaller, trace: Trace) -> VoiceSession:
    """A session of the agent under test, with services that are exact."""
    return VoiceSession(
        stt=ScriptedStt(delay_ms=50),
        agent=answer,
        tts=ScriptedTts(delay_ms=30),
        vad=ScriptedVad(),
        line=caller,
        observers=[trace],
    )


def test_the_caller_hears_the_answer_680_ms_after_the_last_word() -> None:
    """An answer takes the end silence and what the services take, and nothing else."""

    async def scene() -> None:
        caller, trace = ScriptedCaller(), Trace()
        async with call(caller, trace) as session, caller.on(session):
            await caller.say("good evening")
            await asyncio.sleep(5)
        assert caller.heard == "You said: good evening. I have nothing to add to that."
        (measured,) = trace.of(TurnMeasured)
        assert measured.total_ms == 600 + 50 + 30

    simulate(scene)


def test_a_caller_who_interrupts_is_listened_to() -> None:
    """The agent falls silent, and remembers only what it was heard saying."""

    async def scene() -> None:
        caller, trace = ScriptedCaller(), Trace()
        async with call(caller, trace) as session, caller.on(session):
            await caller.say("good evening")
            await asyncio.sleep(1.2)
            await caller.say("stop that")
            await asyncio.sleep(0.5)
            heard = caller.heard
            said = [item for item in session.history if isinstance(item, Message)]
        assert len(trace.of(BargedIn)) == 1
        assert heard == "You said: good evening."
        assert said[1] == Message(role=Role.AGENT, text=heard, is_cut=True)

    simulate(scene)
