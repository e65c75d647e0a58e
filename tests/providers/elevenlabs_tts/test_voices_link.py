"""What a link to ElevenLabs' voices makes of the service, in simulated time."""

import asyncio

import pytest

from beluga_voice import tts
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.events import (
    ErrorCategory,
    LinkClosed,
    LinkReady,
    ServiceFailed,
    SpeechAudio,
    SpeechDone,
)
from beluga_voice.interfaces import TtsOptions
from beluga_voice.services.text_to_speech import Speech
from beluga_voice.testing.emulators.elevenlabs_speech import KEY
from beluga_voice.testing.emulators.elevenlabs_tts import ElevenLabsTtsEmulator, Quirks
from beluga_voice.testing.emulators.speech import Faults, Pace
from beluga_voice.testing.loop import running_simulation
from beluga_voice.testing.speech import words_in
from providers.elevenlabs_tts.voices_stage import Booth, booth, play

LONG = "one two three four five six seven eight nine ten."


def sent_by_us(at: Booth) -> list[dict[str, object]]:
    """Our messages after the first two, which only look whether we may speak."""
    return [
        {
            name: getattr(one, name)
            for name in ("text", "flush", "close_context", "context_id")
            if getattr(one, name)
        }
        for one in at.remote.received[2:]
    ]


def test_a_text_in_pieces_is_spoken_whole() -> None:
    """A sentence is asked for when it is there; the rest when the context is finished."""

    async def scene() -> Booth:
        async with booth() as at:
            at.say("a", "Hello there. ", "How are ", "you")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    assert at.heard("a") == "Hello there. How are you"
    assert at.done == ["a"]
    assert sent_by_us(at) == [
        {"text": " ", "context_id": "c1"},
        {"text": "Hello there. ", "flush": True, "context_id": "c1"},
        {"text": "How are ", "context_id": "c1"},
        {"text": "you", "context_id": "c1"},
        {"flush": True, "context_id": "c1"},
        {"close_context": True, "context_id": "c1"},
    ]


def test_text_that_ends_no_sentence_is_spoken_after_a_pause() -> None:
    """Whoever thinks in mid-sentence is heard up to there, after `gather_seconds`."""

    async def scene() -> Booth:
        async with booth(gather_seconds=0.3) as at:
            at.speak("a", "How are ")
            await asyncio.sleep(0.2)
            at.speak("a", "you ")
            await asyncio.sleep(1)
            at.say("a", "today?")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    assert at.heard("a") == "How are you today?"
    assert [ms for ms, event in at.told if isinstance(event, SpeechAudio)] == [500, 500, 500, 1200]


def test_words_have_times_from_the_start_of_their_context() -> None:
    """Times that begin anew with every piece of sound are put one after the other."""

    async def scene() -> Booth:
        async with booth() as at:
            at.say("a", "Hello there. ", "See you.")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    assert at.words("a") == [
        ("Hello", 0, 4800),
        ("there.", 4800, 9600),
        ("See", 9600, 14400),
        ("you.", 14400, 19200),
    ]


@pytest.mark.parametrize("is_camel", [False, True])
@pytest.mark.parametrize("is_plural", [False, True])
@pytest.mark.parametrize("is_absolute", [False, True])
def test_every_spelling_is_read(is_camel: bool, is_plural: bool, is_absolute: bool) -> None:
    """Names of contexts and times have two spellings, and times may be of the whole context."""
    quirks = Quirks(is_camel=is_camel, is_plural=is_plural, is_absolute=is_absolute)

    async def scene() -> Booth:
        async with booth(ElevenLabsTtsEmulator(quirks=quirks)) as at:
            at.say("a", "Hello there. ", "See you.")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    assert at.done == ["a"]
    assert [(start, end) for _, start, end in at.words("a")] == [
        (0, 4800),
        (4800, 9600),
        (9600, 14400),
        (14400, 19200),
    ]


def test_words_wait_for_their_sound() -> None:
    """No word is told before its sound has come, in whatever pieces that is."""
    service = ElevenLabsTtsEmulator(quirks=Quirks(piece_bytes=1001))

    async def scene() -> Booth:
        async with booth(service) as at:
            at.say("a", "Hello there.")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    samples = 0
    for _, event in at.told:
        match event:
            case SpeechAudio():
                assert len(event.pcm) % 2 == 0
                samples += len(event.pcm) // 2
            case _:
                assert all(word.end <= samples for word in getattr(event, "words", ()))
    assert at.words("a") == [("Hello", 0, 4800), ("there.", 4800, 9600)]
    assert at.heard("a") == "Hello there."
    assert at.of(ServiceFailed) == []


