"""Calls of people who call again, with a memory in a file, in simulated time."""

import asyncio
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from beluga_voice.app import VoiceSession
from beluga_voice.events import Message, Role
from beluga_voice.interfaces import AgentTurn
from beluga_voice.memory.sqlite import SqliteMemory
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad

LONG = "One two three four five six seven eight nine ten."


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.db"


async def long(text: str) -> str:
    """Answer with two seconds of speech."""
    return LONG


class Call:
    """A call with a memory in a file, as in a process of its own: with a store of its own."""

    def __init__(self, path: Path, key: str = "+49 30 1234567", agent=long, stt=None):
        self.caller, self.stt = ScriptedCaller(), stt or ScriptedStt()
        self.session = VoiceSession(
            stt=self.stt,
            agent=agent,
            tts=ScriptedTts(),
            vad=ScriptedVad(),
            line=self.caller,
            memory=SqliteMemory(path),
            memory_key=key,
        )

    async def __aenter__(self):
        await self.session.__aenter__()
        self._line = self.caller.on(self.session)
        await self._line.__aenter__()
        return self

    async def __aexit__(self, *error):
        await self._line.__aexit__(*error)
        return await self.session.__aexit__(*error)


def kept(path: Path, key: str = "+49 30 1234567") -> list[tuple[str, bool]]:
    """What a new store knows of a caller, and whether it was cut."""
    items = asyncio.run(SqliteMemory(path).load(key))
    return [(one.text, one.is_cut) for one in items if isinstance(one, Message)]


def test_who_calls_again_is_known(path):
    """The agent of the second call sees the first one, and nothing of other callers."""
    histories: list[list[str]] = []

    async def agent(turn: AgentTurn) -> str:
        histories.append([one.text for one in turn.history if isinstance(one, Message)])
        return f"Heard {turn.text}."

    async def scene():
        for key, words in (("ann", "first"), ("bob", "other"), ("ann", "second")):
            async with Call(path, key, agent) as call:
                await call.caller.say(words)
                await asyncio.sleep(3)

    simulate(scene)
    assert histories == [["first"], ["other"], ["first", "Heard first.", "second"]]
    assert kept(path, "ann")[2:] == [("second", False), ("Heard second.", False)]


def test_a_turn_is_on_the_disk_when_it_is_over(path):
    """It is not kept until the call ends: who looks after the first turn finds it."""

    async def scene():
        async with Call(path) as call:
            await call.caller.say("hello")
            await asyncio.sleep(3.5)
            return await SqliteMemory(path).load("+49 30 1234567")

    assert simulate(scene) == (
        Message(role=Role.USER, text="hello"),
        Message(role=Role.AGENT, text=LONG),
    )


async def hang_up(call):
    call.caller.hang_up()


async def crash(call):
    raise KeyError


async def be_cancelled(call):
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)


async def close(call):
    pass


@pytest.mark.parametrize("end", [hang_up, crash, be_cancelled, close])
def test_a_call_that_ends_in_mid_sentence_is_kept_as_it_was_heard(path, end):
    """However it ends, what was heard of the answer is kept, and no more."""

    async def scene():
        async with Call(path) as call:
            await call.caller.say("hello")
            await asyncio.sleep(1.5)
            await end(call)

    async def watched():
        await asyncio.gather(asyncio.create_task(scene()), return_exceptions=True)

    simulate(watched)
    assert kept(path) == [("hello", False), ("One two three four", True)]


def test_a_process_that_dies_in_a_call_leaves_its_turns(path):
    """A call of which nothing is left is known up to its last whole turn."""
    program = f"""
import asyncio, os, signal
from pathlib import Path
from memory.test_remembered_calls import Call
from beluga_voice.testing.loop import simulate
async def scene():
    async with Call(Path({str(path)!r})) as call:
        await call.caller.say("hello")
        await asyncio.sleep(3.5)
        await call.caller.say("again")
        await asyncio.sleep(1.5)
        os.kill(os.getpid(), signal.SIGKILL)
simulate(scene)
"""
    here = str(Path(__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", program], cwd=here, check=False)
    assert done.returncode == -9
    assert kept(path)[:2] == [("hello", False), (LONG, False)]


def test_a_service_that_is_lost_takes_nothing_along(path):
    """What was said before and after the loss is kept, in order."""

    async def scene():
        stt = ScriptedStt()
        async with Call(path, stt=stt) as call:
            await call.caller.say("hello")
            await asyncio.sleep(1.5)
            stt.links[0].lose()
            await asyncio.sleep(5)
            await call.caller.say("again")
            await asyncio.sleep(5)

    simulate(scene)
    assert kept(path)[0] == ("hello", False)
    assert kept(path)[-2:] == [("again", False), (LONG, False)]


def test_a_damaged_memory_is_told_and_the_call_goes_on(path, caplog):
    """The log says what to do and not who calls; the file is left as it is."""
    path.write_bytes(b"no database" * 100)

    async def scene():
        async with Call(path) as call:
            await call.caller.say("hello")
            await asyncio.sleep(4)
        return call.caller.heard

    with caplog.at_level(logging.DEBUG):
        assert simulate(scene) == LONG
    assert "is damaged, or no database: move it away, or restore it" in caplog.text
    assert "1234567" not in caplog.text
    assert path.read_bytes() == b"no database" * 100
