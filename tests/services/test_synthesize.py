"""Text in, speech out, on every text-to-speech service."""

import asyncio

import pytest

from beluga_voice import tts
from beluga_voice.audio.file_kind import FileKind
from beluga_voice.audio.files import read_sound, write_sound
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.audio.g711 import mulaw_encode
from beluga_voice.errors import ConfigurationError, LinkLost, Misuse, Silent, Unsupported
from beluga_voice.events import (
    CancelSpeech,
    FinishSpeech,
    LinkClosed,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
)
from beluga_voice.interfaces import Capabilities, TtsOptions
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedProvider, ScriptedTts
from beluga_voice.testing.speech import words_in

PLAIN = Capabilities()
MULAW = AudioFormat(Encoding.MULAW, 8000, 1)


def test_a_text_is_spoken():
    """The sound holds the words, and where each of them is."""

    async def scene():
        service = tts(ScriptedTts(delay_ms=30), wants_words=True)
        return await service.synthesize("hello big world")

    speech = simulate(scene)
    assert words_in(speech.audio) == ["hello", "big", "world"]
    assert (speech.rate, speech.duration_ms, speech.first_audio_ms) == (24000, 600, 30)
    assert [(word.text, word.start) for word in speech.words] == [
        ("hello", 0),
        ("big", 4800),
        ("world", 9600),
    ]


def test_a_text_that_comes_in_pieces_is_spoken_as_it_comes():
    """The first sound does not wait for the last piece."""

    async def pieces():
        yield "first "
        await asyncio.sleep(2)
        yield "second"

    async def scene():
        loop = asyncio.get_running_loop()
        at = {}
        async for piece in tts(ScriptedTts()).stream(pieces()):
            if isinstance(piece, SpeechWords):
                at |= {word.text: loop.time() for word in piece.words}
        return at

    assert simulate(scene) == {"first": 0.0, "second": 2.0}


def test_a_text_that_fails_is_raised_as_it_failed():
    """An exception of the source of text comes out, and stops the speech."""

    async def pieces():
        yield "first "
        raise KeyError("lost")

    async def script(link):
        await link.expect(SpeakText)
        await link.expect(CancelSpeech)

    async def scene():
        provider = ScriptedProvider(script, capabilities=PLAIN)
        try:
            await tts(provider).synthesize(pieces())
        finally:
            provider.finish()

    with pytest.raises(KeyError):
        simulate(scene)


def test_leaving_stops_the_speech():
    """Who stops listening stops the service."""

    async def script(link):
        asked = await link.expect(SpeakText)
        await link.expect(FinishSpeech)
        link.emit(SpeechAudio(context_id=asked.context_id, pcm=bytes(480)))
        await link.expect(CancelSpeech, context_id=asked.context_id)

    async def scene():
        provider = ScriptedProvider(script, capabilities=PLAIN)
        pieces = tts(provider).stream("hello")
        async for _ in pieces:
            break
        await pieces.aclose()
        provider.finish()

    simulate(scene)


@pytest.mark.parametrize(
    ("events", "error", "problem"),
    [
        ([LinkClosed(is_clean=False, reason="gone")], LinkLost, "gone"),
        (["done"], Silent, "without a sound"),
        ([], Silent, "nothing for 3 s"),
    ],
    ids=["lost", "no sound", "nothing"],
)
def test_a_failing_voice_is_an_error(events, error, problem):
    """A lost link, an end without sound and plain silence are each named, in time."""

    async def script(link):
        asked = await link.expect(SpeakText)
        await link.expect(FinishSpeech)
        for event in events:
            link.emit(SpeechDone(context_id=asked.context_id) if event == "done" else event)
        link.commands.clear()

    async def scene():
        provider = ScriptedProvider(script, capabilities=PLAIN)
        await tts(provider).synthesize("hello", quiet_seconds=3)

    with pytest.raises(error, match=problem):
        simulate(scene)


def test_another_encoding_comes_out_as_pcm():
    """A service that speaks µ-law is heard as 16-bit PCM."""

    async def script(link):
        asked = await link.expect(SpeakText)
        await link.expect(FinishSpeech)
        sound = mulaw_encode(b"\x00\x10" * 800)
        link.emit(
            SpeechAudio(context_id=asked.context_id, pcm=sound),
            SpeechDone(context_id=asked.context_id),
        )

    async def scene():
        provider = ScriptedProvider(script, capabilities=Capabilities(output_formats=(MULAW,)))
        return await tts(provider).synthesize("hello")

    speech = simulate(scene)
    assert (speech.rate, len(speech.audio), speech.duration_ms) == (8000, 1600, 100)


