"""A long conversation is summarised while it goes on, and everybody knows the same of it."""

import asyncio
import json
import logging
from itertools import pairwise

import pytest

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.events import Message, Role, ToolResult, ToolUse
from beluga_voice.interfaces import AgentTurn
from session.stage import play, stage


def in_words(history):
    """Who said what, or what was done, item by item."""
    return [
        f"{one.role}: {one.text}" if isinstance(one, Message) else type(one).__name__
        for one in history
    ]


def talk(summarise, *, turns=6, rest=2.5, limit=8, agent=None, **settings):
    """So many short turns; what the agent was told in each, what the session knows in the end."""
    told = []

    async def says_so(turn: AgentTurn) -> str:
        told.append(in_words(turn.history))
        return f"yes {turn.text}"

    async def scene():
        short = EngineSettings(history_limit=limit)
        async with stage(agent or says_so, settings=short, summarise=summarise, **settings) as on:
            for number in range(1, turns + 1):
                await on.caller.say(f"word {number}")
                await asyncio.sleep(rest)
            return list(on.session.history), asyncio.get_running_loop().time()

    history, ended = play(scene)
    return told, history, ended


def said(number, *, is_answered=True):
    return [f"user: word {number}", *([f"agent: yes word {number}"] if is_answered else [])]


def test_the_agent_is_told_a_summary_of_what_was_said_long_ago():
    """At three quarters of the limit the older half becomes one note, for session and agent."""
    asked = []

    async def summarise(items):
        asked.append(in_words(items))
        return f"summary {len(asked)}"

    told, history, _ = talk(summarise)
    assert asked == [
        said(1),
        ["system: summary 1", *said(2)],
        ["system: summary 2", *said(3)],
        ["system: summary 3", *said(4)],
    ]
    # With the response of the third turn it is long, and from then on with each.
    assert told[1] == [*said(1), *said(2, is_answered=False)]
    assert told[2] == ["system: summary 1", *said(2), *said(3, is_answered=False)]
    assert told[5] == ["system: summary 4", *said(5), *said(6, is_answered=False)]
    assert in_words(history) == ["system: summary 4", *said(5), *said(6)]


async def fails(items):
    """Do not even begin."""
    raise RuntimeError(items[0].text)


async def hangs(items):
    """Never give an answer."""
    await asyncio.Event().wait()


async def says_nothing(items):
    """Find nothing worth telling."""
    return ""


@pytest.mark.parametrize("summarise", [fails, hangs, says_nothing])
def test_without_a_summary_the_oldest_is_forgotten_in_time(summarise, caplog):
    """The conversation is the same as without a summariser; the log names the kind of failure."""
    with caplog.at_level(logging.ERROR):
        told, history, ended = talk(summarise)
    without, known, usual = talk(None)
    assert (told, history) == (without, known)
    assert ended == usual
    logged = {one.getMessage() for one in caplog.records}
    kinds = {fails: "RuntimeError", hangs: None, says_nothing: None}
    assert [one for one in logged if "RuntimeError" in one] == [
        one for one in logged if kinds[summarise]
    ]
    assert not any("word 1" in one for one in logged)


def test_who_fails_is_asked_again_only_when_there_is_more():
    """A summariser that fails at once is not asked in a circle."""
    times = []

    async def counts(items):
        times.append((asyncio.get_running_loop().time(), len(items)))
        raise RuntimeError

    _, history, _ = talk(counts, turns=4)
    assert [count for _, count in times] == [2, 4]
    assert in_words(history) == [*said(1), *said(2), *said(3), *said(4)]


def test_who_hangs_is_given_up_and_asked_again(caplog):
    """After half a minute, with what the older half is then."""
    asked = []

    async def hangs_once(items):
        asked.append((asyncio.get_running_loop().time(), in_words(items)))
        if len(asked) == 1:
            await asyncio.Event().wait()
        return "all of it"

    _, history, _ = talk(hangs_once, turns=14, rest=2.5)
    (first, one), (second, two), *_ = asked
    assert second - first == pytest.approx(30, abs=0.001)
    assert one == said(1)
    assert two == [*said(10), *said(11)]
    assert "TimeoutError" in caplog.text
    assert in_words(history)[0] == "system: all of it"


def test_what_is_said_while_the_summary_is_made_is_kept():
    """A summary that takes two turns replaces what it was asked about, and nothing else."""

    async def slow(items):
        await asyncio.sleep(6)
        return f"{len(items)} things"

    told, history, _ = talk(slow, turns=7, limit=11)
    # It is asked for when the words of the fifth turn are known, and is there in the seventh.
    assert told[5] == [*said(1), *said(2), *said(3), *said(4), *said(5), "user: word 6"]
    numbers = range(3, 8)
    assert in_words(history) == ["system: 4 things", *(one for n in numbers for one in said(n))]


def test_a_session_that_ends_does_not_wait_for_a_summary():
    """Whoever makes it is cancelled."""
    ended = []

    async def forever(items):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(asyncio.get_running_loop().time())

    _, _, over = talk(forever, turns=3)
    assert ended == [over]


def test_calls_are_never_parted_from_their_results():
    """Whatever is summarised, each result stands behind its call; of both there is one."""
    asked, told = [], []

    def look(at: str) -> str:
        """Look."""
        return f"seen {at}"

    async def looks(turn: AgentTurn) -> str:
        for place in "ab":
            await turn.call_tool("look", json.dumps({"at": place}))
        told.append(list(turn.history))
        return f"yes {turn.text}"

    async def summarise(items):
        asked.append(list(items))
        return f"summary {len(asked)}"

    _, history, _ = talk(summarise, limit=16, agent=looks, tools=[look])
    assert len(asked) > 2
    for items in [*asked, *told, history]:
        uses = [one.call_id for one in items if isinstance(one, ToolUse)]
        results = [one.call_id for one in items if isinstance(one, ToolResult)]
        assert uses == results
        for before, after in pairwise(items):
            assert isinstance(before, ToolUse) == isinstance(after, ToolResult)
    assert all(in_words(items)[0] == f"system: summary {n}" for n, items in enumerate(asked) if n)
    assert told[-1][0].role is Role.SYSTEM


def test_an_agent_behind_a_new_connection_is_told_the_summary():
    """What was summarised is what the next link begins with."""
    told = []

    async def agent(turn: AgentTurn) -> str:
        told.append(in_words(turn.history))
        return f"yes {turn.text}"

    async def summarise(items):
        return "in short"

    async def scene():
        short = EngineSettings(history_limit=8)
        async with stage(agent, settings=short, summarise=summarise) as on:
            for number in range(1, 5):
                await on.caller.say(f"word {number}")
                await asyncio.sleep(2.5)
                if number == 3:
                    on.stt.links[-1].lose("gone")
                    await asyncio.sleep(2)
            return len(on.stt.links)

    assert play(scene) == 2
    assert told[-1][0] == "system: in short"
    assert told[-1][-1] == "user: word 4"
