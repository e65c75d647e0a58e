"""Deepgram's voices keep what every text-to-speech provider promises."""

from contextlib import asynccontextmanager

from beluga_voice.testing.conformance import Rule, check_text_to_speech
from beluga_voice.testing.emulators.deepgram import DeepgramEmulator
from beluga_voice.testing.loop import running_simulation
from beluga_voice.testing.network import Conditions
from providers.deepgram_stt.deepgram_stage import HOST, PORT, speaker


def test_it_keeps_its_promises():
    """Every check applies, but for the times of words, which the service does not have."""

    @asynccontextmanager
    async def make(peer):
        async with DeepgramEmulator(pace=peer.pace, faults=[peer.faults]).serving(HOST, PORT):
            yield speaker()

    report = check_text_to_speech(make)
    assert report.not_applicable == {"WORDS_AFTER_AUDIO": "has_word_times"}


def test_it_keeps_its_promises_about_contexts_from_afar():
    """With latency and jitter, also when contexts are cancelled."""

    @asynccontextmanager
    async def make(peer):
        running_simulation().network.set_conditions(Conditions(latency_ms=80, jitter_ms=40))
        async with DeepgramEmulator(pace=peer.pace, faults=[peer.faults]).serving(HOST, PORT):
            yield speaker()

    rules = (Rule.SPEECH_DONE_ONCE, Rule.CONTEXTS_APART, Rule.SILENT_WHEN_CANCELLED)
    report = check_text_to_speech(make, only=rules)
    assert len(report.kept) == 4
