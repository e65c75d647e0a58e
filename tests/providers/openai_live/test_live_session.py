"""A conversation over OpenAI Live, in simulated time, to the millisecond."""

import asyncio

import pytest

from beluga_voice.agents.functions import agent_of
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.link import ReconnectSettings
from beluga_voice.errors import Unsupported
from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseStarted,
    AgentResponseText,
    AnswerDelegation,
    BargedIn,
    DelegationId,
    DelegationRequested,
    ErrorOccurred,
    FunctionAnswered,
    InputTranscript,
    Message,
    Reconnected,
    ResponseAudio,
    ResponseDone,
    ResponseOutcome,
    Role,
    SendAudio,
    SessionEnded,
    SessionState,
    Transcription,
    TurnMeasured,
    UserSpeechEnded,
)
from beluga_voice.interfaces import S2sOptions, Tool, ToolSpec
from beluga_voice.providers.s2s.openai_live import ResponsesDelegation
from beluga_voice.providers.s2s.openai_live import _codec as codec_module
from beluga_voice.providers.s2s.reasoned import Reasoned
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.openai_live import OpenAILiveEmulator
from beluga_voice.testing.emulators.openai_live_session import Manners
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
from beluga_voice.testing.scripted import ScriptedVad
from beluga_voice.testing.speech import pcm_of, silence, speech, words_in
from providers.openai_live.live_stage import (
    HOST,
    LONG,
    PORT,
    appended,
    check_frames,
    orders,
    provider,
    scripted,
    stage,
)

BACKEND = {"delegation": ResponsesDelegation(model="gpt-5.2")}
GAP = 800
ODD = "A b c d e f g h i j. " * 100


# ── talking ─────────────────────────────────────────────────────────────────────────────────


def test_a_turn_is_heard_and_answered():
    """The model answers after a silence of its own choice, and what it says is heard."""

    async def scene():
        async with stage(pace=Pace(thinking_ms=300)) as on:
            await asyncio.sleep(1)
            await on.caller.say("hello there")  # voice from 1000 to 1400 ms
            await asyncio.sleep(6)
            return on, on.caller.heard, on.caller.first_sound_ms

    on, heard, first_sound = simulate(scene)
    assert heard == LONG
    # The block from 1880 to 1980 holds the end of 500 ms of silence; 300 ms later it speaks, and
    # its first block is full 100 ms after that. Frames come with their first sample.
    assert first_sound == 2180
    assert on.words(Role.USER) == ["hello there"]
    assert on.words(Role.AGENT) == [LONG]
    (ended,) = on.trace.of(AgentResponseEnded)
    assert (ended.outcome, ended.heard_text) == (ResponseOutcome.HEARD, LONG)
    # Two seconds of words, and the silence by which its end is known.
    assert ended.generated_ms == ended.heard_ms == 2000 + GAP
    assert on.trace.at_ms(AgentResponseEnded) == 2180 + 2000 + GAP
    assert orders(on.remote)[:1] == ["session.start"]
    assert on.remote.errors == []


def test_the_answer_is_measured_from_the_end_of_the_voice():
    """Our own ears hear the person; the service says nothing of that."""

    async def scene():
        async with stage(pace=Pace(thinking_ms=300)) as on:
            await asyncio.sleep(1)
            await on.caller.say("hello there")
            await asyncio.sleep(4)
            return on.trace.at_ms(UserSpeechEnded), on.trace.of(TurnMeasured)

    ended, (measured,) = simulate(scene)
    assert ended == 1380 + 600
    assert measured.total_ms == 2180 - 1380


def test_the_network_is_paid_for_once_each_way():
    """With 40 ms each way, the first sound is 80 ms later, and nothing else changes."""

    async def scene():
        running_simulation().network.set_conditions(Conditions(latency_ms=40))
        async with stage() as on:
            began = on.caller.now_ms
            await asyncio.sleep(1)
            await on.caller.say("hello there")
            await asyncio.sleep(5)
            return began, on.caller.first_sound_ms - began, on.caller.heard

    began, first_sound, heard = simulate(scene)
    # TCP, the upgrade, and session.start with its answer: three round trips.
    assert began == 3 * 80
    assert (first_sound, heard) == (1880 + 80, LONG)


