"""Conversations with the emulated Gemini Live, to the millisecond.

The service needs 500 ms of silence to find that a turn is over, and 100 ms of voice to be
interrupted; our ears need 60 ms to notice a voice.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from google.genai import types

from beluga_voice.errors import ErrorCode
from beluga_voice.events import (
    AgentResponseEnded,
    BargedIn,
    ErrorOccurred,
    FunctionAnswered,
    Message,
    Reconnecting,
    ResponseOutcome,
    Role,
    ServiceRenewed,
    SessionState,
    StateChanged,
    Transcription,
    TurnMeasured,
    UserSpeechEnded,
    UserSpeechStarted,
)
from beluga_voice.interfaces import S2sOptions, TurnOwner
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.gemini_live import GeminiLiveEmulator
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
from providers.gemini_live.stage import Stage, stage

TEN = "one two three four five six seven eight nine ten"
PACE = Pace(thinking_ms=200, word_ms=20)
OURS = S2sOptions(turn_owner=TurnOwner.FRAMEWORK)


def ten(asked: Asked) -> Deed:
    """Answer with ten words, two seconds of speech; "fine" to one who says stop."""
    return Speaks("fine" if "stop" in asked.text else TEN)


def play[T](scene: Callable[[], Awaitable[T]]) -> T:
    """Run a scene in simulated time; nothing may be left over."""
    return simulate(scene)  # type: ignore[arg-type]


def said(stage: Stage) -> list[tuple[Role, str]]:
    """What was said, by the session's history."""
    return [(one.role, one.text) for one in stage.session.history if isinstance(one, Message)]


def check_frames(service: GeminiLiveEmulator) -> None:
    """Every frame of ours is one that the official SDK's types allow."""
    for connection in service.connections:
        assert connection.received
        for frame in connection.received:
            setup = dict(frame.get("setup", {}))
            listening = setup.pop("realtimeInputConfig", {})
            types.RealtimeInputConfig.model_validate(listening)
            rest = {**frame, "setup": setup} if setup else frame
            types.LiveClientMessage.model_validate(rest)


def test_a_turn_is_found_by_the_service() -> None:
    """The person is seen to speak, is answered, and the latency adds up."""

    async def scene() -> None:
        service = GeminiLiveEmulator(ten, pace=PACE)
        async with stage(service, latency_ms=20) as on:
            assert on.caller.now_ms == 120  # three round trips: tcp, websocket, setup
            await asyncio.sleep(0.88)
            await on.caller.say("hello there")  # voice from 1000, the last frame at 1380
            await asyncio.sleep(4)
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
        check_frames(service)

    play(scene)


def test_an_interruption_by_the_service() -> None:
    """The service hears the interruption; history has the words that were heard."""

    async def scene() -> None:
        service = GeminiLiveEmulator(ten, pace=PACE)
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
        # The answer sounds from 2080; the fifth frame of the voice comes at 2960.
        assert on.trace.at_ms(BargedIn) == 2960
        assert barged_in.decision_ms == 100
        assert (cut.outcome, cut.heard_text) == (ResponseOutcome.CUT, "one two three four")
        assert cut.heard_ms == 880
        assert answered.outcome is ResponseOutcome.HEARD
        assert on.caller.heard == "one two three four fine"
        # The service guesses what was heard, and is right where there is no delay.
        assert Message(role=Role.AGENT, text="one two three four") in service.connections[0].history

    play(scene)


def test_our_ears_interrupt_what_the_service_thinks_is_over() -> None:
    """Where the service does not hear an interruption, 300 ms of voice are one."""

    async def scene() -> None:
        service = GeminiLiveEmulator(ten, pace=PACE, holds_turns=False)
        async with stage(service) as on:
            await asyncio.sleep(1)
            await on.caller.say("hello there")
            await asyncio.sleep(1.6)
            await on.caller.say("stop it")
            await asyncio.sleep(3)
            (barged_in,) = on.trace.of(BargedIn)
        assert barged_in.decision_ms == 300
        assert on.caller.heard == "one two three four five fine"

    play(scene)


def test_the_service_is_quicker_than_our_ears() -> None:
    """An answer that comes while our ears still hear a voice ends the turn, and is not cut."""

    async def scene() -> None:
        service = GeminiLiveEmulator(ten)
        async with stage(service, settings={"silence_ms": 100}) as on:
            await on.caller.say("hello there")
            await asyncio.sleep(0.15)
            assert on.session.state is SessionState.RESPONDING
            await asyncio.sleep(4)
            assert on.caller.heard == TEN
            assert on.session.state is SessionState.IDLE
        (ended,) = on.trace.of(UserSpeechEnded)
        assert not ended.was_ignored
        assert not on.trace.of(TurnMeasured)  # nobody knows when the voice ended

    play(scene)


