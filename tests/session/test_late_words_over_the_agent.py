"""Words over the agent that are understood late are answered, in their place, and nothing else."""

import asyncio

import pytest

from beluga_voice.events import Transcription
from beluga_voice.interfaces import AgentTurn
from beluga_voice.testing.scripted import ScriptedStt
from session.stage import LONG, play, stage


async def at(milliseconds: float):
    """Wait until so long after the beginning."""
    await asyncio.sleep(max(0.0, milliseconds / 1000 - asyncio.get_running_loop().time()))


@pytest.mark.parametrize("interim", [False, True])
@pytest.mark.parametrize("delay_ms", [1400, 1600, 2500])
def test_words_over_the_agent_that_come_late_are_answered(delay_ms, interim):
    """The agent is asked once for each utterance, with its words."""
    asked: list[str] = []

    async def agent(turn: AgentTurn):
        asked.append(turn.text)
        yield LONG

    def finals(number: int, words: str) -> list[tuple[float, str]]:
        return [(50 if number == 1 else delay_ms, words)]

    async def scene():
        async with stage(agent, stt=ScriptedStt(finals=finals, interim=interim)) as on:
            await on.caller.say("hello there")
            await at(1500)
            await on.caller.say("stop that please")
            await at(20_000)
            return on.user_words()

    assert play(scene) == ["hello there", "stop that please"]
    assert asked == ["hello there", "stop that please"]


def test_interim_words_that_come_after_the_turn_are_of_that_utterance():
    """A recogniser that is behind tells of words after their end was asked for."""
    asked: list[str] = []

    async def agent(turn: AgentTurn):
        asked.append(turn.text)
        yield LONG

    def finals(number: int, words: str) -> list[tuple[float, str]]:
        return [(1200, words)]

    async def scene():
        stt = ScriptedStt(finals=finals, interim=True, interim_ms=900)
        async with stage(agent, stt=stt) as on:
            await on.caller.say("hello there")
            await at(3000)
            await on.caller.say("stop that")
            await at(20_000)
            return on.trace.of(Transcription)

    told = play(scene)
    assert asked == ["hello there", "stop that"]
    finals_of = {one.utterance_id: one.text for one in told if one.is_final}
    assert sorted(finals_of.values()) == ["hello there", "stop that"]
    for one in told:
        assert finals_of[one.utterance_id].startswith(one.text)
