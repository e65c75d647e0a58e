"""Tools in one turn: which response is the answer, and when there is no more to come."""

import asyncio

import pytest

from beluga_voice.agents.functions import agent_of
from beluga_voice.events import (
    AnswerTool,
    EndUserTurn,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    StartUserTurn,
    ToolCalled,
    ToolCallId,
    ToolCallWithdrawn,
)
from beluga_voice.interfaces import AgentTurn, Capabilities
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.services.one_turn import FOLLOW_SECONDS
from beluga_voice.services.speech_to_speech import s2s
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedProvider, ScriptedStt, ScriptedTts
from beluga_voice.testing.speech import pcm_of, speech, words_in

QUESTION = pcm_of(speech("book it"))


@pytest.mark.parametrize(("tool_seconds", "seconds"), [(1, FOLLOW_SECONDS), (20, 20)])
def test_an_agent_that_ends_with_a_tool_has_answered(tool_seconds, seconds):
    """An answer whose last deed is a tool is whole when nothing can follow, not at the limit."""

    async def book() -> str:
        """Book."""
        await asyncio.sleep(tool_seconds)
        return "booked"

    async def agent(turn: AgentTurn):
        yield "I book it now. "
        await turn.call_tool("book", "{}")

    async def scene():
        service = s2s(Cascade(ScriptedStt(), agent_of(agent), ScriptedTts()), tools=[book])
        return await service.process(QUESTION, timeout_seconds=60)

    answer = simulate(scene)
    assert " ".join(words_in(answer.audio)) == "I book it now."
    assert [run.output for run in answer.tool_runs] == ["booked"]
    timing = answer.timing
    assert round(timing.total_ms - timing.connect_ms - timing.sending_ms) == seconds * 1000


def says(link, number, text):
    """A response without its end."""
    name = ResponseId(f"r{number}")
    link.emit(
        ResponseStarted(response_id=name),
        ResponseText(response_id=name, delta=text),
        ResponseAudio(response_id=name, pcm=b"\x00\x10" * 240),
    )
    return name


def process(script, **tools):
    """The answer of a scripted service whose turns are ours."""

    async def scene():
        async def follow(link):
            await link.expect(StartUserTurn)
            await link.expect(EndUserTurn)
            await script(link)

        provider = ScriptedProvider(follow, capabilities=Capabilities(has_tools=True))
        answer = await s2s(provider, tools=[*tools.values()]).process(QUESTION, rate=16000)
        provider.finish()
        return answer

    return simulate(scene)


async def quick() -> str:
    """Take no time."""
    return "done"


async def never() -> str:
    """Hang."""
    return await asyncio.get_running_loop().create_future()


def test_a_tool_that_is_quicker_than_the_end_of_its_response_is_answered_after_it():
    """A service that ends its response after the result came speaks of it in the next one."""

    async def script(link):
        one = says(link, 1, "one moment")
        link.emit(ToolCalled(call_id=ToolCallId("c"), name="quick", arguments="{}"))
        await link.expect(AnswerTool, output="done")
        await asyncio.sleep(0.2)
        link.emit(ResponseDone(response_id=one, status=ResponseStatus.COMPLETED))
        await asyncio.sleep(3)
        two = says(link, 2, "it is done")
        await asyncio.sleep(0.3)
        link.emit(ResponseDone(response_id=two, status=ResponseStatus.COMPLETED))

    answer = process(script, quick=quick)
    assert answer.text == "one moment it is done"
    assert round(answer.timing.total_ms - answer.timing.sending_ms) == 3500


def test_a_tool_that_is_withdrawn_is_not_waited_for():
    """A response that goes on without the result it asked for ends the turn all the same."""

    async def script(link):
        one = says(link, 1, "never mind")
        call = ToolCallId("c")
        link.emit(ToolCalled(call_id=call, name="never", arguments="{}"))
        await asyncio.sleep(7)
        link.emit(
            ToolCallWithdrawn(call_ids=(call,)),
            ResponseDone(response_id=one, status=ResponseStatus.COMPLETED),
        )

    answer = process(script, never=never)
    assert (answer.text, answer.tool_runs) == ("never mind", ())
    assert answer.timing.total_ms < 10_000
