"""A conversation over OpenAI Realtime, in simulated time, to the millisecond."""

import asyncio

import pytest

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.link import ReconnectSettings
from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseStarted,
    BargedIn,
    ErrorOccurred,
    FunctionAnswered,
    Message,
    Reconnected,
    Reconnecting,
    ResponseOutcome,
    Role,
    SessionState,
    Transcription,
    UserSpeechEnded,
)
from beluga_voice.interfaces import S2sOptions, TurnDetection, TurnOwner
from beluga_voice.providers.s2s.openai_realtime import SemanticVad, ServerVad
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.openai_realtime import OpenAIRealtimeEmulator
from beluga_voice.testing.emulators.speech import (
    UNINTELLIGIBLE,
    Calls,
    Fails,
    Faults,
    Pace,
    Speaks,
    echo,
)
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.network import Conditions
from providers.openai_realtime.openai_stage import (
    HOST,
    LONG,
    PORT,
    orders,
    provider,
    scripted,
    stage,
)

OURS = S2sOptions(turn_owner=TurnOwner.FRAMEWORK)
WORDS = LONG.split()


# ── the service owns the turns ──────────────────────────────────────────────────────────────


def test_a_turn_is_heard_and_answered():
    """The service ends the turn after its silence, and the answer sounds at once."""

    async def scene():
        async with stage(pace=Pace(thinking_ms=300)) as on:
            await asyncio.sleep(1)
            await on.caller.say("hello there")  # voice from 1000 to 1400 ms
            await asyncio.sleep(5)
            finals = [one.text for one in on.trace.of(Transcription) if one.is_final]
            return finals, on.caller.heard, on.caller.first_sound_ms, on.words(Role.USER), on

    finals, heard, first_sound, user, on = simulate(scene)
    assert finals == user == ["hello there"]
    assert heard == LONG
    # Its last frame of voice comes at 1380, the last of 500 ms of silence at 1880.
    assert on.trace.at_ms(UserSpeechEnded) == 1880
    assert first_sound == 1880 + 300
    assert on.words(Role.AGENT) == [LONG]
    assert orders(on.remote) == ["session.update"]
    assert on.remote.errors == []


def test_the_network_is_paid_for_once_each_way():
    """With 40 ms each way, the first sound is 80 ms later, and nothing else changes."""

    async def scene():
        running_simulation().network.set_conditions(Conditions(latency_ms=40))
        async with stage() as on:
            began = on.caller.now_ms
            await asyncio.sleep(1)
            await on.caller.say("hello there")
            await asyncio.sleep(4)
            return began, on.caller.first_sound_ms - began, on.caller.heard

    began, first_sound, heard = simulate(scene)
    # TCP, the upgrade, and session.update with its answer: three round trips.
    assert began == 3 * 80
    assert (first_sound, heard) == (1880 + 80, LONG)


def test_a_barge_in_tells_the_service_what_was_heard():
    """What was heard is the history's, and the service's; nothing is cancelled that is over."""

    async def scene():
        async with stage() as on:
            await on.caller.say("hello")  # answered at 680, all at once
            await asyncio.sleep(1.5)
            await on.caller.say("stop it")
            await asyncio.sleep(0.1)
            ended = on.trace.of(AgentResponseEnded)[0]
            return on, ended, on.caller.heard, on.caller.last_sound_ms, on.trace.at_ms(BargedIn)

    on, ended, heard, last_sound, barged = simulate(scene)
    assert ended.outcome is ResponseOutcome.CUT
    # The response sounds from 680 on, and the person speaks again at 1680.
    assert barged == 1680
    assert last_sound == barged
    assert ended.heard_ms == 1000
    assert ended.heard_text == heard == "one two three four five"
    assert orders(on.remote)[:3] == ["session.update", "conversation.item.truncate"]
    (cut,) = [one for one in on.remote.received if one["type"] == "conversation.item.truncate"]
    assert cut["audio_end_ms"] == ended.heard_ms
    assert on.remote.errors == []
    kept = on.remote.conversation.history()
    assert kept[1] == Message(role=Role.AGENT, text="one two three four five")


