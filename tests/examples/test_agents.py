"""The example agents, over the example recording and in simulated time."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from examples.remember_callers import call
from examples.streaming_agent import answer as stream
from examples.tools import clerk

from beluga_voice import VoiceSession
from beluga_voice.agents.functions import AgentFunction
from beluga_voice.cli import main
from beluga_voice.events import AgentResponseEnded, FunctionAnswered, TurnMeasured
from beluga_voice.interfaces import Agent, Tool
from beluga_voice.memory.in_memory import InMemory
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad
from beluga_voice.testing.trace import Trace
from examples import simulated_test

ROOT = Path(__file__).parents[2]


def ask(agent: Agent | AgentFunction, words: str, tools: Sequence[Tool] = ()) -> Trace:
    """Say something to an agent in simulated time, and listen for ten seconds."""

    async def scene() -> Trace:
        caller, trace = ScriptedCaller(), Trace()
        session = VoiceSession(
            stt=ScriptedStt(delay_ms=50),
            agent=agent,
            tts=ScriptedTts(delay_ms=30),
            vad=ScriptedVad(),
            line=caller,
            tools=tools,
            observers=[trace],
        )
        async with session, caller.on(session):
            await caller.say(words)
            await asyncio.sleep(10)
        return trace

    return simulate(scene)


def said(trace: Trace) -> list[str]:
    """What the agent was heard saying."""
    return [one.heard_text for one in trace.of(AgentResponseEnded)]


def test_the_recording_is_understood_and_answered(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first command of the documentation holds the conversation that it shows."""
    monkeypatch.chdir(ROOT)
    status = main(["talk", "examples/audio/questions.wav", "--out", str(tmp_path / "answer.wav")])
    out = capsys.readouterr().out
    assert status == 0
    assert "you  what time is it\n" in out
    assert "agent  20 plus 5 is 25.\n" in out
    assert "And that is why, they say, belugas never stop singing.\n" in out
    assert "agent  You are welcome.\n" in out
    assert "4 utterances · 4 responses · 0 interruptions · 0 ms of your speech lost" in out
    assert (tmp_path / "answer.wav").stat().st_size > 100_000


def test_the_first_agent_answers_the_recording(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function in a module is an agent on the command line."""
    monkeypatch.chdir(ROOT)
    status = main(
        ["talk", "examples/audio/questions.wav", "--agent", "examples.first_agent:answer"]
    )
    out = capsys.readouterr().out
    assert status == 0
    assert out.count("I have nothing to add to that.") == 4


def test_the_tests_of_the_example_pass() -> None:
    """Both tests that the guide shows hold."""
    simulated_test.test_the_caller_hears_the_answer_680_ms_after_the_last_word()
    simulated_test.test_a_caller_who_interrupts_is_listened_to()


def test_the_recording_is_small_and_plain() -> None:
    """The example recording stays below 400 KB."""
    assert (ROOT / "examples/audio/questions.wav").stat().st_size < 400_000


def test_the_streaming_agent_is_heard_before_it_is_done() -> None:
    """The first sentence sounds at the first full stop, though the agent waits three times more."""
    trace = ask(stream, "what is up")
    (measured,) = trace.of(TurnMeasured)
    assert (measured.thinking_ms, measured.synthesis_ms) == (0, 30)
    assert said(trace) == [
        "You asked: what is up. Here is what is planned. On Monday, a weather balloon. "
        "On Tuesday, a paper plane. On Friday, a kite. "
    ]


@pytest.mark.parametrize(
    ("words", "answer", "fails"),
    [
        ("where is order seven", "One moment. Order seven is on its way.", False),
        ("where is order twenty", "One moment. I cannot find order twenty.", True),
    ],
)
def test_the_clerk_uses_its_tool(words: str, answer: str, fails: bool) -> None:
    """The tool's result is spoken, and its failure is answered with words."""
    trace = ask(clerk, words, clerk.tools)
    assert said(trace) == [answer]
    assert [one.is_error for one in trace.of(FunctionAnswered)] == [fails]


def test_the_clerk_asks_for_what_it_needs() -> None:
    """Without a number no tool is called."""
    trace = ask(clerk, "hello")
    assert said(trace) == ["Please say: where is order seven?"]
    assert trace.of(FunctionAnswered) == []


def test_the_caller_is_remembered() -> None:
    """The second call knows the name that was given in the first; one without memory does not."""

    async def scene() -> list[str]:
        memory = InMemory()
        return [
            await call(kept, "mary", text, stt=ScriptedStt(), tts=ScriptedTts(), vad=ScriptedVad())
            for kept, text in (
                (memory, "my name is Mary"),
                (memory, "what is my name"),
                (InMemory(), "what is my name"),
            )
        ]

    assert [one.strip() for one in simulate(scene)] == [
        "Nice to meet you, Mary.",
        "Your name is Mary.",
        "You have not told me your name yet.",
    ]
