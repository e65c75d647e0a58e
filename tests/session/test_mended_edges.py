"""What is given up, forgotten or taken back leaves nothing half done."""

import asyncio
import contextlib

import pytest

from beluga_voice.events import (
    CreateResponse,
    ErrorOccurred,
    Interrupt,
    Message,
    ResponseStarted,
    Role,
    SeedHistory,
    SendText,
    ToolCallId,
    ToolResult,
    ToolUse,
)
from beluga_voice.interfaces import AgentTurn, S2sOptions
from cascade.test_cascade import echo, run, stand
from session.stage import play, stage
from session.test_mended_links import SlowStt, until_ms


@pytest.mark.parametrize("say_ms", [980, 2000, 6500])
def test_words_of_the_application_are_heard_after_a_response_that_broke_off(say_ms):
    """What is said behind a stalled response is spoken once that is given up."""

    async def stalls(text: str):
        yield "one two three. "
        await asyncio.Event().wait()

    async def scene():
        async with stage(stalls) as on:
            await on.caller.say("hello")
            await until_ms(say_ms)
            on.session.say("are you there")
            await until_ms(9000)
            errors = [
                round(one.at * 1000)
                for one in on.trace.happenings
                if isinstance(one.event, ErrorOccurred)
            ]
            return on.caller.heard, on.agent_words(), errors, on.session.state.value

    heard, said, errors, state = play(scene)
    assert errors == [860 + 600 + 6000]
    assert heard == "one two three. are you there"
    assert said == ["one two three.", "are you there"]
    assert state == "idle"


def test_an_agent_that_never_obeys_does_not_keep_a_session_open():
    """Leaving is bounded, also where an agent swallows every cancellation."""

    async def stubborn(text: str):
        yield "one two three. "
        for _ in range(20):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(100)

    async def scene():
        loop = asyncio.get_running_loop()
        async with stage(stubborn) as on:
            await on.caller.say("hello")
            await until_ms(2000)
            on.caller.hang_up()
        left = loop.time()
        await asyncio.sleep(3000)  # until the stubborn one is through, or it is a leftover
        return left

    assert play(scene) <= 2 + 2


def test_two_messages_typed_while_connecting_are_answered_together():
    """The new link is asked for one answer."""
    asked = []

    async def echo(text: str) -> str:
        asked.append(text)
        return "fine"

    async def scene():
        async with stage(echo, stt=SlowStt()) as on:
            await until_ms(1000)
            on.stt.links[0].lose()
            await until_ms(1200)
            on.caller.type("good day")
            await until_ms(1300)
            on.caller.type("how are you")
            await asyncio.sleep(5)
            return on.caller.heard

    assert (play(scene), asked) == ("fine", ["good day how are you"])


def test_what_was_typed_and_stopped_while_connecting_is_not_answered():
    """A stop takes back the question that no service has got yet, as it does with a link."""

    async def scene():
        async with stage(stt=SlowStt()) as on:
            await until_ms(1000)
            on.stt.links[0].lose()
            await until_ms(1200)
            on.caller.type("good day")
            await until_ms(1300)
            on.caller.press_stop()
            await asyncio.sleep(5)
            return on.caller.heard, on.user_words()

    assert play(scene) == ("", ["good day"])


def _old(count):
    return [Message(role=Role.USER, text=f"old {n}") for n in range(count)]


def test_no_result_is_left_without_its_call():
    """A call that is forgotten takes its result along."""
    pair = (
        ToolUse(call_id=ToolCallId("c"), name="look", arguments="{}"),
        ToolResult(call_id=ToolCallId("c"), output="found"),
    )

    async def scene():
        async with stand(echo, options=S2sOptions(history=(*pair, *_old(398)))) as at:
            at.send(SendText(text="one more", respond=False))
            return at.link.history

    assert run(scene)[0] == Message(role=Role.USER, text="old 0")


def test_a_seed_is_limited():
    """What is given as history is cut to the limit too."""
    seen = []

    async def agent(turn: AgentTurn) -> str:
        seen.append(len(turn.history))
        return "well"

    async def scene():
        async with stand(agent) as at:
            at.send(SeedHistory(items=tuple(_old(1000))), CreateResponse())
            await asyncio.sleep(1)

    run(scene)
    assert seen == [400]


def test_interrupting_a_response_that_was_forgotten_breaks_nothing():
    """The place of a response may be gone from the history when it is cut unheard."""

    async def agent(text: str):
        yield "one "
        await asyncio.sleep(100)

    async def scene():
        async with stand(agent) as at:
            at.utter("go")
            await asyncio.sleep(1)
            for number in range(400):
                at.send(SendText(text=f"note {number}", respond=False))
            (started,) = at.of(ResponseStarted)
            at.send(Interrupt(response_id=started.response_id, heard_samples=0, heard_text=""))
            return len(at.link.history)

    assert run(scene) == 400
