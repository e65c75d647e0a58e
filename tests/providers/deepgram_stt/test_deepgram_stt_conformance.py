"""Deepgram's recognisers keep what every speech-to-text provider promises."""

from contextlib import asynccontextmanager

import pytest

from beluga_voice.testing.conformance import Rule, check_speech_to_text
from beluga_voice.testing.emulators.deepgram import DeepgramEmulator
from beluga_voice.testing.emulators.speech import Pace
from beluga_voice.testing.loop import running_simulation
from beluga_voice.testing.network import Conditions
from providers.deepgram_stt.deepgram_stage import FLUX, HOST, NOVA, PORT, listener


@pytest.mark.parametrize("model", [NOVA, FLUX, "flux-general-multi", "nova-2"])
def test_it_keeps_its_promises(model):
    """Every check applies."""

    @asynccontextmanager
    async def make(peer):
        async with DeepgramEmulator(pace=peer.pace, faults=[peer.faults]).serving(HOST, PORT):
            yield listener(model)

    report = check_speech_to_text(make)
    assert report.not_applicable == {}


@pytest.mark.parametrize("model", [NOVA, FLUX])
def test_it_keeps_its_promises_about_words_from_afar(model):
    """With latency and jitter, and transcripts that take their time."""

    @asynccontextmanager
    async def make(peer):
        running_simulation().network.set_conditions(Conditions(latency_ms=80, jitter_ms=40))
        pace = Pace(transcript_ms=200)
        async with DeepgramEmulator(pace=pace, faults=[peer.faults]).serving(HOST, PORT):
            yield listener(model)

    rules = (Rule.FINISH_IS_ANSWERED, Rule.DROP_IS_FORGOTTEN, Rule.INTERIM_IS_WHOLE)
    report = check_speech_to_text(make, only=rules)
    assert len(report.kept) == 4
