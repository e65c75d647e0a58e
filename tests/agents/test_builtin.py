"""The agent that needs no model holds a sensible exchange."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.agents.builtin import BuiltinAgent
from beluga_voice.agents.numbers import number_words, read_numbers
from beluga_voice.errors import ToolFailed
from beluga_voice.events import Message, Role, ToolSpec
from beluga_voice.session.tools import tool


@dataclass
class Turn:
    """What an agent is given."""

    text: str
    history: list = field(default_factory=list)
    instructions: str = ""
    tools: list[ToolSpec] = field(default_factory=list)
    output: str | None = "done"
    called: list = field(default_factory=list)

    async def call_tool(self, name, arguments, /):
        self.called.append((name, json.loads(arguments)))
        if self.output is None:
            raise ToolFailed("it broke", op="tools")
        return self.output


def pieces(turn, *, now=datetime(2024, 2, 29, 15, 4), choose=lambda options: options[0]):
    async def collect():
        return [one async for one in BuiltinAgent(now=lambda: now, choose=choose).respond(turn)]

    return asyncio.run(collect())


def answer(text, *said, **options):
    history = [Message(role=Role.USER, text=one) for one in (*said, text)]
    return "".join(pieces(Turn(text, history), **options)).strip()


@pytest.mark.parametrize(
    ("hour", "minute", "expected"),
    [
        (0, 0, "It is 12 o'clock in the morning."),
        (0, 30, "It is 12 30 in the morning."),
        (9, 5, "It is 9 oh 5 in the morning."),
        (12, 0, "It is 12 o'clock in the afternoon."),
        (15, 10, "It is 3 10 in the afternoon."),
        (18, 20, "It is 6 20 in the evening."),
        (23, 59, "It is 11 59 in the evening."),
    ],
)
def test_it_tells_the_time(hour, minute, expected):
    """Midnight and noon are twelve, and minutes below ten are said with 'oh'."""
    assert answer("what time is it", now=datetime(2024, 2, 29, hour, minute)) == expected


@pytest.mark.parametrize("text", ["what day is it today", "What is the date?"])
def test_it_tells_the_day(text):
    """The day of the week, the month and the day."""
    assert answer(text) == "Today is Thursday, February 29."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("what is two plus three", "2 plus 3 is 5."),
        ("What is 2 + 3?", "2 plus 3 is 5."),
        ("what is twenty three minus forty", "23 minus 40 is minus 17."),
        ("7 - 9", "7 minus 9 is minus 2."),
        ("six times seven", "6 times 7 is 42."),
        ("what is 6*7", "6 times 7 is 42."),
        ("one hundred divided by eight", "100 divided by 8 is 12.5."),
        ("10 / 4", "10 divided by 4 is 2.5."),
        ("ten divided by three", "10 divided by 3 is 3.33."),
        ("what is five divided by zero", "I cannot divide by zero."),
        ("two hundred and five plus one", "205 plus 1 is 206."),
        ("two hundred and five minus one", "205 minus 1 is 204."),
        ("one thousand times one thousand", "1000 times 1000 is 1000000."),
        ("1234567 plus 1", "1234567 plus 1 is 1234568."),
        ("2.5 plus 0.25", "2.5 plus 0.25 is 2.75."),
    ],
)
def test_it_does_sums(text, expected):
    """Numbers in words and digits, and signs in words and characters, give exact results."""
    assert answer(text) == expected


def test_it_remembers_a_name():
    """The last name that was told is the one that counts."""
    assert answer("my name is john") == "Nice to meet you, John."
    assert answer("what is my name") == "You have not told me your name yet."
    assert answer("what is my name", "My name is Ann", "hello") == "Your name is Ann."
    assert answer("What is my name?", "my name is ann", "my name is bob") == "Your name is Bob."


def test_it_repeats_what_was_said():
    """The words before the question, and not the question."""
    assert answer("what did i say", "hello there", "two plus two") == "You said: two plus two."
    assert answer("what did i say") == "You have not said anything before that."
    assert answer("What did I say", "hello", "What did I say") == "You said: hello."


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("hello", "Hello! I am Beluga."),
        ("good morning", "Hello! I am Beluga."),
        ("how are you", "I am well"),
        ("who are you", "I am Beluga, a small agent"),
        ("what can you do", "I can tell the time"),
        ("thank you very much", "You are welcome."),
        ("bye bye", "Goodbye."),
        ("stop", "All right."),
        ("no thank you", "You are welcome."),
        ("tell me a story", "Once, a young beluga"),
    ],
)
def test_it_makes_small_talk(text, begins):
    """Common phrases have their answers."""
    assert answer(text).startswith(begins)


def test_only_the_greeting_varies():
    """Of the choices that are offered, the chosen one is said."""
    assert answer("hello", choose=lambda options: options[-1]).startswith("Hi there!")


def test_it_says_what_it_heard_when_it_knows_nothing():
    """The fallback repeats the words as they were, and says what it can do."""
    told = answer("Colourless green ideas")
    assert told.startswith("I heard: Colourless green ideas. ")
    assert "story" in told


def test_a_story_comes_sentence_by_sentence():
    """A long answer is yielded in pieces, each a sentence, so that speech can begin."""
    told = pieces(Turn("tell me a story"))
    assert len(told) == 6
    assert all(piece.endswith(". ") for piece in told)


def test_every_phrase_it_offers_is_understood():
    """None of the sentences that help the recogniser leads to the fallback."""
    known = [one for one in BuiltinAgent.phrases if not one.startswith("yes")]
    assert len(known) == len(set(known)) > 100
    lost = [one for one in known if answer(one).startswith("I heard")]
    assert set(lost) <= {"roll the dice"}  # a tool of the demonstration


# ── tools ───────────────────────────────────────────────────────────────────────────────────


def roll_dice(sides: int, label: str = "") -> str:
    """Roll a die."""
    return "4"


def find_note(title: str) -> str:
    """Find a note."""
    return title


def set_heat(degrees: float, room: int = 1) -> str:
    """Set the heat."""
    return "ok"


@pytest.mark.parametrize(
    ("function", "text", "arguments"),
    [
        (roll_dice, "roll the dice with twenty sides", {"sides": 20}),
        (roll_dice, "roll dice", {}),
        (find_note, "find note shopping list", {"title": "shopping list"}),
        (find_note, "Find my note about Bob", {"title": "my about Bob"}),
        (set_heat, "set heat 21.5 in room two", {"degrees": 21.5, "room": 2}),
    ],
)
def test_it_uses_a_tool_whose_name_was_said(function, text, arguments):
    """Numbers go to numeric parameters in order, the other words to a text that is required."""
    turn = Turn(text, tools=[tool(function).spec])
    pieces(turn)
    assert turn.called == [(function.__name__, arguments)]


@pytest.mark.parametrize(
    ("output", "spoken"),
    [
        ("4", "It says 4."),
        ("It is done!", "It is done!"),
        ('{"city": "Ulm", "degrees": 21}', "city Ulm, degrees 21."),
        ('"quoted"', "It says quoted."),
        (None, "That did not work, I am sorry."),
    ],
)
def test_it_says_what_a_tool_gave(output, spoken):
    """Text is said as it is, an object by its fields, and a failure is admitted."""
    turn = Turn("roll dice", tools=[tool(roll_dice).spec], output=output)
    assert "".join(pieces(turn)).strip() == spoken


def test_a_tool_that_was_not_named_is_left_alone():
    """Half of a tool's name does not run it."""
    turn = Turn("roll over please", tools=[tool(roll_dice).spec])
    assert "".join(pieces(turn)).startswith("I heard")
    assert turn.called == []


