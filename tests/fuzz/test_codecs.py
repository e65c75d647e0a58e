"""Codecs are given what no service should send: in any order, damaged, and made up."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beluga_voice.errors import BrokenProtocol
from beluga_voice.events import (
    AnswerTool,
    Interrupt,
    LinkClosed,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseStatus,
    S2sCommand,
    S2sEvent,
    ToolCallId,
)
from beluga_voice.interfaces import WireMessage
from fuzz.wires import COMMANDS, WIRES, Talk, Wire

every_wire = pytest.mark.parametrize("name", WIRES)

# ── what comes ──────────────────────────────────────────────────────────────────────────────

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["", "AA==", "AAA=", "=", "50s", "s", "audio/pcm", 2**63, -1, 1e400])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)

DEEP = tuple(one * 20_000 for one in ("[", '{"type":', '{"serverContent":', '{"a_b":'))


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in a message, with each of its keys."""
    keys: list[Any] = []
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value)))
    inner = [place for key in keys for place in places(value[key])]
    return [(value, key) for key in keys] + inner


@st.composite
def altered(draw: st.DrawFn, wire: Wire) -> WireMessage:
    """A message of the service in which some values are others, gone, or under another name."""
    message = json.loads(json.dumps(draw(st.sampled_from(wire.messages))))
    for _ in range(draw(st.integers(0, 3))):
        container, key = draw(st.sampled_from(places(message) or [(message, "type")]))
        match draw(st.sampled_from(["replace", "remove", "rename", "graft"])):
            case "replace":
                container[key] = draw(JSON)
            case "graft":
                container[key] = json.loads(json.dumps(draw(st.sampled_from(wire.messages))))
            case "rename" if isinstance(container, dict):
                container[draw(st.text(max_size=8))] = container.pop(key, None)
            case _ if isinstance(container, dict):
                container.pop(key, None)
            case _:
                container.pop()
    return json.dumps(message)


@st.composite
def damaged(draw: st.DrawFn, wire: Wire) -> WireMessage:
    """A message of the service with bytes cut off, put in or changed."""
    raw = bytearray(json.dumps(draw(st.sampled_from(wire.messages))).encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    cut = bytes(raw[: draw(st.integers(0, len(raw)))])
    return cut if draw(st.booleans()) else cut.decode(errors="surrogateescape")


def anything(wire: Wire) -> st.SearchStrategy[WireMessage]:
    """Whatever could come over a wire, most of it nearly right."""
    right = st.sampled_from([json.dumps(one) for one in wire.messages])
    made_up = st.text(max_size=40) | st.binary(max_size=40) | JSON.map(json.dumps)
    made_up |= st.sampled_from(DEEP + wire.pieces)
    return st.one_of(right, right, altered(wire), altered(wire), damaged(wire), made_up)


def commands(talk: Talk) -> st.SearchStrategy[S2sCommand]:
    """Whatever a session could say at this moment."""
    responses = sorted(talk.started) or [ResponseId("unknown")]
    calls = talk.calls or [ToolCallId("unknown")]
    interrupt = st.builds(
        Interrupt,
        response_id=st.sampled_from(responses),
        heard_samples=st.integers(0, 5000),
        heard_text=st.text(max_size=8),
    )
    answer = st.builds(AnswerTool, call_id=st.sampled_from(calls), output=st.text(max_size=8))
    return st.sampled_from(COMMANDS) | interrupt | answer


# ── what becomes of it ──────────────────────────────────────────────────────────────────────


@every_wire
def test_the_messages_that_mutations_begin_with_are_understood(name: str) -> None:
    """Each of them can be read, and together they make a codec say most of what it can say."""
    wire = WIRES[name]
    talk = Talk(wire.make())
    events = [event for one in wire.messages for event in talk.hear(json.dumps(one))]
    talk.end()
    assert talk.broken == 0
    assert len({type(event) for event in events}) >= 8


@every_wire
@given(data=st.data())
def test_a_message_gives_events_or_breaks_the_protocol(name: str, data: st.DataObject) -> None:
    """Whatever comes first, nothing else is raised."""
    talk = Talk(WIRES[name].make())
    talk.hear(data.draw(anything(WIRES[name])))
    talk.end()


@every_wire
@settings(max_examples=200)
@given(data=st.data())
def test_the_promises_hold_whatever_comes(name: str, data: st.DataObject) -> None:
    """Amid a conversation, messages and commands in any order: responses begin, and end once."""
    wire = WIRES[name]
    talk = Talk(wire.make())
    for message in wire.messages[: data.draw(st.integers(0, len(wire.messages)))]:
        talk.hear(json.dumps(message))
    for _ in range(data.draw(st.integers(0, 10))):
        if data.draw(st.integers(0, 3)):
            talk.hear(data.draw(anything(wire)))
        else:
            talk.say(data.draw(commands(talk)))
    talk.end()


# ── that a broken promise is seen ───────────────────────────────────────────────────────────

ONE = ResponseId("1")


class Careless:
    """A codec that does what its message says."""

    def hello(self) -> list[WireMessage]:
        return []

    def encode(self, command: S2sCommand, /) -> list[WireMessage]:
        return []

    def decode(self, message: WireMessage, /) -> list[S2sEvent]:
        done = ResponseDone(response_id=ONE, status=ResponseStatus.COMPLETED)
        match message:
            case "raise":
                raise KeyError(message)
            case "refuse":
                raise BrokenProtocol("no", op="careless")
            case "end early":
                return [LinkClosed(is_clean=True)]
            case "end twice":
                return [ResponseStarted(response_id=ONE), done, done]
            case "end unbegun":
                return [done]
            case _:
                return [ResponseStarted(response_id=ONE)]

    def closed(self, *, is_clean: bool, code: int | None, reason: str) -> list[S2sEvent]:
        return [LinkClosed(is_clean=is_clean)]


@pytest.mark.parametrize("message", ["raise", "end early", "end twice", "end unbegun", "begin"])
def test_a_codec_that_breaks_a_promise_is_found(message: str) -> None:
    """Another exception, an early end, a second end, an end of nothing, and no end at all."""
    talk = Talk(Careless())
    with pytest.raises((KeyError, AssertionError)):
        talk.hear(message)
        talk.end()


def test_a_message_may_be_refused() -> None:
    """A codec that says a message cannot be read keeps its promises."""
    talk = Talk(Careless())
    talk.hear("refuse")
    talk.end()
    assert talk.broken == 1
