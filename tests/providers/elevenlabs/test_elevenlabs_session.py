"""Conversations with an emulated agent of ElevenLabs, to the millisecond.

The service needs 500 ms of silence to find that a turn is over, and 100 ms of voice to be
interrupted; our ears need 60 ms to notice a voice.
"""

import asyncio
import base64
from typing import Any

import pytest

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.link import ReconnectSettings
from beluga_voice.errors import ErrorCode
from beluga_voice.events import (
    AgentResponseEnded,
    BargedIn,
    ErrorOccurred,
    FunctionAnswered,
    Message,
    Reconnected,
    Reconnecting,
    ResponseOutcome,
    Role,
    SessionEnded,
    SessionState,
    StateChanged,
    Transcription,
    TurnMeasured,
    UserSpeechEnded,
    UserSpeechStarted,
)
from beluga_voice.interfaces import S2sOptions
from beluga_voice.providers.s2s.elevenlabs._codec import SAID_BEFORE
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.elevenlabs_agents import (
    AGENT,
    ElevenLabsAgentsEmulator,
    EmulatedAgent,
)
from beluga_voice.testing.emulators.elevenlabs_agents_settings import ALL_EVENTS, DEFAULT_EVENTS
from beluga_voice.testing.emulators.speech import (
    Asked,
    Calls,
    Deed,
    Fails,
    Faults,
    Pace,
    ScriptedBrain,
    Speaks,
    echo,
)
from beluga_voice.testing.scripted import ScriptedVad
from providers.elevenlabs.elevenlabs_stage import TEN, play, stage, ten

PACE = Pace(thinking_ms=200, word_ms=20)


def agents(**settings: Any) -> dict[str, EmulatedAgent]:
    """One agent, set up like that."""
    return {AGENT: EmulatedAgent(**settings)}


# ── turns ───────────────────────────────────────────────────────────────────────────────────


def test_a_turn_is_found_by_the_service() -> None:
    """The person is seen to speak, is answered, and the latency adds up."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(ten, pace=PACE)
        async with stage(service, latency_ms=20) as on:
            # Two round trips for the address, three for the call.
            assert on.caller.now_ms == 200
            await asyncio.sleep(0.8)
            await on.caller.say("hello there")  # voice from 1000, the last frame at 1380
            await asyncio.sleep(4)
            assert on.sent() == []
        finals = [one.text for one in on.trace.of(Transcription) if one.is_final]
        assert finals == ["hello there"]
        assert on.caller.heard == TEN
        (measured,) = on.trace.of(TurnMeasured)
        # 40 ms to the service and back, 500 of silence, 200 of thought.
        assert measured.total_ms == 740
        assert measured.endpointing_ms is None  # the service does not say when it decided
        assert on.caller.first_sound_ms == 1380 + 740
        assert [one.state for one in on.trace.of(StateChanged)] == [
            SessionState.CONNECTED,
            SessionState.IDLE,
            SessionState.SPEAKING,
            SessionState.PROCESSING,
            SessionState.RESPONDING,
            SessionState.IDLE,
            SessionState.DISCONNECTED,
        ]
        assert len(on.trace.of(UserSpeechStarted)) == len(on.trace.of(UserSpeechEnded)) == 1

    play(scene)


@pytest.mark.parametrize("ending", ["complete", "final", "none"])
def test_every_way_to_end_a_response(ending: Any) -> None:
    """Whether the service says so or a pause has to, a response is heard whole and ends in time."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(ten, pace=PACE, ending=ending)
        async with stage(service) as on:
            await on.caller.say("hello there")
            await asyncio.sleep(5)
            (ended,) = on.trace.of(AgentResponseEnded)
            assert (ended.outcome, ended.heard_text) == (ResponseOutcome.HEARD, TEN)
            # Its sound began at 580 + 500 and lasts for 2000; a pause of 1500 is over by then.
            assert on.trace.at_ms(AgentResponseEnded) == 380 + 700 + 2000
            assert on.session.state is SessionState.IDLE
        assert not on.trace.of(ErrorOccurred)

    play(scene)


