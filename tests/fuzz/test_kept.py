"""What the fuzzer found, and what it came by on its way: played again, in a moment."""

import json

import pytest

from fuzz.conversations import BINARY, COMMAND, KEPT, converse, kept
from fuzz.wires import WIRES


@pytest.mark.parametrize("name", WIRES)
def test_what_was_found_keeps_its_promises(name: str) -> None:
    """Every conversation that is kept; each row has some."""
    talks = kept(name)
    assert talks
    for talk in talks:
        converse(WIRES[name], talk)


def test_nothing_is_kept_of_a_wire_that_is_gone() -> None:
    """A row that is renamed takes what is kept with it."""
    assert {one.stem for one in KEPT.glob("*.json")} == set(WIRES)


def test_lines_are_messages_and_commands() -> None:
    """Text, bytes, and a command of ours that is chosen by a byte, which any byte does."""
    wire = WIRES["openai_realtime"]
    ready = json.dumps(wire.messages[1]).encode()
    lines = [ready, BINARY + ready, b"{", COMMAND, COMMAND + b"\xff"]
    assert converse(wire, b"\n".join(lines)).broken == 2
