"""The codecs of Cartesia Ink, message by message, on a clock of their own."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.errors import BrokenProtocol, ConfigurationError, Unsupported
from beluga_voice.events import (
    EndOfTurnLikely,
    ErrorCategory,
    LinkClosed,
    LinkReady,
    ServiceFailed,
    SpeechStarted,
    SpeechStopped,
    TimedWord,
    Transcript,
    TurnContinued,
)
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.advice import advice_on
from beluga_voice.providers.mute import ELSEWHERE
from beluga_voice.providers.stt.cartesia import TurnThresholds
from beluga_voice.providers.stt.cartesia._capabilities import capabilities
from beluga_voice.providers.stt.cartesia._options import Settings, query_of
from beluga_voice.testing.speech import silence
from providers.cartesia_stt.cartesia_stt_stage import VOICE, Desk, final, interim

OVER = EndOfTurnLikely(probability=1.0)


# ── turns ───────────────────────────────────────────────────────────────────────────────────


def test_a_greeting_makes_the_link_ready():
    """The first message names the connection."""
    assert Desk().say("connected") == [LinkReady(remote_id="r", model="ink-2")]


def test_the_turns_of_an_utterance_are_joined_as_they_are():
    """Each transcript is the whole utterance, and the spaces are the service's."""
    desk = Desk()
    desk.hear()
    assert desk.turn("Hello") == [
        SpeechStarted(),
        interim("Hello"),
        SpeechStopped(),
        interim("Hello"),
        OVER,
    ]
    desk.hear()
    desk.say("turn.start")
    assert desk.say("turn.update", transcript=" there.") == [interim("Hello there.")]
    desk.finish("a")
    assert desk.say("turn.end", transcript=" there!") == [
        SpeechStopped(),
        final("a", "Hello there!"),
    ]


def test_the_end_of_an_utterance_feeds_silence_until_its_turn_ends():
    """The silence is longer than the service's timeout; no empty message is sent."""
    desk = Desk(thresholds=TurnThresholds(end_timeout_ms=1000))
    desk.hear()
    desk.say("turn.start")
    assert desk.finish("a") == []
    assert desk.silent_ms == 1360
    assert b"" not in desk.sent


def test_what_the_service_finalised_by_itself_is_answered_at_once():
    """Nothing is fed and nothing is waited for if nobody spoke since the turn ended."""
    desk = Desk()
    desk.hear()
    desk.now += 0.7
    desk.turn("Hello.")
    desk.hear(silence(200))
    assert desk.finish("a") == [final("a", "Hello.")]
    assert desk.sent == [VOICE, silence(200)]


def test_voice_just_before_a_turns_end_may_have_words():
    """What is said while the end of a turn is on its way is waited for."""
    desk = Desk()
    desk.hear()
    desk.say("turn.start")
    desk.hear()
    desk.say("turn.end", transcript="Hello")
    assert desk.finish("a") == []
    assert desk.turn(" there") == [final("a", "Hello there")]


@pytest.mark.parametrize("pcm", [b"", silence(400)])
def test_an_utterance_without_a_voice_is_empty_at_once(pcm):
    """It is answered without asking the service."""
    desk = Desk()
    desk.hear(pcm)
    assert desk.finish("a") == [final("a", "")]
    assert desk.silent_ms == len(pcm) / 32


def test_a_turn_that_is_late_is_settled_with_what_is_known():
    """Its rest is told to nobody, and the next utterance is its own."""
    desk = Desk(finish_seconds=2.0)
    desk.hear()
    desk.say("turn.start")
    desk.say("turn.update", transcript="Hello")
    desk.finish("a")
    assert desk.wait(1.999) == []
    assert desk.wait(0.001) == [final("a", "Hello")]
    desk.hear()
    assert desk.say("turn.update", transcript="Hello there") == []
    assert desk.say("turn.end", transcript="Hello there") == [SpeechStopped()]
    desk.now += 0.7
    assert desk.turn(" Bye")[1] == interim("Bye")
    assert desk.finish("b") == [final("b", "Bye")]


