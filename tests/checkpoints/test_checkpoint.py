"""What is in a checkpoint, how it is written, and how a session goes on from it."""

import json
from typing import Any

import pytest

from beluga_voice.checkpoints.checkpoint import (
    Checkpoint,
    Continuation,
    continuation,
    decode,
    encode,
    pending,
    unheard_part,
)
from beluga_voice.errors import WrongFormat
from beluga_voice.events import (
    HistoryItem,
    Message,
    Role,
    SessionId,
    ToolCallId,
    ToolResult,
    ToolUse,
)


def user(text: str) -> Message:
    return Message(role=Role.USER, text=text)


def agent(text: str, *, is_cut: bool = False) -> Message:
    return Message(role=Role.AGENT, text=text, is_cut=is_cut)


def use(number: int) -> ToolUse:
    return ToolUse(call_id=ToolCallId(f"c{number}"), name="clock", arguments="{}")


def result(number: int) -> ToolResult:
    return ToolResult(call_id=ToolCallId(f"c{number}"), output="five")


def checkpoint(*history: HistoryItem, unheard: str = "") -> Checkpoint:
    return Checkpoint(
        session_id=SessionId("s"),
        token_hash="h",
        generation=3,
        settings="night shift",
        history=history,
        unheard_text=unheard,
        pending_tools=pending(history),
        input_rate=16000,
        output_rate=24000,
        created_at=1_700_000_000.5,
        expires_at=1_700_000_060.5,
    )


FULL = checkpoint(
    user("what time is it"), use(1), result(1), agent("it is", is_cut=True), use(2), unheard="five"
)


def test_what_is_written_can_be_read():
    """Every field, and every kind of item, comes back as it was."""
    assert decode(encode(FULL)) == FULL
    assert FULL.pending_tools == (use(2),)


def test_the_form_is_what_is_documented():
    """Items have a type, and the whole has a version: other programs may read it."""
    form = json.loads(encode(FULL))
    assert form["v"] == 1
    assert [item["type"] for item in form["history"]] == [
        "message",
        "tool_use",
        "tool_result",
        "message",
        "tool_use",
    ]
    assert form["history"][0] == {
        "type": "message",
        "role": "user",
        "text": "what time is it",
        "is_cut": False,
    }


def changed(**fields: Any) -> bytes:
    return json.dumps({**json.loads(encode(FULL)), **fields}).encode()


def test_fields_of_later_programs_are_ignored():
    """Within a version fields may be added."""
    assert decode(changed(mood="good")) == FULL


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "this is no checkpoint: DecodeError"),
        (b"\xff\xfe", "this is no checkpoint"),
        (b"[]", "this is no checkpoint: ValidationError"),
        (b"[" * 100_000, "this is no checkpoint"),
        (changed(v=2), "a checkpoint of version 2 is not read here, only version 1"),
        (changed(history=[{"type": "song"}]), "this is no checkpoint: KeyError"),
        (changed(history=[{}]), "this is no checkpoint: KeyError"),
        (changed(history=[{"type": "message", "role": "whale"}]), "no checkpoint: ValidationE"),
        (changed(input_rate="fast"), "this is no checkpoint: ValidationError"),
    ],
)
def test_what_is_no_checkpoint_is_refused(data: bytes, says: str):
    """The error says what is wrong, and quotes nothing."""
    with pytest.raises(WrongFormat, match="checkpoint") as caught:
        decode(data)
    assert says in str(caught.value)
    assert caught.value.__cause__ is None


def test_words_are_not_in_its_repr():
    """What a person said is not shown where a checkpoint is printed."""
    assert repr(FULL) == "Checkpoint(session_id='s', generation=3, 5 items)"


HELLO, GOOD_DAY = user("hello"), agent("good day")
ASKED = user("what time is it")
CUT = agent("it is", is_cut=True)


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (checkpoint(), Continuation(history=())),
        (checkpoint(HELLO, GOOD_DAY), Continuation(history=(HELLO, GOOD_DAY))),
        (
            checkpoint(HELLO, GOOD_DAY, ASKED),
            Continuation(history=(HELLO, GOOD_DAY), answer="what time is it"),
        ),
        (
            checkpoint(ASKED, CUT, unheard="five"),
            Continuation(history=(ASKED, CUT), say="five"),
        ),
        (
            checkpoint(HELLO, GOOD_DAY, ASKED, use(1), result(1), use(2)),
            Continuation(history=(HELLO, GOOD_DAY), answer="what time is it"),
        ),
        (
            checkpoint(ASKED, use(1), CUT, unheard="five"),
            Continuation(history=(ASKED, CUT), say="five"),
        ),
        (checkpoint(GOOD_DAY), Continuation(history=(GOOD_DAY,))),
    ],
)
def test_a_session_goes_on_where_it_was_left(left: Checkpoint, expected: Continuation):
    """What was not heard is said, and what was not answered is answered, from what was heard."""
    assert continuation(left) == expected


def test_a_service_that_cannot_say_given_words_answers_anew():
    """Then the answer that was cut is forgotten, and made again."""
    left = checkpoint(HELLO, GOOD_DAY, ASKED, CUT, unheard="five")
    assert continuation(left, can_say=False) == Continuation(
        history=(HELLO, GOOD_DAY), answer="what time is it"
    )


def test_a_service_that_takes_no_text_keeps_the_history():
    """Who can neither be given words to say nor to answer knows at least what was said."""
    left = checkpoint(HELLO, GOOD_DAY, ASKED, use(1))
    assert continuation(left, can_say=False, can_answer=False) == Continuation(
        history=(HELLO, GOOD_DAY, ASKED)
    )


@pytest.mark.parametrize(
    ("text", "heard", "rest"),
    [
        ("It is five o'clock.", "It is", "five o'clock."),
        ("It is\nfive.", "It is", "five."),
        (" It  is five.", "It is five.", ""),
        ("It is five.", "", "It is five."),
        ("It is five.", "Something else", "It is five."),
        ("", "", ""),
    ],
)
def test_the_part_that_was_not_heard(text: str, heard: str, rest: str):
    """It is what follows the heard words, wherever the white space is."""
    assert unheard_part(text, heard) == rest
