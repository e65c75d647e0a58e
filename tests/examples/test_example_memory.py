"""The examples of memory and of Pydantic AI, in simulated time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from examples.pydantic_ai_agent import agent, patient
from examples.remember_callers import call
from pydantic_ai.messages import ModelMessage, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

from beluga_voice import VoiceSession
from beluga_voice.agents.functions import GivenAgent
from beluga_voice.events import AgentResponseEnded, ErrorOccurred
from beluga_voice.memory.sqlite import SqliteMemory
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad
from beluga_voice.testing.trace import Trace


async def model(
    messages: list[ModelMessage], info: AgentInfo
) -> AsyncIterator[str | DeltaToolCalls]:
    """Say that it looks, look for order seven, and say what was found."""
    last = messages[-1].parts[-1]
    if isinstance(last, ToolReturnPart):
        yield f"Order seven is {last.content}."
    else:
        yield "Let me look."
        yield {1: DeltaToolCall(name="order_status", json_args='{"number": 7}')}


def heard_of(given: GivenAgent) -> list[str]:
    """Ask for order seven, and listen."""

    async def scene() -> list[str]:
        caller, trace = ScriptedCaller(), Trace()
        session = VoiceSession(
            stt=ScriptedStt(),
            agent=given,
            tts=ScriptedTts(),
            vad=ScriptedVad(),
            line=caller,
            observers=[trace],
        )
        async with session, caller.on(session):
            await caller.say("where is order seven")
            await asyncio.sleep(12)
        assert trace.of(ErrorOccurred) == []
        return [one.heard_text for one in trace.of(AgentResponseEnded)]

    with agent.override(model=FunctionModel(stream_function=model)):
        return simulate(scene)


def test_the_pydantic_agent_looks_and_answers() -> None:
    """Both sides of its tool are heard, though the first one ends without a space."""
    assert heard_of(agent) == ["Let me look.\nOrder seven is on its way."]


def test_the_pydantic_agent_keeps_company() -> None:
    """While the tool takes six seconds, one sentence is said meanwhile."""
    assert heard_of(patient) == ["Let me look.\nOne moment, please. Order seven is on its way."]


def test_callers_are_remembered_until_they_want_to_be_forgotten(tmp_path: Path) -> None:
    """Each call has a store of its own, as after a restart; numbers are people of their own."""

    async def scene() -> list[str]:
        return [
            await call(
                SqliteMemory(tmp_path / "calls.db"),
                number,
                text,
                stt=ScriptedStt(),
                tts=ScriptedTts(),
                vad=ScriptedVad(),
            )
            for number, text in (
                ("+44 20 7946 0000", "my name is Mary"),
                ("+44 20 7946 0001", "what is my name"),
                ("+44 20 7946 0000", "what is my name"),
                ("+44 20 7946 0000", "forget me"),
                ("+44 20 7946 0000", "what is my name"),
            )
        ]

    first, other, second, _, last = [one.strip() for one in simulate(scene)]
    assert (first, second) == ("Nice to meet you, Mary.", "Your name is Mary.")
    assert (other, last) == ("You have not told me your name yet.",) * 2
