"""What a session remembers of the calls before it, in simulated time."""

import asyncio
import logging
from collections.abc import Sequence

import pytest

from beluga_voice.app import VoiceSession
from beluga_voice.errors import ConfigurationError
from beluga_voice.events import (
    AgentResponseEnded,
    HistoryItem,
    Message,
    Role,
    TurnMeasured,
)
from beluga_voice.interfaces import AgentTurn, S2sOptions
from beluga_voice.memory.in_memory import InMemory
from beluga_voice.testing.loop import running_simulation
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad
from session.stage import LONG, play, stage


class SlowMemory(InMemory):
    """A store whose every access takes its time, or fails, and which notes what it was given."""

    def __init__(self, *, load_ms: float = 0, save_ms: float = 0, fails: bool = False) -> None:
        super().__init__()
        self.load_ms = load_ms
        self.save_ms = save_ms
        self.fails = fails
        self.saves: list[tuple[float, list[str]]] = []
        self.began: list[float] = []

    async def load(self, key: str, /) -> tuple[HistoryItem, ...]:
        await asyncio.sleep(self.load_ms / 1000)
        if self.fails:
            raise OSError(f"no connection for {key}")
        return await super().load(key)

    async def save(self, key: str, items: Sequence[HistoryItem], /) -> None:
        self.began.append(running_simulation().time_ms())
        await asyncio.sleep(self.save_ms / 1000)
        if self.fails:
            raise OSError(f"no connection for {key}")
        await super().save(key, items)
        texts = [item.text for item in items if isinstance(item, Message)]
        self.saves.append((running_simulation().time_ms(), texts))


async def short(text: str) -> str:
    return "yes"


async def call(memory, *words: str, key: str = "ann", agent=short, **session):
    """A call in which these words are said, one after the other."""
    async with stage(agent, memory=memory, memory_key=key, **session) as on:
        for word in words:
            await on.caller.say(word)
            await asyncio.sleep(3)
    return on


def test_a_caller_who_calls_again_is_known():
    """The agent sees what was said in the call before, and in no other caller's."""
    histories: list[list[str]] = []

    async def agent(turn: AgentTurn) -> str:
        histories.append([item.text for item in turn.history if isinstance(item, Message)])
        return "yes"

    async def scene():
        memory = InMemory()
        await call(memory, "first", agent=agent)
        await call(memory, "other", agent=agent, key="bob")
        await call(memory, "second", agent=agent)
        return await memory.load("ann")

    kept = play(scene)
    assert histories == [["first"], ["other"], ["first", "yes", "second"]]
    assert [item.text for item in kept if isinstance(item, Message)] == [
        "first",
        "yes",
        "second",
        "yes",
    ]


def test_what_is_kept_of_a_response_is_what_was_heard():
    """Words that were cut off are not remembered."""

    async def long(text: str) -> str:
        return LONG

    async def scene():
        memory = InMemory()
        async with stage(long, memory=memory, memory_key="ann") as on:
            await on.caller.say("hello")
            await asyncio.sleep(2)
            on.caller.press_stop()
            heard = on.caller.heard
        *_, last = await memory.load("ann")
        return heard, last

    heard, last = play(scene)
    assert last == Message(role=Role.AGENT, text=last.text, is_cut=True)
    assert LONG.startswith(last.text)
    assert 0 < len(last.text) <= len(heard) < len(LONG)


def test_it_is_saved_after_each_response_and_not_for_each_frame():
    """Two turns are two saves, at the moment each response ends; the end adds nothing new."""

    async def scene():
        memory = SlowMemory()
        on = await call(memory, "first", "second")
        return memory.saves, [on.trace.at_ms(AgentResponseEnded, index) for index in (0, 1)]

    saves, ended = play(scene)
    assert saves == [
        (ended[0], ["first", "yes"]),
        (ended[1], ["first", "yes", "second", "yes"]),
    ]


def test_a_slow_store_gets_the_newest_only():
    """While a save runs others wait, and of those only the last is done."""

    async def scene():
        memory = SlowMemory(save_ms=900)
        async with stage(short, memory=memory, memory_key="ann") as on:
            await on.caller.say("first")
            await asyncio.sleep(2)
            for word in ("second", "third"):
                on.caller.type(word)
                await asyncio.sleep(0.3)
            await asyncio.sleep(3)
        return [texts for _, texts in memory.saves]

    saves = play(scene)
    assert saves[0] == ["first", "yes"]
    assert saves[-1][-1] == "yes"
    assert "third" in saves[-1]
    assert len(saves) < 4