# ── numbers ─────────────────────────────────────────────────────────────────────────────────


@given(st.integers(0, 999))
def test_numbers_come_back_from_their_words(value):
    """Words of a number are read as that number, and as one."""
    assert read_numbers(number_words(value)) == [value]


@given(st.integers(0, 999), st.integers(0, 999), st.sampled_from(["plus", "minus", "over", "x"]))
def test_two_numbers_are_told_apart(one, other, word):
    """A word in between parts two numbers, in words and in digits."""
    assert read_numbers(f"{number_words(one)} {word} {number_words(other)}") == [one, other]
    assert read_numbers(f"{one} {word} {other}") == [one, other]


@pytest.mark.parametrize("value", [-1, 1000])
def test_numbers_out_of_range_have_no_words(value):
    """Only 0 to 999 are said."""
    with pytest.raises(ValueError, match="outside 0 to 999"):
        number_words(value)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", []),
        ("nothing here", []),
        ("three four", [3, 4]),
        ("three twenty", [3, 20]),
        ("twenty three", [23]),
        ("twenty-three", [23]),
        ("Twenty Three", [23]),
        ("two thousand and five", [2005]),
        ("three hundred thousand and twelve", [300_012]),
        ("one million two hundred thousand", [1_200_000]),
        ("five and six", [5, 6]),
        ("3.25 of 10", [3.25, 10]),
        ("hundred", []),
    ],
)
def test_numbers_are_read_as_people_say_them(text, numbers):
    """Words that go on are one number, others are two."""
    assert read_numbers(text) == numbers