def test_a_pause_that_was_none_loses_nothing() -> None:
    """A service that pauses for longer in mid-response is heard to its end all the same."""

    async def scene() -> None:
        pace = Pace(word_ms=1000)
        service = ElevenLabsAgentsEmulator(lambda _: Speaks("one two three"), pace=pace)
        async with stage(service, settings={"response_gap_ms": 500}) as on:
            await on.caller.say("hello")
            await asyncio.sleep(6)
            assert on.caller.heard == "one two three"
        assert not on.trace.of(ErrorOccurred)

    play(scene)


def test_a_slow_response_is_one() -> None:
    """Pauses that are shorter than the one that ends a response do not add up."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(ten, pace=Pace(word_ms=400), ending="none")
        async with stage(service, settings={"response_gap_ms": 500}) as on:
            await on.caller.say("hello")
            await asyncio.sleep(6)
            assert on.caller.heard == TEN
        assert len(on.trace.of(AgentResponseEnded)) == 1

    play(scene)


def test_the_same_scene_gives_the_same_trace() -> None:
    """Nothing is left to chance."""

    def run() -> list[tuple[float, object]]:
        async def scene() -> list[tuple[float, object]]:
            service = ElevenLabsAgentsEmulator(ten, pace=PACE)
            async with stage(service, latency_ms=15) as on:
                await on.caller.say("hello there")
                await asyncio.sleep(1.5)
                await on.caller.say("stop it")
                await asyncio.sleep(2)
            return [(one.at, one.event) for one in on.trace.happenings]

        return play(scene)

    assert run() == run()


def test_an_agent_that_speaks_first() -> None:
    """The agent's first message is heard, is in the history, and measures nothing."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(agents=agents(first_message="good evening"))
        async with stage(service) as on:
            await asyncio.sleep(2)
            assert on.said() == [(Role.AGENT, "good evening")]
            await on.caller.say("hello")
            await asyncio.sleep(2)
            assert on.caller.heard == "good evening hello"
        assert len(on.trace.of(TurnMeasured)) == 1

    play(scene)


def test_an_agent_that_lets_the_person_go_on() -> None:
    """A turn that the agent chooses not to answer ends the waiting."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(lambda _: [])
        async with stage(service) as on:
            await on.caller.say("well then")
            await asyncio.sleep(20)
            assert on.said() == [(Role.USER, "well then")]
            assert on.session.state is SessionState.IDLE
            assert on.sent() == []
        assert not on.trace.of(ErrorOccurred)

    play(scene)


def test_a_sound_without_words_does_not_make_the_agent_wait() -> None:
    """Our ears hear a cough that the service makes nothing of: nobody is kept waiting."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator()
        async with stage(service) as on:
            await on.caller.noise(100)
            await asyncio.sleep(20)
            assert on.session.state is SessionState.IDLE
            assert on.sent() == []
        assert len(on.trace.of(UserSpeechStarted)) == len(on.trace.of(UserSpeechEnded)) == 1
        assert not on.trace.of(ErrorOccurred)

    play(scene)


def test_a_service_that_forgets_to_answer_is_asked_again() -> None:
    """After six seconds of silence the person's words are sent once more, and answered."""

    async def scene() -> None:
        brain = ScriptedBrain([Speaks("one"), Speaks("two")])
        service = ElevenLabsAgentsEmulator(brain, pace=Pace(thinking_ms=60_000))
        async with stage(service) as on:
            await on.caller.say("hello")
            await asyncio.sleep(8)
            assert on.sent() == [{"type": "user_message", "text": "hello"}]

    play(scene)


# ── interruptions ───────────────────────────────────────────────────────────────────────────


