"""Every speech-to-text with every text-to-speech holds the same conversation."""

import asyncio

import pytest

from beluga_voice.agents.functions import agent_of
from beluga_voice.events import (
    AgentResponseEnded,
    BargedIn,
    ErrorOccurred,
    Message,
    ResponseOutcome,
    Role,
)
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedVad
from beluga_voice.testing.trace import trace
from scenarios.speech_rows import STT, TTS

LONG = "one two three four five six seven eight nine ten"


@pytest.mark.parametrize("tts", TTS.values(), ids=TTS.keys())
@pytest.mark.parametrize("stt", STT.values(), ids=STT.keys())
def test_three_turns_with_a_barge_in(stt, tts):
    """Each turn is understood and answered, and of the one that is cut the words heard are kept."""

    async def agent(text: str) -> str:
        return LONG if text == "count please" else f"you said {text}"

    async def scene():
        async with stt() as hearing, tts() as speaking:
            caller = ScriptedCaller(
                input_rate=hearing.capabilities.input_formats[0].rate,
                output_rate=speaking.capabilities.output_formats[0].rate,
            )
            session = Session(
                Cascade(hearing, agent_of(agent), speaking), line=caller, detector=ScriptedVad()
            )
            seen = trace(session)
            async with session, caller.on(session):
                await asyncio.sleep(0.5)
                await caller.say("good morning")
                await asyncio.sleep(5)
                await caller.say("count please")
                while not seen.of(AgentResponseEnded)[1:]:
                    if caller.heard.endswith("three") and not caller.cleared_ms:
                        caller.begin("stop it now")
                        await asyncio.sleep(1)
                    await asyncio.sleep(0.02)
                await asyncio.sleep(6)
            said = [one for one in session.history if isinstance(one, Message)]
            return seen, caller.heard, said

    seen, heard, said = simulate(scene)
    assert seen.of(ErrorOccurred) == []
    assert [one.text for one in said if one.role is Role.USER] == [
        "good morning",
        "count please",
        "stop it now",
    ]
    first, cut, last = seen.of(AgentResponseEnded)
    assert first.heard_text == "you said good morning"
    assert cut.outcome is ResponseOutcome.CUT
    assert cut.heard_text in ("one two three", "one two three four", "one two three four five")
    assert last.heard_text == "you said stop it now"
    assert [one.text for one in said if one.role is Role.AGENT] == [
        "you said good morning",
        cut.heard_text,
        "you said stop it now",
    ]
    assert heard.startswith("you said good morning one two three")
    assert heard.endswith("you said stop it now")
    assert len(seen.of(BargedIn)) == 1
