"""An hour for every recogniser, at once and as it is spoken, and an hour of text for every voice.

It is also what shows that nothing on the way looks at all of it again and again: then it would take
minutes, as it once did.
"""

import asyncio

import pytest

from beluga_voice.audio.formats import pcm16
from beluga_voice.events import FinishUtterance, SendAudio, ServiceFailed, Transcript, UtteranceId
from beluga_voice.interfaces import SttOptions
from beluga_voice.services.speech_to_text import stt
from beluga_voice.services.text_to_speech import tts
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.speech import pcm_of, silence, speech, words_in
from silent.silent_rows import STT, TTS

HOUR_MS = 3_600_000
STRETCHES = 6
TEXTS = ("one two", "three four", "five six", "seven eight", "nine ten", "eleven twelve")
SENTENCE = "one two three four five six seven eight nine ten. "
SENTENCES = 1800
"""As many of those as take an hour, at a fifth of a second for each word."""


def spread(texts, milliseconds, rate):
    """Words over so much sound: the first at its beginning, the last at its end."""
    words = [pcm_of(speech(text, rate=rate)) for text in texts]
    spoken_ms = sum(len(one) // 2 for one in words) * 1000 / rate
    return silence((milliseconds - spoken_ms) / (len(texts) - 1), rate=rate).join(words)


@pytest.mark.parametrize("name", STT)
def test_an_hour_is_transcribed_to_the_last_word(name):
    """In one stream, and in files of the size that is taken, nothing gets lost."""

    async def scene():
        async with STT[name](None) as provider:
            rate = provider.capabilities.input_formats[0].rate
            return await stt(provider).transcribe(spread(TEXTS[:3], HOUR_MS, rate), rate=rate)

    found = simulate(scene)
    assert found.duration_ms == HOUR_MS
    assert found.text == "one two three four five six"


@pytest.mark.parametrize("name", STT)
def test_an_hour_of_utterances_on_one_link_is_understood(name):
    """Spoken in the time it takes, every ten minutes an utterance that lasted so long."""

    async def scene():
        async with STT[name](None) as provider:
            rate = provider.capabilities.input_formats[0].rate
            events = []
            async with provider.connect(SttOptions()) as link:
                link.attach(events.append)
                for text in TEXTS:
                    pcm = spread(text.split(), HOUR_MS / STRETCHES, rate)
                    for at in range(0, len(pcm), 2 * rate):
                        link.send(SendAudio(pcm=pcm[at : at + 2 * rate]))
                        await asyncio.sleep(1)
                    link.send(FinishUtterance(utterance_id=UtteranceId(text)))
                await asyncio.sleep(30)
            return events

    events = simulate(scene)
    assert [one for one in events if isinstance(one, ServiceFailed)] == []
    finals = [one for one in events if isinstance(one, Transcript) and one.is_final]
    assert [(one.utterance_id, one.text) for one in finals] == [(text, text) for text in TEXTS]


@pytest.mark.parametrize("name", TTS)
def test_an_hour_of_text_is_spoken_to_its_last_word(name):
    """All at once, whatever the service takes in one piece; at 8 kHz where it has that."""

    async def scene():
        async with TTS[name](None) as provider:
            telephone = pcm16(8000)
            is_taken = telephone in provider.capabilities.output_formats
            handle = tts(provider, output_format=telephone if is_taken else None)
            return await handle.synthesize(SENTENCE * SENTENCES)

    spoken = simulate(scene)
    assert spoken.duration_ms == HOUR_MS
    assert words_in(spoken.audio) == SENTENCE.split() * SENTENCES