def test_a_barge_in_on_a_response_in_the_making_needs_no_cancel():
    """The service stops by itself, nothing more is heard, and its next answer is whole."""

    async def scene():
        brain = scripted(Speaks(LONG), Speaks("all right"))
        async with stage(brain, pace=Pace(word_ms=150)) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1.5)
            await on.caller.say("stop it")
            await asyncio.sleep(4)
            return on, on.caller.heard

    on, heard = simulate(scene)
    assert heard == "one two three four five all right"
    assert orders(on.remote) == ["session.update", "conversation.item.truncate"]
    assert on.remote.errors == []
    assert [one.text for one in on.session.history] == [
        "hello",
        "one two three four five",
        "stop it",
        "all right",
    ]


def test_a_stop_key_cancels_what_is_being_made():
    """Without a voice, the client cancels the response by its id."""

    async def scene():
        async with stage(pace=Pace(word_ms=150)) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1.5)
            on.caller.press_stop()
            await asyncio.sleep(3)
            return on, on.caller.heard

    on, heard = simulate(scene)
    assert heard == "one two three four five"
    assert orders(on.remote)[1:] == ["response.cancel", "conversation.item.truncate"]
    assert on.remote.errors == []
    assert on.session.state is SessionState.DISCONNECTED


def test_a_transcript_may_come_after_the_answer_began():
    """Words that are written down late take their place before the answer."""

    async def scene():
        async with stage(pace=Pace(transcript_ms=900)) as on:
            await on.caller.say("what time is it")
            await asyncio.sleep(4)
            started = on.trace.at_ms(AgentResponseStarted)
            (final,) = [
                one.at * 1000
                for one in on.trace.happenings
                if isinstance(one.event, Transcription) and one.event.is_final
            ]
            return on.session.history, started, round(final)

    history, started, final = simulate(scene)
    assert (started, final) == (1280, 1280 + 900)
    assert [one.text for one in history] == ["what time is it", LONG]


def test_a_tool_is_run_and_its_result_spoken():
    """A tool call makes a round trip, and the second response says what it gave."""

    async def weather(city: str) -> str:
        """Tell the weather."""
        await asyncio.sleep(0.2)
        return f"cold in {city}"

    async def scene():
        brain = scripted([Speaks("one moment"), Calls("weather", '{"city": "Oslo"}')])
        async with stage(brain, tools=[weather]) as on:
            await on.caller.say("how is it")
            await asyncio.sleep(5)
            return on, on.caller.heard, on.trace.of(FunctionAnswered), brain.asked

    on, heard, answered, asked = simulate(scene)
    assert heard == "one moment cold in Oslo"
    assert [(one.name, one.output, one.is_error) for one in answered] == [
        ("weather", "cold in Oslo", False)
    ]
    assert orders(on.remote) == ["session.update", "conversation.item.create", "response.create"]
    assert asked[0].tools[0].name == "weather"
    assert on.remote.errors == []


def test_several_tools_of_one_response_are_answered_together():
    """Of two calls the slower one decides when the response to both is asked for."""

    async def fast() -> str:
        """Be quick."""
        return "first"

    async def slow() -> str:
        """Be slow."""
        await asyncio.sleep(1)
        return "second"

    async def scene():
        brain = scripted([Calls("slow"), Calls("fast")])
        async with stage(brain, tools=[fast, slow]) as on:
            await on.caller.say("both")
            await asyncio.sleep(5)
            return on, on.caller.heard, brain.asked[1]

    on, heard, asked = simulate(scene)
    assert heard == "second"
    assert [one.output for one in asked.results] == ["first", "second"]
    assert orders(on.remote).count("response.create") == 1


