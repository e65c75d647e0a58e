"""What tests of recordings share: a service that answers with ten words, and a call over it."""

import asyncio

from beluga_voice.agents.functions import agent_of
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.resilience.recorded import Recorded
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.faults import Faulty
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad
from beluga_voice.testing.trace import trace

TEN = "one two three four five six seven eight nine ten"


async def ten(text):
    """Ten words, whatever is asked."""
    return TEN


def record(path, *faults, scene=None, agent=ten, keeps=(), session=None, stt=None, tts=None):
    """One call, recorded: a question, and whatever the scene does. Gives its trace."""

    async def play():
        provider = Faulty(
            Cascade(
                stt or ScriptedStt(delay_ms=50), agent_of(agent), tts or ScriptedTts(delay_ms=30)
            ),
            *faults,
        )
        recorded = Recorded(provider, to=path, **{f"keep_{name}": True for name in keeps})
        caller = ScriptedCaller()
        made = Session(
            recorded,
            line=caller,
            detector=recorded.ears(ScriptedVad()),
            session_id="replay",
            **(session or {}),
        )
        seen = trace(made)
        async with made, caller.on(made):
            await (scene or ask)(caller, made)
        return seen

    return simulate(play)


async def ask(caller, _):
    """A question, and time for the answer."""
    await caller.say("what time is it")
    await asyncio.sleep(5)
