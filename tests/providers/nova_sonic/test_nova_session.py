"""Conversations with the emulated Nova Sonic, to the millisecond.

The service needs 500 ms of silence here to find that a turn is over, and 100 ms of voice to be
interrupted; our ears need 60 ms to notice a voice.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

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
    SessionState,
    StateChanged,
    Transcription,
    TurnMeasured,
    UserSpeechEnded,
    UserSpeechStarted,
)
from beluga_voice.interfaces import S2sOptions
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.nova_sonic import NovaSonicEmulator
from beluga_voice.testing.emulators.speech import (
    Asked,
    Calls,
    Deed,
    Faults,
    Pace,
    ScriptedBrain,
    Speaks,
)
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedVad
from providers.nova_sonic.nova_models import check_events
from providers.nova_sonic.nova_stage import Stage, stage

TEN = "one two three four five six seven eight nine ten"
PACE = Pace(thinking_ms=200, word_ms=20)


def emulator(brain: Any, **more: Any) -> NovaSonicEmulator:
    """A service with a pause of 500 ms."""
    more.setdefault("pace", PACE)
    return NovaSonicEmulator(brain, silence_ms=500, **more)


def ten(asked: Asked) -> Deed:
    """Answer with ten words, two seconds of speech; "fine" to one who says stop."""
    return Speaks("fine" if "stop" in asked.text else TEN)


def play[T](scene: Callable[[], Awaitable[T]]) -> T:
    """Run a scene in simulated time; nothing may be left over."""
    return simulate(scene)  # type: ignore[arg-type]


def said(stage: Stage) -> list[tuple[Role, str]]:
    """What was said, by the session's history."""
    return [(one.role, one.text) for one in stage.session.history if isinstance(one, Message)]


def test_a_turn_is_found_by_the_service() -> None:
    """The person is seen to speak, is answered, and the latency adds up."""

    async def scene() -> None:
        service = emulator(ten)
        async with stage(service, latency_ms=20) as on:
            assert on.caller.now_ms == 120  # three round trips: tcp, websocket, first events
            await asyncio.sleep(0.88)
            await on.caller.say("hello there good friend")  # voice from 1000 to 1800
            await asyncio.sleep(4)
        finals = [one.text for one in on.trace.of(Transcription) if one.is_final]
        assert finals == ["hello there good friend"]
        assert on.caller.heard == TEN
        (measured,) = on.trace.of(TurnMeasured)
        # 40 ms to the service and back, 500 of silence, 200 of thought.
        assert measured.total_ms == 740
        assert on.caller.first_sound_ms == 1780 + 740
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
        assert said(on) == [(Role.USER, "hello there good friend"), (Role.AGENT, TEN)]
        check_events(service)
        assert service.sessions[0].is_polite

    play(scene)


def test_silence_is_sent() -> None:
    """The service gets sound all the time, at the pace of hearing, whether anybody speaks."""

    async def scene() -> None:
        service = emulator(ten)
        async with stage(service) as on:
            await asyncio.sleep(2)
            frames = len(on.sent("audioInput"))
            assert frames == 100
            await on.caller.say("hello")
            await asyncio.sleep(0.01)
            assert len(on.sent("audioInput")) == 110

    play(scene)


@pytest.mark.parametrize("ends_completions", [False, True])
def test_an_interruption_while_it_is_made(ends_completions: bool) -> None:
    """The service stops in the middle of its sound, and answers what interrupted it."""

    async def scene() -> None:
        slow = Pace(thinking_ms=200, word_ms=200)
        service = emulator(ten, pace=slow, ends_completions=ends_completions)
        async with stage(service) as on:
            await asyncio.sleep(0.99)
            await on.caller.say("hello there")
            await asyncio.sleep(1.49)
            await on.caller.say("stop it")
            await asyncio.sleep(3)
            cut, answered = on.trace.of(AgentResponseEnded)
            assert (cut.outcome, cut.heard_ms) == (ResponseOutcome.CUT, 880)
            # Where the words are is not known yet: never more than what was heard.
            assert cut.heard_text == "one two"
            assert answered.outcome is ResponseOutcome.HEARD
            assert on.caller.heard == "one two three four fine"
        # The answer sounds from 2080; the fifth frame of the voice comes at 2960.
        assert on.trace.at_ms(BargedIn) == 2960
        check_events(service)

    play(scene)


