"""A conversation whose words Scribe understands, in simulated time."""

import asyncio

from beluga_voice.agents.functions import agent_of
from beluga_voice.events import Message, Role
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.elevenlabs_stt import ScribeEmulator
from beluga_voice.testing.emulators.speech import Pace
from beluga_voice.testing.scripted import ScriptedTts, ScriptedVad
from providers.elevenlabs_stt.scribe_stage import HOST, PORT, play, provider

LONG = "one two three four five six seven eight nine ten"


async def reply(text: str) -> str:
    """Count for long, unless told to stop."""
    return "fine" if "stop" in text else LONG if "count" in text else f"you said {text}"


def test_three_turns_with_an_interruption() -> None:
    """Each turn is understood; the second answer is cut where the person spoke."""

    async def scene() -> tuple[list[Message], str, ScribeEmulator]:
        service = ScribeEmulator(pace=Pace(transcript_ms=100))
        caller = ScriptedCaller()
        async with service.serving(HOST, PORT):
            cascade = Cascade(provider(), agent_of(reply), ScriptedTts(delay_ms=30))
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
    texts = [(one.role, one.text) for one in said]
    assert [text for role, text in texts if role is Role.USER] == [
        "hello there",
        "please count",
        "stop now",
    ]
    answers = [one for one in said if one.role is Role.AGENT]
    assert answers[0].text == "you said hello there"
    assert answers[1].is_cut
    assert LONG.startswith(answers[1].text)
    assert answers[2].text == "fine"
    assert heard.startswith("you said hello there one two")
    assert heard.endswith("fine")
    assert [session.errors for session in service.sessions] == [[]]
