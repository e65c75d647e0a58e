"""What a voice that takes over is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from beluga_voice.audio.formats import pcm16
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    FinishSpeech,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    TimedWord,
)
from beluga_voice.resilience.unspoken import Unspoken

A, B = ContextId("a"), ContextId("b")


def given_text(*pieces, has_word_times=True, is_finished=True, context=A, unspoken=None):
    unspoken = unspoken or Unspoken(pcm16(8000), has_word_times=has_word_times)
    for one in pieces:
        unspoken.sent(SpeakText(context_id=context, text=one))
    if is_finished:
        unspoken.sent(FinishSpeech(context_id=context))
    return unspoken


def sound(unspoken, samples, *words, context=A):
    """So much sound, then words of which each ends there."""
    unspoken.received(SpeechAudio(context_id=context, pcm=bytes(samples * 2)))
    timed = tuple(TimedWord(text=text, start=0, end=end) for text, end in words)
    return unspoken.received(SpeechWords(context_id=context, words=timed)) if words else ()


def told(unspoken):
    """The commands as text."""
    commands, owed = unspoken.again()
    named = [
        f"{one.context_id}: {one.text}" if isinstance(one, SpeakText) else f"{one.context_id}."
        for one in commands
    ]
    return named + [f"{one.context_id} done" for one in owed]


def test_what_was_not_spoken_at_all_is_told_as_it_came():
    """Piece by piece."""
    assert told(given_text("Hello there. ", "How are ", "you?")) == [
        "a: Hello there. ",
        "a: How are ",
        "a: you?",
        "a.",
    ]


@pytest.mark.parametrize(
    ("words", "rest"),
    [
        ([("one", 100)], ["a: two three", "a."]),
        ([("ONE", 100), ("two", 200)], ["a: three", "a."]),
        ([("1", 100)], ["a: two three", "a."]),  # written otherwise
        ([("one", 100), ("two", 200), ("three", 300)], ["a done"]),
    ],
)
def test_text_goes_on_after_the_last_word_that_sounded(words, rest):
    """Where all of it did, the context is done without asking anybody."""
    unspoken = given_text("one two three")
    sound(unspoken, words[-1][1], *words)
    assert told(unspoken) == rest


@pytest.mark.parametrize(
    ("samples", "rest"),
    [
        (90, "one two three"),  # a word that broke off at its end
        (2400, "one two three"),
        (2400 + 4 * 533, "one two three"),
        (2400 + 4 * 534, "two three"),  # it should have been told 300 ms ago
    ],
)
def test_a_word_that_was_not_told_is_not_taken_for_spoken_too_soon(samples, rest):
    """A voice that tells times may tell them a little after the sound; 533 samples a character."""
    unspoken = given_text("one two three")
    sound(unspoken, samples)
    assert told(unspoken) == [f"a: {rest}", "a."]


def test_a_context_that_is_open_and_spoken_is_told_nothing_until_more_text_comes():
    """What comes later goes to the next voice anyhow."""
    unspoken = given_text("one.", is_finished=False)
    sound(unspoken, 100, ("one.", 100))
    assert told(unspoken) == []


def test_sentences_without_the_space_between_them_are_not_one_word():
    """As a cascade gives them."""
    unspoken = given_text("One two.", "Three four.")
    sound(unspoken, 200, ("One", 100), ("two.", 200))
    assert told(unspoken) == ["a: Three four.", "a."]


def test_times_of_the_next_voice_are_moved_to_where_its_sound_begins():
    """Words are placed in the sound of the context, whoever spoke."""
    unspoken = given_text("one two three")
    assert sound(unspoken, 150, ("one", 100))[0].words[0].end == 100
    assert told(unspoken) == ["a: two three", "a."]
    (moved,) = sound(unspoken, 100, ("two", 100))
    assert (moved.words[0].start, moved.words[0].end) == (150, 250)
    assert told(unspoken) == ["a: three", "a."]


def test_contexts_are_told_in_their_order_and_cancelled_ones_are_not():
    """Each is where it was."""
    unspoken = given_text("one two")
    given_text("three four", context=B, unspoken=unspoken)
    sound(unspoken, 100, ("one", 100))
    assert told(unspoken) == ["a: two", "a.", "b: three four", "b."]
    unspoken.sent(CancelSpeech(context_id=A))
    assert told(unspoken) == ["b: three four", "b."]
    unspoken.received(SpeechDone(context_id=B))
    assert told(unspoken) == []


def test_times_are_not_passed_on_where_not_all_voices_tell_them():
    """But they are used."""
    unspoken = given_text("one two", has_word_times=False)
    assert sound(unspoken, 100, ("one", 100)) == ()
    assert told(unspoken) == ["a: two", "a."]


@pytest.mark.parametrize(
    ("samples", "rest"),
    [
        (0, ["a: four five six", "a."]),
        (200, ["a: four five six", "a."]),  # less than half of "four"
        (300, ["a: five six", "a."]),  # more
        (500, ["a: five six", "a."]),
        (1000, ["a: six", "a."]),
        (1400, ["a done"]),
    ],
)
def test_without_times_the_pace_of_the_context_before_counts(samples, rest):
    """A hundred samples to a character here; a word that was begun well is not begun again."""
    unspoken = given_text("one two three", context=B, has_word_times=False)
    sound(unspoken, 1400, context=B)
    unspoken.received(SpeechDone(context_id=B))
    given_text("four five six", unspoken=unspoken)
    sound(unspoken, samples)
    assert told(unspoken) == rest


def test_without_times_sentences_without_a_space_between_them_are_not_one_word():
    """As a cascade gives them, at the pace that is expected: 533 samples to a character."""
    unspoken = given_text("One two.", "Three four.", has_word_times=False)
    sound(unspoken, 533 * 10)
    assert told(unspoken) == ["a: Three four.", "a."]


@given(
    words=some.lists(some.text("abc", min_size=1, max_size=6), min_size=1, max_size=20),
    cuts=some.lists(some.integers(0, 8), max_size=6),
    size=some.integers(1, 9),
)
def test_over_any_number_of_voices_every_word_is_spoken_once(words, cuts, size):
    """Each voice is lost after some whole words; together they speak the text."""
    text = " ".join(words)
    unspoken = given_text(*(text[at : at + size] for at in range(0, len(text), size)))
    spoken = []
    for cut in [*cuts, len(words)]:
        commands, owed = unspoken.again()
        left = "".join(one.text for one in commands if isinstance(one, SpeakText)).split()
        assert spoken + left == words
        assert bool(owed) == (not left)
        if owed:
            break
        now = left[:cut]
        if now:
            ends = [(word, 100 * number) for number, word in enumerate(now, start=1)]
            sound(unspoken, 100 * len(now), *ends)
        spoken += now
    assert spoken == words
