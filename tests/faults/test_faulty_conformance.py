"""A provider with faults that break no promise keeps all the rules that providers keep."""

from contextlib import asynccontextmanager

import pytest

from beluga_voice.testing.conformance import (
    check_speech_to_speech,
    check_speech_to_text,
    check_text_to_speech,
)
from beluga_voice.testing.faults import UP, Delay, Faulty, Jitter, Slicer
from conformance.parts import good_stt, good_tts, making
from scenarios.cascade_row import cascade
from scenarios.rows import openai_realtime

FAULTS = {
    "none": (),
    "late": (Delay(ms=40), Delay(ms=40, direction=UP)),
    "uneven": (Jitter(ms=60), Jitter(ms=60, direction=UP)),
    "in slices": (Slicer(smallest=50, largest=300),),
}


def faulty(make, name):
    """A maker of what another maker makes, with those faults."""

    @asynccontextmanager
    async def making_faulty(peer):
        async with make(peer) as one:
            yield Faulty(one, *FAULTS[name], seed=1)

    return making_faulty


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_recogniser_keeps_the_rules(name):
    """Late and uneven is not wrong."""
    assert check_speech_to_text(faulty(making(good_stt), name)) == check_speech_to_text(
        making(good_stt)
    )


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_voice_keeps_the_rules(name):
    """Late and uneven is not wrong."""
    assert check_text_to_speech(faulty(making(good_tts), name)) == check_text_to_speech(
        making(good_tts)
    )


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("make", [cascade, openai_realtime])
def test_a_faulty_service_keeps_the_rules(name, make):
    """Late and uneven is not wrong."""
    report = check_speech_to_speech(faulty(make, name))
    assert len(report.kept) > 20
