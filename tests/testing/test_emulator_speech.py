"""What emulated services share: ears, a brain and faults."""

import pytest

from beluga_voice.events import ToolCallId, ToolResult
from beluga_voice.testing.emulators.speech import (
    NO_FAULTS,
    UNINTELLIGIBLE,
    Asked,
    Calls,
    Faults,
    HearingVad,
    Speaks,
    VoiceBegan,
    VoiceEnded,
    answer,
    echo,
    faults_of,
    transcript_of,
    voice,
)
from beluga_voice.testing.speech import pcm_of, silence, speech

RATE = 16000
SOUND = silence(100) + pcm_of(speech("one two")) + silence(600) + pcm_of(speech("three"))


def ms(samples):
    return samples * 1000 / RATE


@pytest.mark.parametrize("chunk", [2, 640, 642, 5000, len(SOUND)])
def test_a_voice_is_heard_where_it_is_whatever_the_chunks(chunk):
    """Where it begins and ends depends on the sound, not on how it is cut."""
    vad = HearingVad(rate=RATE, silence_ms=500)
    changes = []
    for start in range(0, len(SOUND), chunk):
        changes += vad.hear(SOUND[start : start + chunk])
    assert changes == [
        VoiceBegan(RATE // 10),
        VoiceEnded(RATE // 2, RATE),
        VoiceBegan(RATE * 11 // 10),
    ]
    assert ms(vad.position) == 1300
    assert vad.is_voice


def test_a_short_pause_is_part_of_the_voice():
    """A silence that is shorter than asked for ends nothing."""
    vad = HearingVad(rate=RATE, silence_ms=700)
    assert vad.hear(SOUND) == [VoiceBegan(RATE // 10)]


def test_a_forgotten_voice_is_heard_anew():
    """After a reset the voice that goes on begins again, and positions go on."""
    vad = HearingVad(rate=RATE)
    vad.hear(silence(100) + pcm_of(speech("one")))
    vad.reset()
    assert vad.hear(pcm_of(speech("two"))) == [VoiceBegan(RATE * 3 // 10)]


@pytest.mark.parametrize(
    ("pcm", "text"),
    [
        (SOUND, "one two three"),
        (b"\x00\x10" * 800, UNINTELLIGIBLE),
        (silence(100), ""),
        (b"", ""),
    ],
)
def test_sound_is_written_down(pcm, text):
    """Test words are read, other sound is unintelligible, and silence is nothing."""
    assert transcript_of(pcm, 16000) == text


def test_a_voice_carries_its_words():
    """What is spoken at any rate can be read back."""
    assert transcript_of(pcm_of(voice("guten Tag", rate=24000)), 24000) == "guten Tag"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked(text="hi"), "hi"),
        (Asked(), "hello"),
        (Asked(text="hi", instructions="Read:\n<text>Good day.</text>"), "Good day."),
        (Asked(text="hi", results=(ToolResult(call_id=ToolCallId("a"), output="7"),)), "7"),
    ],
)
def test_the_echo_says_what_it_heard(asked, said):
    """It repeats words, results, and what it is told to read."""
    assert answer(echo, asked) == [Speaks(said)]


def test_a_brain_may_do_several_things():
    """One deed or several: they are done in order."""
    deeds = [Speaks("one moment"), Calls("weather")]
    assert answer(lambda asked: deeds, Asked()) == deeds


def test_faults_belong_to_connections():
    """The first connection has the first faults, and later ones have none."""
    faults = [Faults(is_mute=True)]
    assert faults_of(faults, 0).is_mute
    assert faults_of(faults, 1) == NO_FAULTS
