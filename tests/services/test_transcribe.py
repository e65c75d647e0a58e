"""A recording in, its words out, on every speech-to-text service."""

import asyncio
from pathlib import Path

import pytest

from beluga_voice import stt
from beluga_voice.app import VoiceSession
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.audio.wav import read_wav
from beluga_voice.errors import (
    ConfigurationError,
    Denied,
    LinkLost,
    Silent,
    Unsupported,
    WrongFormat,
)
from beluga_voice.events import (
    ErrorCategory,
    FinishUtterance,
    LinkClosed,
    ServiceFailed,
    TimedWord,
    Transcript,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities, SttOptions
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.deepgram_files import KEY, DeepgramFilesEmulator
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedProvider, ScriptedStt, ScriptedTts, ScriptedVad
from beluga_voice.testing.speech import pcm_of, speech

ABLE = Capabilities(settings=frozenset({"phrases", "alternatives"}), languages=frozenset({"en"}))


def test_a_recording_is_transcribed():
    """The words of a recording are given, with how long it was and how long it took."""

    async def scene():
        service = stt(ScriptedStt(delay_ms=50))
        return await service.transcribe(pcm_of(speech("hello big world")), rate=16000)

    found = simulate(scene)
    assert (found.text, found.duration_ms) == ("hello big world", 600)
    # Its link does not tell what waits, so sound goes at four times the speed of speech.
    assert found.took_ms == 600 / 4 + 50


def test_the_format_on_the_way_may_be_chosen():
    """A recording reaches the service in a format that it has, whatever it was."""
    phone = AudioFormat(Encoding.MULAW, 8000, 1)

    async def script(link):
        command = await link.expect(FinishUtterance)
        text = f"{len(link.sound)} bytes"
        said = Transcript(text=text, is_final=True, utterance_id=command.utterance_id)
        link.emit(said)

    async def scene():
        able = Capabilities(input_formats=(pcm16(16000), phone))
        service = stt(ScriptedProvider(script, capabilities=able), input_format=phone)
        return await service.transcribe(bytes(32000), rate=16000)

    found = simulate(scene)
    assert (found.text, found.rate, found.duration_ms) == ("8000 bytes", 8000, 1000)
    with pytest.raises(Unsupported, match="input_formats"):
        stt(ScriptedStt(), input_format=phone)


def test_a_long_recording_loses_nothing():
    """An hour of words arrives whole."""
    text = " ".join(["one", "two", "three"] * 6000)

    async def scene():
        return await stt(ScriptedStt()).transcribe(pcm_of(speech(text)), rate=16000)

    found = simulate(scene)
    assert found.duration_ms == 3_600_000
    assert found.text == text


def test_what_the_service_knows_is_handed_on():
    """Words with times, confidence, language and other readings are in the result."""
    word = TimedWord(text="hi", start=0, end=1600, confidence=0.9)

    async def script(link):
        asked = await link.expect(FinishUtterance)
        link.emit(
            Transcript(text="h", is_final=False),
            Transcript(text="other", is_final=True, utterance_id=UtteranceId("another")),
            Transcript(
                text="hi",
                is_final=True,
                utterance_id=asked.utterance_id,
                words=(word,),
                confidence=0.8,
                language="en",
                alternatives=("high",),
            ),
        )

    async def scene():
        service = stt(ScriptedProvider(script, capabilities=ABLE), alternatives=2, phrases=["hi"])
        return await service.transcribe(bytes(3200))

    found = simulate(scene)
    assert (found.text, found.words, found.rate) == ("hi", (word,), 16000)
    assert (found.confidence, found.language, found.alternatives) == (0.8, "en", ("high",))


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (ServiceFailed(category=ErrorCategory.AUTH, message="no", is_fatal=True), Denied),
        (ServiceFailed(category=ErrorCategory.RETRYABLE, message="no", is_fatal=True), LinkLost),
        (LinkClosed(is_clean=True), LinkLost),
    ],
)
def test_a_failing_service_is_an_error(event, error):
    """What ends the service ends the transcription, with what it means."""

    async def script(link):
        await link.expect(FinishUtterance)
        link.emit(event)

    async def scene():
        await stt(ScriptedProvider(script, capabilities=ABLE)).transcribe(bytes(3200))

    with pytest.raises(error):
        simulate(scene)


