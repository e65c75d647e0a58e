"""Every error of every map comes from the emulated service, and arrives as the map says."""

import asyncio

import pytest

from beluga_voice.events import ErrorCategory, LinkClosed, ResponseAudio, ServiceFailed
from beluga_voice.testing.conformance.conversation import Stage
from beluga_voice.testing.conformance.report import Rule
from beluga_voice.testing.emulators.speech import Pace, Speaks
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.speech import words_in
from emulators.error_maps import EACH, unmatched
from emulators.six import SIX, WITH_TOOLS, Plan

SWALLOWED = {"grok", "openai_realtime"}
"""Whose benign errors are nobody's business: they answer orders of ours that came too late."""


@pytest.mark.parametrize(("name", "row"), EACH, ids=[f"{name}: {row.name}" for name, row in EACH])
def test_an_error_arrives_as_the_map_says(name, row):
    """With its category; and where it is not the end, the conversation goes on."""

    def brain(asked):
        return Speaks("still here" if "again" in asked.text else "one two three four five six")

    async def scene():
        serve = (WITH_TOOLS if row.needs_backend else SIX)[name]
        async with serve(Plan(brain=brain, pace=Pace(word_ms=200), faults=[row.faults])) as served:
            on = Stage(None, Rule.ERRORS_COME_THROUGH, served.provider.capabilities.turn_owners[0])
            async with on.talking(served.provider) as talk:
                await talk.say("hello")
                await asyncio.sleep(4)
                if not row.is_end:
                    await talk.say("again")
                    await asyncio.sleep(3)
                return list(talk.record.events)

    events = simulate(scene)
    failed = [one for one in events if isinstance(one, ServiceFailed)]
    is_told = row.category is not None and not (
        row.category is ErrorCategory.BENIGN and name in SWALLOWED
    )
    assert [one.category for one in failed] == ([row.category] if is_told else [])
    assert [one.is_fatal for one in failed] == ([row.is_end] if is_told else [])
    if row.is_end:
        assert isinstance(events[-1], LinkClosed)
    else:
        sound = b"".join(one.pcm for one in events if isinstance(one, ResponseAudio))
        assert words_in(sound)[-2:] == ["still", "here"]


def test_every_alternative_of_every_pattern_is_tried():
    """A pattern that nobody has an example of would be tried by nobody."""
    assert unmatched() == []
