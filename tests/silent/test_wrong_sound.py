"""Sound and text that are not what they should be, given to the handles of every service."""

import asyncio
import struct

import numpy as np
import pytest

from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.audio.g711 import mulaw_encode
from beluga_voice.audio.wav import Sound, read_wav
from beluga_voice.errors import Misuse, Unsupported, WrongFormat
from beluga_voice.events import FinishUtterance, SendAudio, ServiceFailed, Transcript, UtteranceId
from beluga_voice.interfaces import SttOptions
from beluga_voice.services.speech_to_text import stt
from beluga_voice.services.text_to_speech import tts
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.speech import pcm_of, silence, speech, words_in
from silent.silent_rows import STT, TTS

TEXT = "one two three"
WORDS = {*TEXT.split(), "…"}
"""What can be understood of it; the last is sound that is no word."""


def rate_of(provider):
    return provider.capabilities.input_formats[0].rate


def transcribed(row, make, *, rate=None):
    """A recording, which is made for the rate of the service, through its handle."""

    async def scene():
        async with row(None) as provider:
            own = rate_of(provider)
            return await stt(provider).transcribe(make(own), rate=rate or own)

    return simulate(scene)


# ── what is no recording ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("pcm", "problem"),
    [
        (b"", "there is no sound: give speech"),
        (b"\0", "1 bytes end inside a 16-bit sample; give whole samples"),
        (pcm_of(speech(TEXT))[:-1], "end inside a 16-bit sample; give whole samples"),
    ],
)
@pytest.mark.parametrize("name", STT)
def test_what_is_no_sound_is_refused(name, pcm, problem):
    """The service is not even asked."""
    with pytest.raises(WrongFormat, match=problem):
        transcribed(STT[name], lambda _: pcm)


@pytest.mark.parametrize("name", STT)
def test_sound_without_words_is_transcribed_as_nothing(name):
    """A single sample, a moment of silence, and a long silence: nobody waits for words of it."""
    for make in (
        lambda _: b"\1\0",
        lambda rate: silence(20, rate=rate),
        lambda rate: silence(5000, rate=rate),
    ):
        assert transcribed(STT[name], make).text.strip("…") == ""


# ── what is labelled wrongly ────────────────────────────────────────────────────────────────


def twice_too_fast(rate):
    """Sound at half the rate that it is said to have."""
    return pcm_of(speech(TEXT, rate=rate // 2))


def two_channels(rate):
    """Two channels that are said to be one."""
    left = np.frombuffer(pcm_of(speech(TEXT, rate=rate)), "<i2")
    return np.column_stack((left, left)).tobytes()


def mu_law(rate):
    """One byte for each sample, where there should be two."""
    return mulaw_encode(pcm_of(speech(TEXT, rate=rate)))


def noise(rate):
    """All that a sample can be."""
    return np.random.default_rng(7).integers(-32768, 32767, rate, "<i2").tobytes()


@pytest.mark.parametrize("make", [twice_too_fast, two_channels, mu_law, noise])
@pytest.mark.parametrize("name", STT)
def test_sound_that_is_labelled_wrongly_is_answered(name, make):
    """Nobody can know: it is as long as its label says, and what is understood is the answer."""
    found = transcribed(STT[name], make)
    expected = len(make(16_000)) / 2 / 16_000 * 1000
    assert found.duration_ms == expected
    assert set(found.text.split()) <= WORDS


@pytest.mark.parametrize("name", STT)
def test_what_a_file_says_of_itself_is_obeyed(name):
    """Two channels, if they say so, are one to the service."""

    def stereo(rate):
        return Sound(format=AudioFormat(Encoding.PCM16, rate, 2), data=two_channels(rate))

    assert transcribed(STT[name], stereo).text == TEXT


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        (b"fmt " + struct.pack("<IHHIIHH", 16, 1, 0, 16_000, 0, 0, 16), b"\0" * 32),
        (b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 0, 0, 2, 16), b"\0" * 32),
        (b"fmt " + struct.pack("<IHHIIHH", 16, 0x55, 1, 16_000, 0, 1, 0), b"\xff" * 32),
        (b"", b"\0" * 32),
    ],
    ids=["no channels", "no rate", "MP3", "no format"],
)
def test_a_file_that_is_broken_is_refused(shape, data):
    """A WAV file of no channels, of no rate, of MP3 or without a format is none."""
    body = b"WAVE" + shape + b"data" + struct.pack("<I", len(data)) + data
    with pytest.raises(WrongFormat):
        read_wav(b"RIFF" + struct.pack("<I", len(body)) + body)