def test_a_sound_without_words_does_not_make_the_agent_wait() -> None:
    """Our ears hear a cough that the service makes nothing of: nobody is kept waiting."""

    async def scene() -> None:
        service = GeminiLiveEmulator(lambda _: [])
        async with stage(service) as on:
            await on.caller.noise(100)
            await asyncio.sleep(20)
            assert on.session.state is SessionState.IDLE
            assert not on.sent("realtimeInput")  # it is not asked again
        assert len(on.trace.of(UserSpeechStarted)) == len(on.trace.of(UserSpeechEnded)) == 1
        assert not on.trace.of(ErrorOccurred)

    play(scene)


def test_no_answer_leaves_the_floor_free() -> None:
    """A turn that the model chooses not to answer ends the waiting."""

    async def scene() -> None:
        service = GeminiLiveEmulator(lambda _: [])
        async with stage(service) as on:
            await on.caller.say("well then")
            await asyncio.sleep(20)
            assert said(on) == [(Role.USER, "well then")]
            assert on.session.state is SessionState.IDLE
            assert not on.sent("realtimeInput")
        assert not on.trace.of(ErrorOccurred)

    play(scene)


def test_our_own_turns() -> None:
    """With turns of our own the service is told when they begin and end, and interrupted by it."""

    async def scene() -> None:
        service = GeminiLiveEmulator(ten, pace=PACE)
        async with stage(service, options=OURS) as on:
            await asyncio.sleep(1)
            await on.caller.say("hello there")
            await asyncio.sleep(1.6)
            await on.caller.say("stop it")
            await asyncio.sleep(3)
            assert on.sent("realtimeInput") == [
                {"activityStart": {}},
                {"activityEnd": {}},
                {"activityStart": {}},
                {"activityEnd": {}},
            ]
            # Sound from before the interruption was decided is not lost.
            assert said(on)[2:] == [(Role.USER, "stop it"), (Role.AGENT, "fine")]
        first, _ = on.trace.of(TurnMeasured)
        assert (first.endpointing_ms, first.total_ms) == (600, 800)
        (barged_in,) = on.trace.of(BargedIn)
        assert barged_in.decision_ms == 300
        check_frames(service)

    play(scene)


@pytest.mark.parametrize("options", [None, OURS], ids=["theirs", "ours"])
def test_stopping_and_writing(options: S2sOptions | None) -> None:
    """The person presses stop, then writes, and is answered."""

    async def scene() -> None:
        service = GeminiLiveEmulator(ScriptedBrain([Speaks(TEN), Speaks("yes")]), pace=PACE)
        async with stage(service, options=options) as on:
            on.caller.type("count")
            await asyncio.sleep(1)
            on.caller.press_stop()
            await asyncio.sleep(1)
            on.caller.type("are you there")
            await asyncio.sleep(2)
            assert on.caller.heard == "one two three four yes"
            assert on.session.state is SessionState.IDLE
        check_frames(service)

    play(scene)


def test_a_tool_runs() -> None:
    """The model calls a tool in the middle of what it says, and goes on with what that gave."""

    def brain(asked: Asked) -> Deed | list[Deed]:
        if asked.results:
            return Speaks(asked.results[-1].output)
        return [Speaks("one moment"), Calls("weather", '{"city": "Oslo"}')]

    async def weather(city: str) -> str:
        """The weather in a city."""
        await asyncio.sleep(0.25)
        return f"snow in {city}"

    async def scene() -> None:
        service = GeminiLiveEmulator(brain, pace=PACE)
        async with stage(service, latency_ms=20, tools=[weather]) as on:
            await on.caller.say("weather")
            await asyncio.sleep(4)
            assert on.caller.heard == "one moment snow in Oslo"
            (answered,) = on.trace.of(FunctionAnswered)
            assert (answered.output, answered.duration_ms) == ("snow in Oslo", 250)
            (frame,) = on.sent("toolResponse")
            assert frame["functionResponses"] == [
                {
                    "id": "function-call-1",
                    "name": "weather",
                    "response": {"output": "snow in Oslo"},
                }
            ]
        check_frames(service)

    play(scene)


