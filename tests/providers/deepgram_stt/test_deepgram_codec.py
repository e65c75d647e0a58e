"""Nova's protocol by itself: windows that no emulator would send so."""

import json

import pytest

from beluga_voice.errors import BrokenProtocol
from beluga_voice.events import (
    DropUtterance,
    ErrorCategory,
    FinishUtterance,
    SendAudio,
    ServiceFailed,
    Transcript,
    UtteranceId,
)
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.deepgram.failures import failure_of_close
from beluga_voice.providers.stt.deepgram._capabilities import capabilities
from beluga_voice.providers.stt.deepgram._nova import NovaCodec
from beluga_voice.providers.stt.deepgram._options import Settings

SECOND = bytes(32000)


def codec(**options):
    """A codec for which no time passes."""
    model = "nova-3"
    return NovaCodec(
        SttOptions(**options), Settings(model=model), capabilities(model), now=lambda: 0.0
    )


def send(made, *commands):
    """Commands whose messages leave at once."""
    for command in commands:
        for message in made.encode(command):
            made.passed(message)


def finish(name):
    """The end of an utterance."""
    return FinishUtterance(utterance_id=UtteranceId(name))


def results(text, start, duration, *, final=True, finalize=False, words=None):
    """A window of the sound; its words are spread evenly unless they are given with times."""
    each = duration / max(len(text.split()), 1)
    spread = [(word, start + at * each) for at, word in enumerate(text.split())]
    timed = [
        {"word": word, "start": begin, "end": begin + each, "confidence": 0.5}
        for word, begin in words or spread
    ]
    alternative = {"transcript": text, "confidence": 0.5, "words": timed}
    return json.dumps(
        {
            "type": "Results",
            "start": start,
            "duration": duration,
            "is_final": final,
            "from_finalize": finalize,
            "channel": {"alternatives": [alternative]},
        }
    )


def told(made, *messages):
    """Texts of transcripts, and of whose utterance."""
    events = [event for message in messages for event in made.decode(message)]
    return [(one.utterance_id, one.text) for one in events if isinstance(one, Transcript)]


def test_a_window_over_the_end_of_an_utterance_is_divided_by_its_words():
    """Each word goes to the utterance in whose sound its middle is."""
    made = codec(wants_interim=False)
    send(made, SendAudio(pcm=SECOND), finish("a"), SendAudio(pcm=SECOND), finish("b"))
    words = [("one", 0.1), ("two", 0.7), ("three", 1.1), ("four", 1.6)]
    assert told(made, results("one two three four", 0.0, 2.0, words=words)) == [
        ("a", "one two"),
        ("b", "three four"),
    ]


def test_windows_may_come_in_any_order():
    """An utterance has its words in the order in which they sound."""
    made = codec(wants_interim=False)
    send(made, SendAudio(pcm=SECOND * 3))
    assert told(made, results("two", 1.0, 1.0), results("one", 0.0, 1.0)) == []
    send(made, finish("a"))
    assert told(made, results("three", 2.0, 1.0, finalize=True)) == [("a", "one two three")]


def test_words_of_an_utterance_that_was_answered_are_not_told():
    """Not even if they come a second time, when the next one is being spoken."""
    made = codec()
    send(made, SendAudio(pcm=SECOND), finish("a"), SendAudio(pcm=SECOND))
    window = results("one", 0.0, 1.0, finalize=True)
    assert told(made, window, window) == [("a", "one")]
    assert told(made, results("one more", 0.0, 1.0, final=False)) == []


def test_an_interim_of_a_window_that_is_settled_changes_nothing():
    """It was overtaken by what is final."""
    made = codec()
    send(made, SendAudio(pcm=SECOND * 2))
    assert told(made, results("one", 0.0, 1.0)) == [(None, "one")]
    assert told(made, results("won", 0.0, 0.8, final=False)) == []
    assert told(made, results("two", 1.0, 1.0, final=False)) == [(None, "one two")]


def test_a_final_that_comes_twice_takes_nothing_away():
    """The words after it, which are not final yet, stay."""
    made = codec()
    send(made, SendAudio(pcm=SECOND * 2))
    first = results("one", 0.0, 1.0)
    assert told(made, first, results("two", 1.0, 0.5, final=False))[-1] == (None, "one two")
    assert told(made, first) == []


def test_an_answer_may_end_a_little_before_what_was_sent():
    """The service may not have looked at the last of it; the answer is of that utterance only."""
    made = codec(wants_interim=False)
    send(made, SendAudio(pcm=SECOND), finish("a"), SendAudio(pcm=SECOND[:9600]), finish("b"))
    assert told(made, results("one", 0.0, 0.9, finalize=True)) == [("a", "one")]
    assert told(made, results("", 0.9, 0.1, finalize=True)) == []
    assert told(made, results("two", 1.0, 0.25, finalize=True)) == [("b", "two")]


def test_later_words_show_that_an_utterance_is_complete():
    """Where `Finalize` had no answer."""
    made = codec(wants_interim=False)
    send(made, SendAudio(pcm=SECOND), DropUtterance())
    send(made, SendAudio(pcm=SECOND), finish("a"), SendAudio(pcm=SECOND))
    assert told(made, results("two", 2.0, 0.5, final=False)) == [("a", "")]


def test_sound_that_never_left_shifts_no_words():
    """Sound counts when it passes: a slow connection may drop some of it."""
    made = codec(wants_words=True, wants_interim=False)
    made.encode(SendAudio(pcm=SECOND))  # dropped on its way
    send(made, SendAudio(pcm=SECOND), finish("a"))
    (final,) = made.decode(results("one", 0.5, 0.5, finalize=True))
    assert [(word.text, word.start) for word in final.words] == [("one", 8000)]


@pytest.mark.parametrize(
    "message",
    [
        b"\0\0",
        "",
        "[]",
        "{",
        '{"kind":"Results"}',
        '{"type":"Results"}',
        results("one", -1.0, 1.0),
        results("one", 0.0, 1e300),
        '{"type":' * 50_000,
    ],
)
def test_what_cannot_be_read_is_a_broken_protocol(message):
    """And nothing of it is taken."""
    with pytest.raises(BrokenProtocol):
        codec().decode(message)


def test_a_message_that_nobody_knows_is_none_of_ours():
    """The service may learn to say more."""
    assert codec().decode('{"type":"Whatever"}') == []


def test_an_error_does_not_quote_what_was_said():
    """The service's own words may."""
    message = '{"type":"Error","variant":"SchemaError","description":"secret words"}'
    (failed,) = codec().decode(message)
    assert isinstance(failed, ServiceFailed)
    assert failed.provider_code == "SchemaError"
    assert "secret" not in repr(failed)


@pytest.mark.parametrize(
    ("code", "reason", "category"),
    [
        (1008, "DATA-0000: undecodable", ErrorCategory.INVALID_REQUEST),
        (1008, "", ErrorCategory.INVALID_REQUEST),
        (1011, "NET-0000", ErrorCategory.RETRYABLE),
        (1011, "NET-0001", ErrorCategory.TIMEOUT),
    ],
)
def test_a_close_frame_says_what_can_be_done(code, reason, category):
    """By its reason, and what is against the rules never works by itself."""
    failed = failure_of_close(code, reason)
    assert failed is not None
    assert (failed.category, failed.is_fatal) == (category, True)


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1006, ""), (None, "gone"), (1011, "")])
def test_a_close_that_says_nothing_is_no_failure_of_the_service(code, reason):
    """The end of the link says it all."""
    assert failure_of_close(code, reason) is None
