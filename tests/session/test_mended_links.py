"""Words that meet a link which is lost or not there yet: none is lost, and none is said twice."""

import asyncio
import base64
from contextlib import asynccontextmanager

import pytest

from beluga_voice.agents.functions import agent_of
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.link import ReconnectSettings
from beluga_voice.events import (
    AgentResponseStarted,
    BargedIn,
    Message,
    Reconnected,
    Role,
    SessionState,
    StateChanged,
    Transcription,
    UserSpeechEnded,
)
from beluga_voice.interfaces import AgentTurn
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.speech import Faults, Pace, transcript_of
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad
from beluga_voice.testing.trace import trace
from providers.openai_realtime import openai_stage
from session.stage import LONG, play, stage


async def until_ms(moment):
    """Wait for a moment of the loop's time."""
    await asyncio.sleep(moment / 1000 - asyncio.get_running_loop().time())


class SlowStt(ScriptedStt):
    """A recogniser whose connections take half a second to come about."""

    @asynccontextmanager
    async def connect(self, options):
        """A link, after a while."""
        await asyncio.sleep(0.5)
        async with super().connect(options) as link:
            yield link


def questions(history):
    """What the person said, by a history."""
    return [one.text for one in history if isinstance(one, Message) and one.role is Role.USER]


# ── typed words ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("typed_ms", [0, 1, 200, 499, 500])
def test_what_is_typed_before_the_first_link_is_up_is_answered_once(typed_ms):
    """The words wait for the link that is being opened without them."""
    asked = []

    async def echo(turn: AgentTurn) -> str:
        asked.append((turn.text, questions(turn.history)))
        return f"you wrote {turn.text}"

    async def scene():
        caller = ScriptedCaller()
        cascade = Cascade(SlowStt(), agent_of(echo), ScriptedTts())
        session = Session(cascade, line=caller, detector=ScriptedVad())
        seen = trace(session)

        async def type_early():
            await until_ms(typed_ms)
            session.send_text("good day")

        async with asyncio.TaskGroup() as tasks:
            entering = tasks.create_task(session.__aenter__())
            await asyncio.sleep(0)
            tasks.create_task(type_early())
            await entering
        async with caller.on(session):
            await asyncio.sleep(5)
        await session.__aexit__(None, None, None)
        return caller.heard, questions(session.history), len(seen.of(AgentResponseStarted)), seen

    heard, said, responses, seen = play(scene)
    assert asked == [("good day", ["good day"])]
    assert (heard, said, responses) == ("you wrote good day", ["good day"], 1)
    assert seen.of(StateChanged)[-2].state is SessionState.IDLE


@pytest.mark.parametrize("typed_ms", [1000, 1050, 1100, 1101, 1350, 1599, 1600])
def test_what_is_typed_while_the_link_is_made_again_is_answered_once(typed_ms):
    """Between the loss at 1000, the attempt at 1100 and the link at 1600, no word goes missing."""
    asked = []

    async def echo(turn: AgentTurn) -> str:
        asked.append((turn.text, questions(turn.history)))
        return f"you wrote {turn.text}"

    async def scene():
        async with stage(echo, stt=SlowStt()) as on:
            await until_ms(1000)
            on.stt.links[0].lose()
            await until_ms(typed_ms)
            on.caller.type("good day")
            await asyncio.sleep(5)
            return on.caller.heard, on.user_words(), on.trace.at_ms(Reconnected), on

    heard, said, reconnected, on = play(scene)
    assert reconnected == 1600
    assert asked == [("good day", ["good day"])]
    assert (heard, said) == ("you wrote good day", ["good day"])
    assert len(on.trace.of(AgentResponseStarted)) == 1


@pytest.mark.parametrize("typed_ms", [1500, 1550, 1850])
def test_what_is_typed_is_answered_with_what_was_said_before_the_loss(typed_ms):
    """A question whose answer was lost, and what was typed to it, are one request."""
    asked = []

    async def slow(text: str) -> str:
        asked.append(text)
        await asyncio.sleep(1)
        return f"you said {text}"

    async def scene():
        # Said until 400 and answered from 980 on; there is a link again at 2100.
        async with stage(slow, stt=SlowStt()) as on:
            await on.caller.say("what time")
            await until_ms(1500)
            on.stt.links[0].lose()
            await until_ms(typed_ms)
            on.caller.type("in Oslo")
            await asyncio.sleep(6)
            return on.caller.heard, on.user_words(), on.session.state

    assert play(scene) == (
        "you said what time in Oslo",
        ["what time", "in Oslo"],
        SessionState.IDLE,
    )
    assert asked == ["what time", "what time in Oslo"]


