"""Words belong to the utterance that the service names, not to the one that is heard."""

import asyncio

import pytest

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.interruptions import InterruptionPolicy, InterruptionSettings
from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseResumed,
    ResponseOutcome,
    TurnMeasured,
)
from beluga_voice.interfaces import AgentTurn, Tool
from beluga_voice.session.tools import tool
from beluga_voice.testing.scripted import ScriptedStt
from session.stage import LONG, play, stage


async def at(milliseconds: float):
    """Wait until so long after the beginning."""
    await asyncio.sleep(max(0.0, milliseconds / 1000 - asyncio.get_running_loop().time()))


def after(*delays_ms):
    """A recogniser that takes so long for each utterance."""

    def finals(number: int, words: str) -> list[tuple[float, str]]:
        return [(delays_ms[number - 1] if number <= len(delays_ms) else 50, words)]

    return ScriptedStt(finals=finals)


def test_a_late_final_is_not_taken_for_that_of_the_present_turn():
    """The latency of a turn is that of its own words."""

    async def scene():
        async with stage(stt=after(1800, 400)) as on:
            await on.caller.say("hello there")
            await at(1400)
            await on.caller.say("it is me")
            await at(9000)
            (measured,) = on.trace.of(TurnMeasured)
            return measured.transcription_ms, on.user_words()

    # The first is known at 2780, between the end of the second turn at 2560 and its own words.
    assert play(scene) == (400, ["hello there", "it is me"])


@pytest.mark.parametrize("late_ms", [2000, 2500, 9000])
def test_a_late_final_does_not_cut_what_a_cough_made_pause(late_ms):
    """Before or after the agent goes on: it is answered when that is said."""
    asked: list[str] = []

    async def agent(turn: AgentTurn):
        asked.append(turn.text)
        yield "very well"

    async def scene():
        async with stage(agent, stt=after(late_ms, 600)) as on:
            await on.caller.say("hello there")
            await at(1200)
            on.session.say(LONG)
            await at(1500)
            await on.caller.noise(600)
            await at(15_000)
            ended = on.trace.of(AgentResponseEnded)
            outcomes = [one.outcome for one in ended]
            return outcomes, len(on.trace.of(AgentResponseResumed)), on.user_words()

    assert play(scene) == ([ResponseOutcome.HEARD] * 2, 1, ["hello there"])
    assert asked == ["hello there"]


def test_a_late_final_leaves_the_sound_of_the_next_turn():
    """The recogniser is lost when the words of the second are due: they are asked of the next."""

    async def scene():
        stt = after(1800, 3000)
        async with stage(stt=stt) as on:
            await on.caller.say("hello there")
            await at(1400)
            await on.caller.say("it is me")
            await at(3200)
            stt.links[-1].lose()
            await at(15_000)
            return on.user_words()

    assert play(scene) == ["hello there", "it is me"]


@pytest.mark.parametrize("presses_stop", [False, True])
def test_words_before_the_stop_key_survive_a_lost_recogniser(presses_stop):
    """Nobody answers them then, but they were said."""

    async def scene():
        stt = after(1000)
        async with stage(stt=stt) as on:
            await on.caller.say("cancel my order")
            await at(1300)
            if presses_stop:
                on.session.interrupt()
            await at(1400)
            stt.links[-1].lose()
            await at(12_000)
            return on.user_words(), len(on.agent_words())

    assert play(scene) == (["cancel my order"], 0 if presses_stop else 1)


def test_words_before_the_stop_key_are_remembered_at_a_hang_up():
    """They are waited for like any last words."""

    async def scene():
        async with stage(stt=after(1000)) as on:
            await on.caller.say("cancel my order")
            await at(1300)
            on.session.interrupt()
            await at(1400)
            on.caller.hang_up()
            await at(9000)
        return on.user_words()

    assert play(scene) == ["cancel my order"]


def test_a_voice_is_judged_by_what_it_began_over():
    """One word is enough while a tool runs, also if the tool is done before the voice is."""

    async def slow() -> str:
        await asyncio.sleep(1.0)
        return "done"

    async def agent(turn: AgentTurn):
        yield f"{LONG} "
        await turn.call_tool("slow", "{}")
        yield LONG

    settings = EngineSettings(
        interruptions=InterruptionSettings(
            normal=InterruptionPolicy(min_ms=900),
            tool_running=InterruptionPolicy(min_words=1),
        )
    )
    tools: list[Tool] = [tool(slow)]

    async def scene():
        async with stage(agent, settings=settings, tools=tools) as on:
            await on.caller.say("hello there")
            await at(1840)
            await on.caller.say("stop it")
            await at(4000)
            return on.trace.of(AgentResponseEnded)[0].outcome, on.user_words()

    assert play(scene) == (ResponseOutcome.CUT, ["hello there", "stop it"])
