"""What may not be interrupted outlives a voice over the words before it, wherever it is."""

import asyncio

import pytest

from beluga_voice.engine.interruptions import InterruptionPolicy
from beluga_voice.events import Occasion, ResponseOutcome
from beluga_voice.testing.caller import ScriptedCaller
from session.stage import play, stage


async def at(milliseconds: float):
    """Wait until so long after the beginning."""
    await asyncio.sleep(max(0.0, milliseconds / 1000 - asyncio.get_running_loop().time()))


@pytest.mark.parametrize("begins", [420, 440, 460, 480])
def test_a_notice_that_lies_ahead_on_the_line_outlives_an_interruption(begins):
    """Its first 100 ms were handed over, and none had sounded, when the voice was noticed."""
    policy = InterruptionPolicy(resumes=False)

    async def scene():
        caller = ScriptedCaller(lead_ms=100)
        async with stage(caller=caller, interruptions=policy) as on:
            on.session.say("welcome to the bank")  # sounds from 30 to 830
            notice = on.session.say("this call is recorded", occasion=Occasion.NOTICE)
            await at(begins)
            await on.caller.say("hello i have a question")
            await at(9000)
            return notice.outcome, "this call is recorded" in on.caller.heard

    assert play(scene) == (ResponseOutcome.HEARD, True)
