"""The conformance suite for memories: ours keep its rules, and broken ones are found."""

import asyncio
from collections.abc import Sequence

import pytest

from beluga_voice.events import HistoryItem, Message, Role
from beluga_voice.memory.in_memory import InMemory
from beluga_voice.memory.sqlite import SqliteMemory
from beluga_voice.testing.conformance.memory import MemoryRule, check_memory_store
from beluga_voice.testing.conformance.report import ConformanceFailure
from beluga_voice.testing.loop import simulate

EVERY = tuple(rule.name for rule in MemoryRule)


@pytest.mark.parametrize("run", [asyncio.run, simulate])
def test_the_memory_in_a_file_keeps_every_rule(tmp_path, run):
    """Two stores of one file, on a real loop and in simulated time."""
    report = check_memory_store(
        lambda: SqliteMemory(tmp_path / "memory.db"), is_shared=True, run=run
    )
    assert report.kept == EVERY


def test_the_memory_of_a_process_keeps_the_rules_that_apply():
    """Two of them have nothing in common."""
    report = check_memory_store(InMemory, run=simulate)
    assert report.kept == EVERY[:-1]
    assert report.not_applicable == {"IS_SHARED": "each store is its own"}


def test_a_store_need_not_forget():
    """A store with the two methods of the interface is one."""

    class Small(Honest):
        pass

    report = check_memory_store(Small, run=simulate)
    assert report.not_applicable["FORGETS"] == "it has no forget"


class Honest:
    """A store of two methods that keeps all rules; broken ones differ in one thing."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[HistoryItem, ...]] = {}

    async def load(self, key: str, /) -> tuple[HistoryItem, ...]:
        return self.kept.get(key, ())

    async def save(self, key: str, items: Sequence[HistoryItem], /) -> None:
        self.kept[key] = tuple(items)


class UnknownIsNone(Honest):
    async def load(self, key, /):
        return self.kept.get(key)


class Uncut(Honest):
    async def save(self, key, items, /):
        texts = [item for item in items if isinstance(item, Message)]
        self.kept[key] = tuple(Message(role=one.role, text=one.text) for one in texts)


class Appends(Honest):
    async def save(self, key, items, /):
        self.kept[key] = tuple(dict.fromkeys((*self.kept.get(key, ()), *items)))


class CaseBlind(Honest):
    async def load(self, key, /):
        return await super().load(key.strip().lower())

    async def save(self, key, items, /):
        await super().save(key.strip().lower(), items)


class KeepsTheList(Honest):
    async def save(self, key, items, /):
        self.kept[key] = items

    async def load(self, key, /):
        return tuple(self.kept.get(key, ()))


class GivesAList(Honest):
    async def load(self, key, /):
        found = await super().load(key)
        return Listlike(found) if found else ()


class Listlike(list):
    """A list that claims to be equal to a tuple."""

    def __ne__(self, other):
        return tuple(self) != other


class OldestStay(Honest):
    async def save(self, key, items, /):
        self.kept[key] = tuple(items[:200])


class ResultAlone(Honest):
    async def save(self, key, items, /):
        self.kept[key] = tuple(items[-201:])


class OneAtATime(Honest):
    """Builds a history item by item, in sight of others."""

    async def save(self, key, items, /):
        self.kept[key] = ()
        for item in items:
            await asyncio.sleep(0)
            self.kept[key] = (*self.kept[key], item)


class Deaf(Honest):
    """Does not let itself be cancelled."""

    async def save(self, key, items, /):
        for _ in range(3):
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue
        await super().save(key, items)


class HalfDone(Honest):
    """Deletes first, and saves later."""

    async def save(self, key, items, /):
        self.kept.pop(key, None)
        await asyncio.sleep(0)
        await super().save(key, items)


class Slow(Honest):
    async def save(self, key, items, /):
        await asyncio.sleep(0.01 * len(items))
        await super().save(key, items)


class ForgetsAll(Honest):
    async def forget(self, key, /):
        self.kept.clear()


class ForgetsNothing(Honest):
    async def forget(self, key, /):
        pass


class Raises(Honest):
    async def load(self, key, /):
        return self.kept[key]


class LeavesATask(Honest):
    async def save(self, key, items, /):
        await super().save(key, items)
        self.task = asyncio.create_task(asyncio.sleep(5), name="later")


@pytest.mark.parametrize(
    ("store", "rule", "seen"),
    [
        (UnknownIsNone, "UNKNOWN_KEY", "None instead of ()"),
        (Raises, "UNKNOWN_KEY", "KeyError"),
        (Uncut, "SAVED_IS_LOADED", "instead of"),
        (Appends, "SAVE_REPLACES", "after saving once more"),
        (CaseBlind, "KEYS_APART", "for key 0"),
        (KeepsTheList, "OWN_COPY", "() after the saved list was emptied"),
        (GivesAList, "OWN_COPY", "a Listlike instead of a tuple"),
        (OldestStay, "NEWEST_STAY", "200 items that are not the last of 3000"),
        (ResultAlone, "NEWEST_STAY", "the result of a tool without its call"),
        (OneAtATime, "AT_ONCE", "of several that saved one key"),
        (Deaf, "CANCELLING", "a save that goes on"),
        (HalfDone, "CANCELLING", "() after a cancelled save"),
        (Slow, "IN_TIME", "more than 1 s for 200 items"),
        (ForgetsAll, "FORGETS", "for another key"),
        (ForgetsNothing, "FORGETS", "after forgetting"),
        (LeavesATask, "LEAVES_NOTHING", "tasks that still run: later"),
    ],
    ids=lambda given: getattr(given, "__name__", ""),
)
def test_a_broken_memory_is_found(store, rule, seen):
    """The failure names the rule, and what was seen."""
    with pytest.raises(ConformanceFailure) as caught:
        only = None if rule == "LEAVES_NOTHING" else {MemoryRule[rule]}
        check_memory_store(store, run=simulate, only=only)
    assert caught.value.rule.name == rule
    assert seen in caught.value.seen


def test_stores_that_share_nothing_are_found():
    """Stores in a process are not of one service."""
    with pytest.raises(ConformanceFailure, match="from another store"):
        check_memory_store(InMemory, is_shared=True, run=simulate)


def test_what_was_saved_by_the_checks_is_forgotten(tmp_path):
    """A real memory is as it was before."""
    memory = InMemory()
    asyncio.run(memory.save("ann", (Message(role=Role.USER, text="a"),)))
    check_memory_store(lambda: memory, is_shared=True, run=simulate)
    assert list(memory._kept) == ["ann"]
