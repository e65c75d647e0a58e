"""AssemblyAI's codec: whose a turn is, when an utterance is whole, and what no message may do."""

import json
from contextlib import suppress
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.errors import BrokenProtocol, ConfigurationError
from beluga_voice.events import (
    DropUtterance,
    EndOfTurnLikely,
    ErrorCategory,
    FinishUtterance,
    LinkClosed,
    LinkReady,
    SendAudio,
    ServiceFailed,
    SpeechStarted,
    TimedWord,
    Transcript,
    Usage,
    UsageReported,
    UtteranceId,
)
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.stt.assemblyai import AssemblyAi
from beluga_voice.providers.stt.assemblyai._capabilities import capabilities
from beluga_voice.providers.stt.assemblyai._codec import AssemblyAiCodec
from beluga_voice.providers.stt.assemblyai._options import Settings, url_of
from beluga_voice.providers.tick import TICK
from providers.assemblyai_stt.assemblyai_stage import PLAIN

FORCE = {"type": "ForceEndpoint"}
LOUD = b"\x00\x20"


class Wire:
    """A codec with a clock; sound in milliseconds at 16 kHz, messages as dictionaries."""

    def __init__(self, options=None, model=PLAIN, **settings):
        self.time = 0.0
        self.codec = AssemblyAiCodec(
            options or SttOptions(),
            Settings(model=model, **settings),
            capabilities(model),
            now=lambda: self.time,
            changed=lambda: None,
        )

    def send(self, command):
        sent = self.codec.encode(command)
        return [len(one) / 32 if isinstance(one, bytes) else json.loads(one) for one in sent]

    def sound(self, ms, sample=LOUD):
        return self.send(SendAudio(pcm=sample * (16 * ms)))

    def finish(self, name):
        return self.send(FinishUtterance(utterance_id=UtteranceId(name)))

    def hear(self, **message):
        return self.codec.decode(json.dumps(message))

    def turn(self, order, *words, end=False, formatted=False, text=None):
        told = [
            {"text": word, "start": start, "end": stop, "confidence": 0.5, "word_is_final": end}
            for word, start, stop in words
        ]
        return self.hear(
            type="Turn",
            turn_order=order,
            end_of_turn=end,
            turn_is_formatted=formatted,
            transcript=" ".join(word for word, _, _ in words) if text is None else text,
            end_of_turn_confidence=0.8,
            words=told,
        )

    def tick(self):
        return self.codec.decode(TICK)


def final(name, text, **fields):
    fields.setdefault("confidence", 0.5 if text else None)
    return Transcript(text=text, is_final=True, utterance_id=UtteranceId(name), **fields)


def interim(text):
    return Transcript(text=text, is_final=False)


def test_the_end_of_a_turn_is_told_once():
    """It comes plain and formatted; the likely end is told with the first."""
    wire = Wire()
    wire.sound(1000)
    words = (("hi", 200, 400), ("there", 400, 600))
    assert wire.turn(0, words[0]) == [interim("hi")]
    assert wire.turn(0, *words, end=True) == [
        interim("hi there"),
        EndOfTurnLikely(probability=0.8),
    ]
    assert wire.turn(0, *words, end=True, formatted=True, text="Hi there.") == [
        interim("Hi there.")
    ]
    assert wire.turn(0, *words, end=True, formatted=True, text="Hi there.") == []


def test_the_answer_is_the_formatted_end():
    """The plain one is waited past."""
    wire = Wire()
    wire.sound(600)
    word = ("hi", 200, 600)
    wire.turn(0, word)
    assert wire.finish("a") == [FORCE]
    assert wire.turn(0, word, end=True) == []
    assert wire.turn(0, word, end=True, formatted=True, text="Hi.") == [final("a", "Hi.")]
    assert wire.turn(0, word, end=True, formatted=True, text="Hi.") == []


def test_a_formatted_end_that_does_not_come_is_not_waited_for_long():
    """The plain words are the answer then."""
    wire = Wire(settle_seconds=0.5)
    wire.sound(600)
    word = ("hi", 200, 600)
    wire.turn(0, word)
    wire.finish("a")
    wire.time = 1
    wire.turn(0, word, end=True)
    assert wire.codec.deadline == 1.5
    wire.time = 1.5
    assert wire.tick() == [final("a", "hi")]


@pytest.mark.parametrize(("model", "marks"), [("u3-rt-pro", True), (PLAIN, False)])
def test_where_there_is_one_end_it_is_the_answer(model, marks):
    """Other models format at once, and plain words may be asked for."""
    wire = Wire(SttOptions(wants_punctuation=marks), model=model)
    wire.sound(600)
    word = ("hi", 200, 600)
    wire.turn(0, word)
    wire.finish("a")
    assert wire.turn(0, word, end=True, formatted=marks) == [final("a", "hi")]