@pytest.mark.parametrize("size", [1, 333, 100_000])
@pytest.mark.parametrize("name", STT)
def test_sound_is_taken_in_pieces_of_any_size(name, size):
    """Pieces that end inside samples, pieces of a byte, empty ones, and all of it at once."""

    async def scene():
        async with STT[name](None) as provider:
            rate = rate_of(provider)
            pcm = pcm_of(speech(TEXT, rate=rate))
            events = []
            async with provider.connect(SttOptions()) as link:
                link.attach(events.append)
                for at in range(0, len(pcm), size):
                    link.send(SendAudio(pcm=pcm[at : at + size]))
                    link.send(SendAudio(pcm=b""))
                link.send(FinishUtterance(utterance_id=UtteranceId("all")))
                await asyncio.sleep(5)
            return events

    events = simulate(scene)
    assert [one for one in events if isinstance(one, ServiceFailed)] == []
    finals = [one.text for one in events if isinstance(one, Transcript) and one.is_final]
    assert finals == [TEXT]


@pytest.mark.parametrize("name", [one for one in STT if one != "cartesia turns"])
def test_noise_is_no_failure_of_the_service(name):
    """Half a minute of noise, to which it says nothing, and then words: they are understood.

    Where Cartesia finds the turns, it cannot be asked whether it is there.
    """

    def noisy(rate):
        return b"\x00\x10\x00\xf0" * (rate // 2 * 30) + pcm_of(speech(TEXT, rate=rate))

    assert transcribed(STT[name], noisy).text.split()[-3:] == TEXT.split()


# ── text ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", ["", "  \n\t "])
@pytest.mark.parametrize("name", TTS)
def test_text_without_a_word_is_refused(name, text):
    """The service is not even asked."""

    async def scene():
        async with TTS[name](None) as provider:
            await tts(provider).synthesize(text)

    with pytest.raises(Misuse, match="no text to speak"):
        simulate(scene)


MANY = " ".join(["one", "two", "three", "four"] * 1000)
SOME = " ".join(["one", "two", "three", "four"] * 50)
TEXTS = {
    "a character that is none": ("one \ud800 two.", 3),
    "control characters": ("one\0 two\x1b three.", 3),
    "markup": ("one <break time='1s'/> & two.", 5),
    "one sentence of 19,000 characters": (f"{MANY}.", 4000),
    "a sentence for each word": (SOME.replace(" ", ". ") + ".", 200),
}


@pytest.mark.parametrize("case", TEXTS)
@pytest.mark.parametrize("name", TTS)
def test_any_text_is_spoken_to_its_end(name, case):
    """As many words sound as there are in the text, of whatever it is made."""
    text, count = TEXTS[case]

    async def scene():
        async with TTS[name](None) as provider:
            return await tts(provider).synthesize(text)

    assert len(words_in(simulate(scene).audio)) == count


@pytest.mark.parametrize("name", TTS)
def test_text_in_tiny_pieces_is_spoken_as_one(name):
    """Pieces of a letter, and empty ones, are the words that they are of."""

    async def letters():
        for letter in "one two three.":
            yield letter
            yield ""

    async def scene():
        async with TTS[name](None) as provider:
            return await tts(provider).synthesize(letters())

    assert words_in(simulate(scene).audio) == ["one", "two", "three."]


PHONES = [AudioFormat(encoding, 8000, 1) for encoding in (Encoding.MULAW, Encoding.ALAW)]


@pytest.mark.parametrize("phone", PHONES, ids=lambda one: str(one.encoding))
@pytest.mark.parametrize("name", TTS)
def test_sound_as_a_telephone_has_it_comes_as_pcm(name, phone):
    """A service that is asked for 8-bit telephone sound gives 16-bit PCM all the same.

    One that does not have it refuses before it is asked to speak.
    """

    async def scene(shape):
        async with TTS[name](None) as provider:
            if shape not in provider.capabilities.output_formats:
                with pytest.raises(Unsupported, match="output_formats"):
                    tts(provider, output_format=shape)
                return None
            return (await tts(provider, output_format=shape).synthesize(TEXT)).sound

    spoken, plain = simulate(lambda: scene(phone)), simulate(lambda: scene(pcm16(8000)))
    if spoken is not None:
        on_the_way = convert(plain.data, plain.format, phone)
        assert spoken.format == pcm16(8000)
        assert spoken.data == convert(on_the_way, phone, pcm16(8000))


@pytest.mark.parametrize("phone", PHONES, ids=lambda one: str(one.encoding))
@pytest.mark.parametrize("name", STT)
def test_a_recording_is_sent_as_a_telephone_has_it(name, phone):
    """In 8-bit telephone sound, where the service takes that; its words are none any more there."""

    async def scene():
        async with STT[name](None) as provider:
            if phone not in provider.capabilities.input_formats:
                with pytest.raises(Unsupported, match="input_formats"):
                    stt(provider, input_format=phone)
                return None
            recording = pcm_of(speech(TEXT, rate=16_000))
            return await stt(provider, input_format=phone).transcribe(recording, rate=16_000)

    found = simulate(scene)
    if found is not None:
        assert (found.rate, found.duration_ms) == (8000, 600)
        assert found.text.strip("…") == ""
