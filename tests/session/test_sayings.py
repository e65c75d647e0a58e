"""Handles of what is said, tools that the application answers, and callbacks."""

import asyncio

import pytest

from beluga_voice.errors import Misuse
from beluga_voice.events import (
    FunctionAnswered,
    FunctionCalled,
    LinkClosed,
    LinkReady,
    Reconnected,
    Reconnecting,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseOutcome,
    ResponseStarted,
    ResponseStatus,
    Say,
    ToolSpec,
)
from beluga_voice.interfaces import AgentTurn, Capabilities, Faithfulness, Tool, TurnOwner
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedProvider
from session.stage import LONG, play, stage


def test_a_handle_tells_when_the_words_were_heard():
    """Several are spoken one after another, each with its own end."""

    async def scene():
        async with stage() as on:
            first, second = on.session.say("one two"), on.session.say("three")
            loop = asyncio.get_running_loop()
            ends = [(await one.wait(), round(loop.time() * 1000)) for one in (first, second)]
            return ends, [one.heard_text for one in (first, second)], on.caller.heard

    ends, texts, heard = play(scene)
    assert ends == [(ResponseOutcome.HEARD, 430), (ResponseOutcome.HEARD, 630)]
    assert texts == ["one two", "three"]
    assert heard == "one two three"


def test_words_are_taken_back_while_they_sound():
    """What was heard of them is known."""

    async def scene():
        async with stage() as on:
            saying = on.session.say("one two three four five")
            await asyncio.sleep(0.5)
            saying.cancel()
            return await saying.wait(), saying.heard_text, on.caller.heard

    assert play(scene) == (ResponseOutcome.CUT, "one two", "one two")


def test_words_are_taken_back_before_they_begin():
    """While the person speaks they wait, and can be forgotten."""

    async def scene():
        async with stage() as on:
            on.caller.begin("hello there")
            await asyncio.sleep(0.3)
            saying = on.session.say("not now")
            await asyncio.sleep(0.1)
            saying.cancel()
            outcome = await saying.wait()
            await asyncio.sleep(5)
            return outcome, on.caller.heard

    assert play(scene) == (ResponseOutcome.CUT, LONG)


def test_an_interruption_settles_the_handle():
    """Words that were cut by a voice say so."""

    async def scene():
        async with stage() as on:
            saying = on.session.say("one two three four five six seven")
            await asyncio.sleep(0.5)
            await on.caller.say("stop that please")
            return await saying.wait(), saying.heard_text

    assert play(scene) == (ResponseOutcome.CUT, "one two three")


def test_the_end_of_the_session_settles_every_handle():
    """Nobody waits for words that will never be said."""

    async def scene():
        async with stage() as on:
            sayings = [on.session.say(text) for text in ("one two", "three", "four")]
            await asyncio.sleep(0.1)
            await on.session.close()
            return [await one.wait() for one in sayings]

    assert play(scene) == [ResponseOutcome.CUT] * 3


def test_words_given_to_a_link_that_is_lost_are_said_by_the_next():
    """Nothing of them had sounded: nothing is lost, and nothing said twice."""

    async def scene():
        from beluga_voice.testing.scripted import ScriptedTts

        tts = ScriptedTts(delay_ms=500)
        async with stage(tts=tts) as on:
            saying = on.session.say("one two")
            await asyncio.sleep(0.1)
            on.stt.links[-1].lose()
            outcome = await saying.wait()
            await asyncio.sleep(3)
            return outcome, on.caller.heard

    outcome, heard = play(scene)
    assert outcome is ResponseOutcome.HEARD
    assert heard == "one two"


# ── tools without a function ────────────────────────────────────────────────────────────────

ASK = Tool(
    spec=ToolSpec(name="ask", description="Ask a person.", parameters='{"type": "object"}'),
    timeout_seconds=2,
)


async def asking(turn: AgentTurn):
    yield await turn.call_tool("ask", "{}")


def test_the_application_answers_a_tool():
    """It hears of the call, and gives the result when it has one."""

    async def scene():
        async with stage(asking, tools=[ASK]) as on:
            called = []
            on.session.on(FunctionCalled, called.append)
            await on.caller.say("hello")
            await asyncio.sleep(1)
            on.session.answer_tool(called[0].call_id, "yes indeed")
            with pytest.raises(Misuse, match="no tool call"):
                on.session.answer_tool(called[0].call_id, "twice")
            await asyncio.sleep(2)
            return on.caller.heard

    assert play(scene) == "yes indeed"


def test_a_tool_that_nobody_answers_fails_in_time():
    """After its limit, with a reason."""

    async def scene():
        async with stage(asking, tools=[ASK]) as on:
            await on.caller.say("hello")
            await asyncio.sleep(6)
            return on.trace.of(FunctionAnswered)[0]

    answered = play(scene)
    assert answered.is_error
    assert answered.output == "nobody answered the tool 'ask' within 2 s"
    assert answered.duration_ms == 2000


# ── callbacks ───────────────────────────────────────────────────────────────────────────────


def test_callbacks_hear_one_kind_of_event_until_they_are_taken_off():
    """A reconnection that was asked for tells both of its events."""

    async def scene():
        async with stage() as on:
            heard = []
            stop = on.session.on(Reconnecting, heard.append)
            on.session.on(Reconnected, heard.append)
            on.session.reconnect()
            await asyncio.sleep(2)
            stop()
            on.session.reconnect()
            await asyncio.sleep(2)
            await on.caller.say("hello")
            await asyncio.sleep(4)
            return [type(one) for one in heard], on.caller.heard

    kinds, heard = play(scene)
    assert kinds == [Reconnecting, Reconnected, Reconnected]
    assert heard == LONG


def test_a_callback_that_raises_ends_nothing():
    """It is logged."""

    async def scene():
        async with stage() as on:
            on.session.on(Reconnecting, lambda event: 1 / 0)
            on.session.reconnect()
            await asyncio.sleep(2)
            await on.caller.say("hello")
            await asyncio.sleep(4)
            return on.caller.heard

    assert play(scene) == LONG


def test_words_that_come_to_nothing_twice_have_failed():
    """They are tried once more, also over another link, and whoever waits for them is told."""

    def fails(name):
        async def script(link):
            link.emit(LinkReady())
            await link.expect(Say, text="one two")
            one = ResponseId(name)
            link.emit(
                ResponseStarted(response_id=one, origin=ResponseOrigin.SAID),
                ResponseDone(response_id=one, status=ResponseStatus.FAILED, reason="broken"),
            )

        return script

    async def first(link):
        await fails("r1")(link)
        await link.expect(Say, text="one two")
        link.emit(ResponseStarted(response_id=ResponseId("r2"), origin=ResponseOrigin.SAID))
        link.emit(LinkClosed(is_clean=False, reason="lost"))

    async def scene():
        capabilities = Capabilities(
            turn_owners=(TurnOwner.PROVIDER,),
            has_speech_events=True,
            say=Faithfulness.EXACT,
        )
        provider = ScriptedProvider(first, fails("r3"), capabilities=capabilities)
        caller = ScriptedCaller()
        async with Session(provider, line=caller) as session, caller.on(session):
            saying = session.say("one two")
            async with asyncio.timeout(30):
                return await saying.wait()

    assert simulate(scene) is ResponseOutcome.FAILED