def test_the_sixth_context_waits() -> None:
    """Five are open at once and no more; the sixth is spoken when one of them is over."""

    async def scene() -> Booth:
        service = ElevenLabsTtsEmulator(pace=Pace(thinking_ms=100, word_ms=200))
        async with booth(service) as at:
            for name in "abcde":
                at.speak(name, f"{name} one. ")
            at.say("f", "f one two.")
            await asyncio.sleep(2)
            assert at.heard("f") == ""
            at.finish("c")
            await asyncio.sleep(2)
            for name in "abde":
                at.finish(name)
            await asyncio.sleep(1)
        return at

    at = play(scene)
    assert at.remote.most_contexts == 5
    assert at.heard("f") == "f one two."
    assert at.done == ["c", "f", "a", "b", "d", "e"]
    assert [at.heard(name) for name in "abcde"] == [f"{name} one." for name in "abcde"]


def test_a_context_that_waits_can_be_cancelled() -> None:
    """It is never opened, and those behind it come in their turn."""

    async def scene() -> Booth:
        async with booth(ElevenLabsTtsEmulator(pace=Pace(word_ms=200))) as at:
            for name in "abcdefg":
                at.say(name, f"{name} one.")
            at.cancel("f")
            await asyncio.sleep(3)
        return at

    at = play(scene)
    assert at.done == ["a", "b", "c", "d", "e", "g"]
    assert "f one." not in [one["text"] for one in sent_by_us(at) if "text" in one]


def test_nothing_of_a_cancelled_context_is_heard() -> None:
    """The service goes on speaking it; what comes late is dropped, and another one is heard."""

    async def scene() -> tuple[Booth, str]:
        async with booth(ElevenLabsTtsEmulator(pace=Pace(word_ms=200))) as at:
            at.speak("a", LONG)
            await asyncio.sleep(0.5)
            at.cancel("a")
            before = at.heard("a")
            at.say("b", "four five.")
            await asyncio.sleep(3)
        return at, before

    at, before = play(scene)
    assert before == "one two three"
    assert at.heard("a") == before
    assert at.heard("b") == "four five."
    assert at.done == ["b"]
    assert {"close_context": True, "context_id": "c1"} in sent_by_us(at)
    frames = [one for one in at.remote.sent if one["context_id"] == "c1" and one.get("audio")]
    assert len(frames) == 10


def test_a_name_can_be_used_again() -> None:
    """After its end, or after it was cancelled, it is another context."""

    async def scene() -> Booth:
        async with booth(ElevenLabsTtsEmulator(pace=Pace(word_ms=200))) as at:
            at.speak("a", LONG)
            await asyncio.sleep(0.1)
            at.cancel("a")
            at.say("a", "four.")
            at.speak("a", "This is too late.")
            await asyncio.sleep(1)
            at.say("a", "five.")
            await asyncio.sleep(1)
        return at

    at = play(scene)
    assert at.heard("a") == "one four. five."
    assert at.done == ["a", "a"]
    assert at.words("a")[-1] == ("five.", 0, 4800)


def test_a_context_without_text() -> None:
    """It is over at once, and the service does not hear of it."""

    async def scene() -> Booth:
        async with booth() as at:
            at.finish("a")
            at.say("b", "")
            at.cancel("nobody")
            await asyncio.sleep(0.1)
            at.finish("c")
            at.cancel("c")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    assert [ms for ms, event in at.told if isinstance(event, SpeechDone)] == [0, 0]
    assert at.done == ["a", "b"]
    assert sent_by_us(at) == []


def test_a_quiet_conversation_is_kept_awake() -> None:
    """A connection without contexts, and a context without text, live as long as they should."""

    async def scene() -> Booth:
        async with booth(inactivity_seconds=20) as at:
            await asyncio.sleep(60)
            at.speak("a", "Hello there. ")
            await asyncio.sleep(60)
            at.say("a", "See you.")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    assert at.heard("a") == "Hello there. See you."
    assert at.done == ["a"]


def test_a_text_that_is_never_spoken_ends_the_link() -> None:
    """No sound within `quiet_seconds` of a text is a failure, and told as one."""

    async def scene() -> Booth:
        service = ElevenLabsTtsEmulator(faults=[Faults(stall_after_audio_ms=400)])
        async with booth(service, quiet_seconds=3) as at:
            at.speak("a", "Hello there. ")
            await asyncio.sleep(1)
            at.speak("a", "See you. ")
            await asyncio.sleep(9)
        return at

    at = play(scene)
    ms, failed = at.told[-2]
    assert isinstance(failed, ServiceFailed)
    assert (ms, failed.category, failed.is_fatal) == (4000, ErrorCategory.TIMEOUT, True)
    assert isinstance(at.told[-1][1], LinkClosed)


