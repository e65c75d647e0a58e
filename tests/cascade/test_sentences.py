"""Streaming text is cut into sentences, the same however it comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.providers.s2s.sentences import MAX_CHARACTERS, Sentences


def cut(text, *sizes, limit=MAX_CHARACTERS):
    """The sentences of `text`, fed in pieces of those sizes over and over; at once without any."""
    sentences = Sentences(limit=limit)
    found = []
    at = index = 0
    while at < len(text):
        size = sizes[index % len(sizes)] if sizes else len(text)
        index += 1
        found += sentences.feed(text[at : at + size])
        at += size
    return found + sentences.flush()


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        ("   \n ", []),
        ("One", ["One"]),
        ("One. Two! Three? Four… Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
        ("Really?! Yes.", ["Really?!", "Yes."]),
        ('He said "stop." Then left.', ['He said "stop."', "Then left."]),
        ("Mr. Smith met Dr. Jones. They talked.", ["Mr. Smith met Dr. Jones.", "They talked."]),
        ("Use e.g. a map, i.e. paper. Good.", ["Use e.g. a map, i.e. paper.", "Good."]),
        ("J. R. R. Tolkien wrote. A lot.", ["J. R. R. Tolkien wrote.", "A lot."]),
        ("It is 3.14 or 2.5. Yes.", ["It is 3.14 or 2.5.", "Yes."]),
        ("No. I will not.", ["No.", "I will not."]),
        ("Room no. 5 is free. Go.", ["Room no. 5 is free.", "Go."]),
        ("Two and two is 4. It is 10. Bye", ["Two and two is 4.", "It is 10.", "Bye"]),
        ("1. Eat. 2. Sleep.", ["1. Eat.", "2. Sleep."]),
        ("See www.example.com now. Bye", ["See www.example.com now.", "Bye"]),
        ("A title\nA line\n\nAnother", ["A title", "A line", "Another"]),
        ("你好。今天好吗？很好！", ["你好。", "今天好吗？", "很好！"]),
        ("No space.Next one. Done", ["No space.Next one.", "Done"]),
    ],
)
@pytest.mark.parametrize("size", [None, 1, 3])
def test_text_is_cut_where_people_would(text, sentences, size):
    """Marks end sentences; abbreviations, initials, decimals and numbered items do not."""
    assert cut(text, *([size] if size else [])) == sentences


def test_a_sentence_is_given_as_soon_as_it_is_known():
    """The space after the mark is enough; the rest need not come."""
    sentences = Sentences()
    assert sentences.feed("Hello there.") == []
    assert sentences.feed(" ") == ["Hello there."]
    assert sentences.feed("How are") == []
    assert sentences.flush() == ["How are"]
    assert sentences.flush() == []


def test_a_sentence_without_end_is_cut_at_a_comma_or_a_space():
    """Speech can begin before a run-on sentence ends; a comma is better than a space."""
    assert cut("aaaa bbbb, cccc dddd eeee", limit=20) == ["aaaa bbbb,", "cccc dddd eeee"]
    assert cut("aaaa bbbb cccc dddd eeee", limit=20) == ["aaaa bbbb cccc dddd", "eeee"]
    assert cut("a" * 45, limit=20) == ["a" * 20, "a" * 20, "a" * 5]


parts = ("word", "Mr", "e.g", "3.14", "7", "No", ".", ". ", "! ", "?", "…", ", ", " ", "\n")
texts = st.lists(st.sampled_from([*parts, "。", "好", '"', ")", "x" * 30]), max_size=60).map(
    "".join
)
sizes = st.lists(st.integers(1, 50), min_size=1, max_size=5)


@given(texts | st.text(), sizes, st.sampled_from([10, 40, MAX_CHARACTERS]))
def test_nothing_is_lost_and_pieces_change_nothing(text, pieces, limit):
    """Any cutting into pieces gives the same sentences, which hold all that is not space."""
    whole = cut(text, limit=limit)
    assert cut(text, *pieces, limit=limit) == whole
    assert "".join("".join(whole).split()) == "".join(text.split())
    for sentence in whole:
        assert sentence == sentence.strip() != ""
        assert len(sentence) <= limit


def test_a_long_text_takes_no_long_time():
    """A megabyte of words without a mark is cut in one pass."""
    text = "word " * 200_000
    assert " ".join(cut(text)) == text.strip()
