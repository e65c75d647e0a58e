"""Speaking with Aura: contexts in a queue, over a wire that has none."""

import asyncio

import pytest

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    ErrorCategory,
    FinishSpeech,
    LinkClosed,
    ServiceFailed,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    Usage,
    UsageReported,
)
from beluga_voice.interfaces import TtsOptions
from beluga_voice.testing.emulators.deepgram_session import Quirks
from beluga_voice.testing.emulators.speech import Faults, Pace
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.speech import WORD_MS, words_in
from providers.deepgram_stt.deepgram_stage import LONG, desk, speaker

A, B, C = ContextId("a"), ContextId("b"), ContextId("c")


def say(on, context_id, *texts):
    """Text, and the end of it."""
    on.send(*(SpeakText(context_id=context_id, text=text) for text in texts))
    on.send(FinishSpeech(context_id=context_id))


def heard(on, context_id=A):
    """The words in the sound of a context."""
    sound = [one.pcm for one in on.of(SpeechAudio) if one.context_id == context_id]
    return " ".join(words_in(b"".join(sound)))


def done(on):
    """The contexts that are over, in order."""
    return [one.context_id for one in on.of(SpeechDone)]


def voice(scene, *, settings=None, options=None, **service):
    """Play a scene at a desk with a voice."""

    async def play():
        made = speaker(**(settings or {}))
        async with desk(made, options or TtsOptions(), **service) as on:
            await scene(on)
        return on

    return simulate(play)


def test_text_in_pieces_is_spoken_whole_and_flushed_once():
    """The end of it is the service's word for it, with what it costs."""

    async def scene(on):
        say(on, A, "Hello there. ", "How are", " you?")
        await asyncio.sleep(1)

    on = voice(scene)
    assert heard(on) == "Hello there. How are you?"
    assert on.events[-3:-1] == [
        UsageReported(usage=Usage(characters=25)),
        SpeechDone(context_id=A),
    ]
    assert on.orders == ["Speak", "Speak", "Speak", "Flush", "Close"]


def test_contexts_are_spoken_one_after_the_other():
    """The second is given to the service when it has said that the first is done."""

    async def scene(on):
        on.send(SpeakText(context_id=A, text="one two "))
        say(on, B, "three")
        say(on, A, "four")
        await asyncio.sleep(0.001)

    on = voice(scene)
    assert (heard(on, A), heard(on, B)) == ("one two four", "three")
    assert done(on) == [A, B]
    assert on.orders == ["Speak", "Speak", "Flush", "Speak", "Flush", "Close"]


def test_text_that_pauses_is_spoken_as_far_as_it_came():
    """The service would hold it back; so it is flushed after a while, and once."""

    async def scene(on):
        on.send(SpeakText(context_id=A, text="one two "))
        await asyncio.sleep(5)
        first.append((heard(on), on.times[-1]))
        say(on, A, "three")
        await asyncio.sleep(1)

    first = []
    on = voice(scene)
    assert first == [("one two", 300)]
    assert heard(on) == "one two three"
    assert on.orders == ["Speak", "Flush", "Speak", "Flush", "Close"]


def test_a_context_that_ends_after_its_pause_needs_no_other_flush():
    """All its sound is there already, or on its way."""

    async def scene(on):
        on.send(SpeakText(context_id=A, text="one two"))
        await asyncio.sleep(1)
        on.send(FinishSpeech(context_id=A))
        await asyncio.sleep(0.001)

    on = voice(scene)
    assert done(on) == [A]
    assert on.orders == ["Speak", "Flush", "Close"]


def test_no_text_is_done_at_once():
    """Without a word to the service."""

    async def scene(on):
        say(on, A)
        say(on, B, "")
        await asyncio.sleep(0.001)

    on = voice(scene)
    assert done(on) == [A, B]
    assert on.of(ServiceFailed) == []
    assert on.orders == ["Close"]


def test_a_context_that_is_over_stays_over():
    """Finished twice it is done once; text that comes after its end is not spoken."""

    async def scene(on):
        say(on, A, "one.")
        await asyncio.sleep(1)
        say(on, A, "two.")
        await asyncio.sleep(1)

    on = voice(scene)
    assert done(on) == [A]
    assert heard(on) == "one."


def test_a_context_that_is_cancelled_falls_silent_at_once():
    """Sound that comes late is dropped, and the next one is spoken; the first has no end."""

    async def scene(on):
        say(on, A, LONG)
        await asyncio.sleep(0.41)
        on.send(CancelSpeech(context_id=A))
        before.append(len(on.of(SpeechAudio)))
        say(on, A, "too late")
        say(on, B, "see you")
        await asyncio.sleep(2)

    before = []
    on = voice(scene, pace=Pace(word_ms=WORD_MS))
    assert heard(on, A) == "one two three"
    assert before == [3]
    assert heard(on, B) == "see you"
    assert done(on) == [B]
    assert on.orders == ["Speak", "Flush", "Clear", "Speak", "Flush", "Close"]


def test_a_context_that_waits_is_cancelled_without_a_word():
    """The service has not heard of it."""

    async def scene(on):
        say(on, A, "one two three")
        say(on, B, "never")
        say(on, C, "four")
        on.send(CancelSpeech(context_id=B))
        await asyncio.sleep(2)

    on = voice(scene, pace=Pace(word_ms=WORD_MS))
    assert (heard(on, A), heard(on, B), heard(on, C)) == ("one two three", "", "four")
    assert done(on) == [A, C]
    assert "Clear" not in on.orders


def test_long_text_is_given_in_pieces_that_are_taken():
    """They are cut between words."""

    async def scene(on):
        say(on, A, text)
        await asyncio.sleep(1)

    text = " ".join(f"word{number}" for number in range(700))
    on = voice(scene)
    assert heard(on) == text
    assert on.orders.count("Speak") == 3