def test_a_lost_connection_is_made_again_with_the_history():
    """The next connection is told what was heard, and the conversation goes on."""

    async def scene():
        brain = scripted(Speaks(LONG), Speaks("yes"))
        faults = [Faults(drop_after_audio_ms=1000)]
        engine = EngineSettings(reconnect=ReconnectSettings(first_delay_ms=1000))
        async with stage(brain, pace=Pace(word_ms=150), faults=faults, engine=engine) as on:
            await on.caller.say("hello")
            await asyncio.sleep(4)
            cut = on.trace.of(AgentResponseEnded)[0]
            await on.caller.say("still there")
            await asyncio.sleep(2)
            return on, cut, on.caller.heard

    on, cut, heard = simulate(scene)
    assert (cut.outcome, cut.heard_text) == (ResponseOutcome.FAILED, "one two three four five")
    assert heard == "one two three four five yes"
    assert [one.attempt for one in on.trace.of(Reconnecting)] == [1]
    assert len(on.trace.of(Reconnected)) == 1
    first, second = on.service.sessions
    seeded = [one["item"] for one in second.received if one["type"] == "conversation.item.create"]
    assert [(one["role"], one["content"][0]["text"]) for one in seeded] == [
        ("user", "hello"),
        ("assistant", "one two three four five"),
    ]
    # Both connections count their items from one; the session keeps them apart.
    assert first.sent[0]["session"]["id"] == second.sent[0]["session"]["id"]
    assert [one.text for one in on.session.history] == [
        "hello",
        "one two three four five",
        "still there",
        "yes",
    ]


def test_an_expired_session_is_followed_by_another():
    """After its hour the service hangs up; the conversation goes on over a new connection."""

    async def scene():
        brain = scripted(Speaks("one"), Speaks("two"))
        for_an_hour = Faults(expire_after_ms=60_000)
        async with stage(brain, faults=[for_an_hour]) as on:
            await on.caller.say("first")
            await asyncio.sleep(61)
            await on.caller.say("second")
            await asyncio.sleep(3)
            return on, on.caller.heard, on.trace.of(ErrorOccurred)

    on, heard, errors = simulate(scene)
    assert heard == "one two"
    assert len(on.service.sessions) == 2
    assert [(one.code.value, one.is_fatal) for one in errors] == [("stream_closed", False)]
    assert len(on.trace.of(Reconnected)) == 1


def test_an_expiry_by_close_code_alone_is_known_as_one():
    """Close code 1001 with the words of the service means the same as its error."""

    async def scene():
        async with stage(faults=[Faults(expire_after_ms=5_000, close_code=1001)]) as on:
            await asyncio.sleep(8)
            return on.trace.of(ErrorOccurred), len(on.trace.of(Reconnected))

    errors, reconnected = simulate(scene)
    assert [one.code.value for one in errors] == ["stream_closed"]
    assert reconnected == 1


def test_a_greeting_is_read_aloud():
    """Words of the application are spoken without context, before the person said anything."""

    async def scene():
        async with stage(echo, greeting="Welcome to the bank.") as on:
            await asyncio.sleep(3)
            return on, on.caller.heard, on.words(Role.AGENT)

    on, heard, agent = simulate(scene)
    assert heard == "Welcome to the bank."
    assert agent == ["Welcome to the bank."]
    (asked,) = [one for one in on.remote.received if one["type"] == "response.create"]
    assert asked["response"]["input"] == []


def test_typed_words_are_answered_after_what_was_being_made():
    """A response that was wanted while another was made waits for its end."""

    async def scene():
        brain = scripted(Speaks(LONG), Speaks("typed"))
        async with stage(brain, pace=Pace(word_ms=150)) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1.5)
            on.caller.type("something else")
            await asyncio.sleep(3)
            return on, on.caller.heard

    on, heard = simulate(scene)
    assert heard == "one two three four five typed"
    assert on.remote.errors == []
    assert orders(on.remote)[1:] == [
        "response.cancel",
        "conversation.item.truncate",
        "conversation.item.create",
        "response.create",
    ]


def test_a_failed_response_is_told_and_the_next_is_heard():
    """A response the service fails to make is an error for the application, and no end."""

    async def scene():
        async with stage(scripted(Fails(), Speaks("here I am"))) as on:
            await on.caller.say("hello")
            await asyncio.sleep(2)
            await on.caller.say("are you there")
            await asyncio.sleep(2)
            return on.caller.heard, [one.message for one in on.trace.of(ErrorOccurred)]

    heard, errors = simulate(scene)
    assert heard == "here I am"
    assert errors == ["server_error: The server had an error while processing your request."]