def test_a_service_without_a_final_transcript_is_an_error_in_time():
    """Interim words alone are no answer."""

    async def script(link):
        await link.expect(FinishUtterance)
        while True:
            link.emit(Transcript(text="hi", is_final=False))
            await asyncio.sleep(1)

    async def scene():
        loop = asyncio.get_running_loop()
        service = stt(ScriptedProvider(script, capabilities=ABLE))
        try:
            await service.transcribe(bytes(32000), timeout_seconds=5)
        finally:
            assert loop.time() == 5

    with pytest.raises(Silent, match="no final transcript within 5 s"):
        simulate(scene)


@pytest.mark.parametrize("pcm", [b"", b"odd"])
def test_sound_that_is_none_is_refused(pcm):
    """Empty sound and half samples never reach the service."""

    async def scene():
        await stt(ScriptedProvider(capabilities=ABLE)).transcribe(pcm)

    with pytest.raises(WrongFormat):
        simulate(scene)


@pytest.mark.parametrize(
    ("wanted", "capability"),
    [
        ({"filters_profanity": True}, "filters_profanity"),
        ({"wants_words": True}, "wants_words"),
        ({"wants_punctuation": False}, "wants_punctuation"),
        ({"language": "xx"}, "languages"),
    ],
)
def test_what_cannot_be_honoured_is_refused(wanted, capability):
    """A handle is not even made with settings that its service does not have."""
    with pytest.raises(Unsupported, match=capability):
        stt(ScriptedProvider(capabilities=ABLE), **wanted)


def test_alternatives_have_a_range():
    """Eleven other readings are more than any service gives."""
    with pytest.raises(ConfigurationError, match="1 to 10"):
        SttOptions(alternatives=11)


def test_the_embedded_recogniser_transcribes_a_file():
    """A recording in a WAV file is understood, with a time for each word."""
    recording = read_wav(Path("examples/audio/questions.wav"))

    async def scene():
        service = stt("pocketsphinx", phrases=["what time is it"], wants_words=True)
        return await service.transcribe(recording)

    found = asyncio.run(scene())
    assert found.text.startswith("what time is it")
    assert [word.text for word in found.words] == found.text.split()
    assert all(word.start < word.end for word in found.words)


def test_a_session_takes_a_handle():
    """A handle is a provider: `VoiceSession(stt=...)` uses its settings."""

    async def echo(text: str) -> str:
        return text

    async def scene():
        caller = ScriptedCaller()
        session = VoiceSession(
            stt=stt(ScriptedStt()), tts=ScriptedTts(), agent=echo, vad=ScriptedVad(), line=caller
        )
        async with session, caller.on(session):
            await caller.say("hello there")
            await asyncio.sleep(3)
            return caller.heard

    assert simulate(scene) == "hello there"


def test_an_unhealthy_service_is_told():
    """Health says what keeps a service from being used."""

    class Refusing(ScriptedProvider):
        def connect(self, options):
            raise Denied("wrong key", op="connect")

    async def scene():
        return await stt(Refusing(capabilities=ABLE)).health()

    health = simulate(scene)
    assert not health.is_healthy
    assert isinstance(health.error, Denied)


@pytest.mark.parametrize(
    ("key", "port", "error"),
    [(KEY, 80, None), ("another", 80, Denied), (KEY, 81, LinkLost)],
)
def test_a_service_that_takes_recordings_is_asked_with_a_recording(key, port, error):
    """Nothing is connected to, so its health is that of a posted second of sound."""

    async def scene():
        async with DeepgramFilesEmulator().serving("api.example.com", 80) as service:
            endpoint = f"http://api.example.com:{port}"
            found = await stt("deepgram_files", api_key=key, endpoint=endpoint).health()
            return found, [one.file for one in service.posted]

    health, posted = simulate(scene)
    assert health.is_healthy == (error is None)
    assert isinstance(health.error, error or type(None))
    assert len(posted) == (error is None)
