"""Session events as JSON, and back."""

import json
from typing import get_args

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice import events
from beluga_voice.errors import Misuse
from beluga_voice.events import (
    AgentResponseAudio,
    ResponseId,
    SessionEnded,
    SessionStarted,
    Transcription,
    UtteranceId,
)
from beluga_voice.session.happening import Happening
from beluga_voice.session.jsonform import TYPES, VERSION, decode, encode, schema

KINDS = get_args(events.SessionEvent.__value__)
VALIDATOR = jsonschema.Draft202012Validator(schema())
numbers = st.floats(allow_nan=False, allow_infinity=False)
st.register_type_strategy(float, numbers)

happenings = st.builds(
    Happening,
    event=st.one_of([st.builds(kind) for kind in KINDS]),
    at=st.integers(0, 10**10).map(lambda microseconds: microseconds / 1_000_000),
    sequence=st.integers(0, 2**53),
)


@given(happenings)
def test_every_event_comes_back_as_it_was(happening):
    """Encoding with sound and decoding gives the same event, time to the microsecond, number."""
    back = decode(encode(happening, with_audio=True))
    assert back.event == happening.event
    assert type(back.event) is type(happening.event)
    assert back.sequence == happening.sequence
    assert back.at == pytest.approx(happening.at, abs=1e-6)


@given(happenings)
def test_the_form_is_one_line_with_a_head_and_the_fields(happening):
    """An object holds version, number, time and type, then just the fields of the event."""
    line = encode(happening, with_audio=True)
    assert "\n" not in line
    form = json.loads(line)
    names = happening.event.__struct_fields__
    assert list(form) == ["v", "n", "at_ms", "type", *names]
    assert form["v"] == VERSION == 1
    assert TYPES[form["type"]] is type(happening.event)


def test_every_kind_of_event_has_a_type():
    """The table of types is all of the union, named in snake case."""
    assert set(TYPES.values()) == set(KINDS)
    assert "agent_response_audio" in TYPES
    assert all(name == name.lower() and name.isidentifier() for name in TYPES)


def test_sound_is_base64_and_may_be_left_out():
    """With sound the bytes are there; without, the field is not."""
    event = AgentResponseAudio(response_id=ResponseId("r"), pcm=b"\x00\x01\xfe\xff")
    happening = Happening(event=event, at=1.5, sequence=3)
    assert json.loads(encode(happening, with_audio=True))["pcm"] == "AAH+/w=="
    assert json.loads(encode(happening)) == {
        "v": 1,
        "n": 3,
        "at_ms": 1500.0,
        "type": "agent_response_audio",
        "response_id": "r",
    }
    with pytest.raises(Misuse):
        decode(encode(happening))


def test_fields_that_were_added_later_are_passed_over():
    """A reader of today takes events of tomorrow within the same version."""
    event = Transcription(utterance_id=UtteranceId("u"), text="hi", is_final=True)
    form = json.loads(encode(Happening(event=event, at=0, sequence=0)))
    form["mood"] = "bright"
    assert decode(json.dumps(form)).event == event


GOOD = '{"v":1,"n":0,"at_ms":1.0,"type":"session_ended","reason":"closed","message":""}'


def test_the_good_line_is_good():
    """The line that the next test spoils is read, from text and from bytes."""
    assert decode(GOOD).event == SessionEnded(reason="closed")
    assert decode(GOOD.encode()).event == SessionEnded(reason="closed")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "null",
        "[]",
        "{}",
        "{",
        "1",
        b"\xff\xfe",
        GOOD[:-1],
        GOOD.replace('"v":1', '"v":2'),
        GOOD.replace('"v":1', '"v":"1"'),
        GOOD.replace('"v":1,', ""),
        GOOD.replace('"n":0', '"n":"many"'),
        GOOD.replace('"n":0', '"n":null'),
        GOOD.replace('"n":0', '"n":1e999'),
        GOOD.replace('"at_ms":1.0', '"at_ms":[]'),
        GOOD.replace("session_ended", "session_exploded"),
        GOOD.replace('"session_ended"', '["session_ended"]'),
        GOOD.replace('"closed"', '"tired"'),
        GOOD.replace('"message":""', '"message":7'),
        '{"v":1,"n":0,"at_ms":0,"type":"agent_response_audio","response_id":"r","pcm":"?"}',
        '{"v":1,"n":0,"at_ms":0,"type":"state_changed","previous":"idle","state":"asleep"}',
    ],
)
def test_anything_else_is_misuse(line):
    """What `encode` did not write is refused in our own words, whatever is wrong with it."""
    with pytest.raises(Misuse, match=r"^jsonform: this is not"):
        decode(line)


@given(
    st.one_of(
        st.text(),
        st.binary(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | numbers | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["v", "n", "at_ms", "type", "reason"]), inner)
            ),
            max_leaves=8,
        ).map(json.dumps),
    )
)
def test_no_input_escapes_as_another_error(line):
    """Whatever text or bytes come, the outcome is an event or `Misuse`."""
    try:
        decode(line)
    except Misuse:
        return
    assert json.loads(line)["type"] in TYPES


def test_types_survive_that_json_does_not_have():
    """Enums, ids and numbers come back as the types that the events have."""
    event = SessionStarted(
        session_id=events.SessionId("s"), provider="p", input_rate=8000, output_rate=24000
    )
    back = decode(encode(Happening(event=event, at=0.001, sequence=1))).event
    assert back == event
    changed = events.StateChanged(
        previous=events.SessionState.IDLE, state=events.SessionState.SPEAKING
    )
    back = decode(encode(Happening(event=changed, at=0, sequence=1))).event
    assert isinstance(back, events.StateChanged)
    assert back.state is events.SessionState.SPEAKING


@given(happenings, st.booleans())
def test_every_event_is_as_the_schema_says(happening, with_audio):
    """Whatever is in it, with its sound and without."""
    VALIDATOR.validate(json.loads(encode(happening, with_audio=with_audio)))


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"v": 1, "n": 0, "at_ms": 0, "type": "no_such_event"},
        {"v": 2, "n": 0, "at_ms": 0, "type": "user_speech_started"},
        {"v": 1, "n": 0, "at_ms": 0, "type": "transcription", "text": "no id"},
        {"v": 1, "n": 0, "at_ms": 0, "type": "session_ended", "reason": "boredom"},
    ],
)
def test_what_is_no_event_is_not_as_the_schema_says(form):
    """Another version, an unknown type, a missing field, a reason that there is not."""
    assert not VALIDATOR.is_valid(form)


def test_sound_is_shown_by_its_length():
    """An event in a log or a failed test does not print thousands of bytes."""
    sound = AgentResponseAudio(response_id=ResponseId("r1"), pcm=bytes(960))
    assert repr(sound) == "AgentResponseAudio(response_id='r1', pcm=<960 bytes>)"
    assert repr(events.PlayAudio(pcm=bytes(2))) == "PlayAudio(pcm=<2 bytes>)"
    assert "x00" not in repr(Happening(event=sound, at=0.0, sequence=0))
    assert "x00" not in repr([events.SendAudio(pcm=bytes(9)), events.CallerAudio(pcm=bytes(9))])
