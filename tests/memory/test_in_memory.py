"""Memory that lasts as long as the process."""

import asyncio

import pytest

from beluga_voice.errors import ConfigurationError
from beluga_voice.events import Message, Role, ToolCallId, ToolResult, ToolUse
from beluga_voice.memory.in_memory import InMemory


def said(*words: str) -> tuple[Message, ...]:
    return tuple(Message(role=Role.USER, text=word) for word in words)


def test_what_was_saved_is_loaded_again():
    """A key gives what was saved last under it; an unknown one gives nothing."""

    async def scene():
        memory = InMemory()
        await memory.save("ann", said("a"))
        await memory.save("bob", said("b"))
        await memory.save("ann", said("a", "c"))
        return [await memory.load(key) for key in ("ann", "bob", "eve")]

    assert asyncio.run(scene()) == [said("a", "c"), said("b"), ()]


def test_the_key_unused_for_longest_is_forgotten():
    """Loading and saving both count as use."""

    async def scene():
        memory = InMemory(max_keys=3)
        for key in ("a", "b", "c"):
            await memory.save(key, said(key))
        await memory.load("a")
        await memory.save("b", said("b"))
        await memory.save("d", said("d"))
        return [await memory.load(key) for key in "abcd"]

    assert asyncio.run(scene()) == [said("a"), said("b"), (), said("d")]


def test_the_newest_items_are_kept():
    """Beyond the limit, the oldest are forgotten."""

    async def scene():
        memory = InMemory(max_items=2)
        await memory.save("ann", said("a", "b", "c"))
        return await memory.load("ann")

    assert asyncio.run(scene()) == said("b", "c")


def test_a_result_is_not_kept_without_its_call():
    """Where the call of a tool is forgotten, its result is too."""
    call_id = ToolCallId("1")
    use = ToolUse(call_id=call_id, name="clock", arguments="{}")
    result = ToolResult(call_id=call_id, output="noon")

    async def scene():
        memory = InMemory(max_items=2)
        await memory.save("ann", (use, result, *said("thanks")))
        forgotten = await memory.load("ann")
        await memory.save("ann", (*said("when"), use, result))
        return forgotten, await memory.load("ann")

    assert asyncio.run(scene()) == (said("thanks"), (use, result))


@pytest.mark.parametrize("bounds", [{"max_keys": 0}, {"max_items": 0}])
def test_a_memory_that_keeps_nothing_makes_no_sense(bounds):
    """Each bound is at least one."""
    with pytest.raises(ConfigurationError):
        InMemory(**bounds)