def test_a_context_that_never_ends_ends_the_link() -> None:
    """All the sound came and no end: after `quiet_seconds` that is a failure."""

    async def scene() -> Booth:
        service = ElevenLabsTtsEmulator(quirks=Quirks(never_ends=True))
        async with booth(service, quiet_seconds=3, probe_seconds=0.5) as at:
            at.say("a", "Hello there.")
            await asyncio.sleep(9)
        return at

    at = play(scene)
    assert at.heard("a") == "Hello there."
    assert at.done == []
    assert at.told[-2][0] == 3000


def test_a_pause_of_the_agent_is_no_failure() -> None:
    """Between two sentences of one context nothing has to come."""

    async def scene() -> Booth:
        async with booth(quiet_seconds=3) as at:
            at.speak("a", "Hello there. ")
            await asyncio.sleep(30)
            at.say("a", "See you.")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    assert at.done == ["a"]
    assert at.of(ServiceFailed) == []


def test_a_context_that_was_cancelled_and_never_ends_is_given_up() -> None:
    """Its place is used again after `quiet_seconds`, or nobody could speak any more."""

    async def scene() -> Booth:
        service = ElevenLabsTtsEmulator(quirks=Quirks(never_ends=True))
        async with booth(service, is_checked=False, quiet_seconds=3, probe_seconds=0.5) as at:
            for name in "abcd":
                at.speak(name, "one. ")
                at.cancel(name)
            at.say("e", "two.")
            await asyncio.sleep(2.4)
            assert at.remote.most_contexts == 5
            await asyncio.sleep(1)
        return at

    at = play(scene)
    assert at.remote.errors == ["max_active_conversations"]  # it was the emulator who still counted


def test_a_text_without_sound() -> None:
    """Success without any sound is named, and the context is over all the same."""

    async def scene() -> Booth:
        async with booth(ElevenLabsTtsEmulator(quirks=Quirks(is_soundless=True))) as at:
            at.say("a", "Hello there.")
            at.say("b", "…!")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    (failed,) = at.of(ServiceFailed)
    assert "without any sound" in failed.message
    assert not failed.is_fatal
    assert at.done == ["a", "b"]


@pytest.mark.parametrize(
    ("container", "name"), [(b"RIFF", "WAV"), (b"ID3", "MP3"), (b"OggS", "Ogg")]
)
def test_a_file_instead_of_sound(container: bytes, name: str) -> None:
    """A header in front of the sound is not played: the link ends, and says what came."""

    async def scene() -> Booth:
        async with booth(ElevenLabsTtsEmulator(quirks=Quirks(container=container))) as at:
            at.say("a", "Hello there.")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    (failed,) = at.of(ServiceFailed)
    assert name in failed.message
    assert failed.is_fatal
    assert at.of(SpeechAudio) == []


def test_sound_that_ends_inside_a_sample() -> None:
    """The half is dropped, and named."""

    async def scene() -> Booth:
        async with booth(ElevenLabsTtsEmulator(quirks=Quirks(container=b"\0"))) as at:
            at.say("a", "Hello there.")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    (failed,) = at.of(ServiceFailed)
    assert "inside a sample" in failed.message
    assert len(at.pcm("a")) == 19200


@pytest.mark.parametrize("true_rate", [16000, 48000])
def test_sound_at_another_rate(true_rate: int) -> None:
    """Sound that lasts longer or shorter than its words say has another rate, and is named."""

    async def scene() -> Booth:
        async with booth(ElevenLabsTtsEmulator(quirks=Quirks(true_rate=true_rate))) as at:
            at.say("a", f"{LONG} {LONG}")
            await asyncio.sleep(0.1)
        return at

    (failed,) = play(scene).of(ServiceFailed)
    assert f"{true_rate} Hz, not 24000" in failed.message


@pytest.mark.parametrize("encoding", [Encoding.MULAW, Encoding.ALAW])
def test_telephone_sound(encoding: Encoding) -> None:
    """It comes one byte to a sample, with times in samples."""

    async def scene() -> Booth:
        options = TtsOptions(output_format=AudioFormat(encoding, 8000))
        async with booth(options=options) as at:
            at.say("a", "Hello there.")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    assert len(at.pcm("a")) == 3200
    assert at.words("a") == [("Hello", 0, 1600), ("there.", 1600, 3200)]


