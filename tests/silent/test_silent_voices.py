"""Voices that fail without saying so: who finds it out, and after how long.

`docs/how-to/speech-services.md` has the same as a table.
"""

import asyncio
from typing import Any

import pytest

from beluga_voice.errors import ProviderError, Silent
from beluga_voice.events import (
    ContextId,
    ErrorCategory,
    FinishSpeech,
    LinkClosed,
    ServiceFailed,
    SpeakText,
    SpeechAudio,
    SpeechDone,
)
from beluga_voice.interfaces import TtsOptions
from beluga_voice.resilience.guarded import Guarded
from beluga_voice.services.text_to_speech import tts
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.speech import pcm_of, speech
from silent.silent_rows import TTS, TtsFault

TEXT = "one two three four five six seven eight nine ten eleven twelve."
LONG = " ".join([TEXT] * 2)
RATE = 24000
SOUND = pcm_of(speech(TEXT, rate=RATE))
UNTIL_STALL = SOUND[: RATE * 2]
CONTEXT = ContextId("text")


def spoken(row, fault, *, is_guarded=False, text=TEXT):
    """The failures of a link that is given a text, by their times in ms, and all its events."""

    async def scene():
        events: list[Any] = []
        failures: list[tuple[float, ServiceFailed]] = []

        def hear(event: Any) -> None:
            events.append(event)
            if isinstance(event, ServiceFailed):
                after_ms = running_simulation().time() * 1000 - began
                failures.append((round(after_ms, 3), event))

        async with row(fault) as provider:
            made = Guarded(provider) if is_guarded else provider
            async with made.connect(TtsOptions()) as link:
                began = running_simulation().time() * 1000
                link.attach(hear)
                link.send(SpeakText(context_id=CONTEXT, text=text))
                link.send(FinishSpeech(context_id=CONTEXT))
                await asyncio.sleep(20)
        return failures, events

    return simulate(scene)


def sound_of(events):
    """All the sound that came."""
    return b"".join(one.pcm for one in events if isinstance(one, SpeechAudio))


FOUND = {
    TtsFault.NO_SOUND: {
        "deepgram": "without a sound; check the voice and the quota",
        "cartesia": "no sound for a text; check the voice and the credits",
        "elevenlabs": "without any sound; check the account, text and voice",
        "openai": "without a sound; check the voice and the quota",
    },
    TtsFault.SILENCE: dict.fromkeys(TTS, "nothing but silence; check the voice, or use another"),
    TtsFault.HEADER: {
        "deepgram": "a file instead of sound; its header was left out",
        "cartesia": "begins with a WAV header",
        "openai": "a WAV file instead of PCM; its header was left out",
    },
    TtsFault.HALF_SAMPLE: {
        "deepgram": "inside a sample",
        "cartesia": "1 bytes into a sample",
        "elevenlabs": "inside a sample",
        "openai": "inside a sample",
    },
}
"""What is told, at once, of a context that is over like any other."""
BYTES = {TtsFault.NO_SOUND: b"", TtsFault.SILENCE: bytes(len(SOUND))}


@pytest.mark.parametrize("name", TTS)
def test_a_voice_without_a_fault_is_heard_to_the_last_sample(name):
    """What the other scenes are compared with."""
    failures, events = spoken(TTS[name], None)
    assert failures == []
    assert sound_of(events) == SOUND


@pytest.mark.parametrize(
    ("fault", "name"), [(fault, name) for fault, named in FOUND.items() for name in named]
)
def test_sound_that_is_not_as_it_should_be_is_named(fault, name):
    """It is told what is wrong. Of what can be heard, not a sample is lost."""
    ((at, failed),), events = spoken(TTS[name], fault)
    assert (failed.category, failed.is_fatal, at) == (ErrorCategory.RETRYABLE, False, 0)
    assert FOUND[fault][name] in failed.message
    assert sound_of(events) == BYTES.get(fault, SOUND)
    assert SpeechDone(context_id=CONTEXT) in events


@pytest.mark.parametrize("fault", [TtsFault.NO_SOUND, TtsFault.SILENCE])
@pytest.mark.parametrize("name", TTS)
def test_a_guard_ends_a_link_that_speaks_without_a_sound(name, fault):
    """Where another service stands by, it is asked then."""
    failures, events = spoken(TTS[name], fault, is_guarded=True)
    _, (at, failed) = failures
    assert "ended its speech without a sound" in failed.message
    assert (failed.is_fatal, at) == (True, 0)
    assert isinstance(events[-1], LinkClosed)