def test_words_are_told_as_they_are_understood():
    """Interim transcripts grow word by word; the final one comes after a silence."""

    async def scene():
        async with stage() as on:
            await on.caller.say("one two three")
            await asyncio.sleep(3)
            return [(one.text, one.is_final) for one in on.trace.of(Transcription)]

    assert simulate(scene) == [
        ("one", False),
        ("one two", False),
        ("one two three", False),
        ("one two three", True),
    ]


def test_words_of_the_model_are_told_as_it_says_them():
    """They are in step with their sound, and make the text of the response."""

    async def scene():
        async with stage() as on:
            await on.caller.say("hello")
            await asyncio.sleep(5)
            deltas = [one.delta for one in on.trace.of(AgentResponseText)]
            return deltas, on.trace.at_ms(AgentResponseText, 5) - on.trace.at_ms(AgentResponseText)

    deltas, distance = simulate(scene)
    assert "".join(deltas) == LONG
    assert distance == 5 * 200


def test_a_transcript_may_come_after_the_answer_began():
    """Words that are written down late are the person's all the same."""

    async def scene():
        async with stage(pace=Pace(transcript_ms=1500)) as on:
            await on.caller.say("what time is it")
            await asyncio.sleep(6)
            return on.words(Role.USER), on.words(Role.AGENT)

    assert simulate(scene) == (["what time is it"], [LONG])


def test_a_sound_without_words_is_an_utterance():
    """What cannot be understood is said to be so, and answered."""

    async def scene():
        async with stage(echo) as on:
            await on.caller.noise(400)
            await asyncio.sleep(3)
            return on.remote.history[0]

    assert simulate(scene) == Message(role=Role.USER, text=UNINTELLIGIBLE)


# ── talking at once ─────────────────────────────────────────────────────────────────────────


def test_the_model_stops_by_itself():
    """A person who speaks over it is let speak, and answered; nobody cancels anything."""

    async def scene():
        brain = scripted(Speaks(LONG), Speaks("all right"))
        async with stage(brain) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1.2)
            await on.caller.say("no stop it please")
            await asyncio.sleep(4)
            return on, on.caller.heard

    on, heard = simulate(scene)
    assert heard == "one two three four five all right"
    assert on.trace.of(BargedIn) == []
    assert on.trace.of(ErrorOccurred) == []
    assert [one.outcome for one in on.trace.of(AgentResponseEnded)] == [ResponseOutcome.HEARD] * 2
    assert orders(on.remote) == ["session.start", "session.close"]
    assert on.words(Role.USER) == ["hello", "no stop it please"]
    assert on.words(Role.AGENT)[1] == "all right"


def test_a_word_in_between_stops_nothing():
    """The model goes on speaking, and hears it."""

    async def scene():
        brain = scripted(Speaks(LONG), [])
        async with stage(brain) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1.2)
            await on.caller.say("mhm")
            await asyncio.sleep(4)
            return on, on.caller.heard

    on, heard = simulate(scene)
    assert heard == LONG
    assert on.words(Role.USER) == ["hello", "mhm"]
    assert len(on.trace.of(AgentResponseStarted)) == 1


def test_a_model_that_stays_silent_is_not_asked_again():
    """Silence is its right: there is no error, and nothing is sent."""

    async def scene():
        async with stage(lambda _: []) as on:
            await on.caller.say("hm")
            await asyncio.sleep(20)
            return on, on.session.state

    on, state = simulate(scene)
    assert state is SessionState.IDLE
    assert on.trace.of(ErrorOccurred) == []
    assert orders(on.remote)[:2] == ["session.start", "session.close"]


def test_a_stop_key_keeps_the_rest_from_the_person():
    """The model cannot be stopped: what it still says is dropped, and it is told."""

    async def scene():
        async with stage(scripted(Speaks(LONG), Speaks("yes"))) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1.6)
            on.caller.press_stop()
            await asyncio.sleep(4)
            silent_from = on.caller.last_sound_ms
            await on.caller.say("go on")
            await asyncio.sleep(3)
            return on, on.caller.heard, silent_from

    on, heard, silent_from = simulate(scene)
    ended = on.trace.of(AgentResponseEnded)[0]
    words = ended.heard_text.split()
    assert words == LONG.split()[: len(words)]
    assert 3 <= len(words) < 10
    assert heard == f"{ended.heard_text} yes"
    assert ended.outcome is ResponseOutcome.CUT
    assert silent_from == 180 + 1600
    assert appended(on.remote) == [("thinking", codec_module.CUT + ended.heard_text, None)]
    assert on.remote.errors == []


