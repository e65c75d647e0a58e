"""The ladder that is climbed for a person who waits in silence."""

import asyncio

from beluga_voice.agents.functions import agent_of
from beluga_voice.engine.deadlines import DeadAirSettings
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.events import (
    AgentResponseEnded,
    DeadAir,
    ErrorOccurred,
    Reconnected,
    Rung,
    SessionEnded,
    SessionState,
)
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.resilience.fallback import Fallback
from beluga_voice.resilience.progress import ProgressSettings
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad
from beluga_voice.testing.speech import pcm_of, speech
from beluga_voice.testing.trace import trace
from session.stage import play, stage


async def never(text: str):
    """Think for ever."""
    await asyncio.Event().wait()
    yield "never"


async def brief(text: str):
    """Answer at once."""
    yield "all right"


def rungs(seen):
    """When which rung was climbed."""
    return [
        (round(one.at * 1000), one.event.rung, one.event.waited_ms)
        for one in seen.happenings
        if isinstance(one.event, DeadAir)
    ]


def test_an_agent_that_never_answers_is_asked_again_and_then_the_session_ends():
    """The person hears something every three seconds, and is let go in the end."""
    dead_air = DeadAirSettings(end_ms=15_000)

    async def scene():
        async with stage(never, settings=EngineSettings(dead_air=dead_air)) as on:
            await on.caller.say("hello")
            await asyncio.sleep(40)
            return on.trace, on.caller.sounds_ms, on.session.state

    seen, sounds, state = play(scene)
    owed = 780
    assert rungs(seen) == [
        (owed + 6000, Rung.NUDGE, 6000),
        (owed + 9000, Rung.SOUND, 9000),
        (owed + 12_000, Rung.SOUND, 12_000),
        (owed + 15_000, Rung.END, 15_000),
    ]
    assert [round(start) for start, _ in sounds] == [owed + 9000, owed + 12_000]
    assert state is SessionState.ERROR
    ended = seen.of(SessionEnded)[0]
    assert (ended.reason, ended.message) == ("failed", "nobody gave an answer")
    assert [one.code for one in seen.of(ErrorOccurred)] == ["timeout"]


def test_words_are_made_ready_for_whom_nobody_answers():
    """They are asked for at the first rung, and heard in place of the tone."""
    asked = []

    async def make(rate):
        asked.append(rate)
        await asyncio.sleep(1)
        return pcm_of(speech("one moment please", rate=rate))

    async def scene():
        async with stage(never, ready_words=make) as on:
            await on.caller.say("hello")
            await asyncio.sleep(11)
            return on.caller.heard, on.caller.sounds_ms

    heard, sounds = play(scene)
    assert asked == [24000]
    assert heard == "one moment please"
    assert sounds == [(9780, 10380)]


def test_words_that_cannot_be_made_leave_the_tone():
    """A defect of the voice that makes them ends nothing."""

    async def make(rate):
        raise ZeroDivisionError

    async def scene():
        async with stage(never, ready_words=make) as on:
            await on.caller.say("hello")
            await asyncio.sleep(11)
            return on.caller.sounds_ms

    assert play(scene) == [(9780, 9940)]


def test_a_service_that_stays_silent_is_given_up_for_another():
    """The other is told what was said, and answers it."""
    # The guard of the services themselves is slower here than the session.
    slow = ProgressSettings(answer_ms=60_000)

    def cascade(agent, name):
        made = Cascade(ScriptedStt(delay_ms=50), agent_of(agent), ScriptedTts(delay_ms=30))
        made.name = name
        return made

    async def scene():
        caller = ScriptedCaller()
        both = Fallback(cascade(never, "first"), cascade(brief, "second"), progress=slow)
        session = Session(both, line=caller, detector=ScriptedVad())
        seen = trace(session)
        async with session, caller.on(session):
            await caller.say("hello")
            await asyncio.sleep(14)
            return seen, caller.heard, [item.text for item in session.history], session.state

    seen, heard, history, state = play(scene)
    assert [(at, rung) for at, rung, _ in rungs(seen)] == [
        (6780, Rung.NUDGE),
        (9780, Rung.SWAP),
    ]
    assert heard == "all right"
    assert history == ["hello", "all right"]
    assert len(seen.of(Reconnected)) == 1
    # Behind the tone of 160 ms, a moment of backoff.
    assert seen.at_ms(AgentResponseEnded) < 11_000
    assert state is SessionState.IDLE
