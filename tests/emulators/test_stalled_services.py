"""A service that stalls is silent for as long as its connection stays, whatever is said to it."""

import asyncio

import pytest

from beluga_voice.events import LinkClosed, ResponseAudio
from beluga_voice.testing.conformance.conversation import Stage
from beluga_voice.testing.conformance.report import Rule
from beluga_voice.testing.emulators.speech import Faults, Pace, Speaks
from beluga_voice.testing.loop import simulate
from emulators.six import SIX, Plan

LONG = "one two three four five six seven eight nine ten"


@pytest.mark.parametrize(
    "faults",
    [Faults(stall_after_audio_ms=400), Faults(stall_after_audio_ms=400, expire_after_ms=5000)],
    ids=["stall", "stall and expiry"],
)
@pytest.mark.parametrize("name", SIX)
def test_a_stall_lasts_for_the_connection(name, faults):
    """Neither what the person says later nor the end of the session's time brings it back."""

    async def scene():
        plan = Plan(brain=lambda _: Speaks(LONG), pace=Pace(word_ms=200), faults=[faults])
        async with SIX[name](plan) as served:
            owner = served.provider.capabilities.turn_owners[0]
            stage = Stage(None, Rule.TURNS, owner)
            async with stage.talking(served.provider) as talk:
                await talk.say("hello there")
                await asyncio.sleep(3)
                events = list(talk.record.events)
                for _ in range(2):
                    await talk.say("are you there")
                    await asyncio.sleep(2)
                later = talk.record.events[len(events) :]
        return events, later

    events, later = simulate(scene)
    assert any(isinstance(one, ResponseAudio) for one in events)
    assert not [one for one in later if isinstance(one, ResponseAudio | LinkClosed)]
