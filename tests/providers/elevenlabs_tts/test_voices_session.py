"""A conversation whose answers ElevenLabs speaks, in simulated time."""

import asyncio

from beluga_voice.agents.functions import agent_of
from beluga_voice.events import Message, Role
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.elevenlabs_tts import ElevenLabsTtsEmulator
from beluga_voice.testing.emulators.speech import Pace
from beluga_voice.testing.scripted import ScriptedStt, ScriptedVad
from providers.elevenlabs_tts.voices_stage import HOST, PORT, play, provider

LONG = "one two three four five six seven eight nine ten."


async def reply(text: str) -> str:
    """Count for long, unless told to stop."""
    return "Fine." if "stop" in text else LONG if "count" in text else f"You said {text}."


def test_three_turns_with_an_interruption() -> None:
    """Each answer is heard; of the one that was cut, the history has what was heard."""

    async def scene() -> tuple[list[Message], str, ElevenLabsTtsEmulator]:
        service = ElevenLabsTtsEmulator(pace=Pace(thinking_ms=100, word_ms=50))
        caller = ScriptedCaller()
        async with service.serving(HOST, PORT):
            cascade = Cascade(ScriptedStt(delay_ms=50), agent_of(reply), provider())
            session = Session(cascade, line=caller, detector=ScriptedVad())
            async with session, caller.on(session):
                await caller.say("hello there")
                await asyncio.sleep(3)
                await caller.say("please count")
                await asyncio.sleep(2)
                await caller.say("stop now")
                await asyncio.sleep(3)
                said = [one for one in session.history if isinstance(one, Message)]
                heard = caller.heard
        return said, heard, service

    said, heard, service = play(scene)
    first, cut, last = [one for one in said if one.role is Role.AGENT]
    assert first.text == "You said hello there."
    assert cut.is_cut
    assert cut.text
    assert LONG.startswith(cut.text)
    assert last.text == "Fine."
    assert heard == f"You said hello there. {cut.text} Fine."
    assert [session.errors for session in service.sessions] == [[]]