def test_a_noise_that_is_no_speech_ends_empty_in_time():
    """Voice that the service makes nothing of is waited for no longer than asked."""
    desk = Desk(finish_seconds=0.5)
    desk.hear()
    desk.finish("a")
    assert desk.wait(0.5) == [final("a", "")]
    assert desk.say("turn.start") == [SpeechStarted()]


def test_a_turn_that_never_ends_is_a_failure():
    """Interim words and never a final: after the deadline the service is given up."""
    desk = Desk(finish_seconds=1.0, quiet_seconds=4.0)
    desk.hear()
    desk.say("turn.start")
    desk.say("turn.update", transcript="Hello")
    desk.finish("a")
    answered, gone = desk.wait(4.0)
    assert answered == final("a", "Hello")
    assert gone == ServiceFailed(
        category=ErrorCategory.TIMEOUT,
        message=f"a turn does not end, though there is silence; {ELSEWHERE}",
        is_fatal=True,
    )
    assert desk.codec.deadline is None


def test_a_service_that_says_nothing_to_a_voice_is_a_failure():
    """So much voice without a word back, and it is given up; silence does not count."""
    desk = Desk(quiet_seconds=1.0)
    for _ in range(4):
        assert desk.hear() == []
        assert desk.hear(silence(1000)) == []
    desk.say("turn.start")
    for _ in range(4):
        assert desk.hear() == []
    (failed,) = desk.hear()
    assert (failed.category, failed.is_fatal) == (ErrorCategory.TIMEOUT, True)
    assert desk.hear() == []


def test_an_end_that_is_told_twice_counts_once():
    """The second one answers nobody."""
    desk = Desk()
    desk.hear()
    desk.say("turn.start")
    desk.finish("a")
    desk.hear()
    desk.finish("b")
    assert desk.say("turn.end", transcript="Hello")[-1] == final("a", "Hello")
    assert desk.say("turn.end", transcript="Hello") == []
    assert desk.turn("Bye") == [final("b", "Bye")]


def test_the_last_of_an_utterance_may_come_while_the_next_sounds():
    """Each gets its own words, in order; what is said of the first is no interim of the next."""
    desk = Desk()
    desk.hear()
    desk.say("turn.start")
    desk.finish("a")
    desk.now += 0.3
    desk.hear()
    assert desk.say("turn.update", transcript="Hello") == []
    assert desk.say("turn.end", transcript="Hello") == [SpeechStopped(), final("a", "Hello")]
    assert desk.finish("b") == []
    assert desk.turn("Bye") == [final("b", "Bye")]


def test_an_empty_utterance_is_answered_after_the_one_before():
    """The order of the answers is that of the questions."""
    desk = Desk()
    desk.hear()
    desk.say("turn.start")
    desk.finish("a")
    assert desk.finish("b") == []
    assert desk.say("turn.end", transcript="Hello")[1:] == [final("a", "Hello"), final("b", "")]


def test_a_turn_of_the_next_utterance_does_not_answer_a_noise():
    """A turn that begins long after a noise was finished, while somebody speaks, is the next's."""
    desk = Desk()
    desk.hear()
    desk.finish("a")
    desk.now += 0.8
    desk.hear()
    assert desk.say("turn.start") == [final("a", ""), SpeechStarted()]
    desk.now += 0.7
    assert desk.say("turn.end", transcript="Hello")[1] == interim("Hello")
    assert desk.finish("b") == [final("b", "Hello")]


def test_what_is_dropped_is_not_told():
    """Neither what was known nor what comes of it later."""
    desk = Desk()
    desk.hear()
    desk.turn("Forget")
    desk.hear()
    desk.say("turn.start")
    assert desk.drop() == []
    assert desk.silent_ms == 1000
    desk.hear()
    assert desk.say("turn.end", transcript=" me") == [SpeechStopped()]
    assert desk.turn("Bye")[-2:] == [interim("Bye"), OVER]