def test_an_interruption_withdraws_a_tool_call() -> None:
    """The model no longer wants what it asked for; the tool is stopped, and not answered for."""
    stopped: list[float] = []

    async def slow() -> str:
        """Take long."""
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            stopped.append(asyncio.get_running_loop().time())
            raise
        return "late"

    async def scene() -> None:
        service = GeminiLiveEmulator(ScriptedBrain([Calls("slow"), Speaks("fine")]), pace=PACE)
        async with stage(service, tools=[slow]) as on:
            await on.caller.say("go")
            await asyncio.sleep(2)
            begun = on.caller.now_ms
            await on.caller.say("stop")
            await asyncio.sleep(2)
            assert [round(one * 1000) for one in stopped] == [begun + 80]
            assert not on.sent("toolResponse")
            assert on.caller.heard == "fine"

    play(scene)


def test_a_conversation_that_expires_goes_on() -> None:
    """After the warning, another connection takes up the conversation by handle, unnoticed."""

    async def scene() -> None:
        service = GeminiLiveEmulator(
            lambda asked: Speaks(f"item {len(asked.history)}"),
            pace=PACE,
            faults=[Faults(expire_after_ms=4000)],
        )
        async with stage(service, latency_ms=20) as on:
            await on.caller.say("hello")
            await asyncio.sleep(4.5)
            await on.caller.say("still there")
            await asyncio.sleep(3)
            assert on.caller.heard == "item 1 item 3"
            first, second = service.connections
            assert [one for one in first.sent if "goAway" in one] == [
                {"goAway": {"timeLeft": "1s"}}
            ]
            assert second.setup is not None
            assert second.setup.session_resumption is not None
            assert second.setup.session_resumption.handle == "handle-2"
            assert not on.sent("clientContent")
        assert on.trace.of(ErrorOccurred) == []
        assert on.trace.of(Reconnecting) == []
        # Its session began 60 ms after ours, with the setup; the warning takes 20 ms to come,
        # and three round trips open the other connection.
        assert on.trace.at_ms(ServiceRenewed) == 3000 + 60 + 20 + 120

    play(scene)


def test_a_connection_that_breaks_in_mid_response() -> None:
    """Nothing can be resumed then: the new connection is told what was said."""

    async def scene() -> None:
        service = GeminiLiveEmulator(
            ScriptedBrain([Speaks(TEN), Speaks("again")]),
            pace=PACE,
            faults=[Faults(drop_after_audio_ms=600)],
        )
        async with stage(service, latency_ms=20) as on:
            await on.caller.say("hello")
            await asyncio.sleep(3)
            await on.caller.say("still there")
            await asyncio.sleep(3)
            assert on.caller.heard == "one two three again"
            history, heard = on.sent("clientContent")
            assert history == {
                "turns": [{"role": "user", "parts": [{"text": "hello"}]}],
                "turnComplete": True,
            }
            # What still sounded when the new connection was made is told when it is known.
            assert heard == {
                "turns": [{"role": "model", "parts": [{"text": "one two three"}]}],
                "turnComplete": False,
            }
            second = service.connections[1].setup
            assert second is not None
            assert second.history_config.initial_history_in_client_content
            assert second.session_resumption is not None
            assert second.session_resumption.handle is None
        check_frames(service)

    play(scene)


def test_a_handle_that_is_gone_is_no_failure() -> None:
    """A handle the service does not know any more leads to a new conversation with the history."""
    history = (Message(role=Role.USER, text="hello"), Message(role=Role.AGENT, text="good day"))

    async def scene() -> None:
        service = GeminiLiveEmulator(lambda asked: Speaks(f"item {len(asked.history)}"))
        options = S2sOptions(resume="too old", history=history)
        async with stage(service, options=options) as on:
            await on.caller.say("and now")
            await asyncio.sleep(3)
            assert on.caller.heard == "item 3"
        refused, accepted = service.connections
        assert "handle" in refused.close_reason
        assert not accepted.close_reason

    play(scene)


def test_what_is_not_of_the_protocol_is_skipped() -> None:
    """A broken message in the middle of a response costs nothing else."""

    async def scene() -> None:
        service = GeminiLiveEmulator(ten, pace=PACE, faults=[Faults(malformed_after_audio_ms=400)])
        async with stage(service) as on:
            await on.caller.say("hello")
            await asyncio.sleep(4)
            assert on.caller.heard == TEN
            assert len(service.connections) == 1

    play(scene)