def test_another_rate_that_was_asked_for() -> None:
    """Sound and times are at the rate of the link."""

    async def scene() -> Booth:
        async with booth(options=TtsOptions(output_format=pcm16(8000))) as at:
            at.say("a", "Hello there.")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    assert at.heard("a") == "Hello there."
    assert at.words("a")[-1] == ("there.", 1600, 3200)


@pytest.mark.parametrize(
    ("kind", "category"),
    [
        ("quota_exceeded", ErrorCategory.INVALID_REQUEST),
        ("max_active_conversations", ErrorCategory.RATE_LIMIT),
        ("system_busy", ErrorCategory.RETRYABLE),
        ("input_timeout_exceeded", ErrorCategory.TIMEOUT),
        ("something_new", ErrorCategory.INVALID_REQUEST),
    ],
)
def test_an_error_in_mid_conversation(kind: str, category: ErrorCategory) -> None:
    """It is named by its kind, and ends the link."""

    async def scene() -> Booth:
        service = ElevenLabsTtsEmulator(faults=[Faults(error_code=kind)])
        async with booth(service, is_checked=False) as at:
            at.say("a", "Hello there.")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    (failed,) = at.of(ServiceFailed)
    assert (failed.category, failed.provider_code, failed.is_fatal) == (category, kind, True)
    assert isinstance(at.told[-1][1], LinkClosed)


def test_a_message_that_cannot_be_read_is_skipped() -> None:
    """It is reported, and the rest is heard."""

    async def scene() -> Booth:
        service = ElevenLabsTtsEmulator(faults=[Faults(malformed_after_audio_ms=200)])
        async with booth(service) as at:
            at.say("a", "Hello there.")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    (failed,) = at.of(ServiceFailed)
    assert failed.category is ErrorCategory.BENIGN
    assert at.heard("a") == "Hello there."


def test_a_service_that_does_not_end_empty_contexts() -> None:
    """Without a sign of life the connection is taken to be ready, after `probe_seconds`."""

    async def scene() -> tuple[Booth, float]:
        service = ElevenLabsTtsEmulator(quirks=Quirks(ends_empty=False))
        async with booth(service, probe_seconds=0.4) as at:
            ready = asyncio.get_running_loop().time()
            at.say("a", "Hello there.")
            await asyncio.sleep(0.1)
        return at, ready

    at, ready = play(scene)
    assert ready == pytest.approx(0.4, abs=1e-6)
    assert at.of(LinkReady) == [LinkReady(model="eleven_flash_v2_5")]
    assert at.heard("a") == "Hello there."


def test_a_service_that_is_not_asked() -> None:
    """Without a probe the link is there at once, and what is wrong with the key is told by it."""

    async def scene(key: str) -> Booth:
        service = ElevenLabsTtsEmulator()
        async with booth(service, is_checked=False, probe_seconds=None, api_key=key) as at:
            at.say("a", "Hello there.")
            await asyncio.sleep(0.1)
        return at

    assert play(lambda: scene(KEY)).heard("a") == "Hello there."
    at = play(lambda: scene("guessed"))
    (failed,) = at.of(ServiceFailed)
    assert (failed.category, failed.is_fatal) == (ErrorCategory.AUTH, True)


def test_a_network_that_stands_still() -> None:
    """Nothing can even be sent: sound is waited for no longer than otherwise."""

    async def scene() -> Booth:
        async with booth(quiet_seconds=3) as at:
            running_simulation().network.stall()
            at.say("a", *[LONG] * 2000)
            await asyncio.sleep(5)
        return at

    at = play(scene)
    ms, failed = at.told[-2]
    assert isinstance(failed, ServiceFailed)
    assert (ms, failed.category) == (3000, ErrorCategory.TIMEOUT)


def test_a_lost_connection_is_an_event() -> None:
    """A context in mid-speech has no end, and the link says that it is over."""

    async def scene() -> Booth:
        async with booth(ElevenLabsTtsEmulator(pace=Pace(word_ms=200))) as at:
            at.say("a", LONG)
            await asyncio.sleep(0.5)
            running_simulation().network.reset()
            await asyncio.sleep(0.1)
            at.say("b", LONG)
        return at

    at = play(scene)
    assert at.done == []
    (closed,) = at.of(LinkClosed)
    assert not closed.is_clean


def test_on_real_sockets() -> None:
    """The same conversation, on this machine's own network."""

    async def scene() -> Speech:
        async with asyncio.timeout(10), ElevenLabsTtsEmulator().serving() as service:
            handle = tts("elevenlabs", api_key=KEY, endpoint=service.url)
            return await handle.synthesize(LONG)

    assert words_in(asyncio.run(scene()).audio) == LONG.split()