def test_an_interruption_by_the_service() -> None:
    """The service hears the interruption; both sides know the words that were heard."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(ten, pace=PACE)
        async with stage(service) as on:
            await asyncio.sleep(1)
            await on.caller.say("hello there")
            await asyncio.sleep(1.48)
            await on.caller.say("stop it")
            await asyncio.sleep(3)
            cut, answered = on.trace.of(AgentResponseEnded)
            (barged_in,) = on.trace.of(BargedIn)
            assert on.said() == [
                (Role.USER, "hello there"),
                (Role.AGENT, "one two three four"),
                (Role.USER, "stop it"),
                (Role.AGENT, "fine"),
            ]
            assert on.sent() == []
        # The answer sounds from 2080; the fifth frame of the voice comes at 2940.
        assert on.trace.at_ms(BargedIn) == 2940
        assert barged_in.decision_ms == 100
        assert (cut.outcome, cut.heard_ms) == (ResponseOutcome.CUT, 860)
        assert answered.outcome is ResponseOutcome.HEARD
        # The sound that was under way when the service stopped is not heard.
        assert on.caller.heard == "one two three four fine"
        heard = Message(role=Role.AGENT, text="one two three four", is_cut=True)
        assert heard in on.remote.history
        types = [one["type"] for one in on.remote.sent]
        at = types.index("interruption")
        assert types[at : at + 3] == ["interruption", "agent_response_correction", "audio"]

    play(scene)


def test_an_interruption_while_the_response_is_being_made() -> None:
    """What is still to be made is not made, and nothing more of it is heard."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(ten, pace=Pace(word_ms=180))
        async with stage(service, latency_ms=20) as on:
            await on.caller.say("hello there")
            await asyncio.sleep(1.3)
            await on.caller.say("stop it")
            await asyncio.sleep(3)
            cut, _ = on.trace.of(AgentResponseEnded)
            assert cut.heard_text == "one two three four"
            assert on.caller.heard == "one two three four fine"
            assert [one.text for one in on.remote.history if isinstance(one, Message)] == [
                "hello there",
                "one two three four",
                "stop it",
                "fine",
            ]

    play(scene)


def test_our_ears_interrupt_where_the_service_does_not() -> None:
    """Where no interruption is told, 300 ms of voice are one, and the rest is dropped here."""

    async def scene() -> None:
        events = ALL_EVENTS - {"interruption", "agent_response_correction"}
        service = ElevenLabsAgentsEmulator(
            ten, pace=Pace(word_ms=150), agents=agents(client_events=events)
        )
        async with stage(service) as on:
            await asyncio.sleep(1)
            await on.caller.say("hello there")
            await asyncio.sleep(1.6)
            await on.caller.say("stop it")
            await asyncio.sleep(3)
            (barged_in,) = on.trace.of(BargedIn)
        assert barged_in.decision_ms == 300
        assert on.caller.heard == "one two three four five six fine"

    play(scene)


def test_stopping_and_writing() -> None:
    """The person presses stop, then writes, and is answered."""

    async def scene() -> None:
        brain = ScriptedBrain([Speaks(TEN), Speaks("yes")])
        service = ElevenLabsAgentsEmulator(brain, pace=PACE)
        async with stage(service) as on:
            on.caller.type("count")
            await asyncio.sleep(1)
            on.caller.press_stop()
            await asyncio.sleep(1)
            on.caller.type("are you there")
            await asyncio.sleep(2)
            assert on.caller.heard == "one two three four yes"
            assert on.session.state is SessionState.IDLE
            assert [one["type"] for one in on.sent()] == ["user_message", "user_message"]

    play(scene)


def test_stopping_what_has_not_begun() -> None:
    """An answer that the person gave up waiting for is not heard; the next one is."""

    async def scene() -> None:
        brain = ScriptedBrain([Speaks("too late"), Speaks("yes")])
        service = ElevenLabsAgentsEmulator(brain, pace=Pace(thinking_ms=1000))
        async with stage(service) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1)
            on.caller.press_stop()
            await asyncio.sleep(3)
            assert on.session.state is SessionState.IDLE
            await on.caller.say("are you there")
            await asyncio.sleep(3)
            assert on.caller.heard == "yes"
            assert on.sent() == [{"type": "user_activity"}]

    play(scene)


# ── tools ───────────────────────────────────────────────────────────────────────────────────


def weather_brain(asked: Asked) -> Deed | list[Deed]:
    """Call a tool in the middle of what is said, and tell what it gave."""
    if asked.results:
        return Speaks(" ".join(one.output for one in asked.results))
    return [Speaks("one moment"), Calls("weather", '{"city": "Oslo"}')]


