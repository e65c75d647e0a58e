"""The codec of Cartesia Sonic, message by message."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.errors import BrokenProtocol, ConfigurationError, Unsupported
from beluga_voice.events import (
    ContextId,
    ErrorCategory,
    LinkClosed,
    LinkReady,
    ServiceFailed,
    SpeechDone,
    SpeechWords,
    TimedWord,
)
from beluga_voice.interfaces import TtsOptions
from beluga_voice.providers.tts.cartesia._codec import SonicCodec
from beluga_voice.providers.tts.cartesia._joining import joint
from beluga_voice.providers.tts.cartesia._options import Settings, request_of
from beluga_voice.testing.emulators.cartesia_tts_session import _wav_header
from providers.cartesia_tts.cartesia_tts_stage import PCM, Desk, audio, done

WORD = ("loud", 0.0, 0.01)


def told(*words):
    """Words of a context, with samples."""
    timed = tuple(TimedWord(text=text, start=start, end=end) for text, start, end in words)
    return SpeechWords(context_id=ContextId("a"), words=timed)


def wrong(message):
    """What is wrong with the sound."""
    return ServiceFailed(category=ErrorCategory.RETRYABLE, message=message)


def test_it_is_ready_at_once():
    """There is no greeting."""
    codec = SonicCodec(TtsOptions(), Settings(), prefix="p", now=lambda: 0.0)
    assert (codec.hello(), codec.owed(), codec.owed()) == ([], [LinkReady(model="sonic-3.5")], [])


# ── contexts ────────────────────────────────────────────────────────────────────────────────


def test_a_context_is_spoken_and_ends():
    """Its pieces differ in nothing but their text; an empty one that is not continued ends it."""
    desk = Desk()
    assert desk.speak("Hello ") == desk.speak("there.") == desk.finish() == []
    assert desk.texts == [("p-1", "Hello ", True), ("p-1", "there.", True), ("p-1", "", False)]
    fixed = [
        {key: value for key, value in one.items() if key not in ("transcript", "continue")}
        for one in desk.sent
    ]
    assert fixed[0] == fixed[1] == fixed[2]
    assert desk.chunk() == [audio()]
    assert desk.say("done") == [done()]
    assert desk.say("done") == desk.chunk() == []


@pytest.mark.parametrize("text", [None, "", "  \n"])
def test_a_context_without_text_ends_without_asking(text):
    """The service would refuse an empty transcript."""
    desk = Desk()
    if text is not None:
        desk.speak(text)
    assert desk.finish() == [done()]
    assert desk.finish() == []
    assert desk.sent == []


def test_white_space_waits_for_a_word():
    """It is sent before it."""
    desk = Desk()
    desk.speak(" ")
    desk.speak("Hello")
    assert desk.texts == [("p-1", " Hello", True)]


def test_what_is_cancelled_is_silent():
    """Late sound, words, errors and the end of it are told to nobody; nor are late orders."""
    desk = Desk()
    desk.speak("Hello")
    assert desk.cancel() == []
    assert desk.sent[-1] == {"context_id": "p-1", "cancel": True}
    assert desk.chunk() == desk.words(WORD) == desk.say("error", title="late") == []
    assert desk.say("done") == desk.speak("more") == desk.finish() == desk.cancel() == []
    assert len(desk.sent) == 2


def test_contexts_are_independent():
    """Each has its own name at the service."""
    desk = Desk()
    desk.speak("one", "a")
    desk.speak("two", "b")
    assert desk.chunk(remote="p-2") == [audio(name="b")]
    desk.cancel("a")
    desk.finish("b")
    assert desk.say("done", "p-2") == [done("b")]


def test_what_is_cancelled_before_it_has_text_costs_nothing():
    """And an id that nobody has heard of as little."""
    desk = Desk()
    assert desk.cancel("x") == desk.finish("x") == []
    assert desk.sent == []


def test_ended_contexts_are_forgotten_in_the_end():
    """There is a bound to what is remembered of them."""
    desk = Desk()
    for number in range(1001):
        desk.finish(f"c{number}")
    assert desk.finish("c1000") == []
    assert desk.finish("c0") == [done("c0")]


# ── a context that the service lets go ──────────────────────────────────────────────────────


def test_a_context_that_is_let_go_goes_on_as_another():
    """Places of words are counted on from the sound so far."""
    desk = Desk()
    desk.speak("One.")
    desk.words(WORD)
    assert desk.chunk() == [audio(), told(("loud", 0, 240))]
    assert desk.say("done") == []
    desk.speak("Two.")
    desk.words(WORD, remote="p-2")
    assert desk.chunk(remote="p-2") == [audio(), told(("loud", 240, 480))]
    desk.finish()
    assert desk.texts == [("p-1", "One.", True), ("p-2", "Two.", True), ("p-2", "", False)]
    assert desk.say("done", "p-2") == [done()]


def test_the_end_of_a_context_that_was_let_go_is_known():
    """Nobody has to be asked."""
    desk = Desk()
    desk.speak("One.")
    desk.chunk()
    desk.say("done")
    assert desk.finish() == [done()]
    assert len(desk.sent) == 1


@pytest.mark.parametrize("answer", ["done", "error"])
def test_text_that_met_a_context_just_let_go_is_sent_again(answer):
    """Whether the service says that the context is over, or that the text is refused."""
    desk = Desk()
    desk.speak("One.")
    desk.chunk()
    desk.speak("Two.")
    desk.speak("Three.")
    if answer == "error":
        desk.finish()
    assert desk.say(answer, status_code=400) == []
    again = [("p-2", " Two. Three.", True)]
    assert desk.texts[-len(again) :] == again if answer == "done" else True
    if answer == "error":
        assert desk.texts[-2:] == [*again, ("p-2", "", False)]
    assert desk.say("error", "p-1", status_code=400) == []
    assert desk.chunk(remote="p-2") == [audio()]


def test_an_error_ends_its_context_only():
    """It is told, with its kind; orders for the context that come later are ignored."""
    desk = Desk()
    desk.speak("Hello")
    failed, ended = desk.say("error", status_code=429, title="Slow", error_code="busy")
    assert (failed.category, failed.is_fatal) == (ErrorCategory.RATE_LIMIT, False)
    assert (failed.message, failed.provider_code, ended) == (
        "Slow; come back later",
        "busy",
        done(),
    )
    assert desk.speak("more") == desk.finish() == []
    assert len(desk.sent) == 1


def test_an_error_of_no_context_ends_the_link():
    """Whatever it is about, it is about all."""
    (failed,) = Desk().say("error", None, status_code=401, message="no")
    assert (failed.category, failed.is_fatal) == (ErrorCategory.AUTH, True)


def test_the_end_of_the_link_owes_no_end_of_a_context():
    """A context that was not spoken to its end is not done."""
    desk = Desk()
    desk.speak("Hello")
    closed = desk.codec.closed(is_clean=False, code=1006, reason="lost")
    assert closed == [LinkClosed(is_clean=False, code=1006, reason="lost")]


# ── sound and words ─────────────────────────────────────────────────────────────────────────


def test_sound_is_given_in_whole_samples():
    """Half of one waits for its other half."""
    desk = Desk()
    desk.speak("Hello")
    assert desk.chunk(PCM[:3]) == [audio(PCM[:2])]
    assert desk.chunk(PCM[3:4]) == [audio(PCM[2:4])]
    assert desk.chunk(PCM[4:5]) == []
    desk.finish()
    assert desk.say("done") == [wrong("the sound ends 1 bytes into a sample"), done()]


def test_words_are_told_when_they_have_sounded():
    """Not before their sound, and at the end those that are left, where there is sound."""
    desk = Desk()
    desk.speak("Hello")
    assert desk.words(("one", 0.0, 0.005), ("two", 0.005, 0.02), ("three", 0.02, 0.03)) == []
    assert desk.chunk() == [audio(), told(("one", 0, 120))]
    assert desk.chunk() == [audio(), told(("two", 120, 480))]
    desk.finish()
    assert desk.say("done") == [told(("three", 480, 480)), done()]


def test_words_may_come_after_their_sound():
    """Then they are told at once."""
    desk = Desk()
    desk.speak("Hello")
    desk.chunk()
    assert desk.words(WORD) == [told(("loud", 0, 240))]


def test_a_context_without_sound_is_named():
    """Success without a sound is none."""
    desk = Desk()
    desk.speak("Hello")
    desk.finish()
    assert desk.chunk(b"") == []
    what = "the service gave no sound for a text; check the voice and the credits"
    assert desk.say("done") == [wrong(what), done()]


def test_the_header_of_a_file_is_no_sound():
    """It is taken away, and told."""
    desk = Desk()
    desk.speak("Hello")
    failed, sound = desk.chunk(_wav_header(24000) + PCM)
    assert failed == wrong("the sound begins with a WAV header, though raw samples were asked for")
    assert sound == audio()
    assert desk.chunk() == [audio()]


def test_sound_at_another_rate_is_not_played():
    """The context ends, and the service is told to stop."""
    desk = Desk()
    desk.speak("Hello")
    failed, ended = desk.chunk(_wav_header(11025) + PCM)
    assert failed == wrong(
        "the sound is a WAV file of 1 channels at 11025 Hz, not samples at 24000 Hz; "
        "check the endpoint"
    )
    assert ended == done()
    assert desk.sent[-1] == {"context_id": "p-1", "cancel": True}
    assert desk.chunk() == desk.finish() == []


# ── pieces of text ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("before", "after", "between"),
    [
        ("Hello there.", "How are you?", " "),
        ("Hi.", "There", " "),
        ("It costs 3.", "14 people came.", " "),
        ('He said "no."', "Then he left", " "),
        ("word " * 30 + "cut", "here", " "),
        ("Hello ", "there", ""),
        ("Hello", " there", ""),
        ("Hel", "lo", ""),
        ("3.", "14", ""),
        ("example.", ".com", ""),
        (".", "com", ""),
        ("你好。", "再见。", ""),
    ],
)
def test_pieces_are_joined_as_they_were_meant(before, after, between):
    """Sentences get the space that was between them; parts of words get none."""
    assert joint(before, after) == between


def test_sentences_are_sent_with_the_space_between_them():
    """The service joins what it gets as it is."""
    desk = Desk()
    for text in ("One two.", "Three.", "Four", "teen"):
        desk.speak(text)
    assert "".join(text for _, text, _ in desk.texts) == "One two. Three. Fourteen"


# ── settings ────────────────────────────────────────────────────────────────────────────────


def test_a_request_says_what_is_wanted():
    """The format is always stated, because the service has another by default."""
    options = TtsOptions(
        voice="v",
        language="de-AT",
        speed=1.2,
        volume=0.8,
        style="calm",
        output_format=AudioFormat(Encoding.MULAW, 8000, 1),
    )
    assert request_of(options, Settings(pronunciation_dict_id="d", max_buffer_delay_ms=5)) == {
        "model_id": "sonic-3.5",
        "voice": {"id": "v"},
        "output_format": {"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8000},
        "add_timestamps": True,
        "max_buffer_delay_ms": 5,
        "language": "de",
        "pronunciation_dict_id": "d",
        "generation_config": {"speed": 1.2, "volume": 0.8, "emotion": "calm"},
    }


def test_a_voice_is_written_as_the_version_has_it():
    """Before August 2026 it has a mode."""
    plain = request_of(TtsOptions(output_format=pcm16(16000)), Settings(voice="v"))
    older = request_of(TtsOptions(), Settings(voice="v", version="2026-03-01"))
    assert plain["voice"] == {"id": "v"}
    assert older["voice"] == {"mode": "id", "id": "v"}
    assert "generation_config" not in plain


@pytest.mark.parametrize("options", [{"speed": 0.5}, {"speed": 1.6}, {"volume": 2.1}])
def test_factors_have_ranges(options):
    """What the service would refuse is refused before."""
    with pytest.raises(Unsupported, match=next(iter(options))):
        request_of(TtsOptions(**options), Settings())


@pytest.mark.parametrize(
    "settings",
    [{"model": ""}, {"voice": ""}, {"max_buffer_delay_ms": 5001}, {"version": "newest"}],
)
def test_settings_that_make_no_sense_are_refused(settings):
    """At once, and not when connecting."""
    with pytest.raises(ConfigurationError):
        Settings(**settings)


# ── garbage ─────────────────────────────────────────────────────────────────────────────────

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
TIMES = st.fixed_dictionaries(
    {
        "words": st.lists(st.text()),
        "start": st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32)),
        "end": st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32)),
    }
)
FRAMES = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["chunk", "timestamps", "done", "error", "flush_done"]) | VALUES,
        "context_id": st.sampled_from(["p-1", "p-2", "p-3", "x", ""]) | VALUES,
    },
    optional={
        "data": st.sampled_from(["", "AAA=", "AAAA", "UklGRg=="]) | VALUES,
        "word_timestamps": TIMES | VALUES,
        "status_code": st.sampled_from([400, 500]) | VALUES,
        "message": VALUES,
    },
).map(lambda frame: json.dumps(frame))


@given(messages=st.lists(st.text() | st.binary() | FRAMES, max_size=20))
def test_garbage_is_refused_or_ignored(messages):
    """No message raises anything but `BrokenProtocol`, and a context ends once."""
    desk = Desk()
    desk.speak("Hello")
    desk.speak("Hello", "b")
    desk.finish("b")
    events = []
    for message in messages:
        with suppress(BrokenProtocol):
            events += desk.codec.decode(message)
        desk.codec.replies()
    ended = [one.context_id for one in events if isinstance(one, SpeechDone)]
    assert len(ended) == len(set(ended))


@pytest.mark.parametrize(
    "message", [b"\0\1", "[]", '{"type": "chunk"}', '{"type": "chunk", "data": "?"}']
)
def test_a_message_that_cannot_be_read_is_named(message):
    """What the protocol does not allow raises, and quotes nothing."""
    with pytest.raises(BrokenProtocol, match="the service sent") as caught:
        Desk().codec.decode(message)
    assert caught.value.__cause__ is None