def test_a_message_that_is_none_harms_nothing():
    """What cannot be read in mid-response is skipped, and the words around it are heard."""

    async def scene():
        async with stage(faults=[Faults(malformed_after_audio_ms=600)]) as on:
            await on.caller.say("hello")
            await asyncio.sleep(4)
            return on.caller.heard, len(on.service.sessions)

    assert simulate(scene) == (LONG, 1)


def test_an_error_event_does_not_end_the_session():
    """An error of the service is told to the application, and the answer is heard."""

    async def scene():
        async with stage(faults=[Faults(error_code="server_error")]) as on:
            await on.caller.say("hello")
            await asyncio.sleep(4)
            return on.caller.heard, [one.is_fatal for one in on.trace.of(ErrorOccurred)]

    assert simulate(scene) == (LONG, [False])


def test_it_listens_without_answering():
    """With no automatic response, words are written down and nobody waits for an answer."""

    async def scene():
        options = S2sOptions(respond_automatically=False)
        async with stage(options=options) as on:
            await on.caller.say("just a note")
            await asyncio.sleep(20)
            return on.caller.heard, on.words(Role.USER), on.session.state, on.trace

    heard, user, state, seen = simulate(scene)
    assert (heard, user, state) == ("", ["just a note"], SessionState.IDLE)
    assert seen.of(ErrorOccurred) == []


# ── the framework owns the turns ────────────────────────────────────────────────────────────


def test_our_detector_ends_the_turn():
    """Without the service's detection, the turn is committed when ours says so."""

    async def scene():
        async with stage(options=OURS) as on:
            await asyncio.sleep(1)
            await on.caller.say("hello there")
            await asyncio.sleep(4)
            return on, on.caller.heard, on.caller.first_sound_ms

    on, heard, first_sound = simulate(scene)
    assert heard == LONG
    assert first_sound == 1380 + 600
    assert orders(on.remote) == [
        "session.update",
        "input_audio_buffer.commit",
        "response.create",
    ]
    assert on.words(Role.USER) == ["hello there"]


def test_the_first_words_of_a_barge_in_are_not_lost():
    """What was said while it was being decided whether it interrupts is part of the turn."""

    async def scene():
        brain = scripted(Speaks(LONG), Speaks("all right"))
        turns = EngineSettings()  # as it comes: 300 ms of voice are wanted
        async with stage(brain, options=OURS, engine=turns, pace=Pace(word_ms=150)) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1.5)
            await on.caller.say("stop it now")
            await asyncio.sleep(4)
            return on, on.words(Role.USER), on.caller.heard

    on, user, heard = simulate(scene)
    assert user == ["hello", "stop it now"]
    assert heard.endswith("all right")
    cut = on.trace.of(AgentResponseEnded)[0]
    assert cut.outcome is ResponseOutcome.CUT
    assert on.words(Role.AGENT)[0] == cut.heard_text
    # Our cancel reaches a response that is still being made; the service made no error of it.
    assert "response.cancel" in orders(on.remote)
    assert on.remote.errors == []


@pytest.mark.parametrize("latency_ms", [0, 200])
def test_speaking_on_makes_an_answer_unwanted(latency_ms):
    """Who goes on before the answer began gets one answer, also if its beginning is under way."""

    async def scene():
        running_simulation().network.set_conditions(Conditions(latency_ms=latency_ms))
        brain = scripted(Speaks("well"))
        async with stage(brain, options=OURS, pace=Pace(thinking_ms=400)) as on:
            await on.caller.say("I would like")
            await asyncio.sleep(0.7)
            await on.caller.say("two tickets")
            await asyncio.sleep(4)
            return on, on.caller.heard, on.words(Role.USER), len(brain.asked)

    on, heard, user, asked = simulate(scene)
    assert (heard, asked) == ("well", 1)
    assert user == ["I would like", "two tickets"]
    assert on.remote.errors == []