async def weather(city: str) -> str:
    """The weather in a city."""
    await asyncio.sleep(0.25)
    return f"snow in {city}"


def test_a_tool_runs() -> None:
    """The agent calls a tool in the middle of what it says, and goes on with what that gave."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(weather_brain, pace=PACE)
        async with stage(service, latency_ms=20, tools=[weather]) as on:
            await on.caller.say("weather")
            await asyncio.sleep(4)
            assert on.caller.heard == "one moment snow in Oslo"
            (answered,) = on.trace.of(FunctionAnswered)
            assert (answered.output, answered.duration_ms) == ("snow in Oslo", 250)
            assert on.sent() == [
                {
                    "type": "client_tool_result",
                    "tool_call_id": "call_1",
                    "result": "snow in Oslo",
                    "is_error": False,
                }
            ]

    play(scene)


def test_several_tools_and_one_that_raises() -> None:
    """Calls run at the same time, and one that fails is answered as a failure."""

    async def fast() -> str:
        """Be quick."""
        return "first"

    async def broken() -> str:
        """Fail."""
        await asyncio.sleep(0.5)
        raise ValueError("secret")

    async def scene() -> None:
        brain = ScriptedBrain([[Calls("broken"), Calls("fast"), Calls("nothing")], Speaks("done")])
        service = ElevenLabsAgentsEmulator(brain)
        async with stage(service, tools=[fast, broken]) as on:
            await on.caller.say("go")
            await asyncio.sleep(3)
            assert on.caller.heard == "done"
        results = {one.call_id: (one.is_error, one.output) for one in brain.asked[1].results}
        assert results["call_2"] == (False, "first")
        assert results["call_1"][0]
        assert "secret" not in results["call_1"][1]
        assert results["call_3"] == (True, "there is no tool named 'nothing'")

    play(scene)


def test_a_tool_that_gives_too_much() -> None:
    """Five megabytes are no result; the agent is told so."""

    async def huge() -> str:
        """Give much."""
        return "x" * 5_000_000

    async def scene() -> None:
        brain = ScriptedBrain([Calls("huge"), Speaks("too much")])
        service = ElevenLabsAgentsEmulator(brain)
        async with stage(service, tools=[huge]) as on:
            await on.caller.say("go")
            await asyncio.sleep(3)
            assert on.caller.heard == "too much"
        (result,) = brain.asked[1].results
        assert result.is_error
        assert len(result.output) < 1000

    play(scene)


def test_a_tool_that_never_gives_anything() -> None:
    """The service waits for so long, goes on without it, and the tool is stopped."""
    stopped: list[float] = []

    async def slow() -> str:
        """Take long."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            stopped.append(asyncio.get_running_loop().time())
        return "late"

    async def scene() -> None:
        brain = ScriptedBrain([Calls("slow"), Speaks("never mind")])
        service = ElevenLabsAgentsEmulator(brain, agents=agents(tool_seconds=4))
        async with stage(service, tools=[slow]) as on:
            await on.caller.say("go")
            # The turn ends 500 ms after its last frame of voice, at 180.
            await asyncio.sleep(8)
            assert stopped == [0.18 + 0.5 + 4]
            assert on.caller.heard == "never mind"
            assert on.sent() == []

    play(scene)


def test_a_tool_that_is_interrupted() -> None:
    """The person goes on meanwhile and is answered; the result comes later, and is spoken of."""

    async def slow() -> str:
        """Take long."""
        await asyncio.sleep(3)
        return "at last"

    async def scene() -> None:
        brain = ScriptedBrain([[Speaks("one moment"), Calls("slow")], Speaks("fine")])
        service = ElevenLabsAgentsEmulator(brain, pace=PACE)
        async with stage(service, tools=[slow]) as on:
            await on.caller.say("go")
            await asyncio.sleep(1.5)
            await on.caller.say("stop")
            await asyncio.sleep(5)
            assert on.caller.heard == "one moment fine at last"
            assert [one["type"] for one in on.sent()] == ["client_tool_result"]
            assert [one.output for one in on.remote.history if hasattr(one, "output")] == [
                "at last"
            ]

    play(scene)