def test_a_given_history_is_for_callers_who_are_not_known_yet():
    """What is remembered takes the place of `history`, so that nothing is in it twice."""
    given = (Message(role=Role.SYSTEM, text="the caller is Ann"),)

    async def scene():
        memory = InMemory()
        first = await call(memory, "first", options=S2sOptions(history=given))
        second = await call(memory, "second", options=S2sOptions(history=given))
        return [item.text for item in first.session.history], [
            item.text for item in second.session.history
        ]

    first, second = play(scene)
    assert first == ["the caller is Ann", "first", "yes"]
    assert second == ["the caller is Ann", "first", "yes", "second", "yes"]


def test_a_store_that_hangs_delays_nothing_but_the_beginning():
    """Loading is given up after two seconds; the turn takes as long as without a memory."""

    async def scene(memory, key):
        async with stage(memory=memory, memory_key=key) as on:
            began = running_simulation().time_ms()
            await on.caller.say("hello")
            await asyncio.sleep(4)
            (measured,) = on.trace.of(TurnMeasured)
            heard, at = on.caller.heard, running_simulation().time_ms()
        return began, measured.total_ms, heard, running_simulation().time_ms() - at

    without = play(lambda: scene(None, None))
    hanging = play(lambda: scene(SlowMemory(load_ms=1e9, save_ms=1e9), "ann"))
    assert without == (0, 680, LONG, 0)
    assert hanging == (2000, 680, LONG, 0)


def test_a_store_that_hangs_in_saving_is_not_waited_for_at_the_end():
    """Each save is given a second: leaving takes no longer than two, and the turn no longer."""

    async def scene():
        memory = SlowMemory(save_ms=1e9)
        async with stage(short, memory=memory, memory_key="ann") as on:
            await on.caller.say("hello")
            await asyncio.sleep(3)
            await on.caller.say("again")
            await asyncio.sleep(1.2)
            turns = [one.total_ms for one in on.trace.of(TurnMeasured)]
            left = running_simulation().time_ms()
        return turns, running_simulation().time_ms() - left

    turns, took = play(scene)
    assert turns == [680, 680]
    assert 0 < took <= 2000


def test_a_store_that_fails_is_logged_without_saying_who_calls(caplog):
    """The call goes on, and the log has neither the key nor the store's words."""

    async def scene():
        memory = SlowMemory(fails=True)
        on = await call(memory, "hello", key="+49 30 1234567")
        return on.caller.heard, on.user_words(), memory.began

    with caplog.at_level(logging.DEBUG):
        heard, words, began = play(scene)
    assert (heard, words) == ("yes", ["hello"])
    assert "loading the memory of a call failed: OSError" in caplog.text
    assert "1234567" not in caplog.text
    assert began == []


def test_what_could_not_be_loaded_is_not_overwritten():
    """A store that fails once at the beginning keeps what it has."""

    async def scene():
        memory = SlowMemory()
        await call(memory, "first")
        memory.fails = True
        async with stage(short, memory=memory, memory_key="ann") as on:
            memory.fails = False
            await on.caller.say("second")
            await asyncio.sleep(3)
        return [item.text for item in await memory.load("ann")]

    assert play(scene) == ["first", "yes"]


def test_a_call_in_which_nothing_is_said_changes_nothing():
    """Without a word there is nothing to save."""

    async def scene():
        memory = SlowMemory()
        await call(memory)
        return memory.began

    assert play(scene) == []


def test_a_cancelled_call_is_remembered():
    """What was heard until a session is cancelled is saved all the same."""

    async def scene():
        memory = SlowMemory(save_ms=100)
        task = asyncio.create_task(call(memory, "first", "second"), name="call")
        await asyncio.sleep(4.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return [item.text for item in await memory.load("ann")]

    assert play(scene)[:3] == ["first", "yes", "second"]


@pytest.mark.parametrize("given", [{"memory": InMemory()}, {"memory_key": "ann"}])
def test_a_memory_needs_a_key_and_a_key_a_memory(given):
    """One without the other is a configuration error, at once."""
    with pytest.raises(ConfigurationError, match="memory_key"):
        VoiceSession(stt=ScriptedStt(), tts=ScriptedTts(), vad=ScriptedVad(), **given)


def test_the_front_door_takes_a_memory():
    """`VoiceSession` remembers like any session."""

    async def scene():
        memory = InMemory()
        await memory.save("ann", (Message(role=Role.USER, text="before"),))
        session = VoiceSession(
            stt=ScriptedStt(),
            agent=short,
            tts=ScriptedTts(),
            vad=ScriptedVad(),
            memory=memory,
            memory_key="ann",
        )
        async with session:
            session.send_text("now")
            await asyncio.sleep(3)
        return [item.text for item in await memory.load("ann")]

    assert play(scene) == ["before", "now", "yes"]