# ── settings ────────────────────────────────────────────────────────────────────────────────


def test_settings_reach_the_service():
    """What was asked for is what the service has."""

    async def tell(city: str) -> str:
        """Tell the weather."""
        return city

    async def scene():
        settings = {
            "voice": "cedar",
            "turn_detection": SemanticVad(eagerness="high"),
            "noise_reduction": "near_field",
            "speed": 1.2,
            "max_output_tokens": 500,
            "reasoning_effort": "low",
            "tool_choice": "auto",
        }
        options = S2sOptions(instructions="Be kind.", language="de-AT")
        async with stage(settings=settings, options=options, tools=[tell]) as on:
            return next(one for one in on.remote.sent if one["type"] == "session.updated")

    session = simulate(scene)["session"]
    heard, spoken = session["audio"]["input"], session["audio"]["output"]
    assert session["instructions"] == "Be kind."
    assert session["reasoning"] == {"effort": "low"}
    assert session["max_output_tokens"] == 500
    assert [one["name"] for one in session["tools"]] == ["tell"]
    assert (spoken["voice"], spoken["speed"]) == ("cedar", 1.2)
    assert heard["noise_reduction"]["type"] == "near_field"
    assert heard["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "high",
        "create_response": True,
        "interrupt_response": True,
    }
    assert heard["transcription"]["model"] == "gpt-transcribe"
    assert heard["transcription"]["language"] == "de"


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (
            {"turn_detection": ServerVad(silence_duration_ms=200, threshold=0.6)},
            S2sOptions(),
        ),
        ({}, S2sOptions(turn_detection=TurnDetection(silence_ms=200, threshold=0.6))),
        (
            {"turn_detection": ServerVad(silence_duration_ms=900)},
            S2sOptions(turn_detection=TurnDetection(silence_ms=200, prefix_ms=100)),
        ),
    ],
)
def test_a_shorter_silence_ends_the_turn_earlier(settings, options):
    """The settings of the service's detection take effect, those of the session before others."""

    async def scene():
        async with stage(settings=settings, options=options) as on:
            await asyncio.sleep(1)
            await on.caller.say("hello there")
            await asyncio.sleep(1)
            return on.caller.first_sound_ms

    assert simulate(scene) == 1380 + 200


def test_instructions_change_in_mid_call():
    """An update reaches the service, and the next connection too."""

    async def scene():
        brain = scripted(Speaks("a"), Speaks("b"))
        async with stage(brain) as on:
            on.session.update(instructions="Be rude.")
            await on.caller.say("hello")
            await asyncio.sleep(2)
            return brain.asked[0].instructions, on.remote.errors

    assert simulate(scene) == ("Be rude.", [])


def test_the_same_scene_gives_the_same_trace():
    """Two runs of one scene agree in every event and its time."""

    async def scene():
        running_simulation().network.set_conditions(Conditions(latency_ms=30, jitter_ms=20))
        async with stage(pace=Pace(thinking_ms=120, word_ms=90)) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1.2)
            await on.caller.say("stop")
            await asyncio.sleep(3)
        return on.trace.lines()

    first, second = simulate(scene, seed=7), simulate(scene, seed=7)
    assert first == second
    assert len(first) > 50


def test_a_line_of_another_rate_is_converted():
    """The sound of a 16 kHz line reaches the service at 24 kHz, and its answer is heard."""

    async def scene():
        service = OpenAIRealtimeEmulator(lambda asked: Speaks("yes"))
        caller = ScriptedCaller(input_rate=16000)
        async with service.serving(HOST, PORT):
            session = Session(provider(), line=caller)
            async with session, caller.on(session):
                await caller.noise(400)
                await asyncio.sleep(2)
        return caller.heard, len(service.sessions[0].heard) / 48, session.history[0]

    heard, milliseconds, said = simulate(scene)
    assert heard == "yes"
    assert 2360 < milliseconds <= 2400  # a part of the last frame waits in the converter
    assert said == Message(role=Role.USER, text=UNINTELLIGIBLE)