# ── connections that end ────────────────────────────────────────────────────────────────────


def test_a_conversation_that_lasted_too_long_goes_on() -> None:
    """After its time the service hangs up; another call knows what was said, and does not greet."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(
            pace=PACE,
            faults=[Faults(expire_after_ms=6000)],
            agents=agents(first_message="welcome"),
        )
        async with stage(service) as on:
            await asyncio.sleep(1)
            await on.caller.say("hello")
            await asyncio.sleep(6)
            await on.caller.say("still there")
            await asyncio.sleep(3)
            assert on.caller.heard == "welcome hello still there"
            assert on.sent() == [
                {
                    "type": "contextual_update",
                    "text": SAID_BEFORE + "You: welcome\nUser: hello\nYou: hello",
                }
            ]
        (error,) = on.trace.of(ErrorOccurred)
        assert error.code is ErrorCode.STREAM_CLOSED
        assert on.trace.at_ms(Reconnecting) == 6000
        assert on.trace.at_ms(Reconnected) == 6100

    play(scene)


def test_a_connection_that_breaks_in_mid_response() -> None:
    """The response has failed as far as it was heard, and the next call is told so."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(
            ScriptedBrain([Speaks(TEN), Speaks("again")]),
            pace=Pace(word_ms=150),
            faults=[Faults(drop_after_audio_ms=600)],
        )
        engine = EngineSettings(reconnect=ReconnectSettings(first_delay_ms=1000))
        async with stage(service, latency_ms=20, engine=engine) as on:
            await on.caller.say("hello")
            await asyncio.sleep(3)
            await on.caller.say("still there")
            await asyncio.sleep(3)
            assert on.caller.heard == "one two three again"
            (seed,) = on.sent()
            assert seed["text"] == SAID_BEFORE + "User: hello\nYou: one two three"
        assert on.trace.of(AgentResponseEnded)[0].outcome is ResponseOutcome.FAILED
        assert len(service.sessions) == 2

    play(scene)


def test_a_connection_that_breaks_before_the_answer() -> None:
    """What nobody answered is asked again in the next call."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(
            pace=Pace(thinking_ms=300, transcript_ms=200),
            faults=[Faults(error_code="llm_error")],
        )
        async with stage(service) as on:
            await on.caller.say("hello")
            await asyncio.sleep(4)
            assert on.caller.heard == "hello"
            assert on.said() == [(Role.USER, "hello"), (Role.AGENT, "hello")]
            assert [one["type"] for one in on.sent()] == ["contextual_update", "user_message"]
        (error,) = on.trace.of(ErrorOccurred)
        assert error.code is ErrorCode.PROVIDER_ERROR
        assert "llm_error" in error.message

    play(scene)


def test_a_failure_of_the_model_is_told_and_survived() -> None:
    """The service gives up the call when its model fails; the next one goes on."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(ScriptedBrain([Fails(), Speaks("better")]))
        async with stage(service) as on:
            await on.caller.say("hello")
            await asyncio.sleep(3)
            assert on.caller.heard == "better"
        assert len(service.sessions) == 2

    play(scene)


def test_a_stalled_service_does_not_leave_the_person_alone() -> None:
    """A response that breaks off counts as over; what was heard of it is kept."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(
            ten, pace=PACE, faults=[Faults(stall_after_audio_ms=600)]
        )
        async with stage(service) as on:
            await on.caller.say("hello")
            await asyncio.sleep(5)
            assert on.caller.heard == "one two three"
            assert on.session.state is SessionState.IDLE
            (ended,) = on.trace.of(AgentResponseEnded)
            assert ended.heard_text == "one two three"
            assert on.said()[-1] == (Role.AGENT, "one two three")

    play(scene)


def test_an_override_that_is_not_allowed_ends_the_session() -> None:
    """What would be refused again is not tried again."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(
            faults=[Faults(error_code="override_error")], agents=agents()
        )
        async with stage(service) as on:
            await on.caller.say("hello")
            await asyncio.sleep(3)
            (ended,) = on.trace.of(SessionEnded)
            assert ended.reason == "failed"
        assert len(service.sessions) == 1

    play(scene)