# ── words that are not spoken ───────────────────────────────────────────────────────────────


def test_a_greeting_is_spoken():
    """Words of the application are asked for before the person said anything."""

    async def scene():
        async with stage(echo, greeting="Welcome to the bank.") as on:
            await asyncio.sleep(4)
            return on, on.caller.heard, on.words(Role.AGENT)

    on, heard, agent = simulate(scene)
    assert heard == "Welcome to the bank."
    assert agent == ["Welcome to the bank."]
    assert [channel for channel, *_ in appended(on.remote)] == ["commentary"]


def test_typed_words_are_answered():
    """The model is told what was written, and to answer it."""

    async def scene():
        async with stage(echo) as on:
            await asyncio.sleep(0.5)
            on.caller.type("good morning")
            await asyncio.sleep(4)
            return on, on.caller.heard

    on, heard = simulate(scene)
    assert heard == "good morning"
    assert appended(on.remote) == [
        ("thinking", codec_module.WROTE + "good morning", None),
        ("commentary", codec_module.ANSWER, None),
    ]


def test_instructions_can_be_added_to():
    """A change reaches the model, in as many pieces as it needs."""

    async def scene():
        async with stage() as on:
            on.session.update(instructions=ODD)
            await asyncio.sleep(2)
            return on

    on = simulate(scene)
    # Letters apart are more tokens than we think: what was refused went again, in halves.
    assert set(on.remote.errors) == {"invalid_value"}
    placed = [one.text for one in on.remote.history if isinstance(one, Message)]
    wanted = codec_module.UPDATED + ODD
    assert sorted(" ".join(placed).split()) == sorted(wanted.split())
    assert on.trace.of(ErrorOccurred) == []


# ── work ────────────────────────────────────────────────────────────────────────────────────


def test_work_is_handed_to_us_and_its_result_spoken():
    """After the words it is about; a note is known, and what is to be spoken is."""

    async def scene():
        service = OpenAILiveEmulator(scripted([Speaks("let me see"), Calls("anything")]))
        loop = running_simulation()
        async with service.serving(HOST, PORT), provider().connect(S2sOptions()) as link:
            told = []
            link.attach(lambda event: told.append((round(loop.time(), 3), event)))
            pcm = pcm_of(speech("when is my train", rate=24000)) + silence(7000, rate=24000)
            for start in range(0, len(pcm), 960):
                link.send(SendAudio(pcm=pcm[start : start + 960]))
                await asyncio.sleep(0.02)
                for _, event in told:
                    if isinstance(event, DelegationRequested) and not service.sessions[0].errors:
                        work = event.delegation_id
                if start == 960 * 150:
                    link.send(
                        AnswerDelegation(
                            delegation_id=work, text="Found it.", is_spoken=False, is_final=False
                        )
                    )
                    link.send(AnswerDelegation(delegation_id=work, text="At nine."))
                    link.send(AnswerDelegation(delegation_id=work, text="Too late."))
                    link.send(AnswerDelegation(delegation_id=DelegationId("x"), text="Never."))
        check_frames(service.sessions[0])
        return told, service.sessions[0]

    told, remote = simulate(scene)
    events = [event for _, event in told]
    (asked,) = [i for i, one in enumerate(events) if isinstance(one, DelegationRequested)]
    final = next(
        i for i, one in enumerate(events) if isinstance(one, InputTranscript) and one.is_final
    )
    assert final < asked
    assert events[final].text == "when is my train"
    sound = b"".join(one.pcm for one in events if isinstance(one, ResponseAudio))
    assert words_in(sound) == ["let", "me", "see", "At", "nine."]
    assert appended(remote) == [
        ("thinking", "Found it.", remote.delegations[0]),
        ("commentary", "At nine.", remote.delegations[0]),
    ]
    assert remote.errors == []
    done = [one.status.value for one in events if isinstance(one, ResponseDone)]
    assert done == ["completed", "completed"]