def test_an_eager_end_may_be_taken_back():
    """How sure the service was is the other side of the threshold."""
    desk = Desk(thresholds=TurnThresholds(eager_end=0.45))
    desk.say("turn.start")
    assert desk.say("turn.eager_end", transcript="Hello") == [
        interim("Hello"),
        EndOfTurnLikely(probability=0.55, is_eager=True),
    ]
    assert desk.say("turn.resume") == [TurnContinued()]
    assert desk.say("turn.resume") == []


def test_a_turn_whose_start_was_not_told_has_started():
    """Words are enough."""
    assert Desk().say("turn.update", transcript="Hi") == [SpeechStarted(), interim("Hi")]


def test_a_turn_whose_end_was_not_told_is_over_when_another_starts():
    """Its words are kept."""
    desk = Desk()
    desk.hear()
    desk.say("turn.start")
    desk.say("turn.update", transcript="Hello")
    desk.say("turn.start")
    assert desk.say("turn.update", transcript=" there") == [interim("Hello there")]


def test_interim_words_are_left_out_where_nobody_wants_them():
    """What finds turns is told all the same."""
    desk = Desk(options=SttOptions(wants_interim=False))
    assert desk.turn("Hello") == [SpeechStarted(), SpeechStopped(), OVER]


@pytest.mark.parametrize("is_manual", [False, True])
def test_an_idle_link_gets_a_little_silence(is_manual):
    """Once a minute, and no word of it."""
    desk = Desk(is_manual=is_manual)
    assert desk.wait(59.999) == []
    assert desk.sent == []
    assert desk.wait(60.001) == []
    assert desk.sent == [silence(100), silence(100)]
    assert desk.finish("a")[0].text == ""


def test_silence_is_written_as_the_format_has_it():
    """In a law of G.711 it is no zero."""
    desk = Desk(options=SttOptions(input_format=AudioFormat(Encoding.MULAW, 8000, 1)))
    desk.wait(60)
    assert desk.sent == [b"\xff" * 800]


# ── manual ──────────────────────────────────────────────────────────────────────────────────


def text(desk, said, *, is_final=True, words=None, **fields):
    """A piece of text of the service; words are (word, start, end) in seconds."""
    if words is not None:
        fields["words"] = [{"word": w, "start": start, "end": end} for w, start, end in words]
    return desk.say("transcript", text=said, is_final=is_final, **fields)


def test_text_in_pieces_is_put_together_as_it_is():
    """What is final stays, and what is not is replaced."""
    desk = Desk(is_manual=True)
    desk.hear()
    told = [
        text(desk, "Hel", is_final=False),
        text(desk, "Hello"),
        text(desk, " the", is_final=False),
        text(desk, " there"),
    ]
    assert [one.text for (one,) in told] == ["Hel", "Hello", "Hello the", "Hello there"]
    assert desk.finish("a") == []
    assert desk.sent[-1] == "finalize"
    assert text(desk, ".", language="de") == []
    assert desk.say("flush_done") == [final("a", "Hello there.", language="de")]


def test_words_are_placed_within_their_utterance():
    """The service counts seconds of the connection, silence of ours included."""
    desk = Desk(is_manual=True)
    desk.wait(60)
    desk.hear()
    desk.finish("a")
    text(desk, "loud", words=[("loud", 0.1, 0.3)])
    (first,) = desk.say("flush_done")
    desk.hear()
    desk.finish("b")
    text(desk, " loud", words=[(" loud", 0.25, 0.5)])
    (second,) = desk.say("flush_done")
    assert first.words == (TimedWord(text="loud", start=0, end=3200),)
    assert second.words == (TimedWord(text="loud", start=0, end=3200),)


def test_words_may_come_in_lists():
    """The SDK's types have them so; lists and numbers in one are nothing."""
    desk = Desk(is_manual=True)
    desk.hear()
    lists = {"words": ["a", "b"], "start": [0.0, 0.1], "end": [0.1, 0.2]}
    odd = {"word": "c", "start": [0.0], "end": 0.1}
    (told,) = desk.say("transcript", text="a b", is_final=True, words=[lists, odd])
    assert told.words == (
        TimedWord(text="a", start=0, end=1600),
        TimedWord(text="b", start=1600, end=3200),
    )


