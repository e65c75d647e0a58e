"""`--memory PATH --caller KEY`: callers who call again, from the command line."""

import asyncio
import time
from pathlib import Path

import pytest

from beluga_voice.audio.wav import read_wav, write_wav
from beluga_voice.cli import main
from beluga_voice.cli.fast import FastLoop

QUESTIONS = Path(__file__).parents[2] / "examples/audio/questions.wav"
AGENT = """
from beluga_voice import AgentTurn
from beluga_voice.events import Message

async def answer(turn: AgentTurn) -> str:
    return f"There were {len([one for one in turn.history if isinstance(one, Message)])}."
"""


def test_the_second_command_goes_on_where_the_first_one_ended(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A question and its answer are two messages, which the next call begins with."""
    (tmp_path / "my_counting_agent.py").write_text(AGENT)
    sound = read_wav(QUESTIONS).to_pcm16(16000)
    write_wav(tmp_path / "question.wav", sound[: 2 * 33_000], 16000)  # the first of them
    monkeypatch.chdir(tmp_path)

    def talk(caller: str) -> str:
        given = ["--agent", "my_counting_agent:answer", "--memory", "calls.db", "--caller", caller]
        assert main(["talk", "question.wav", *given]) == 0
        return capsys.readouterr().out

    assert "agent  There were 1.\n" in talk("ann")
    assert "agent  There were 3.\n" in talk("ann")
    assert "agent  There were 1.\n" in talk("bob")


@pytest.mark.parametrize("given", [["--memory", "calls.db"], ["--caller", "ann"]])
def test_a_memory_and_a_caller_belong_together(given, capsys, tmp_path, monkeypatch):
    """One without the other is refused at once, with what to give."""
    monkeypatch.chdir(tmp_path)
    assert main(["talk", str(QUESTIONS), *given]) == 2
    assert "give both --memory PATH and --caller KEY, or neither" in capsys.readouterr().err


def test_a_memory_that_cannot_be_is_refused_at_once(capsys, tmp_path):
    """The command ends before the call."""
    given = ["--memory", str(tmp_path / "no" / "calls.db"), "--caller", "ann"]
    assert main(["talk", str(QUESTIONS), *given]) == 2
    assert "there is no directory" in capsys.readouterr().err


def test_the_fast_loop_waits_for_its_threads():
    """While a thread of the loop works, its clock does not jump."""

    async def scene():
        loop = asyncio.get_running_loop()
        began, really = loop.time(), time.monotonic()
        async with asyncio.timeout(20):
            await asyncio.to_thread(sum, range(2_000_000))
        passed, took = loop.time() - began, time.monotonic() - really
        await asyncio.sleep(100)
        return passed < took + 1, loop.time() - began >= 100

    with asyncio.Runner(loop_factory=lambda: FastLoop(lambda: False)) as runner:
        assert runner.run(scene()) == (True, True)
