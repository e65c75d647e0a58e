"""Recognisers and voices keep the rules, and who breaks one is found out."""

from contextlib import asynccontextmanager

import pytest

from beluga_voice.testing.conformance import (
    ConformanceFailure,
    Rule,
    check_speech_to_text,
    check_text_to_speech,
)
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts
from conformance.parts import BROKEN_STT, BROKEN_TTS, good_stt, good_tts, making


def test_a_recogniser_keeps_the_rules():
    """One that reads test speech passes, with words as they come."""
    report = check_speech_to_text(making(good_stt))
    assert "INTERIM_IS_WHOLE" in report.kept
    assert report.not_applicable == {}


def test_a_recogniser_without_interim_words_is_not_asked_for_them():
    """What does not apply is told with the capability that it needs."""
    report = check_speech_to_text(making(lambda peer: ScriptedStt(delay_ms=50)))
    assert report.not_applicable == {"INTERIM_IS_WHOLE": "has_interim_transcripts"}


def test_a_voice_keeps_the_rules():
    """One that speaks test speech passes, with the times of words."""
    report = check_text_to_speech(making(good_tts))
    assert "WORDS_AFTER_AUDIO" in report.kept
    assert report.not_applicable == {}


@pytest.mark.parametrize(("rule", "kind"), BROKEN_STT)
def test_a_broken_recogniser_is_found_out(rule, kind):
    """One fault, and the suite names the rule."""
    with pytest.raises(ConformanceFailure) as failure:
        check_speech_to_text(making(good_stt, kind))
    assert failure.value.rule is rule


@pytest.mark.parametrize(("rule", "kind"), BROKEN_TTS)
def test_a_broken_voice_is_found_out(rule, kind):
    """One fault, and the suite names the rule."""
    with pytest.raises(ConformanceFailure) as failure:
        check_text_to_speech(making(good_tts, kind))
    assert failure.value.rule is rule


@pytest.mark.parametrize(
    ("check", "provider"),
    [(check_speech_to_text, ScriptedStt), (check_text_to_speech, ScriptedTts)],
)
def test_the_scripted_parts_go_without_a_word(check, provider):
    """They are known not to say that their link is over when it is left; else they would pass."""

    @asynccontextmanager
    async def make(peer):
        yield provider()

    with pytest.raises(ConformanceFailure) as failure:
        check(make)
    assert failure.value.rule is Rule.LINK_CLOSED_LAST
