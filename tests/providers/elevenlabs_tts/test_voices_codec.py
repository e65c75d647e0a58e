"""The protocol of ElevenLabs' voices as a pure translation: what is wrong, late, or made up."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.errors import BrokenProtocol
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    ErrorCategory,
    FinishSpeech,
    LinkClosed,
    LinkReady,
    ServiceFailed,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    TtsEvent,
)
from beluga_voice.interfaces import TtsOptions
from beluga_voice.providers.tick import TICK
from beluga_voice.providers.tts.elevenlabs._capabilities import DEFAULT_MODEL, capabilities
from beluga_voice.providers.tts.elevenlabs._codec import ElevenLabsCodec
from beluga_voice.providers.tts.elevenlabs._options import Settings
from beluga_voice.providers.tts.elevenlabs._words import WordTimes

A = ContextId("a")
SOUND = base64.b64encode(b"\x01\x02" * 240).decode()


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def codec(clock: Clock | None = None, *, is_ready: bool = True, **options: Any) -> ElevenLabsCodec:
    """A codec in front of no service."""
    made = ElevenLabsCodec(
        TtsOptions(**options),
        Settings(model=DEFAULT_MODEL, voice="v"),
        capabilities(DEFAULT_MODEL),
        now=clock or Clock(),
        changed=lambda: None,
    )
    made.hello()
    if is_ready:
        tell(made, context_id="ready", isFinal=True)
    return made


def tell(made: ElevenLabsCodec, **fields: Any) -> list[TtsEvent]:
    """A message of the service."""
    return made.decode(json.dumps(fields))


def alignment(text: str, starts: list[float], each: float) -> dict[str, Any]:
    """Times of characters."""
    return {"chars": [*text], "charStartTimesMs": starts, "charDurationsMs": [each] * len(text)}


def test_the_first_messages() -> None:
    """A context is opened and closed, whose end says that the connection can be used."""
    made = codec(is_ready=False, stability=0.4)
    assert [json.loads(one) for one in made.hello()] == [
        {"context_id": "ready", "text": " ", "voice_settings": {"stability": 0.4}},
        {"context_id": "ready", "close_context": True},
    ]
    assert tell(made, contextId="ready", isFinal=True) == [LinkReady(model=DEFAULT_MODEL)]
    assert tell(made, contextId="ready", isFinal=True) == []


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("Hello.", "Hello. "),
        ("Hello. ", "Hello. "),
        ("“Hello!”", "“Hello!” "),
        ("こんにちは。", "こんにちは。 "),
        ("Hello\n", "Hello\n"),
    ],
)
def test_a_sentence_is_asked_for(text: str, wire: str) -> None:
    """Where a text ends a sentence it is flushed, and ends with a space."""
    messages = codec().encode(SpeakText(context_id=A, text=text))
    assert json.loads(messages[-1]) == {"context_id": "c1", "text": wire, "flush": True}


@pytest.mark.parametrize("text", ["Hello", "3.5", "Hello, ", " "])
def test_what_is_no_sentence_is_sent_as_it_is(text: str) -> None:
    """A piece may end inside a word: nothing is put behind it."""
    messages = codec().encode(SpeakText(context_id=A, text=text))
    assert json.loads(messages[-1]) == {"context_id": "c1", "text": text}


@pytest.mark.parametrize(
    "message", ["", "{", "[]", "1", '{"audio": 1}', '{"audio": "!"}', b"\x01", "[" * 20000]
)
def test_what_cannot_be_read(message: str | bytes) -> None:
    """It is named, not quoted, and changes nothing."""
    made = codec()
    made.encode(SpeakText(context_id=A, text="Hello."))
    with pytest.raises(BrokenProtocol):
        made.decode(message)
    (audio,) = tell(made, context_id="c1", audio=SOUND)
    assert isinstance(audio, SpeechAudio)


def test_an_error_of_one_context_ends_that_one() -> None:
    """The others go on."""
    made = codec()
    for name in ("a", "b"):
        made.encode(SpeakText(context_id=ContextId(name), text="Hello."))
    failed, done = tell(made, context_id="c1", error="generation_failed", message="No.")
    assert isinstance(failed, ServiceFailed)
    assert not failed.is_fatal
    assert done == SpeechDone(context_id=A)
    (audio,) = tell(made, context_id="c2", audio=SOUND)
    assert isinstance(audio, SpeechAudio)
    assert tell(made, context_id="c1", audio=SOUND) == []


@pytest.mark.parametrize(
    ("error", "message", "category"),
    [
        ("x", "Invalid API key sk-secret", ErrorCategory.AUTH),
        ("x", "This request exceeds your quota", ErrorCategory.INVALID_REQUEST),
        ("x", "Maximum simultaneous contexts exceeded", ErrorCategory.RATE_LIMIT),
        ("x", "The system is busy", ErrorCategory.RETRYABLE),
        ("x", "The request timed out", ErrorCategory.TIMEOUT),
    ],
)
def test_errors_whose_codes_are_not_known(
    error: str, message: str, category: ErrorCategory
) -> None:
    """Their words decide; what is said of a key is not passed on."""
    (failed,) = tell(codec(), error=error, message=message)
    assert isinstance(failed, ServiceFailed)
    assert (failed.category, failed.is_fatal) == (category, True)
    assert "secret" not in failed.message


def test_a_close_that_says_why() -> None:
    """The reason is told before the end, unless an error has been told already."""
    failed, closed = codec().closed(is_clean=False, code=1008, reason="quota exceeded")
    assert isinstance(failed, ServiceFailed)
    assert failed.category is ErrorCategory.INVALID_REQUEST
    assert isinstance(closed, LinkClosed)
    made = codec()
    tell(made, error="quota_exceeded")
    assert len(made.closed(is_clean=False, code=1008, reason="quota exceeded")) == 1


def test_words_over_two_pieces() -> None:
    """A word that begins in one piece and ends in another is one word."""
    made = codec()
    made.encode(SpeakText(context_id=A, text="Hello."))
    first = tell(made, context_id="c1", audio=SOUND, alignment=alignment("Hel", [0, 3, 6], 3))
    assert [type(one) for one in first] == [SpeechAudio]
    rest = alignment("lo. x", [0, 2, 4, 6, 8], 2)
    audio, whole = tell(made, context_id="c1", audio=SOUND, normalizedAlignment=rest)
    assert isinstance(audio, SpeechAudio)
    assert isinstance(whole, SpeechWords)
    assert [(one.text, one.start, one.end) for one in whole.words] == [("Hello.", 0, 384)]
    made.encode(FinishSpeech(context_id=A))
    words, done = tell(made, context_id="c1", isFinal=True)
    assert isinstance(words, SpeechWords)
    assert isinstance(done, SpeechDone)
    assert [(one.text, one.start, one.end) for one in words.words] == [("x", 432, 480)]


def test_times_without_sound_follow_those_before() -> None:
    """Where the times of a piece come after its sound, they still count from its beginning."""
    words = WordTimes(1000)
    words.add([("a", 0.0, 100.0), (" ", 100.0, 0.0)], samples_before=0, samples=100)
    words.add([("b", 0.0, 100.0), (" ", 100.0, 0.0)], samples_before=300, samples=0)
    assert [(one.text, one.start, one.end) for one in words.sounded(300)] == [
        ("a", 0, 100),
        ("b", 100, 200),
    ]


def test_a_pause_at_the_end_of_a_piece_moves_the_next_one() -> None:
    """What comes next begins where its sound does, not where the last character ended."""
    words = WordTimes(1000)
    words.add([("a", 0.0, 100.0), (" ", 100.0, 0.0)], samples_before=0, samples=500)
    words.add([("b", 0.0, 100.0), (" ", 100.0, 0.0)], samples_before=500, samples=100)
    assert [(one.text, one.start) for one in words.sounded(600)] == [("a", 0), ("b", 500)]


def test_times_that_come_before_their_sound() -> None:
    """A word waits until all of its sound is there."""
    words = WordTimes(1000)
    words.add(
        [("a", 0.0, 90.0), (" ", 90.0, 10.0), ("b", 100.0, 90.0)], samples_before=0, samples=50
    )
    assert words.sounded(50) == ()
    assert [one.text for one in words.sounded(100)] == ["a"]
    assert [(one.text, one.start, one.end) for one in words.rest(150)] == [("b", 100, 150)]


NUMBER = st.floats(allow_nan=True) | st.integers(-10, 1000)
TIMES = st.fixed_dictionaries(
    {},
    optional={
        "chars": st.lists(st.text(max_size=2), max_size=4) | st.none(),
        "charStartTimesMs": st.lists(NUMBER, max_size=4) | st.none(),
        "charsDurationsMs": st.lists(NUMBER, max_size=4),
        "charDurationsMs": st.lists(NUMBER, max_size=4),
    },
)
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "context_id": st.sampled_from(["ready", "c1", "c2", "c3", "c9", None]),
        "contextId": st.sampled_from(["c1", "c2", 5]),
        "audio": st.sampled_from([SOUND, "AA==", "AAA=", "", None, "!"]),
        "isFinal": st.booleans() | st.none(),
        "normalizedAlignment": TIMES | st.none(),
        "alignment": TIMES,
    },
)
NAMES = st.sampled_from([ContextId("a"), ContextId("b"), ContextId("c")])
TEXTS = st.sampled_from(["Hello. ", "and ", "", " ", "…"])
COMMAND = (
    st.builds(SpeakText, context_id=NAMES, text=TEXTS)
    | st.builds(FinishSpeech, context_id=NAMES)
    | st.builds(CancelSpeech, context_id=NAMES)
)
STEP = (
    MESSAGE.map(json.dumps)
    | st.text(max_size=12)
    | st.binary(max_size=4)
    | COMMAND
    | st.sampled_from([0.0, 0.6, 5.0])
)


@given(st.lists(STEP, max_size=30))
def test_whatever_comes(steps: list[Any]) -> None:
    """Events, or `BrokenProtocol`; whole samples, words after their sound, nothing cancelled."""
    clock = Clock()
    made = codec(clock, is_ready=False)
    samples: dict[ContextId, int] = {}
    silent: set[ContextId] = set()

    def look(events: list[TtsEvent]) -> None:
        for event in events:
            match event:
                case SpeechAudio():
                    assert event.context_id not in silent
                    assert len(event.pcm) % 2 == 0
                    samples[event.context_id] = (
                        samples.get(event.context_id, 0) + len(event.pcm) // 2
                    )
                case SpeechWords():
                    assert event.context_id not in silent
                    sounded = samples.get(event.context_id, 0)
                    assert all(0 <= one.start <= one.end <= sounded for one in event.words)
                case SpeechDone():
                    assert event.context_id not in silent
                    silent.add(event.context_id)
                case _:
                    assert not isinstance(event, LinkClosed)

    for step in steps:
        if isinstance(step, float):
            clock.now += step
            look(made.decode(TICK))
        elif isinstance(step, SpeakText | FinishSpeech | CancelSpeech):
            if isinstance(step, CancelSpeech):
                silent.add(step.context_id)
            elif step.context_id in silent:
                silent.discard(step.context_id)
                samples.pop(step.context_id, None)
            made.encode(step)
        else:
            try:
                look(made.decode(step))
            except BrokenProtocol:
                continue
        made.replies()
        assert len(made._live) <= 5
    assert isinstance(made.closed(is_clean=True, code=None, reason="")[-1], LinkClosed)