def test_our_agent_does_the_work():
    """With an agent behind it, the model hands a request over, and speaks what the agent says."""

    async def agent(text):
        """Know the trains."""
        await asyncio.sleep(1)
        yield f"You asked {text}. "
        yield "It leaves at nine."

    async def scene():
        brain = scripted([Speaks("let me see"), Calls("anything")])
        service = OpenAILiveEmulator(brain)
        caller = ScriptedCaller(input_rate=24000)
        made = Session(
            Reasoned(provider(), agent_of(agent)),
            line=caller,
            detector=ScriptedVad(rate=24000),
            session_id="reasoned",
        )
        async with service.serving(HOST, PORT), made, caller.on(made):
            await caller.say("when is my train")
            await asyncio.sleep(9)
            heard = caller.heard
        check_frames(service.sessions[0])
        return heard, service.sessions[0]

    heard, remote = simulate(scene)
    assert heard == "let me see You asked when is my train. It leaves at nine."
    assert remote.errors == []
    assert [(channel, work) for channel, _, work in appended(remote)] == [
        ("commentary", remote.delegations[0])
    ] * 2


def test_tools_need_someone_who_calls_them():
    """Where work is handed to us, the model has no tools, and says so before connecting."""

    async def tool() -> str:
        """Do something."""
        return ""

    with pytest.raises(Unsupported):
        Session(provider(), tools=[tool])


async def weather(city: str) -> str:
    """Tell the weather."""
    await asyncio.sleep(0.2)
    return f"cold in {city}"


def test_a_tool_is_run_and_its_result_spoken():
    """The working model calls it, is told to go on, and the voice says what it made of it."""

    async def scene():
        brain = scripted([Speaks("one moment"), Calls("weather", '{"city": "Oslo"}')])
        async with stage(brain, tools=[weather], settings=BACKEND) as on:
            await on.caller.say("how is it")
            await asyncio.sleep(6)
            return on, on.caller.heard, on.trace.of(FunctionAnswered), brain.asked

    on, heard, answered, asked = simulate(scene)
    assert heard == "one moment cold in Oslo"
    assert [(one.name, one.output, one.is_error) for one in answered] == [
        ("weather", "cold in Oslo", False)
    ]
    assert orders(on.remote)[:3] == ["session.start", "response.item.create", "response.create"]
    assert asked[0].tools[0].name == "weather"
    assert on.remote.errors == []


def test_several_tools_are_answered_together():
    """Of two calls the slower one decides when the working model goes on."""

    async def fast() -> str:
        """Be quick."""
        return "first"

    async def slow() -> str:
        """Be slow, while the model talks."""
        await asyncio.sleep(1)
        return "second"

    async def scene():
        brain = scripted([Speaks(LONG), Calls("slow"), Calls("fast")])
        async with stage(brain, tools=[fast, slow], settings=BACKEND) as on:
            await on.caller.say("both")
            await asyncio.sleep(7)
            return on, on.caller.heard, brain.asked[1]

    on, heard, asked = simulate(scene)
    assert heard == f"{LONG} second"
    assert [one.output for one in asked.results] == ["first", "second"]
    assert orders(on.remote).count("response.create") == 1
    assert on.remote.errors == []


async def failing() -> str:
    """Fail."""
    raise ValueError("secret")


async def huge() -> str:
    """Give five megabytes."""
    return "x" * 5_000_000


async def endless() -> str:
    """Never return."""
    await asyncio.Event().wait()
    return ""


@pytest.mark.parametrize("function", [failing, huge, endless])
def test_a_tool_that_fails_is_answered(function):
    """The working model is told of a failure, and can say so."""
    spec = ToolSpec(name="work", description="", parameters='{"type": "object"}')
    tool = Tool(spec=spec, function=function, timeout_seconds=1.0)

    async def scene():
        brain = scripted(Calls("work"), Speaks("sorry"))
        async with stage(brain, tools=[tool], settings=BACKEND) as on:
            await on.caller.say("do it")
            await asyncio.sleep(5)
            return on, on.caller.heard, on.trace.of(FunctionAnswered)

    on, heard, (answered,) = simulate(scene)
    assert heard == "sorry"
    assert answered.is_error
    (item,) = [one["item"] for one in on.remote.received if one["type"] == "response.item.create"]
    assert item["output"].startswith("error: ")
    assert "secret" not in item["output"]


