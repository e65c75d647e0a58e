"""A service that says the same for ever, or always another name, does not fill the memory."""

import gc
import json
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from fuzz.wires import WIRES, Talk

AGAIN = 1000
"""Times that a message comes: half of them are more than is remembered of anything."""
MOST_BYTES = 30_000
"""The second half of them may add so much: the words of a long utterance come and go."""

NAMES = ("id", "ids", "handle", "name")
"""Fields that end so tell one thing from another."""
WORDS = frozenset({"delta", "text", "content", "transcript", "user_transcript", "agent_response"})

_SHARED = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.CodeType,
)

type Place = tuple[str | int, ...]


def bytes_of(thing: object) -> int:
    """Of everything that is reached from there."""
    seen: set[int] = set()
    waiting, total = [thing], 0
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, _SHARED):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        waiting += gc.get_referents(one)
    return total


def names_in(value: Any, place: Place = ()) -> Iterator[Place]:
    """Where a message names something."""
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in inner:
            yield from names_in(one, (*place, key))
        return
    key = next((one for one in reversed(place) if isinstance(one, str)), "")
    is_number = isinstance(value, int) and not isinstance(value, bool) and key.endswith("event_id")
    if is_number or (isinstance(value, str) and key.lower().endswith(NAMES)):
        yield place


def renamed(message: Any, places: tuple[Place, ...], number: int) -> Any:
    """The same message about other things."""
    copy = json.loads(json.dumps(message))
    for *path, last in places:
        inner = copy
        for key in path:
            inner = inner[key]
        is_number = isinstance(inner[last], int)
        inner[last] = inner[last] + 20 * number if is_number else f"{inner[last]}-{number}"
    return copy


def talkative(value: Any, key: str = "") -> Any:
    """The same message with many more words in it."""
    if isinstance(value, dict):
        return {name: talkative(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [talkative(one, key) for one in value]
    is_words = isinstance(value, str) and key in WORDS and value.replace(" ", "").isalpha()
    return f" {value}" * 30 if is_words else value


@pytest.mark.parametrize("name", WIRES)
def test_what_is_remembered_has_a_bound(name: str) -> None:
    """Every message, again and again: as it is, with another name each time, and all others."""
    wire = WIRES[name]
    for number, message in enumerate(wire.messages):
        places = tuple(names_in(message))
        for changed in {(), *((one,) for one in places), places}:
            talk = Talk(wire.make())
            for before in wire.messages[:number]:
                talk.hear(json.dumps(before))
            sizes: list[int] = []
            for count in range(AGAIN):
                if count == AGAIN // 2:
                    sizes.append(bytes_of(talk.codec))
                talk.hear(json.dumps(renamed(talkative(message), changed, count)))
            sizes.append(bytes_of(talk.codec))
            half, whole = sizes
            assert whole - half <= MOST_BYTES, (changed, message)
