"""The whole suite for memories: what a session relies on when it remembers a caller."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from beluga_voice.events import HistoryItem, Message, Role, ToolCallId, ToolResult, ToolUse
from beluga_voice.interfaces import MemoryStore
from beluga_voice.session.keeper import LOAD_SECONDS, SAVE_SECONDS
from beluga_voice.testing.conformance.report import (
    ConformanceFailure,
    Inapplicable,
    Promise,
    Report,
    Run,
    nothing_left,
)

LONG = 200
"""Items of a session's whole history."""
TOO_LONG = 3000
CALLERS = 20
CANCELLED = 20
"""Saves that are cancelled, each one turn of the loop later than the one before."""


class MemoryRule(Promise):
    """What a memory promises."""

    UNKNOWN_KEY = "a key that was never saved gives an empty tuple"
    SAVED_IS_LOADED = "every kind of item comes back as it was, in order"
    SAVE_REPLACES = "what is saved takes the place of what was there"
    KEYS_APART = "keys that differ in anything are different keys"
    OWN_COPY = "what the caller does with the list afterwards changes nothing"
    NEWEST_STAY = "of a history that is too long the newest items stay, and no result alone"
    AT_ONCE = "sessions that save and load at once do not disturb each other"
    CANCELLING = "a cancellation comes through, and the save is whole or not at all"
    IN_TIME = "the history of a long call is saved and loaded in less than sessions wait"
    FORGETS = "after forget, there is nothing under the key, and other keys are as they were"
    IS_SHARED = "what one store has saved, another one loads"


type Make = Callable[[], MemoryStore]


@dataclass(frozen=True, slots=True)
class _Check:
    rule: MemoryRule
    work: Callable[[Make], Awaitable[None]]


def check_memory_store(
    make_store: Make,
    *,
    is_shared: bool = False,
    run: Run = asyncio.run,
    only: Collection[MemoryRule] | None = None,
) -> Report:
    """Hold a memory against everything that a session relies on.

    * `make_store`: gives a store each time; it may hold other keys, and every key that is used here
      is new.
    * `is_shared`: all the stores it gives are of one file or service.
    * `run`: what runs each check; `simulate` for a store that waits for no network and no thread.
    * `only`: the rules to check; without it, all.

    Raises `ConformanceFailure` for the first rule that is broken. A store may have an async method
    `forget(key)`; if it has, that is checked and what was saved here is forgotten.
    """
    kept: list[str] = []
    not_applicable: dict[str, str] = {}
    for check in _checks(is_shared=is_shared):
        if only is not None and check.rule not in only:
            continue
        try:
            run(_tidy(check, make_store))
        except Inapplicable as reason:
            not_applicable[check.rule.name] = str(reason)
        except ConformanceFailure:
            raise
        except Exception as error:  # whatever a stranger's code raises breaks the promise
            raise ConformanceFailure(check.rule, f"{type(error).__name__}: {error}") from error
        else:
            kept.append(check.rule.name)
    return Report(tuple(kept), not_applicable)


def _checks(*, is_shared: bool) -> tuple[_Check, ...]:
    return (
        _Check(MemoryRule.UNKNOWN_KEY, _knows_nobody),
        _Check(MemoryRule.SAVED_IS_LOADED, _gives_back),
        _Check(MemoryRule.SAVE_REPLACES, _replaces),
        _Check(MemoryRule.KEYS_APART, _keeps_apart),
        _Check(MemoryRule.OWN_COPY, _copies),
        _Check(MemoryRule.NEWEST_STAY, _keeps_newest),
        _Check(MemoryRule.AT_ONCE, _serves_many),
        _Check(MemoryRule.CANCELLING, _is_cancelled),
        _Check(MemoryRule.IN_TIME, _is_quick),
        _Check(MemoryRule.FORGETS, _forgets),
        _Check(MemoryRule.IS_SHARED, partial(_shares, is_shared=is_shared)),
    )


async def _tidy(check: _Check, make: Make) -> None:
    before = asyncio.all_tasks()
    await check.work(make)
    await nothing_left(before)


def _key() -> str:
    return f"conformance {uuid.uuid4()}"


def _said(*words: str) -> tuple[HistoryItem, ...]:
    return tuple(Message(role=Role.USER, text=word) for word in words)


def _call(number: int) -> tuple[HistoryItem, ...]:
    call_id = ToolCallId(f"call {number}")
    return (
        ToolUse(call_id=call_id, name="clock", arguments='{"zone": "é"}'),
        ToolResult(call_id=call_id, output="noon"),
    )


async def _expect(
    rule: MemoryRule, store: MemoryStore, key: str, items: tuple[HistoryItem, ...], when: str
) -> None:
    found = await store.load(key)
    if found != items:
        raise ConformanceFailure(rule, f"{found!r} instead of {items!r} {when}")


async def _clean(store: MemoryStore, *keys: str) -> None:
    forget = getattr(store, "forget", None)
    if forget is not None:
        for key in keys:
            await forget(key)


async def _knows_nobody(make: Make) -> None:
    await _expect(MemoryRule.UNKNOWN_KEY, make(), _key(), (), "for an unknown key")


async def _gives_back(make: Make) -> None:
    store, key = make(), _key()
    call_id = ToolCallId("a call")
    items = (
        Message(role=Role.SYSTEM, text="a note"),
        Message(role=Role.USER, text="“é” 漢字 😀 \u2028 ' \" % \\ \n\t\x00"),
        Message(role=Role.AGENT, text=" cut ", is_cut=True),
        ToolUse(call_id=call_id, name="clock", arguments='{"a": ["\\u0000"]}'),
        ToolResult(call_id=call_id, output="no", is_error=True),
        *_call(1),
        Message(role=Role.AGENT, text=""),
        Message(role=Role.USER, text="long " * 4000),
    )
    await store.save(key, list(items))
    await _expect(MemoryRule.SAVED_IS_LOADED, store, key, items, "after saving them")
    await _expect(MemoryRule.SAVED_IS_LOADED, store, key, items, "when loaded a second time")
    await _clean(store, key)