def test_an_interruption_of_what_only_sounds() -> None:
    """The service has sent everything, and is interrupted as long as it sounds."""

    async def scene() -> None:
        service = emulator(ten)
        async with stage(service) as on:
            await asyncio.sleep(0.99)
            await on.caller.say("hello there")
            await asyncio.sleep(1.49)
            await on.caller.say("stop it")
            await asyncio.sleep(3)
            cut, answered = on.trace.of(AgentResponseEnded)
            (barged_in,) = on.trace.of(BargedIn)
            assert said(on) == [
                (Role.USER, "hello there"),
                (Role.AGENT, "one two three four"),
                (Role.USER, "stop it"),
                (Role.AGENT, "fine"),
            ]
        assert on.trace.at_ms(BargedIn) == 2960
        assert barged_in.decision_ms == 100
        assert (cut.outcome, cut.heard_ms) == (ResponseOutcome.CUT, 880)
        assert answered.outcome is ResponseOutcome.HEARD
        assert on.caller.heard == "one two three four fine"
        # The service believes the same.
        assert Message(role=Role.AGENT, text="one two three four") in service.sessions[0].history
        check_events(service)

    play(scene)


def test_stopping_and_writing() -> None:
    """The person presses stop, of which the service knows nothing, then writes, and is answered."""

    async def scene() -> None:
        slow = Pace(thinking_ms=200, word_ms=200)
        service = emulator(ScriptedBrain([Speaks(TEN), Speaks("yes")]), pace=slow)
        async with stage(service) as on:
            on.caller.type("count")
            await asyncio.sleep(1)
            on.caller.press_stop()
            await asyncio.sleep(0.5)
            on.caller.type("are you there")
            await asyncio.sleep(2)
            assert on.caller.heard == "one two three four yes"
            assert on.session.state is SessionState.IDLE
        check_events(service)

    play(scene)


def test_a_tool_runs_while_the_model_talks() -> None:
    """The model calls a tool, talks on, and says what it gave in a response of its own."""

    def brain(asked: Asked) -> Deed | list[Deed]:
        if asked.results:
            return Speaks(asked.results[-1].output)
        return [Calls("weather", '{"city": "Oslo"}'), Speaks("one moment please")]

    async def weather(city: str) -> str:
        """The weather in a city."""
        await asyncio.sleep(0.25)
        return f"snow in {city}"

    async def scene() -> None:
        service = emulator(brain)
        async with stage(service, latency_ms=20, tools=[weather]) as on:
            await on.caller.say("weather")
            await asyncio.sleep(5)
            assert on.caller.heard == "one moment please snow in Oslo"
            (answered,) = on.trace.of(FunctionAnswered)
            assert (answered.output, answered.duration_ms) == ("snow in Oslo", 250)
            (frame,) = on.sent("toolResult")
            assert frame["content"] == '{"result":"snow in Oslo"}'
        check_events(service)

    play(scene)


def test_tools_run_side_by_side() -> None:
    """Two calls of one turn are both answered, each with its own result, and one fails."""

    def brain(asked: Asked) -> Deed | list[Deed]:
        if asked.results:
            told = sorted("broken" if one.is_error else one.output for one in asked.results)
            return Speaks(" ".join(told))
        return [Calls("double", '{"number": 4}'), Calls("fail", "{}")]

    def double(number: int) -> str:
        """Twice a number."""
        return str(number * 2)

    async def fail() -> str:
        """Fail."""
        raise ValueError("a secret")

    async def scene() -> None:
        service = emulator(brain)
        async with stage(service, tools=[double, fail]) as on:
            await on.caller.say("go")
            await asyncio.sleep(3)
            assert on.caller.heard == "8 broken"
            results = on.sent("toolResult")
            assert len(results) == 2
            assert "a secret" not in str(results)
        check_events(service)

    play(scene)


def test_a_result_that_is_too_long_is_refused() -> None:
    """Five megabytes from a tool are told to the model as a failure, which it takes."""

    def brain(asked: Asked) -> Deed:
        if asked.results:
            return Speaks("sorry" if asked.results[-1].is_error else "well")
        return Calls("much")

    def much() -> str:
        """Give too much."""
        return "x" * 5_000_000

    async def scene() -> None:
        service = emulator(brain)
        async with stage(service, tools=[much]) as on:
            await on.caller.say("go")
            await asyncio.sleep(3)
            assert on.caller.heard == "sorry"
        check_events(service)

    play(scene)