def test_what_is_not_of_the_protocol_is_skipped() -> None:
    """A broken message in the middle of a response costs nothing else."""

    async def scene() -> None:
        faults = [Faults(malformed_after_audio_ms=400)]
        service = ElevenLabsAgentsEmulator(ten, pace=PACE, faults=faults)
        async with stage(service) as on:
            await on.caller.say("hello")
            await asyncio.sleep(4)
            assert on.caller.heard == TEN
            assert len(service.sessions) == 1

    play(scene)


# ── silence ─────────────────────────────────────────────────────────────────────────────────


def test_a_line_that_brings_no_sound_is_silent() -> None:
    """With a microphone that is shut off, the service gets silence, and stays for minutes."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator()
        async with stage(service, is_listening=False) as on:
            await asyncio.sleep(300)
            assert on.remote.closed is None
        assert len(service.sessions) == 1

    play(scene)


def test_without_any_sound_the_service_hangs_up() -> None:
    """The emulated service gives up after a minute, as the real one does."""

    async def scene() -> None:
        # No ping comes in that time, and so no silence goes out.
        service = ElevenLabsAgentsEmulator(ping_seconds=1000)
        async with stage(service, is_listening=False) as on:
            await asyncio.sleep(61)
            (first, *_) = service.sessions
            assert first.closed is not None
            assert first.closed[0] == 1002
        (error,) = on.trace.of(ErrorOccurred)
        assert error.code is ErrorCode.TIMEOUT

    play(scene)


def test_pings_are_answered_for_as_long_as_it_takes() -> None:
    """Each ping has its pong, from which the service knows the way: two times 30 ms."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator()
        async with stage(service, latency_ms=30) as on:
            await asyncio.sleep(9)
            pings = [one["ping_event"] for one in on.remote.sent if one["type"] == "ping"]
            pongs = [one for one in on.remote.received if one.get("type") == "pong"]
        assert [one["ping_ms"] for one in pings] == [None, 60, 60, 60]
        assert [one["event_id"] for one in pongs] == [one["event_id"] for one in pings]

    play(scene)


# ── settings ────────────────────────────────────────────────────────────────────────────────


def test_a_greeting_of_ours_is_said_by_the_agent() -> None:
    """Words that the application wants said are asked for, and measured as no turn."""

    def brain(asked: Asked) -> Deed:
        return Speaks(asked.text.partition("\n")[2] or asked.text)

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(brain)
        async with stage(service, greeting="good evening") as on:
            await asyncio.sleep(2)
            await on.caller.say("hello")
            await asyncio.sleep(2)
            assert on.caller.heard == "good evening hello"
            assert len(on.trace.of(TurnMeasured)) == 1

    play(scene)


def test_settings_arrive() -> None:
    """What was asked for is what the agent does."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(
            lambda asked: Speaks(asked.instructions),
            agents=agents(instructions="be long", first_message="welcome"),
        )
        settings: dict[str, Any] = {
            "voice": "JBFqnCBsd6RMkjVDRZzb",
            "first_message": "hi",
            "speed": 1.1,
            "client_events": sorted(DEFAULT_EVENTS),
            "dynamic_variables": {"name": "Ada"},
            "llm_extra_body": {"temperature": 0.2},
            "user_id": "u1",
        }
        options = S2sOptions(instructions="be brief", language="de-CH")
        async with stage(service, settings=settings, options=options) as on:
            await asyncio.sleep(1)
            await on.caller.say("hello")
            await asyncio.sleep(4)
            assert on.caller.heard == "hi be brief"
            assert {one["type"] for one in on.remote.sent} <= DEFAULT_EVENTS
        override = service.sessions[0].received[0]["conversation_config_override"]
        assert override["agent"]["language"] == "de"
        assert override["tts"] == {"voice_id": "JBFqnCBsd6RMkjVDRZzb", "speed": 1.1}

    play(scene)


@pytest.mark.parametrize("told", [True, False], ids=["told", "found out"])
@pytest.mark.parametrize(
    ("hears", "speaks", "line"),
    [
        ("pcm_16000", "pcm_24000", 24000),
        ("ulaw_8000", "pcm_44100", 44100),
        ("pcm_48000", "pcm_8000", 8000),
    ],
)
def test_an_agent_has_formats_of_its_own(hears: str, speaks: str, line: int, told: bool) -> None:
    """Sound goes both ways at whatever rates the agent has, whether we were told of it or not."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(
            lambda _: Speaks(TEN), agents=agents(input_format=hears, output_format=speaks)
        )
        settings = {"input_format": hears} if told else {}
        async with stage(service, caller=ScriptedCaller(output_rate=line), settings=settings) as on:
            on.caller.type("count")
            await asyncio.sleep(3)
            assert on.caller.heard == TEN
            await asyncio.sleep(1)
        chunks = [one for one in service.sessions[0].received if "user_audio_chunk" in one]
        size = sum(len(base64.b64decode(one["user_audio_chunk"])) for one in chunks)
        bytes_a_second = {"pcm_16000": 32000, "ulaw_8000": 8000, "pcm_48000": 96000}[hears]
        # Four seconds, less what a resampler holds: at most 4 ms.
        assert 0 <= 4 * bytes_a_second - size <= bytes_a_second * 4 // 1000

    play(scene)


