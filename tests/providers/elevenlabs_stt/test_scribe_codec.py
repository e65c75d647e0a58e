"""The protocol of Scribe as a pure translation: what is wrong, late, or made up."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.errors import BrokenProtocol
from beluga_voice.events import (
    DropUtterance,
    FinishUtterance,
    LinkClosed,
    SendAudio,
    ServiceFailed,
    SttEvent,
    Transcript,
    UtteranceId,
)
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.stt.elevenlabs._capabilities import capabilities
from beluga_voice.providers.stt.elevenlabs._codec import ScribeCodec
from beluga_voice.providers.stt.elevenlabs._errors import ERRORS
from beluga_voice.providers.stt.elevenlabs._options import Settings
from beluga_voice.providers.tick import TICK

LOUD = b"\x00\x40" * 4800


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def codec(clock: Clock | None = None, *, wants_words: bool = False, **settings: Any) -> ScribeCodec:
    """A codec in front of no service."""
    made = Settings(model="scribe_v2_realtime", **settings)
    return ScribeCodec(
        SttOptions(wants_words=wants_words),
        made,
        capabilities(finds_turns=made.finds_turns),
        now=clock or Clock(),
        changed=lambda: None,
    )


def tell(made: ScribeCodec, kind: str, **fields: Any) -> list[SttEvent]:
    """A message of the service."""
    return made.decode(json.dumps({"message_type": kind, **fields}))


def finish(made: ScribeCodec, name: str) -> dict[str, Any]:
    """End an utterance; gives the last message."""
    messages = made.encode(FinishUtterance(utterance_id=UtteranceId(name)))
    last: dict[str, Any] = json.loads(messages[-1])
    return last


def test_the_only_message_there_is() -> None:
    """Sound in base64, and whether to settle what was heard."""
    (message,) = codec().encode(SendAudio(pcm=b"\x01\x02\x03\x04"))
    assert json.loads(message) == {
        "message_type": "input_audio_chunk",
        "audio_base_64": "AQIDBA==",
        "commit": False,
        "sample_rate": 16000,
    }


def test_sound_that_is_none() -> None:
    """No sound makes no message."""
    assert codec().encode(SendAudio(pcm=b"")) == []


@pytest.mark.parametrize("kind", ["committed_transcript_entities", "edited_transcript", "warning"])
def test_what_says_nothing_to_us(kind: str) -> None:
    """Kinds of messages that we do not use, or do not know, give nothing."""
    assert tell(codec(), kind, text="x", warning="y", entities=[]) == []


@pytest.mark.parametrize("kind", sorted(ERRORS))
def test_every_error_ends_the_session(kind: str) -> None:
    """The service closes after each of them."""
    (failed,) = tell(codec(), kind, error="because")
    assert isinstance(failed, ServiceFailed)
    assert failed.is_fatal
    assert failed.provider_code == kind


def test_a_wrong_key_is_not_quoted() -> None:
    """What the service says of a key is not passed on."""
    (failed,) = tell(codec(), "auth_error", error="Invalid API key sk-secret")
    assert isinstance(failed, ServiceFailed)
    assert "secret" not in failed.message


@pytest.mark.parametrize(
    "message",
    ["", "{", "[]", "1", '{"text": "x"}', '{"message_type": 1}', b"\x01", "[" * 20000],
)
def test_what_cannot_be_read(message: str | bytes) -> None:
    """It is named, not quoted, and changes nothing."""
    made = codec()
    finish(made, "a")
    with pytest.raises(BrokenProtocol):
        made.decode(message)
    (final,) = tell(made, "committed_transcript", text="hello")
    assert isinstance(final, Transcript)
    assert final.text == "hello"


def test_the_first_copy_waits_for_the_second() -> None:
    """With times a text comes twice; the first has none, and is not told."""
    made = codec(wants_words=True)
    made.encode(SendAudio(pcm=LOUD))
    finish(made, "a")
    assert tell(made, "committed_transcript", text="hello") == []
    words = [{"text": "hello", "start": 0.1, "end": 9e9, "type": "word", "logprob": 0.5}]
    (final,) = tell(made, "committed_transcript_with_timestamps", text="hello", words=words)
    assert isinstance(final, Transcript)
    (word,) = final.words
    assert (word.start, word.end, word.confidence) == (1600, 4800, 1.0)


def test_words_without_times_are_left_out() -> None:
    """Spaces, noises, and words that nobody can place have no place."""
    made = codec(wants_words=True)
    made.encode(SendAudio(pcm=LOUD))
    finish(made, "a")
    words = [
        {"text": " ", "start": 0, "end": 0, "type": "spacing"},
        {"text": "(laughs)", "start": 0, "end": 0.1, "type": "audio_event"},
        {"text": "hm", "type": "word"},
        {"text": "yes", "start": -1, "type": "word"},
    ]
    (final,) = tell(made, "committed_transcript_with_timestamps", text="hm yes", words=words)
    assert isinstance(final, Transcript)
    assert [(one.text, one.start, one.end) for one in final.words] == [("yes", 0, 0)]


def test_nothing_is_owed_at_the_end() -> None:
    """The link closes, with the reason; a code that means a failure is told before."""
    made = codec()
    finish(made, "a")
    assert made.closed(is_clean=True, code=1000, reason="") == [
        LinkClosed(is_clean=True, code=1000, reason="")
    ]
    failed, closed = codec().closed(is_clean=False, code=1008, reason="no")
    assert isinstance(failed, ServiceFailed)
    assert failed.is_fatal
    assert isinstance(closed, LinkClosed)


def test_a_moment_too_early_changes_nothing() -> None:
    """A tick before the deadline is harmless, and one at it moves it on."""
    clock = Clock()
    made = codec(clock)
    assert made.deadline == 110.0
    assert made.decode(TICK) == []
    assert made.replies() == []
    clock.now = 110.0
    assert made.decode(TICK) == []
    (kept,) = made.replies()
    assert json.loads(kept)["audio_base_64"] == ""
    assert made.deadline == 120.0


def test_words_of_an_utterance_that_is_over() -> None:
    """Where the service finds the turns, what it says after the answer is not told."""
    clock = Clock()
    made = codec(clock, commit_strategy="vad")
    finish(made, "a")
    clock.now += 1.0
    (final,) = made.decode(TICK)
    assert isinstance(final, Transcript)
    assert tell(made, "partial_transcript", text="late") == []
    made.encode(SendAudio(pcm=LOUD))
    assert tell(made, "committed_transcript", text="late") == []
    finish(made, "b")
    tell(made, "partial_transcript", text="new")
    (final,) = tell(made, "committed_transcript", text="new")
    assert isinstance(final, Transcript)
    assert (final.utterance_id, final.text) == ("b", "new")


def test_interim_words_after_the_end_are_not_told() -> None:
    """They are of the utterance that is being settled, and would pass for the next one's."""
    made = codec()
    assert len(tell(made, "partial_transcript", text="hello")) == 1
    finish(made, "a")
    assert tell(made, "partial_transcript", text="hello there") == []
    tell(made, "committed_transcript", text="hello there")
    (interim,) = tell(made, "partial_transcript", text="see")
    assert isinstance(interim, Transcript)
    assert interim.text == "see"