# ── spoken words ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("lost_ms", [1500, 1700, 2000, 2400])
def test_a_late_transcript_does_not_forget_newer_speech(lost_ms):
    """Words that become known while the person speaks again leave the new speech for a new link.

    The first turn is over at 780 and its words are known at 1380; the person speaks again from 1000
    to 2200.
    """

    async def scene():
        async with stage(stt=ScriptedStt(delay_ms=600)) as on:
            await on.caller.say("hello")
            await until_ms(990)
            on.caller.begin("one two three four five six")
            await until_ms(lost_ms)
            on.stt.links[0].lose()
            await asyncio.sleep(6)
            finals = [one for one in on.trace.happenings if isinstance(one.event, Transcription)]
            return on.user_words(), round(finals[0].at * 1000), on.caller.heard, on

    said, first_known, heard, on = play(scene)
    assert first_known == 780 + 600
    assert said == ["hello", "one two three four five six"]
    assert heard == LONG
    assert len(on.stt.links) == 2
    assert on.session.metrics().lost_input_ms == 0


@pytest.mark.parametrize("lost_ms", [2070, 2100, 2150, 2250])
def test_a_link_lost_while_both_speak_loses_no_word_of_the_interruption(lost_ms):
    """The voice that was being judged is given to the next link from its beginning.

    The voice begins at 2000, is noticed at 2040 and interrupts at 2280; the response goes on to
    sound over the dead link until then.
    """

    async def scene():
        reconnect = ReconnectSettings(first_delay_ms=20)
        async with stage(settings=EngineSettings(reconnect=reconnect)) as on:
            await on.caller.say("hello")
            await until_ms(1990)
            on.caller.begin("stop it now please")
            await until_ms(lost_ms)
            on.stt.links[0].lose()
            await until_ms(3000)
            heard = on.caller.heard
            await asyncio.sleep(6)
            return heard, on

    heard, on = play(scene)
    assert on.trace.at_ms(Reconnected) == lost_ms + 20
    assert on.trace.at_ms(BargedIn) == 2280
    assert on.user_words() == ["hello", "stop it now please"]
    assert on.agent_words() == [heard, LONG]
    assert heard == "one two three four five six seven"


def test_a_cough_over_the_agent_is_not_given_to_a_later_link():
    """What was judged to be no interruption is not heard again with the words of the next turn."""

    async def scene():
        async with stage() as on:
            await on.caller.say("hello")
            await until_ms(1990)
            await on.caller.noise(100)
            await until_ms(3000)
            on.caller.begin("one two three four five")
            await until_ms(3500)
            ignored = [one.was_ignored for one in on.trace.of(UserSpeechEnded)]
            on.stt.links[0].lose()
            await asyncio.sleep(6)
            return ignored, on.user_words(), on.stt.links[1].received

    ignored, said, received = play(scene)
    assert ignored == [False, True]
    assert said == ["hello", "one two three four five"]
    assert b"\x00\x10" * 100 not in received


# ── services that own the turns ─────────────────────────────────────────────────────────────


def given_to(remote):
    """The words in all the sound that one connection got."""
    kind = "input_audio_buffer.append"
    sound = [one["audio"] for one in remote.received if one["type"] == kind]
    return transcript_of(b"".join(base64.b64decode(one) for one in sound), 24000)


@pytest.mark.parametrize("transcription", ["none", "late"])
def test_speech_that_was_answered_is_not_repeated_to_the_next_link(transcription):
    """A service that answers without saying what it heard has heard it all the same."""

    async def scene():
        is_late = transcription == "late"
        settings = {} if is_late else {"transcription": None}
        async with openai_stage.stage(
            pace=Pace(word_ms=150, transcript_ms=5000),
            faults=[Faults(drop_after_audio_ms=1000)],
            settings=settings,
        ) as on:
            await on.caller.say("hello there")
            await asyncio.sleep(6)
            await on.caller.say("still there")
            await asyncio.sleep(6)
            return on

    on = simulate(scene)
    first, second = on.service.sessions
    assert given_to(first) == "hello there"
    assert given_to(second) == "still there"
    assert len(on.trace.of(Reconnected)) == 1


def test_speech_that_was_not_answered_is_given_to_the_next_link():
    """What the person was saying when the link died is heard whole by the next one."""

    async def scene():
        faults = [Faults(expire_after_ms=700)]
        async with openai_stage.stage(faults=faults) as on:
            await on.caller.say("one two three four five six")
            await asyncio.sleep(6)
            return on, on.caller.heard

    on, heard = simulate(scene)
    assert given_to(on.service.sessions[1]) == "one two three four five six"
    assert on.words(Role.USER) == ["one two three four five six"]
    assert heard == LONG