def test_an_utterance_that_is_over_already_is_answered_at_once():
    """Every turn has ended, and only silence followed."""
    wire = Wire(model="u3-rt-pro")
    wire.sound(600)
    wire.turn(0, ("hi", 200, 600), end=True)
    wire.sound(1000, sample=b"\0\0")
    assert wire.finish("a") == [FORCE]
    assert wire.codec.deadline == 0
    assert wire.tick() == [final("a", "hi")]


def test_sound_after_the_last_word_may_hold_another():
    """So the answer waits, for what comes or for a while without news."""
    wire = Wire(model="u3-rt-pro")
    wire.sound(600)
    wire.turn(0, ("hi", 200, 600), end=True)
    wire.sound(1000)
    wire.finish("a")
    assert wire.tick() == []
    wire.time = 0.9
    assert wire.turn(1, ("you", 1200, 1500)) == []
    assert wire.codec.deadline == 10
    assert wire.turn(1, ("you", 1200, 1500), end=True) == [final("a", "hi you")]


def test_an_end_from_before_the_last_words_is_not_the_answer():
    """It was on its way when we asked: long after its last word there was sound."""
    wire = Wire(model="u3-rt-pro")
    wire.sound(600)
    wire.turn(0, ("hi", 200, 600))
    wire.sound(1200)
    wire.finish("a")
    assert wire.turn(0, ("hi", 200, 600), end=True) == []
    assert wire.turn(1, ("you", 1300, 1700), end=True) == [final("a", "hi you")]


def test_sound_without_words_is_answered_empty():
    """After the time in which words would have come."""
    wire = Wire()
    wire.sound(600)
    wire.finish("a")
    assert wire.codec.deadline == 1
    wire.time = 1
    assert wire.tick() == [final("a", "")]


def test_an_utterance_without_sound_is_answered_without_asking():
    """Nothing is sent for it."""
    wire = Wire()
    assert wire.finish("a") == []
    assert wire.tick() == [final("a", "")]


def test_words_belong_to_the_utterance_they_sound_in():
    """A turn that spans two is cut by the times of its words."""
    wire = Wire(SttOptions(wants_words=True), model="u3-rt-pro")
    wire.sound(1000)
    wire.turn(0, ("one", 0, 900))
    wire.finish("a")
    wire.sound(1000)
    told = wire.turn(0, ("one", 0, 900), ("two", 1100, 1300), end=True, formatted=True)
    word = TimedWord(text="one", start=0, end=14400, confidence=0.5)
    assert told == [final("a", "one", words=(word,))]
    wire.finish("b")
    wire.time = 1
    word = TimedWord(text="two", start=1600, end=4800, confidence=0.5)
    assert wire.tick() == [final("b", "two", words=(word,))]


def test_words_of_what_was_dropped_are_told_by_nobody():
    """The service is told to end the turn there, so that the next one is apart."""
    wire = Wire(model="u3-rt-pro")
    assert wire.send(DropUtterance()) == []
    wire.sound(1000)
    wire.turn(0, ("no", 0, 400))
    assert wire.send(DropUtterance()) == [FORCE]
    wire.sound(1000)
    assert wire.turn(0, ("no", 0, 400), end=True) == []
    assert wire.turn(1, ("yes", 1100, 1300)) == [interim("yes")]
    wire.finish("a")
    assert wire.turn(1, ("yes", 1100, 1300), end=True) == [final("a", "yes")]


def test_words_that_never_become_final_end_the_link():
    """The deadline is that of the utterance, however many come."""
    wire = Wire(answer_seconds=3)
    wire.sound(1000)
    wire.turn(0, ("on", 0, 400))
    wire.finish("a")
    wire.time = 2.9
    wire.turn(0, ("on", 0, 400), ("on", 400, 800))
    assert wire.tick() == []
    wire.time = 3
    (failed,) = wire.tick()
    assert (failed.category, failed.is_fatal) == (ErrorCategory.TIMEOUT, True)
    assert wire.codec.deadline is None


def test_a_service_that_says_nothing_to_sound_has_failed():
    """Silence counts only where it has a heartbeat."""
    wire = Wire(quiet_seconds=2)
    wire.sound(9000, sample=b"\0\0")
    assert wire.tick() == []
    wire.hear(type="Heartbeat")
    wire.sound(1900, sample=b"\0\0")
    assert wire.tick() == []
    wire.sound(100, sample=b"\0\0")
    (failed,) = wire.tick()
    assert (failed.category, failed.is_fatal) == (ErrorCategory.RETRYABLE, True)


def test_sound_goes_out_in_frames_the_service_takes():
    """From 50 to 1000 ms; what is left at an end is filled up."""
    wire = Wire()
    assert wire.sound(20) == []
    assert wire.sound(20) == []
    assert wire.sound(20) == [60]
    assert wire.sound(2030) == [1000, 1000]
    assert wire.finish("a") == [50, FORCE]
    assert wire.send(SendAudio(pcm=b"\1")) == []
    assert wire.finish("b") == []