async def _replaces(make: Make) -> None:
    store, key = make(), _key()
    for words in (("a", "b", "c"), ("a", "b", "c", "d"), ("e",), ()):
        items = _said(*words)
        await store.save(key, items)
        await _expect(MemoryRule.SAVE_REPLACES, store, key, items, "after saving once more")
    await _clean(store, key)


async def _keeps_apart(make: Make) -> None:
    store, key = make(), _key()
    keys = [
        *(key, key.upper(), f"{key} ", f" {key}", f"{key}%", f"{key}_", f"{key}'", f"{key}/a"),
        *(f"{key}/../b", f"{key}:*", f"{key}é", f"{key}e\u0301", f"{key}" * 20, f"{key}\n"),
    ]
    for number, one in enumerate(keys):
        await store.save(one, _said(str(number)))
    for number, one in enumerate(keys):
        await _expect(MemoryRule.KEYS_APART, store, one, _said(str(number)), f"for key {number}")
    await _clean(store, *keys)


async def _copies(make: Make) -> None:
    store, key = make(), _key()
    items = list(_said("a", "b"))
    await store.save(key, items)
    items.clear()
    found = await store.load(key)
    if found != _said("a", "b"):
        raise ConformanceFailure(MemoryRule.OWN_COPY, f"{found!r} after the saved list was emptied")
    if not isinstance(cast(object, found), tuple):
        raise ConformanceFailure(
            MemoryRule.OWN_COPY, f"a {type(found).__name__} instead of a tuple"
        )
    await _clean(store, key)


async def _keeps_newest(make: Make) -> None:
    store, key = make(), _key()
    pairs = tuple(item for number in range(TOO_LONG // 2) for item in _call(number))
    for items in (pairs, (*pairs, *_said("thanks"))):
        await store.save(key, items)
        found = await store.load(key)
        if not found or found != items[-len(found) :]:
            seen = f"{len(found)} items that are not the last of {len(items)}"
            raise ConformanceFailure(MemoryRule.NEWEST_STAY, seen)
        if isinstance(found[0], ToolResult):
            raise ConformanceFailure(
                MemoryRule.NEWEST_STAY, "the result of a tool without its call"
            )
    await _clean(store, key)


async def _serves_many(make: Make) -> None:
    store = make()
    keys = [_key() for _ in range(CALLERS)]
    common = _key()
    whole = {_said(*[str(number)] * 9) for number in range(CALLERS)}

    async def session(number: int, key: str) -> None:
        for turn in range(5):
            items = _said(*[f"{number}"] * (turn + 1))
            await store.save(key, items)
            await store.save(common, _said(*[str(number)] * 9))
            await _expect(MemoryRule.AT_ONCE, store, key, items, "while others save")
            if (found := await store.load(common)) not in whole:
                raise ConformanceFailure(
                    MemoryRule.AT_ONCE, f"{found!r} of several that saved one key"
                )

    await asyncio.gather(*(session(number, key) for number, key in enumerate(keys)))
    await _clean(store, common, *keys)


async def _is_cancelled(make: Make) -> None:
    store, key = make(), _key()
    old, new = _said("old"), _said(*["new"] * 50)
    for turns in range(CANCELLED):
        await store.save(key, old)
        saving = asyncio.ensure_future(store.save(key, new))
        for _ in range(turns):
            await asyncio.sleep(0)
        was_over = saving.done()
        saving.cancel()
        await asyncio.wait([saving], timeout=SAVE_SECONDS)
        if not saving.done() or not (was_over or saving.cancelled()):
            raise ConformanceFailure(MemoryRule.CANCELLING, "a save that goes on")
        if (found := await store.load(key)) not in (old, new):
            raise ConformanceFailure(MemoryRule.CANCELLING, f"{found!r} after a cancelled save")
    await _clean(store, key)


async def _is_quick(make: Make) -> None:
    store, key = make(), _key()
    items = _said(*["a sentence of some length, as people say them " * 4] * LONG)
    await _within(SAVE_SECONDS, store.save(key, items))
    await _within(LOAD_SECONDS, store.load(key))
    await _clean(store, key)


async def _within(seconds: float, work: Coroutine[Any, Any, object]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        seen = f"more than {seconds:g} s for {LONG} items"
        raise ConformanceFailure(MemoryRule.IN_TIME, seen) from None


async def _forgets(make: Make) -> None:
    store, key, other = make(), _key(), _key()
    forget = getattr(store, "forget", None)
    if forget is None:
        raise Inapplicable("it has no forget")
    for one in (key, other):
        await store.save(one, _said("a"))
    await forget(key)
    await forget(_key())
    await _expect(MemoryRule.FORGETS, store, key, (), "after forgetting")
    await _expect(MemoryRule.FORGETS, store, other, _said("a"), "for another key")
    await store.save(key, _said("b"))
    await _expect(MemoryRule.FORGETS, store, key, _said("b"), "when saved again")
    await _clean(store, key, other)


async def _shares(make: Make, *, is_shared: bool) -> None:
    if not is_shared:
        raise Inapplicable("each store is its own")
    one, other, key = make(), make(), _key()
    for words in (("a",), ("a", "b"), ("c",)):
        await one.save(key, _said(*words))
        await _expect(MemoryRule.IS_SHARED, other, key, _said(*words), "from another store")
        one, other = other, one
    await _clean(one, key)