def test_a_final_text_that_is_told_twice_counts_once():
    """Words at the same place are the same words; without places, somebody repeats himself."""
    desk = Desk(is_manual=True)
    desk.hear()
    for _ in range(2):
        text(desk, "no", words=[("no", 0.0, 0.2)])
    for _ in range(2):
        text(desk, " yes")
    desk.finish("a")
    (told,) = desk.say("flush_done")
    assert told.text == "no yes yes"
    assert desk.say("flush_done") == []


def test_text_before_the_answer_is_of_the_sound_before_the_order():
    """Two utterances at once, a dropped one between, and an empty one after them."""
    desk = Desk(is_manual=True)
    desk.hear()
    desk.finish("a")
    desk.hear()
    desk.drop()
    desk.hear()
    desk.finish("b")
    assert desk.finish("c") == []
    text(desk, "Hello")
    assert [one.text for one in desk.say("flush_done")] == ["Hello"]
    text(desk, " forget")
    assert desk.say("flush_done") == []
    text(desk, " Bye")
    assert [(one.utterance_id, one.text) for one in desk.say("flush_done")] == [
        ("b", "Bye"),
        ("c", ""),
    ]
    assert desk.sent.count("finalize") == 3


def test_words_that_were_never_final_are_not_lost():
    """The answer to `finalize` settles them."""
    desk = Desk(is_manual=True)
    desk.hear()
    text(desk, "Hello", is_final=False)
    desk.finish("a")
    assert [one.text for one in desk.say("flush_done")] == ["Hello"]


def test_a_finalize_that_is_not_answered_is_a_failure():
    """The utterance is not answered: it can be heard again by another link."""
    desk = Desk(is_manual=True, quiet_seconds=3.0)
    desk.hear()
    text(desk, "Hello")
    desk.finish("a")
    assert desk.wait(2.999) == []
    (failed,) = desk.wait(0.001)
    assert (failed.category, failed.is_fatal) == (ErrorCategory.TIMEOUT, True)
    assert desk.codec.deadline is None


# ── both ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("is_manual", [False, True])
@pytest.mark.parametrize(
    ("status", "category"),
    [
        (400, ErrorCategory.INVALID_REQUEST),
        (401, ErrorCategory.AUTH),
        (402, ErrorCategory.INVALID_REQUEST),
        (403, ErrorCategory.AUTH),
        (408, ErrorCategory.TIMEOUT),
        (429, ErrorCategory.RATE_LIMIT),
        (500, ErrorCategory.RETRYABLE),
        (None, ErrorCategory.RETRYABLE),
    ],
)
def test_an_error_ends_the_link(is_manual, status, category):
    """What kind it is shows its status; the service's words are quoted, at a bearable length.

    Those about a key are not, because they might quote it.
    """
    told = {"title": "Bad", "message": "no\nluck " * 99, "error_code": "e1", "status_code": status}
    (event,) = Desk(is_manual=is_manual).say("error", **told)
    assert (event.category, event.is_fatal, event.provider_code) == (category, True, "e1")
    quoted, _, advice = event.message.partition("; ")
    assert advice == advice_on(category, variable="CARTESIA_API_KEY", status=status)
    if category is ErrorCategory.AUTH:
        assert quoted == "the key is refused"
    else:
        assert quoted.startswith("Bad: no luck no luck")
        assert len(quoted) == 200


@pytest.mark.parametrize("is_manual", [False, True])
def test_the_end_owes_no_answer(is_manual):
    """An utterance that was not heard to its end is not told to be final."""
    desk = Desk(is_manual=is_manual)
    desk.hear()
    desk.finish("a")
    closed = desk.codec.closed(is_clean=False, code=1006, reason="lost")
    assert closed == [LinkClosed(is_clean=False, code=1006, reason="lost")]