def test_a_greeting_and_new_instructions() -> None:
    """The agent speaks first, and can be told otherwise in mid-call."""

    def brain(asked: Asked) -> Deed:
        wanted = asked.text.partition("\n")[2]
        return Speaks(wanted or asked.instructions)

    async def scene() -> None:
        service = GeminiLiveEmulator(brain)
        options = S2sOptions(instructions="be brief")
        async with stage(service, options=options, greeting="good evening") as on:
            await asyncio.sleep(2)
            on.session.update(instructions="be polite")
            await on.caller.say("hello")
            await asyncio.sleep(2)
            assert on.caller.heard == "good evening be polite"
            assert len(on.trace.of(TurnMeasured)) == 1
        check_frames(service)

    play(scene)


def test_a_transcript_that_comes_late() -> None:
    """Words that are understood only while the model speaks are not lost."""

    async def scene() -> None:
        service = GeminiLiveEmulator(lambda _: Speaks(TEN), pace=Pace(transcript_ms=300))
        async with stage(service) as on:
            await on.caller.say("hello there")
            await asyncio.sleep(4)
            assert said(on) == [(Role.AGENT, TEN), (Role.USER, "hello there")]
        finals = [one.text for one in on.trace.of(Transcription) if one.is_final]
        assert finals == ["hello there"]

    play(scene)


def test_a_failure_of_the_service_is_told_and_survived() -> None:
    """A quota that is used up is told as what it is, and the next connection is used."""

    async def scene() -> None:
        service = GeminiLiveEmulator(
            pace=PACE, faults=[Faults(error_code="You exceeded your current quota.")]
        )
        async with stage(service) as on:
            await on.caller.say("hello")
            await asyncio.sleep(2)
            await on.caller.say("again")
            await asyncio.sleep(2)
            assert on.caller.heard.endswith("again")
        assert on.trace.of(ErrorOccurred)[0].code is ErrorCode.RATE_LIMIT
        assert len(service.connections) == 2

    play(scene)


@pytest.mark.parametrize(("line", "stated"), [(8000, 8000), (48000, 48000), (32000, 16000)])
def test_sound_may_have_any_rate(line: int, stated: int) -> None:
    """The rate is stated with the sound: the line's own, or the model's, and words get across."""

    async def scene() -> None:
        service = GeminiLiveEmulator()
        caller = ScriptedCaller(input_rate=line)
        async with stage(service, caller=caller, detector=ScriptedVad(rate=16000)) as on:
            await on.caller.say("hello")
            await asyncio.sleep(2)
        audio = [
            one["realtimeInput"]["audio"]["mimeType"]
            for one in service.connections[0].received
            if "audio" in one.get("realtimeInput", {})
        ]
        assert set(audio) == {f"audio/pcm;rate={stated}"}
        if line == stated:
            assert on.caller.heard == "hello"  # resampling makes test words unreadable
        else:
            assert on.caller.heard

    play(scene)


def test_settings_arrive() -> None:
    """What was asked for is what the service is told."""

    async def scene() -> Any:
        service = GeminiLiveEmulator()
        settings: dict[str, Any] = {
            "voice": "Kore",
            "language": "en-GB",
            "temperature": 0.5,
            "top_p": 0.9,
            "max_output_tokens": 1000,
            "start_sensitivity": "low",
            "end_sensitivity": "high",
            "prefix_padding_ms": 40,
            "silence_ms": 300,
            "allow_interruptions": False,
            "compression_trigger_tokens": 30000,
        }
        async with stage(service, settings=settings, options=S2sOptions(instructions="be brief")):
            pass
        check_frames(service)
        return service.connections[0].received[0]["setup"]

    assert play(scene) == {
        "model": "models/gemini-3.8-live",
        "generationConfig": {
            "responseModalities": ["AUDIO"],
            "temperature": 0.5,
            "topP": 0.9,
            "maxOutputTokens": 1000,
            "speechConfig": {
                "voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}},
                "languageCode": "en-GB",
            },
        },
        "inputAudioTranscription": {},
        "outputAudioTranscription": {},
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "realtimeInputConfig": {
            "automaticActivityDetection": {
                "startOfSpeechSensitivity": "START_SENSITIVITY_LOW",
                "endOfSpeechSensitivity": "END_SENSITIVITY_HIGH",
                "prefixPaddingMs": 40,
                "silenceDurationMs": 300,
            },
            "activityHandling": "NO_INTERRUPTION",
        },
        "sessionResumption": {},
        "contextWindowCompression": {"slidingWindow": {}, "triggerTokens": 30000},
    }