def test_a_tool_that_is_interrupted_is_answered_all_the_same() -> None:
    """The service withdraws no calls: a result that comes after an interruption is taken."""

    async def slow() -> str:
        """Take long."""
        await asyncio.sleep(2)
        return "late"

    def brain(asked: Asked) -> Deed | list[Deed]:
        if asked.results:
            return Speaks(asked.results[-1].output)
        return Speaks("fine") if "stop" in asked.text else [Speaks(TEN), Calls("slow")]

    async def scene() -> None:
        service = emulator(brain)
        async with stage(service, tools=[slow]) as on:
            await on.caller.say("go")
            await asyncio.sleep(1.2)
            await on.caller.say("stop")
            await asyncio.sleep(5)
            assert on.caller.heard.endswith("fine late")
            assert len(on.sent("toolResult")) == 1
        check_events(service)

    play(scene)


def test_a_conversation_that_expires_goes_on() -> None:
    """After eight minutes, scaled, another stream takes up the conversation, told what was said."""

    async def scene() -> None:
        service = emulator(
            lambda asked: Speaks(f"item {len(asked.history)}"),
            faults=[Faults(expire_after_ms=4000)],
        )
        async with stage(service, latency_ms=20) as on:
            await on.caller.say("hello")
            await asyncio.sleep(4.5)
            await on.caller.say("still there")
            await asyncio.sleep(3)
            assert on.caller.heard == "item 1 item 3"
            first, second = service.sessions
            assert [one.kind for one in first.errors] == ["ValidationException"]
            texts = [one["content"] for one in on.sent("textInput")]
            assert texts == ["hello", "item 1"]
            roles = [one["role"] for one in on.sent("contentStart")]
            assert roles == ["USER", "ASSISTANT", "USER"]
            assert not second.errors
        (error,) = on.trace.of(ErrorOccurred)
        assert error.code is ErrorCode.STREAM_CLOSED
        # The stream began after three times 20 ms, and its end takes 20 ms.
        assert on.trace.at_ms(Reconnecting) == 4000 + 60 + 20
        # 100 ms of delay, and three round trips.
        assert on.trace.at_ms(Reconnected) == on.trace.at_ms(Reconnecting) + 100 + 120

    play(scene)


def test_a_stream_that_breaks_in_mid_response() -> None:
    """The response that was being made fails, and the next stream is told what was said."""

    async def scene() -> None:
        service = emulator(
            ScriptedBrain([Speaks(TEN), Speaks("again")]), faults=[Faults(drop_after_audio_ms=600)]
        )
        async with stage(service, latency_ms=20) as on:
            await on.caller.say("hello")
            await asyncio.sleep(3)
            await on.caller.say("still there")
            await asyncio.sleep(3)
            assert on.caller.heard == "one two three again"
            assert next(one["content"] for one in on.sent("textInput")) == "hello"
        assert len(service.sessions) == 2
        assert not service.sessions[1].errors

    play(scene)


def test_a_service_that_stops_in_mid_response_is_noticed() -> None:
    """A stream that says nothing more leaves nobody waiting for ever."""

    async def scene() -> None:
        service = emulator(ten, faults=[Faults(stall_after_audio_ms=600)])
        async with stage(service) as on:
            await on.caller.say("hello")
            await asyncio.sleep(30)
            assert on.caller.heard == "one two three"
            assert on.session.state is not SessionState.RESPONDING
        assert ErrorCode.TIMEOUT in [one.code for one in on.trace.of(ErrorOccurred)]

    play(scene)


def test_what_is_not_of_the_protocol_is_skipped() -> None:
    """A broken message in the middle of a response costs nothing else."""

    async def scene() -> None:
        service = emulator(ten, faults=[Faults(malformed_after_audio_ms=400)])
        async with stage(service) as on:
            await on.caller.say("hello")
            await asyncio.sleep(4)
            assert on.caller.heard == TEN
            assert len(service.sessions) == 1

    play(scene)


def test_a_failure_of_the_service_is_told_and_survived() -> None:
    """A throttled stream is told as what it is, and the next one is used."""

    async def scene() -> None:
        service = emulator(
            lambda asked: Speaks(asked.text), faults=[Faults(error_code="ThrottlingException")]
        )
        async with stage(service) as on:
            await on.caller.say("hello")
            await asyncio.sleep(2)
            await on.caller.say("again")
            await asyncio.sleep(2)
            assert on.caller.heard.endswith("again")
        assert on.trace.of(ErrorOccurred)[0].code is ErrorCode.RATE_LIMIT
        assert len(service.sessions) == 2

    play(scene)


