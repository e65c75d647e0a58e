"""The turn detector that reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.providers.turns.words import WordTurns

READER = WordTurns()


@pytest.mark.parametrize(
    "text",
    [
        "I would like to order a",
        "because",
        "my name is",
        "the e-mail is john at",
        "it is j o h n",
        "my number is five five one",
        "0 1 5 1",
        "um",
        "I want the red one, ",
        "well...",
        "ich heiße",
        "ich möchte ein",
        "quiero una mesa para",
        "je voudrais une",
    ],
)
def test_an_utterance_in_the_middle_is_not_over(text):
    """Something has to follow."""
    assert READER.probability(text) < 0.3


@pytest.mark.parametrize(
    "text",
    ["what time is it?", "Where are you from?", "That is all.", "Nein, danke!", "I think so."],
)
def test_punctuation_says_that_it_is_over(text):
    """Where the service writes it."""
    assert READER.probability(text) > 0.7


@pytest.mark.parametrize(
    "text",
    [
        "what time is it",
        "where are you from",
        "come in",
        "yes",
        "no I do not",
        "I think so",
        "eight",
        "a table for two",
        "flip a coin",
        "",
        "你好",
    ],
)
def test_what_it_does_not_know_it_says(text):
    """It neither hurries nor delays."""
    assert READER.probability(text) == 0.5


@given(st.text())
def test_it_reads_anything(text):
    """Whatever is written, it is a probability."""
    assert 0 <= READER.probability(text) <= 1