def test_a_tool_is_answered_after_the_model_was_stopped():
    """The work goes on though the person does not want to hear more of it now."""

    async def scene():
        brain = scripted([Speaks(LONG), Calls("weather", '{"city": "Oslo"}')])
        async with stage(brain, tools=[weather], settings=BACKEND) as on:
            await on.caller.say("how is it")
            await asyncio.sleep(0.75)
            on.caller.press_stop()
            await asyncio.sleep(5)
            return on

    on = simulate(scene)
    assert on.remote.errors == []
    assert orders(on.remote).count("response.create") == 1


def test_a_working_model_that_fails_withdraws_nothing_of_others():
    """Its failure is told by the service, and the conversation goes on."""

    async def scene():
        brain = scripted([Calls("weather", '{"city": "Oslo"}')], Fails(), Speaks("sorry"))
        async with stage(brain, tools=[weather], settings=BACKEND) as on:
            await on.caller.say("how is it")
            await asyncio.sleep(3)
            await on.caller.say("and now")
            await asyncio.sleep(3)
            return on, on.caller.heard

    on, heard = simulate(scene)
    assert heard == "sorry"
    assert on.session.state is SessionState.DISCONNECTED


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────


def test_a_lost_connection_is_made_again_with_the_history():
    """The next session is told what was heard, and the conversation goes on."""

    async def scene():
        brain = scripted(Speaks(LONG), Speaks("yes"))
        faults = [Faults(drop_after_audio_ms=1000)]
        engine = EngineSettings(reconnect=ReconnectSettings(first_delay_ms=1000))
        async with stage(brain, faults=faults, engine=engine) as on:
            await on.caller.say("hello")
            await asyncio.sleep(4)
            cut = on.trace.of(AgentResponseEnded)[0]
            await on.caller.say("still there")
            await asyncio.sleep(3)
            return on, cut, on.caller.heard

    on, cut, heard = simulate(scene)
    assert (cut.outcome, cut.heard_text) == (ResponseOutcome.FAILED, "one two three four five")
    assert heard == "one two three four five yes"
    assert len(on.trace.of(Reconnected)) == 1
    told = on.service.sessions[1].received[0]["session"]["input"]
    assert [(one["role"], one["content"][0]["text"]) for one in told] == [
        ("user", "hello"),
        ("assistant", "one two three four five"),
    ]
    assert [one.text for one in on.session.history] == [
        "hello",
        "one two three four five",
        "still there",
        "yes",
    ]


def test_an_expired_session_is_followed_by_another():
    """After its time the service ends it; the conversation goes on in a new one."""

    async def scene():
        brain = scripted(Speaks("one"), Speaks("two"))
        async with stage(brain, faults=[Faults(expire_after_ms=20_000)]) as on:
            await on.caller.say("first")
            await asyncio.sleep(21)
            await on.caller.say("second")
            await asyncio.sleep(3)
            return on, on.caller.heard, on.trace.of(ErrorOccurred)

    on, heard, errors = simulate(scene)
    assert heard == "one two"
    assert len(on.service.sessions) == 2
    assert [(one.code.value, one.is_fatal) for one in errors] == [("stream_closed", False)]
    assert len(on.trace.of(Reconnected)) == 1


def test_a_conversation_the_service_forbids_is_not_tried_again():
    """A session that was ended for its content would be ended again."""

    async def scene():
        async with stage() as on:
            await asyncio.sleep(1)
            on.remote.close("content")
            await asyncio.sleep(5)
            return on, on.trace.of(SessionEnded)

    on, ended = simulate(scene)
    assert [one.reason for one in ended] == ["failed"]
    assert len(on.service.sessions) == 1


