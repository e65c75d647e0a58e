"""People who say nothing, sessions that last too long, and goodbyes."""

import asyncio

import pytest

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.patience import PatienceSettings
from beluga_voice.errors import Unsupported
from beluga_voice.events import (
    AgentResponseEnded,
    ResponseOutcome,
    SessionEnded,
    SessionState,
    UserIdle,
)
from beluga_voice.interfaces import Capabilities, TurnOwner
from beluga_voice.session.session import Session
from beluga_voice.testing.scripted import ScriptedProvider
from session.stage import LONG, play, stage


def patient(**settings):
    return EngineSettings(patience=PatienceSettings(**settings))


def test_a_person_who_says_nothing_is_spoken_to_and_then_let_go():
    """Prompts one after another, then a goodbye that is heard whole, then the end."""
    settings = patient(idle_ms=5000, prompts=("still there?", "hello?"), goodbye="good bye now")

    async def scene():
        async with stage(settings=settings) as on:
            await asyncio.sleep(30)
            return on.trace, on.caller.heard, on.session.state

    seen, heard, state = play(scene)
    assert heard == "still there? hello? good bye now"
    assert [one.prompts for one in seen.of(UserIdle)] == [0, 1, 2]
    # Five seconds, a prompt of two words behind 30 ms, five more, one word, five more.
    assert [seen.at_ms(UserIdle, n) for n in range(3)] == [5000, 10430, 15660]
    assert [one.idle_ms for one in seen.of(UserIdle)] == [5000, 10430, 15660]
    ended = seen.of(SessionEnded)[0]
    assert (ended.reason, ended.message) == ("timeout", "nobody has said anything")
    assert seen.at_ms(SessionEnded) == 15660 + 630
    assert state is SessionState.DISCONNECTED


def test_whoever_says_something_is_prompted_from_the_beginning():
    """Speech, typed words and keys begin it anew."""
    settings = patient(idle_ms=4000, prompts=("still there?",), ends=False)

    async def scene():
        async with stage(settings=settings) as on:
            await asyncio.sleep(6)
            on.caller.type("yes")
            await asyncio.sleep(9)
            return [one.prompts for one in on.trace.of(UserIdle)], on.caller.heard

    prompts, heard = play(scene)
    assert prompts == [0, 0]
    assert heard == f"still there? {LONG} still there?"


def test_a_tool_that_runs_is_no_idleness():
    """While the agent works, nobody is asked whether they are there."""

    async def slow(text: str):
        await asyncio.sleep(5)
        yield "done"

    async def scene():
        async with stage(slow, settings=patient(idle_ms=2000, prompts=("hello?",))) as on:
            await on.caller.say("work")
            await asyncio.sleep(6)
            return on.trace.of(UserIdle), on.caller.heard

    assert play(scene) == ([], "done")


def test_a_session_of_its_longest_says_goodbye_behind_what_is_said():
    """Neither the response nor the goodbye is clipped, whatever is said over them."""
    settings = patient(max_duration_ms=2000, goodbye="our time is up")

    async def scene():
        async with stage(settings=settings) as on:
            await on.caller.say("hello")
            await asyncio.sleep(2.9)
            await on.caller.say("but wait I wanted")
            await asyncio.sleep(5)
            return on.caller.heard, on.trace.of(SessionEnded)[0].reason, on.trace

    heard, reason, seen = play(scene)
    assert heard == f"{LONG} our time is up"
    assert reason == "timeout"
    assert all(one.outcome is ResponseOutcome.HEARD for one in seen.of(AgentResponseEnded))


def test_a_goodbye_waits_for_the_end_of_the_persons_turn():
    """Who is speaking when the time is up is let finish, and answered."""
    settings = patient(max_duration_ms=500, goodbye="our time is up")

    async def scene():
        async with stage(settings=settings) as on:
            await on.caller.say("one two three four")
            await asyncio.sleep(9)
            return on.caller.heard, on.user_words()

    heard, user = play(scene)
    assert user == ["one two three four"]
    assert heard == f"{LONG} our time is up"


def test_leaving_lets_the_last_words_be_heard():
    """`leave` returns when the goodbye has sounded to its end."""

    async def scene():
        async with stage() as on:
            await on.caller.say("hello")
            await asyncio.sleep(1)
            began = asyncio.get_running_loop().time()
            await on.session.leave("thank you and good bye")
            return on.caller.heard, asyncio.get_running_loop().time() - began, on.trace

    heard, seconds, seen = play(scene)
    assert heard == f"{LONG} thank you and good bye"
    assert round(seconds, 3) == 2.68
    assert seen.of(SessionEnded)[0].reason == "closed"


def test_a_goodbye_that_nobody_speaks_does_not_keep_the_session():
    """A service that does not carry it out is waited for ten seconds."""

    async def script(service):
        await asyncio.sleep(0)

    can_say = Capabilities(say="exact", turn_owners=(TurnOwner.PROVIDER,), has_speech_events=True)

    async def scene():
        provider = ScriptedProvider(script, capabilities=can_say)
        async with Session(provider) as session:
            began = asyncio.get_running_loop().time()
            await session.leave("good bye")
            return asyncio.get_running_loop().time() - began

    assert play(scene) == 10


def test_prompts_that_nobody_can_speak_are_refused():
    """Before anything is connected."""
    mute = Capabilities(turn_owners=(TurnOwner.PROVIDER,), has_speech_events=True)
    with pytest.raises(Unsupported, match="cannot speak a greeting, a prompt or a goodbye"):
        Session(
            ScriptedProvider(capabilities=mute),
            settings=patient(idle_ms=1000, prompts=("hello?",)),
        )