@pytest.mark.parametrize(
    ("encoding", "silence"), [(Encoding.MULAW, b"\xff"), (Encoding.ALAW, b"\xd5")]
)
def test_silence_as_a_telephone_has_it_is_none_of_a_voice(encoding, silence):
    """A service that sends nothing but silence in a telephone's format is silent."""

    async def script(link):
        asked = await link.expect(SpeakText)
        await link.expect(FinishSpeech)
        link.emit(
            SpeechAudio(context_id=asked.context_id, pcm=silence * 800),
            SpeechDone(context_id=asked.context_id),
        )

    async def scene():
        phone = AudioFormat(encoding, 8000, 1)
        provider = ScriptedProvider(script, capabilities=Capabilities(output_formats=(phone,)))
        await tts(provider).synthesize("hello")

    with pytest.raises(Silent, match="without a sound"):
        simulate(scene)


def test_the_format_on_the_way_may_be_chosen():
    """It is one that the service has; the sound is 16-bit PCM at its rate, ready for a file."""

    async def script(link):
        asked = await link.expect(SpeakText)
        await link.expect(FinishSpeech)
        sound = mulaw_encode(b"\x00\x10" * 800)
        link.emit(
            SpeechAudio(context_id=asked.context_id, pcm=sound),
            SpeechDone(context_id=asked.context_id),
        )

    async def scene():
        able = Capabilities(output_formats=(pcm16(24000), MULAW))
        provider = ScriptedProvider(script, capabilities=able)
        return await tts(provider, output_format=MULAW).synthesize("hello")

    speech = simulate(scene)
    assert (speech.rate, speech.sound.format, speech.sound.data) == (
        8000,
        pcm16(8000),
        speech.audio,
    )
    assert read_sound(write_sound(speech.sound, FileKind.OPUS)).format == pcm16(8000)
    with pytest.raises(Unsupported, match="output_formats"):
        tts(ScriptedProvider(capabilities=PLAIN), output_format=MULAW)


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_no_text_is_refused(text):
    """Nothing to say is an error of the caller, before anything is connected."""

    async def scene():
        await tts(ScriptedProvider(capabilities=PLAIN)).synthesize(text)

    with pytest.raises(Misuse, match="no text"):
        simulate(scene)


@pytest.mark.parametrize(
    ("wanted", "capability"),
    [
        ({"stability": 0.5}, "stability"),
        ({"is_ssml": True}, "is_ssml"),
        ({"speed": 1.5}, "speed"),
        ({"wants_words": True}, "has_word_times"),
    ],
)
def test_what_cannot_be_honoured_is_refused(wanted, capability):
    """A handle is not even made with settings that its service does not have."""
    with pytest.raises(Unsupported, match=capability):
        tts(ScriptedProvider(capabilities=PLAIN), **wanted)


@pytest.mark.parametrize("wrong", [{"speed": 0}, {"pitch": -1}, {"stability": 2}])
def test_settings_have_ranges(wrong):
    """What makes no sense for any voice is refused where it is written."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        TtsOptions(**wrong)


def test_the_embedded_voice_speaks():
    """The embedded voice gives sound with a time for each word, faster at a higher speed."""

    async def scene():
        slow = await tts("espeak", wants_words=True).synthesize("The quick brown fox.")
        fast = await tts("espeak", speed=1.5).synthesize("The quick brown fox.")
        return slow, fast

    slow, fast = asyncio.run(scene())
    assert len(slow.words) == 4
    assert max(slow.audio) > 0
    assert fast.duration_ms < slow.duration_ms


def test_the_embedded_voices_are_listed():
    """There is one for each language, under the name that `voice` takes."""

    async def scene():
        service = tts("espeak")
        voices = await service.voices()
        spoken = await tts("espeak", voice="de").synthesize("Guten Tag")
        return voices, spoken

    voices, spoken = asyncio.run(scene())
    assert {"de", "fr", "en-us"} <= {voice.id for voice in voices}
    assert spoken.duration_ms > 300


def test_voices_that_are_not_listed_are_told():
    """A service without a list says so."""

    async def scene():
        await tts(ScriptedTts()).voices()

    with pytest.raises(Unsupported, match="does not list"):
        simulate(scene)