def test_an_agent_of_the_telephone_understands() -> None:
    """At 8 kHz from end to end, words get across in both directions."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(
            echo, agents=agents(input_format="pcm_8000", output_format="pcm_8000")
        )
        caller = ScriptedCaller(input_rate=8000, output_rate=8000)
        detector = ScriptedVad(rate=8000)
        settings = {"input_format": "pcm_8000"}
        async with stage(service, caller=caller, detector=detector, settings=settings) as on:
            await on.caller.say("hello there")
            await asyncio.sleep(3)
            assert on.caller.heard == "hello there"

    play(scene)


def test_sound_is_resampled_where_it_has_to_be() -> None:
    """A line at another rate than the agent's hears its speech, for as long as it lasts."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(ten, pace=PACE)
        caller = ScriptedCaller(output_rate=24000)
        async with stage(service, caller=caller) as on:
            on.caller.type("count")
            await asyncio.sleep(4)
            (ended,) = on.trace.of(AgentResponseEnded)
            assert ended.outcome is ResponseOutcome.HEARD
            assert ended.heard_ms == 2000

    play(scene)


def test_a_service_that_is_quicker_than_our_ears() -> None:
    """An answer that comes while our ears still hear a voice ends the turn, and is not cut."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(ten, silence_ms=100)
        async with stage(service, detector=ScriptedVad()) as on:
            await on.caller.say("hello there")
            await asyncio.sleep(0.15)
            assert on.session.state is SessionState.RESPONDING
            await asyncio.sleep(4)
            assert on.caller.heard == TEN
        (ended,) = on.trace.of(UserSpeechEnded)
        assert not ended.was_ignored

    play(scene)


def test_a_session_without_ears_of_its_own() -> None:
    """Without a detector here, the service's word is enough for turns and interruptions."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(ten, pace=PACE)
        async with stage(service, has_ears=False) as on:
            await on.caller.say("hello there")
            await asyncio.sleep(1.5)
            await on.caller.say("stop it")
            await asyncio.sleep(3)
            assert on.caller.heard == "one two three four fine"
        assert [one.outcome for one in on.trace.of(AgentResponseEnded)] == [
            ResponseOutcome.CUT,
            ResponseOutcome.HEARD,
        ]

    play(scene)


def test_an_echo_without_any_setting() -> None:
    """An agent that sends no more than it does by itself is enough to talk."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(
            echo, pace=PACE, agents=agents(client_events=DEFAULT_EVENTS)
        )
        async with stage(service) as on:
            await on.caller.say("one two three four five six seven eight")
            await asyncio.sleep(1.5)
            await on.caller.say("stop it")
            await asyncio.sleep(4)
            assert on.caller.heard == "one two three four stop it"
            assert on.session.state is SessionState.IDLE
        assert not on.trace.of(ErrorOccurred)

    play(scene)