def test_a_greeting() -> None:
    """The agent speaks first, in words that were asked of it."""

    def brain(asked: Asked) -> Deed:
        return Speaks(asked.text.partition("\n")[2] or asked.instructions)

    async def scene() -> None:
        service = emulator(brain)
        options = S2sOptions(instructions="be brief")
        async with stage(service, options=options, greeting="good evening") as on:
            await asyncio.sleep(2)
            await on.caller.say("hello")
            await asyncio.sleep(3)
            assert on.caller.heard == "good evening be brief"
            assert len(on.trace.of(TurnMeasured)) == 1
        check_events(service)

    play(scene)


def test_a_sound_without_words_does_not_make_the_agent_wait() -> None:
    """Our ears hear a cough that the service makes nothing of: nobody is kept waiting."""

    async def scene() -> None:
        service = emulator(lambda _: [], ends_completions=True)
        async with stage(service) as on:
            await on.caller.noise(100)
            await asyncio.sleep(20)
            assert on.session.state is SessionState.IDLE
        assert not on.trace.of(ErrorOccurred)

    play(scene)


def test_no_answer_where_the_service_says_so() -> None:
    """A turn that the model chooses not to answer ends the waiting, once its completion ends."""

    async def scene() -> None:
        service = emulator(lambda _: [], ends_completions=True)
        async with stage(service) as on:
            await on.caller.say("well then")
            await asyncio.sleep(20)
            assert said(on) == [(Role.USER, "well then")]
            assert on.session.state is SessionState.IDLE
            assert not on.sent("textInput")  # it is not asked again
        assert not on.trace.of(ErrorOccurred)

    play(scene)


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_sound_at_every_rate_of_the_service(rate: int) -> None:
    """Lines at the rates of the service are not resampled, and words get across both ways."""

    async def scene() -> None:
        service = emulator(lambda asked: Speaks(asked.text))
        caller = ScriptedCaller(input_rate=rate, output_rate=rate)
        async with stage(service, caller=caller, detector=ScriptedVad(rate=rate)) as on:
            await on.caller.say("hello")
            await asyncio.sleep(2)
            (start,) = on.sent("contentStart")
            assert start["audioInputConfiguration"]["sampleRateHertz"] == rate
        assert on.caller.heard == "hello"
        check_events(service)

    play(scene)


def test_settings_arrive() -> None:
    """What was asked for is what the service is told, in its order."""

    async def scene() -> list[dict[str, Any]]:
        service = emulator(ten)
        settings: dict[str, Any] = {
            "voice": "matthew",
            "sensitivity": "low",
            "temperature": 0.5,
            "top_p": 0.8,
            "max_output_tokens": 2000,
            "tool_choice": "any",
        }
        options = S2sOptions(instructions="be brief", language="fr-FR")

        def ping() -> str:
            """Answer."""
            return "pong"

        async with stage(service, settings=settings, options=options, tools=[ping]):
            pass
        check_events(service)
        return service.sessions[0].received

    first, prompt, *system, sound, _, prompt_end, end = play(scene)
    assert first["sessionStart"] == {
        "inferenceConfiguration": {"maxTokens": 2000, "topP": 0.8, "temperature": 0.5},
        "turnDetectionConfiguration": {"endpointingSensitivity": "LOW"},
    }
    start = prompt["promptStart"]
    assert start["audioOutputConfiguration"]["voiceId"] == "matthew"
    assert start["audioOutputConfiguration"]["sampleRateHertz"] == 24000
    assert start["toolConfiguration"]["toolChoice"] == {"any": {}}
    (tool,) = start["toolConfiguration"]["tools"]
    assert tool["toolSpec"]["name"] == "ping"
    assert [next(iter(one)) for one in system] == ["contentStart", "textInput", "contentEnd"]
    assert system[0]["contentStart"]["role"] == "SYSTEM"
    assert system[1]["textInput"]["content"] == "be brief\n\nSpeak the language fr-FR."
    assert sound["contentStart"]["interactive"] is True
    assert "promptEnd" in prompt_end
    assert end == {"sessionEnd": {}}


def test_the_same_scene_gives_the_same_trace() -> None:
    """Nothing is left to chance."""

    async def scene() -> list[str]:
        service = emulator(ten)
        async with stage(service, latency_ms=20) as on:
            await on.caller.say("hello there")
            await asyncio.sleep(1.7)
            await on.caller.say("stop it")
            await asyncio.sleep(3)
        return [str(one) for one in service.sessions[0].sent] + on.trace.lines()

    assert play(scene) == play(scene)