OTHER_SOUND = {
    (TtsFault.OTHER_RATE, "deepgram"): "11025 Hz in 1 channels instead of 24000 Hz",
    (TtsFault.OTHER_RATE, "elevenlabs"): "a WAV file instead of plain sound",
    (TtsFault.OTHER_RATE, "openai"): "of 12000 Hz instead of PCM at 24000 Hz",
    (TtsFault.HEADER, "elevenlabs"): "a WAV file instead of plain sound",
}
"""What ends the link: it would sound like somebody else, or like noise."""


@pytest.mark.parametrize(("fault", "name"), OTHER_SOUND)
def test_sound_of_another_shape_is_not_played(fault, name):
    """The link ends, and the message says what came and where to look."""
    ((at, failed),), events = spoken(TTS[name], fault)
    assert (failed.category, failed.is_fatal) == (ErrorCategory.INVALID_REQUEST, True)
    assert at == 0
    assert OTHER_SOUND[fault, name] in failed.message
    assert failed.message.endswith("check the endpoint")
    assert sound_of(events) == b""


def test_sound_of_another_shape_ends_its_context_alone_where_they_are_independent():
    """Cartesia's contexts are: the others may be in order."""
    ((_, failed),), events = spoken(TTS["cartesia"], TtsFault.OTHER_RATE)
    assert not failed.is_fatal
    assert "1 channels at 11025 Hz, not samples at 24000 Hz; check the endpoint" in failed.message
    assert sound_of(events) == b""
    assert SpeechDone(context_id=CONTEXT) in events


@pytest.mark.parametrize("name", ["cartesia", "elevenlabs"])
def test_samples_of_another_rate_are_told_by_the_times_of_words(name):
    """Where a service says when words sound, too little sound for them is named, once."""
    assert spoken(TTS[name], None, text=LONG)[0] == []
    ((at, failed),), events = spoken(TTS[name], TtsFault.OWN_RATE, text=LONG)
    assert (failed.category, failed.is_fatal, at) == (ErrorCategory.RETRYABLE, False, 0)
    assert failed.message == "the sound of the service seems to have 16000 Hz, not 24000"
    assert len(sound_of(events)) == 2 * len(SOUND) * 2 // 3
    assert SpeechDone(context_id=CONTEXT) in events


QUIET = {
    "deepgram": "does not answer to what it was given to speak",
    "cartesia": "owes sound, and said nothing for 10 s",
    "elevenlabs": "gave no sound of a text within 10 s",
    "openai": "went quiet in mid-answer",
}


@pytest.mark.parametrize(("is_guarded", "after_ms"), [(False, 10_000), (True, 3_000)])
@pytest.mark.parametrize("name", TTS)
def test_a_voice_that_goes_quiet_is_found_out(name, is_guarded, after_ms):
    """After 10 s the link ends; a guard has less patience. What came before is heard."""
    ((at, failed),), events = spoken(TTS[name], TtsFault.QUIET, is_guarded=is_guarded)
    assert (failed.category, failed.is_fatal) == (ErrorCategory.TIMEOUT, True)
    assert ("no sound within 3000 ms" if is_guarded else QUIET[name]) in failed.message
    assert at == after_ms
    assert sound_of(events) == UNTIL_STALL
    assert SpeechDone(context_id=CONTEXT) not in events


@pytest.mark.parametrize("fault", [one for one in TtsFault if one is not TtsFault.OWN_RATE])
@pytest.mark.parametrize("name", TTS)
def test_a_handle_gives_the_whole_sound_or_an_error(name, fault):
    """`synthesize` never gives silence, noise, or half of a text, for success."""

    async def scene():
        async with TTS[name](fault) as provider:
            return await tts(provider).synthesize(TEXT)

    if fault in FOUND and fault not in BYTES and name in FOUND[fault]:
        assert simulate(scene).audio == SOUND
    else:
        with pytest.raises(ProviderError) as caught:
            simulate(scene)
        assert isinstance(caught.value, Silent) or fault not in BYTES