def test_what_the_service_says_of_itself():
    """The beginning, a voice, a warning, and what means nothing to us."""
    wire = Wire()
    ready = LinkReady(remote_id="s", model=PLAIN, expires_at=12.0)
    assert wire.hear(type="Begin", id="s", expires_at=12) == [ready]
    dated = wire.hear(type="Begin", id="s", expires_at="1970-01-01T00:00:12+00:00")
    assert dated == [ready]
    assert wire.hear(type="SpeechStarted", timestamp=20) == [SpeechStarted()]
    benign = ServiceFailed(category=ErrorCategory.BENIGN, message="slow")
    assert wire.hear(type="Warning", warning="slow", warning_code=1) == [benign]
    assert wire.hear(type="SpeakerRevision", revisions=[]) == []
    heard = UsageReported(usage=Usage(audio_seconds=3))
    assert wire.hear(type="Termination", audio_duration_seconds=3) == [heard]


@pytest.mark.parametrize(
    ("code", "words", "category"),
    [
        (1008, "Unauthorized Connection: key 123", ErrorCategory.AUTH),
        (1008, "Unauthorized Connection: Too many concurrent sessions", ErrorCategory.RATE_LIMIT),
        (1008, "insufficient account balance", ErrorCategory.INVALID_REQUEST),
        (3005, "Session Cancelled: An error occurred", ErrorCategory.RETRYABLE),
        (3005, "Session Expired: Maximum session duration", ErrorCategory.SESSION_EXPIRED),
        (3006, "Invalid Message", ErrorCategory.INVALID_REQUEST),
        (3007, "Input duration violation: 10 ms.", ErrorCategory.INVALID_REQUEST),
        (3007, "Audio Transmission Rate Exceeded", ErrorCategory.RETRYABLE),
        (3008, "See Error message for details", ErrorCategory.SESSION_EXPIRED),
        (3009, "x", ErrorCategory.RATE_LIMIT),
        (4001, "Not Authorized", ErrorCategory.AUTH),
    ],
)
def test_an_error_says_what_can_be_done(code, words, category):
    """As a message, or by the close alone; a key is never quoted."""
    wire = Wire()
    (failed,) = wire.hear(type="Error", error=words, error_code=code)
    assert (failed.category, failed.is_fatal) == (category, True)
    assert "123" not in failed.message
    assert wire.codec.closed(is_clean=False, code=code, reason=words) == [
        LinkClosed(is_clean=False, reason=words, code=code)
    ]
    again, closed = Wire().codec.closed(is_clean=True, code=code, reason=words)
    assert again.category is category
    assert not closed.is_clean


def test_the_address_has_everything_that_was_asked_for():
    """Lists are JSON, and what was not asked for is as the service has it."""
    options = SttOptions(language="de-AT", phrases=("Wien",), filters_profanity=True)
    settings = Settings(model="universal-streaming-multilingual", min_turn_silence_ms=300)
    parts = urlsplit(url_of("https://host", options, settings, capabilities(settings.model)))
    assert (parts.scheme, parts.netloc, parts.path) == ("wss", "host", "/v3/ws")
    assert dict(parse_qsl(parts.query)) == {
        "sample_rate": "16000",
        "encoding": "pcm_s16le",
        "speech_model": "universal-streaming-multilingual",
        "session_heartbeat": "true",
        "min_turn_silence": "300",
        "format_turns": "true",
        "keyterms_prompt": '["Wien"]',
        "filter_profanity": "true",
        "language_codes": '["de"]',
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"model": ""},
        {"vad_threshold": 2.0},
        {"end_of_turn_confidence": -0.1},
        {"min_turn_silence_ms": -1},
        {"answer_seconds": 0},
        {"endpoint": "streaming.assemblyai.com"},
        {"endpoint": "wss://[::1"},
        {"endpoint": "wss://host/?token=1"},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    """They are found before anything is connected."""
    with pytest.raises(ConfigurationError):
        AssemblyAi(**settings)


@given(st.one_of(st.text(), st.binary()))
def test_noise_is_broken_protocol_or_nothing(noise):
    """Nothing else comes of it."""
    with suppress(BrokenProtocol):
        assert Wire().codec.decode(noise) == []


_TURNS = st.tuples(
    st.integers(0, 3), st.integers(0, 4000), st.booleans(), st.booleans(), st.booleans()
)


@given(st.lists(st.one_of(_TURNS, st.sampled_from(["say", "finish", "drop", "tick", "later"]))))
def test_each_utterance_is_answered_once_at_most_and_in_order(steps):
    """Whatever the service says, and when."""
    wire, asked, told = Wire(), [], []
    for step in steps:
        events = []
        match step:
            case "say":
                wire.sound(300)
            case "finish":
                asked.append(f"u{len(asked)}")
                wire.finish(asked[-1])
            case "drop":
                wire.send(DropUtterance())
            case "tick":
                events = wire.tick()
            case "later":
                wire.time += 1
            case (order, at, end, formatted, has_words):
                words = [("x", at, at + 200)] if has_words else []
                events = wire.turn(order, *words, end=end, formatted=formatted)
        told += [e.utterance_id for e in events if isinstance(e, Transcript) and e.is_final]
    assert told == asked[: len(told)]
