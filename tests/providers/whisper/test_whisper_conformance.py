"""Whisper keeps what every speech-to-text provider promises."""

from contextlib import asynccontextmanager

from beluga_voice.testing.conformance import check_speech_to_text
from providers.whisper.hand_built_whisper import build
from providers.whisper.whisper_stage import Interpreted, whisper
from providers.worker_stage import stage


def test_it_keeps_its_promises(tmp_path):
    """Every check applies, to a real process with a model that understands tones."""
    provider = whisper(build(tmp_path / "model"))

    @asynccontextmanager
    async def make(peer):
        yield Interpreted(provider, drop_after_ms=peer.faults.drop_after_audio_ms)

    with stage(provider) as run:
        report = check_speech_to_text(make, run=run)
    assert report.not_applicable == {}
    assert "INTERIM_IS_WHOLE" in report.kept