def test_more_flushes_than_are_allowed_wait():
    """None is sent that the service would not take, and nothing is lost."""

    async def scene(on):
        for number in range(25):
            say(on, ContextId(f"c{number}"), "hello")
        await asyncio.sleep(59)
        soon.append(len(done(on)))
        await asyncio.sleep(2)

    soon = []
    on = voice(scene)
    assert soon == [20]
    assert len(done(on)) == 25
    assert on.of(ServiceFailed) == []


def test_a_flush_that_is_not_taken_is_tried_again():
    """The warning is told, and the speech goes on when the service takes it."""

    async def play():
        made = speaker()
        service = {"quirks": Quirks(max_flushes=1)}
        with pytest.raises(AssertionError):  # the service complains, as it should
            async with desk(made, TtsOptions(), **service) as on:
                say(on, A, "one")
                say(on, B, "two")
                await asyncio.sleep(70)
        return on

    on = simulate(play)
    assert done(on) == [A, B]
    assert heard(on, B) == "two"
    assert {one.category for one in on.of(ServiceFailed)} == {ErrorCategory.RATE_LIMIT}


@pytest.mark.parametrize("shape", [pcm16(8000), pcm16(48000), AudioFormat(Encoding.ALAW, 8000, 1)])
def test_sound_that_is_cut_anywhere_comes_in_whole_samples(shape):
    """Half a sample waits for its other half."""

    async def scene(on):
        say(on, A, "one two")
        await asyncio.sleep(1)

    on = voice(scene, quirks=Quirks(odd_bytes=True), options=TtsOptions(output_format=shape))
    sizes = [len(one.pcm) for one in on.of(SpeechAudio)]
    assert all(size % shape.block_bytes == 0 for size in sizes)
    assert sum(sizes) == shape.rate * 2 * WORD_MS // 1000 * shape.block_bytes
    assert on.of(ServiceFailed) == []


def test_a_header_in_the_sound_is_named_and_left_out():
    """It would be a click."""

    async def scene(on):
        say(on, A, "one two")
        await asyncio.sleep(1)

    on = voice(scene, quirks=Quirks(has_header=True))
    (failed,) = on.of(ServiceFailed)
    assert "header" in failed.message
    assert not failed.is_fatal
    assert heard(on) == "one two"
    assert len(on.of(SpeechAudio)[0].pcm) == 24 * WORD_MS * 2


def test_speech_without_a_sound_is_named():
    """It ends all the same; what has no word in it is not missed."""

    async def scene(on):
        say(on, A, "one two")
        say(on, B, "...")
        await asyncio.sleep(1)

    on = voice(scene, quirks=Quirks(is_soundless=True))
    (failed,) = on.of(ServiceFailed)
    assert "without a sound" in failed.message
    assert done(on) == [A, B]


@pytest.mark.parametrize("after_ms", [0, 400])
def test_a_service_that_goes_quiet_is_left(after_ms):
    """Without its end, a context would last for ever."""

    async def scene(on):
        say(on, A, LONG)
        await asyncio.sleep(60)

    faults = [Faults(stall_after_audio_ms=after_ms) if after_ms else Faults(is_mute=True)]
    on = voice(scene, settings={"quiet_seconds": 4}, faults=faults)
    (failed,) = on.of(ServiceFailed)
    assert (failed.category, failed.is_fatal) == (ErrorCategory.TIMEOUT, True)
    assert on.times[-1] == 4000
    assert done(on) == []


def test_a_service_that_does_not_clear_is_left():
    """What comes next would be mixed up with what was cancelled."""

    async def scene(on):
        on.send(SpeakText(context_id=A, text="one"))
        await asyncio.sleep(0.1)
        on.send(CancelSpeech(context_id=A))
        await asyncio.sleep(60)

    on = voice(scene, settings={"quiet_seconds": 4}, faults=[Faults(is_mute=True)])
    assert on.of(ServiceFailed)[0].is_fatal
    assert on.times[-1] == 4100


def test_a_service_that_hangs_up_says_why():
    """What was not spoken is not done."""

    async def scene(on):
        say(on, A, LONG)
        await asyncio.sleep(1)

    on = voice(scene, faults=[Faults(drop_after_audio_ms=400, close_code=1011)])
    assert done(on) == []
    assert on.events[-2].provider_code == "NET-0000"
    assert on.events[-1] == LinkClosed(is_clean=False, reason="NET-0000", code=1011)


def test_an_error_in_the_stream_is_told():
    """With its code; the connection goes on if the service lets it."""

    async def scene(on):
        say(on, A, "one")
        await asyncio.sleep(1)

    on = voice(scene, faults=[Faults(error_code="DATA-0002")])
    (failed,) = on.of(ServiceFailed)
    assert (failed.category, failed.provider_code) == (ErrorCategory.INVALID_REQUEST, "DATA-0002")
    assert done(on) == [A]


def test_more_text_than_can_wait_ends_the_link():
    """A million characters that nobody could listen to."""

    async def scene(on):
        on.send(SpeakText(context_id=A, text="one"))
        on.send(SpeakText(context_id=B, text="x" * 1_000_001))
        await asyncio.sleep(1)

    on = voice(scene)
    (failed,) = on.of(ServiceFailed)
    assert (failed.category, failed.is_fatal) == (ErrorCategory.INVALID_REQUEST, True)


def test_the_voices_are_listed():
    """Each with the language it speaks, which is how its id ends."""

    async def scene():
        return await speaker().voices()

    voices = simulate(scene)
    assert len(voices) > 80
    assert all(one.id.endswith(f"-{one.languages[0]}") for one in voices)