@pytest.mark.parametrize(
    ("faults", "codes"),
    [
        (Faults(malformed_after_audio_ms=500), []),
        (Faults(error_code="server_error"), ["provider_error"]),
    ],
)
def test_a_flaw_in_mid_response_costs_nothing(faults, codes):
    """What cannot be read is skipped, and an error that is not the end is told."""

    async def scene():
        async with stage(faults=[faults]) as on:
            await on.caller.say("hello")
            await asyncio.sleep(5)
            return on.caller.heard, [one.code.value for one in on.trace.of(ErrorOccurred)]

    assert simulate(scene) == (LONG, codes)


def test_a_service_that_falls_silent_is_replaced():
    """Sound goes out and none comes back: after ten seconds there is another session."""

    async def scene():
        brain = scripted(Speaks(LONG), Speaks("yes"))
        async with stage(brain, faults=[Faults(stall_after_audio_ms=1000)]) as on:
            await on.caller.say("hello")
            await asyncio.sleep(16)
            await on.caller.say("still there")
            await asyncio.sleep(3)
            return on, on.caller.heard

    on, heard = simulate(scene)
    assert heard == "one two three four five yes"
    assert len(on.service.sessions) == 2


def test_a_line_that_is_held_keeps_the_session():
    """Nobody sends sound for a minute, and the session lives and speaks."""

    async def scene():
        service = OpenAILiveEmulator(echo)
        held = Session(provider(), session_id="held")
        async with service.serving(HOST, PORT), held as session:
            await asyncio.sleep(60)
            session.say("still here")
            await asyncio.sleep(4)
            history = session.history
        check_frames(service.sessions[0])
        return history, service.sessions

    history, sessions = simulate(scene)
    assert [one.text for one in history] == ["still here"]
    assert len(sessions) == 1
    assert sessions[0].errors == []


def test_acknowledgements_may_be_missing():
    """A service that does not say that it placed our words speaks them all the same."""

    async def scene():
        manners = Manners(keeps_acknowledgements=True)
        async with stage(echo, manners=manners, greeting="Welcome.") as on:
            await asyncio.sleep(3)
            return on.caller.heard

    assert simulate(scene) == "Welcome."


# ── settings ────────────────────────────────────────────────────────────────────────────────


def test_settings_reach_the_service():
    """Instructions, voice, delegation and history are what the session began with."""

    async def scene():
        options = S2sOptions(
            instructions="Be kind.",
            voice="cedar",
            history=(Message(role=Role.USER, text="my name is Ada"),),
        )
        settings = {"acknowledgement_delay_ms": 500, "safety_identifier": "u1"}
        async with stage(echo, options=options, settings=settings) as on:
            await asyncio.sleep(1)
            return on.remote.sent[0]["session"], on.remote.history

    session, history = simulate(scene)
    assert session["instructions"] == "Be kind."
    assert session["audio"]["output"]["voice"] == "cedar"
    assert session["delegation"] == {"type": "client", "acknowledgement_delay_ms": 500}
    assert session["safety_identifier"] == "u1"
    assert history == [Message(role=Role.USER, text="my name is Ada")]


@pytest.mark.parametrize(
    "sound",
    [pcm16(16000), AudioFormat(Encoding.MULAW, 8000), AudioFormat(Encoding.ALAW, 8000)],
)
def test_a_conversation_in_every_format(sound):
    """Other sound is converted both ways, and the turn is the same."""

    async def scene():
        async with stage(settings={"format": sound}) as on:
            await asyncio.sleep(1)
            await on.caller.noise(400)
            await asyncio.sleep(6)
            (ended,) = on.trace.of(AgentResponseEnded)
            return ended, on.words(Role.AGENT), on.remote.errors

    ended, agent, errors = simulate(scene)
    assert (ended.outcome, ended.heard_text, agent) == (ResponseOutcome.HEARD, LONG, [LONG])
    assert round(ended.heard_ms) == 2000 + GAP
    assert errors == []


def test_the_same_scene_gives_the_same_trace():
    """Nothing in it depends on chance, or on a clock."""

    async def scene():
        async with stage(scripted(Speaks(LONG), Speaks("all right"))) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1.2)
            await on.caller.say("no stop it please")
            await asyncio.sleep(4)
            return on.trace.lines()

    first = simulate(scene)
    assert len(first) > 20
    assert simulate(scene) == first