def test_each_answer_has_its_own_time() -> None:
    """The second of two that wait is waited for from the first one's answer."""
    clock = Clock()
    made = codec(clock, answer_seconds=4.0)
    finish(made, "a")
    finish(made, "b")
    assert made.deadline == 104.0
    clock.now = 103.0
    tell(made, "committed_transcript", text="hello")
    assert made.deadline == 107.0
    clock.now = 107.0
    (failed,) = made.decode(TICK)
    assert isinstance(failed, ServiceFailed)
    assert made.deadline is None


KINDS = st.sampled_from(
    [
        "session_started",
        "partial_transcript",
        "committed_transcript",
        "committed_transcript_with_timestamps",
        "warning",
    ]
)
WORD = st.fixed_dictionaries(
    {},
    optional={
        "text": st.text(max_size=4),
        "start": st.floats() | st.none(),
        "end": st.floats() | st.none(),
        "type": st.sampled_from(["word", "spacing", "x"]),
        "logprob": st.floats() | st.none(),
    },
)
MESSAGE = st.fixed_dictionaries(
    {"message_type": KINDS},
    optional={
        "text": st.text(max_size=8) | st.none() | st.integers(),
        "words": st.lists(WORD, max_size=3) | st.none(),
        "config": st.none() | st.fixed_dictionaries({"sample_rate": st.integers() | st.none()}),
        "error": st.text(max_size=4),
    },
)
STEP = st.one_of(
    MESSAGE.map(json.dumps),
    st.text(max_size=12),
    st.binary(max_size=4),
    st.sampled_from([SendAudio(pcm=LOUD), DropUtterance(), "finish", 1.0, 20.0]),
)


@given(st.lists(STEP, max_size=25), st.booleans(), st.booleans())
def test_whatever_comes(steps: list[Any], is_vad: bool, wants_words: bool) -> None:
    """Events, or `BrokenProtocol`; one final transcript at most for each utterance, in order."""
    clock = Clock()
    made = codec(clock, wants_words=wants_words, commit_strategy="vad" if is_vad else "manual")
    asked: list[str] = []
    answered: list[str] = []

    def look(events: list[SttEvent]) -> None:
        for event in events:
            assert not isinstance(event, LinkClosed)
            if isinstance(event, Transcript) and event.is_final:
                answered.append(str(event.utterance_id))
                assert all(0 <= word.start <= word.end for word in event.words)

    for step in steps:
        if step == "finish":
            asked.append(f"u{len(asked)}")
            finish(made, asked[-1])
        elif isinstance(step, float):
            clock.now += step
            look(made.decode(TICK))
        elif isinstance(step, SendAudio | DropUtterance):
            made.encode(step)
        else:
            try:
                look(made.decode(step))
            except BrokenProtocol:
                continue
        made.replies()
        assert made.deadline is None or made.deadline >= clock.now - 40
    assert answered == asked[: len(answered)]
    assert isinstance(made.closed(is_clean=True, code=None, reason="")[-1], LinkClosed)