KINDS = ["connected", "turn.start", "turn.update", "turn.eager_end", "turn.resume", "turn.end"]
KINDS += ["transcript", "flush_done", "done", "error", "other"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
FIELDS = ["transcript", "text", "is_final", "words", "status_code", "message", "request_id"]
FRAMES = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS) | VALUES},
    optional=dict.fromkeys(FIELDS, VALUES),
).map(lambda frame: json.dumps(frame))


@pytest.mark.parametrize("is_manual", [False, True])
@given(messages=st.lists(st.text() | st.binary() | FRAMES, max_size=20))
def test_garbage_is_refused_or_ignored(is_manual, messages):
    """No message raises anything but `BrokenProtocol`, and one answer is one."""
    desk = Desk(is_manual=is_manual)
    desk.hear()
    desk.finish("a")
    answers = []
    for message in messages:
        with suppress(BrokenProtocol):
            answers += desk.codec.decode(message)
        answers += desk.wait(1)
    named = [one for one in answers if isinstance(one, Transcript) and one.is_final]
    assert len(named) <= 1


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (False, b"\0\1"),
        (False, '{"type": "turn.end"}'),
        (False, "[]"),
        (True, '{"type": "transcript", "text": 5, "is_final": true}'),
    ],
)
def test_a_message_that_cannot_be_read_is_named(kind, message):
    """What the protocol does not allow raises."""
    with pytest.raises(BrokenProtocol, match="the service sent"):
        Desk(is_manual=kind).codec.decode(message)


# ── settings ────────────────────────────────────────────────────────────────────────────────


def query(options, **settings):
    made = Settings(**settings)
    return query_of(options, made, capabilities(made.model, is_manual=made.is_manual))


def test_the_configuration_is_the_query():
    """Thresholds are always stated, because their defaults are told differently."""
    options = SttOptions(phrases=("Beluga", " ", "pour  over"))
    assert query(options) == [
        ("model", "ink-2"),
        ("encoding", "pcm_s16le"),
        ("sample_rate", "16000"),
        ("turn_start_threshold", "0.8"),
        ("turn_eager_end_threshold", "0.4"),
        ("turn_end_threshold", "0.2"),
        ("turn_end_timeout_ms", "640"),
        ("keyterm", "Beluga"),
        ("keyterm", "pour over"),
    ]


def test_without_turns_there_is_a_language():
    """And what the older model is told of silence."""
    options = SttOptions(language="de-AT", input_format=AudioFormat(Encoding.ALAW, 8000, 1))
    assert query(
        options, model="ink-whisper", is_manual=True, max_silence_seconds=1.5, min_volume=0.1
    ) == [
        ("model", "ink-whisper"),
        ("encoding", "pcm_alaw"),
        ("sample_rate", "8000"),
        ("language", "de"),
        ("max_silence_duration_secs", "1.5"),
        ("min_volume", "0.1"),
    ]


@pytest.mark.parametrize("phrases", [("a",) * 101, ("a" * 1201,)])
def test_too_many_phrases_are_refused(phrases):
    """The service has a limit for their number and for their length."""
    with pytest.raises(Unsupported, match="phrases"):
        query(SttOptions(phrases=phrases))


@pytest.mark.parametrize(
    "thresholds",
    [
        {"start": 0.95},
        {"eager_end": 0.2},
        {"end": 0.6},
        {"end_timeout_ms": 639},
        {"eager_end": 0.3, "end": 0.4},
        {"eager_end": 0.6, "start": 0.6},
    ],
)
def test_thresholds_have_ranges_and_an_order(thresholds):
    """What the service would refuse is refused before."""
    with pytest.raises(ConfigurationError):
        TurnThresholds(**thresholds)


@pytest.mark.parametrize(
    "settings",
    [
        {"model": ""},
        {"model": "ink-whisper"},
        {"min_volume": 0.5, "is_manual": True},
        {"model": "ink-whisper", "is_manual": True, "min_volume": -1.0},
        {"finish_seconds": 0},
        {"quiet_seconds": -1},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    """At once, and not when connecting."""
    with pytest.raises(ConfigurationError):
        Settings(**settings)
