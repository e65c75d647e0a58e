"""Piper keeps what every text-to-speech provider promises."""

from contextlib import asynccontextmanager

from beluga_voice.testing.conformance import check_text_to_speech
from providers.piper.hand_built_piper import build
from providers.piper.piper_stage import VOICE, Interpreted, piper
from providers.worker_stage import stage


def test_it_keeps_its_promises(tmp_path):
    """Every check applies but that of words, to a real process with a voice that spells."""
    build(tmp_path, VOICE)
    provider = piper(tmp_path, pause_milliseconds=0)

    @asynccontextmanager
    async def make(peer):
        yield Interpreted(provider, drop_after_ms=peer.faults.drop_after_audio_ms)

    with stage(provider) as run:
        report = check_text_to_speech(make, run=run)
    assert report.not_applicable == {"WORDS_AFTER_AUDIO": "has_word_times"}
