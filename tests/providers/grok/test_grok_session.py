"""A conversation over Grok, in simulated time, to the millisecond."""

import asyncio

import pytest

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.link import ReconnectSettings
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
    Transcription,
    UserSpeechEnded,
)
from beluga_voice.interfaces import Latency, S2sOptions, TurnDetection, TurnOwner
from beluga_voice.providers.s2s.grok import ServerVad
from beluga_voice.testing.emulators.grok import KEPT_SECONDS, Quirks
from beluga_voice.testing.emulators.speech import Calls, Fails, Faults, Pace, Speaks, echo
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.network import Conditions
from providers.grok.grok_stage import LONG, created_items, orders, scripted, stage

OURS = S2sOptions(turn_owner=TurnOwner.FRAMEWORK)
FIVE = "one two three four five"


# ── the service owns the turns ──────────────────────────────────────────────────────────────


def test_a_turn_is_heard_and_answered():
    """The service ends the turn after its silence, and the answer sounds at once."""

    async def scene():
        async with stage(pace=Pace(thinking_ms=300)) as on:
            await asyncio.sleep(1)
            await on.caller.say("hello there")  # voice from 1000 to 1400 ms
            await asyncio.sleep(5)
            return on, on.caller.heard, on.caller.first_sound_ms

    on, heard, first_sound = simulate(scene)
    assert heard == LONG
    assert on.words(Role.USER) == ["hello there"]
    # Its last frame of voice comes at 1380, the last of 500 ms of silence at 1880.
    assert on.trace.at_ms(UserSpeechEnded) == 1880
    assert first_sound == 1880 + 300
    assert on.words(Role.AGENT) == [LONG]
    assert orders(on.remote) == ["session.update"]
    assert on.remote.errors == []


def test_words_that_are_written_down_again_and_again_are_final_once():
    """They are final when the answer sounds; until then each news is the whole so far."""

    async def scene():
        async with stage(pace=Pace(thinking_ms=300)) as on:
            await on.caller.say("hello there")
            await asyncio.sleep(3)
            return [
                (round(one.at * 1000), one.event.text, one.event.is_final)
                for one in on.trace.happenings
                if isinstance(one.event, Transcription)
            ]

    # Two updates that add a word each, then three times the end of it.
    assert simulate(scene) == [
        (880, "hello", False),
        (880, "hello there", False),
        (880, "hello", False),
        (880, "hello there", False),
        (1180, "hello there", True),
    ]


def test_a_transcript_may_come_after_the_answer_began():
    """Words that are written down late are final at once, and stand before the answer."""

    async def scene():
        async with stage(pace=Pace(transcript_ms=900)) as on:
            await on.caller.say("what time is it")
            await asyncio.sleep(4)
            finals = [
                round(one.at * 1000)
                for one in on.trace.happenings
                if isinstance(one.event, Transcription) and one.event.is_final
            ]
            return on.session.history, finals

    history, finals = simulate(scene)
    assert finals == [1280 + 900]
    assert [one.text for one in history] == ["what time is it", LONG]


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
    assert barged == last_sound == 1680
    assert ended.heard_ms == 1000
    assert ended.heard_text == heard == FIVE
    assert orders(on.remote)[:3] == ["session.update", "conversation.item.truncate"]
    (cut,) = [one for one in on.remote.received if one["type"] == "conversation.item.truncate"]
    assert cut["audio_end_ms"] == ended.heard_ms
    assert on.remote.conversation.history()[1] == Message(role=Role.AGENT, text=FIVE)


def test_a_barge_in_on_a_response_in_the_making_lets_nothing_late_sound():
    """The service is told to stop, goes on for two words, and none of them is heard."""

    async def scene():
        brain = scripted(Speaks(LONG), Speaks("all right"))
        async with stage(brain, pace=Pace(word_ms=150)) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1.5)
            await on.caller.say("stop it")
            await asyncio.sleep(4)
            return on, on.caller.heard, on.trace.of(ErrorOccurred)

    on, heard, errors = simulate(scene)
    assert heard == f"{FIVE} all right"
    assert orders(on.remote) == [
        "session.update",
        "response.cancel",
        "conversation.item.truncate",
    ]
    # The service had stopped by itself, and says so; that harms nobody.
    assert (on.remote.errors, errors) == (["response_cancel_not_active"], [])
    late = kinds_after(on.remote, "response.done", "response.output_audio.delta")
    assert late == 2 + 2  # two late words, and the two of the next answer
    assert [one.text for one in on.session.history] == ["hello", FIVE, "stop it", "all right"]


def kinds_after(remote, first, counted):
    """How many events of a kind came after the first of another."""
    kinds = [one["type"] for one in remote.sent]
    return kinds[kinds.index(first) :].count(counted)


def test_a_response_that_is_left_in_mid_air_is_over():
    """Who goes on before the answer sounds gets one answer, though the first never ended."""

    async def scene():
        quirks = Quirks(leaves_unspoken=True)
        brain = scripted(Speaks("here you are"))
        async with stage(brain, pace=Pace(thinking_ms=600), quirks=quirks) as on:
            await on.caller.say("I would like")
            await asyncio.sleep(0.7)
            await on.caller.say("two tickets")
            await asyncio.sleep(4)
            return on, on.caller.heard, on.words(Role.USER)

    on, heard, user = simulate(scene)
    assert heard == "here you are"
    assert user == ["I would like", "two tickets"]
    kinds = [one["type"] for one in on.remote.sent]
    assert (kinds.count("response.created"), kinds.count("response.done")) == (2, 1)


def test_words_of_ours_follow_a_response_that_was_left_in_mid_air():
    """The service never ends what was stopped before it sounded, and goes on with what is said."""

    async def scene():
        quirks = Quirks(leaves_unspoken=True)
        async with stage(pace=Pace(thinking_ms=600), quirks=quirks) as on:
            await on.caller.say("hello")
            await asyncio.sleep(0.7)
            on.caller.press_stop()
            on.session.say("as you like")
            await asyncio.sleep(4)
            return on, on.caller.heard

    on, heard = simulate(scene)
    assert heard == "as you like"
    kinds = [one["type"] for one in on.remote.sent]
    assert (kinds.count("response.created"), kinds.count("response.done")) == (2, 1)


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
    assert heard == FIVE
    assert orders(on.remote)[1:] == ["response.cancel", "conversation.item.truncate"]
    assert on.remote.errors == []


def test_pings_mean_nothing():
    """A minute of silence brings six of them, and nothing comes of it."""

    async def scene():
        async with stage() as on:
            await asyncio.sleep(61)
            kinds = [one["type"] for one in on.remote.sent]
            return kinds.count("ping"), on.trace.of(ErrorOccurred), len(on.service.sessions)

    assert simulate(scene) == (6, [], 1)


# ── words of the application ────────────────────────────────────────────────────────────────


def test_a_greeting_is_spoken_exactly():
    """Its words go to the service as they are, and no response is asked for."""

    async def scene():
        async with stage(greeting="Welcome to the bank.") as on:
            await asyncio.sleep(3)
            return on, on.caller.heard, on.words(Role.AGENT)

    on, heard, agent = simulate(scene)
    assert heard == "Welcome to the bank."
    assert agent == ["Welcome to the bank."]
    assert orders(on.remote) == ["session.update", "conversation.item.create"]
    (item,) = created_items(on.remote)
    assert item == {
        "type": "force_message",
        "role": "assistant",
        "interruptible": True,
        "content": [{"type": "output_text", "text": "Welcome to the bank."}],
    }
    assert [one.text for one in on.remote.conversation.history()] == ["Welcome to the bank."]


def test_words_wait_for_what_is_being_said():
    """What is to be said while the agent speaks follows after it."""

    async def scene():
        async with stage(scripted(Speaks("one two")), pace=Pace(word_ms=150)) as on:
            await on.caller.say("hello")
            await asyncio.sleep(0.55)
            on.session.say("and three")
            await asyncio.sleep(3)
            return on, on.caller.heard

    on, heard = simulate(scene)
    assert heard == "one two and three"
    assert on.remote.errors == []
    assert orders(on.remote) == ["session.update", "conversation.item.create"]


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
    assert heard == f"{FIVE} typed"
    assert on.remote.errors == []
    assert orders(on.remote)[1:] == [
        "response.cancel",
        "conversation.item.truncate",
        "conversation.item.create",
        "response.create",
    ]


# ── tools ───────────────────────────────────────────────────────────────────────────────────


async def weather(city: str) -> str:
    """Tell the weather."""
    await asyncio.sleep(0.2)
    return f"cold in {city}"


def test_a_tool_is_run_and_its_result_spoken():
    """A tool call makes a round trip, and the second response says what it gave."""

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


@pytest.mark.parametrize("failure", ["raises", "is huge"])
def test_a_tool_that_fails_is_answered(failure):
    """What a tool raises, or gives too much of, is told to the service as an error."""

    async def broken() -> str:
        """Fail."""
        if failure == "raises":
            raise RuntimeError("no")
        return "x" * 5_000_000

    async def scene():
        async with stage(scripted(Calls("broken"), Speaks("sorry")), tools=[broken]) as on:
            await on.caller.say("try it")
            await asyncio.sleep(4)
            return on.caller.heard, on.trace.of(FunctionAnswered), created_items(on.remote)

    heard, answered, items = simulate(scene)
    assert heard == "sorry"
    assert [one.is_error for one in answered] == [True]
    assert len(items[0]["output"]) < 1000


def test_a_tool_that_ends_after_a_barge_in_is_answered():
    """The person speaks while a tool runs: the answer to that knows the result as well."""

    async def slow() -> str:
        """Be slow."""
        await asyncio.sleep(2)
        return "done"

    async def scene():
        brain = scripted([Speaks(LONG), Calls("slow")], Speaks("yes it is"))
        async with stage(brain, tools=[slow]) as on:
            await on.caller.say("do it")
            await asyncio.sleep(1.5)
            await on.caller.say("are you there")
            await asyncio.sleep(5)
            return on, on.caller.heard, brain.asked

    on, heard, asked = simulate(scene)
    assert heard == f"{FIVE} yes it is"
    assert (asked[1].text, [one.output for one in asked[1].results]) == ("are you there", ["done"])
    assert "response.create" not in orders(on.remote)


def test_a_tool_of_the_services_own_is_not_ours_to_run():
    """What the service runs by itself shows as a call too, and nobody answers it."""

    async def scene():
        brain = scripted([Calls("web_search", '{"query": "x"}'), Speaks("found it")])
        settings = {"server_tools": ["web_search"]}
        async with stage(brain, settings=settings, tools=[weather]) as on:
            await on.caller.say("look it up")
            await asyncio.sleep(4)
            return on, on.caller.heard, on.trace.of(FunctionAnswered), on.trace.of(ErrorOccurred)

    on, heard, answered, errors = simulate(scene)
    assert (heard, answered, errors) == ("found it", [], [])
    assert orders(on.remote) == ["session.update"]
    tools = on.remote.received[0]["session"]["tools"]
    assert [one.get("name", one["type"]) for one in tools] == ["web_search", "weather"]


# ── connections end ─────────────────────────────────────────────────────────────────────────

LOST = EngineSettings(reconnect=ReconnectSettings(first_delay_ms=1000))


def test_a_lost_connection_is_continued_by_the_service():
    """The next connection names the conversation, and is told nothing that the service knows."""

    async def scene():
        brain = scripted(Speaks(LONG), Speaks("yes"))
        faults = [Faults(drop_after_audio_ms=1000)]
        async with stage(brain, pace=Pace(word_ms=150), faults=faults, engine=LOST) as on:
            await on.caller.say("hello")
            await asyncio.sleep(4)
            cut = on.trace.of(AgentResponseEnded)[0]
            await on.caller.say("still there")
            await asyncio.sleep(2)
            return on, cut, on.caller.heard, brain.asked

    on, cut, heard, asked = simulate(scene)
    assert (cut.outcome, cut.heard_text) == (ResponseOutcome.FAILED, FIVE)
    assert heard == f"{FIVE} yes"
    assert [one.attempt for one in on.trace.of(Reconnecting)] == [1]
    assert len(on.trace.of(Reconnected)) == 1
    first, second = on.service.sessions
    assert created_items(second) == []
    began = [one for one in second.sent if one["type"] == "conversation.created"]
    assert [one["conversation"]["id"] for one in began] == ["conv_0001"]
    # What was said comes again, and is nothing new: one user turn and one answer each.
    replayed = [one for one in second.sent if one["type"] == "conversation.item.created"]
    assert len(replayed) == 2
    assert second.conversation is first.conversation
    assert [one.text for one in on.session.history] == ["hello", FIVE, "still there", "yes"]
    assert [one.text for one in asked[1].history if isinstance(one, Message)][::2] == [
        "hello",
        "still there",
    ]


def test_what_happened_without_a_connection_is_told_to_the_next():
    """Typed words and a tool that was stopped are told; what the service knows is not."""

    async def slow() -> str:
        """Be slow."""
        await asyncio.sleep(60)
        return "done"

    async def scene():
        brain = scripted([Calls("slow"), Speaks(LONG)], Speaks("yes"))
        faults = [Faults(drop_after_audio_ms=1000)]
        pace = Pace(word_ms=150)
        async with stage(brain, pace=pace, faults=faults, engine=LOST, tools=[slow]) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1.2)  # the connection breaks at 1280, and is tried again at 2280
            on.caller.type("are you there")
            await asyncio.sleep(4)
            return on, created_items(on.remote), on.caller.heard, brain.asked

    on, items, heard, asked = simulate(scene)
    first, _ = on.service.sessions
    (call,) = [one for one in first.sent if one["type"].endswith("call_arguments.done")]
    assert items == [
        {
            "type": "function_call_output",
            "call_id": call["call_id"],
            "output": "cancelled: the connection was lost",
        },
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "are you there"}],
        },
    ]
    assert heard.endswith("yes")
    assert asked[1].text == "are you there"
    assert on.remote.errors == []


def test_without_resumption_the_next_connection_is_told_the_history():
    """The service is told what was heard, as text."""

    async def scene():
        brain = scripted(Speaks(LONG), Speaks("yes"))
        faults = [Faults(drop_after_audio_ms=1000)]
        settings = {"resumption": False}
        pace = Pace(word_ms=150)
        async with stage(brain, pace=pace, faults=faults, engine=LOST, settings=settings) as on:
            await on.caller.say("hello")
            await asyncio.sleep(4)
            return created_items(on.remote)

    told = [(one["role"], one["content"][0]["text"]) for one in simulate(scene)]
    assert told == [("user", "hello"), ("assistant", FIVE)]


def test_a_conversation_that_was_refused_begins_anew():
    """If the service refuses the conversation's id, another one begins and is told the history."""

    async def scene():
        faults = [Faults(drop_after_audio_ms=1000), Faults(refuse_status=404)]
        async with stage(pace=Pace(word_ms=150), faults=faults, engine=LOST) as on:
            await on.caller.say("hello")
            await asyncio.sleep(4)
            return created_items(on.remote), len(on.trace.of(Reconnected))

    items, reconnected = simulate(scene)
    assert [one["content"][0]["text"] for one in items] == ["hello", FIVE]
    assert reconnected == 1


def test_a_conversation_that_was_forgotten_begins_anew():
    """After half an hour away the service begins another, and is told what was said."""

    async def scene():
        away_ms = KEPT_SECONDS * 1000 + 1000
        away = ReconnectSettings(first_delay_ms=away_ms, max_delay_ms=away_ms)
        engine = EngineSettings(reconnect=away)
        faults = [Faults(drop_after_audio_ms=1000)]
        async with stage(pace=Pace(word_ms=150), faults=faults, engine=engine) as on:
            await on.caller.say("hello")
            await asyncio.sleep(KEPT_SECONDS + 10)
            began = [one for one in on.remote.sent if one["type"] == "conversation.created"]
            return created_items(on.remote), began[0]["conversation"]["id"]

    items, conversation = simulate(scene)
    assert [one["content"][0]["text"] for one in items] == ["hello", FIVE]
    assert conversation == "conv_0002"


def test_an_expired_session_is_followed_by_another():
    """After its two hours the service hangs up; the conversation goes on over a new connection."""

    async def scene():
        brain = scripted(Speaks("one"), Speaks("two"))
        async with stage(brain, faults=[Faults(expire_after_ms=60_000)]) as on:
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
    assert errors == ["The server had an error while processing your request."]


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
    assert orders(on.remote) == ["session.update", "input_audio_buffer.commit", "response.create"]
    assert on.remote.received[0]["session"]["turn_detection"] is None
    assert on.words(Role.USER) == ["hello there"]


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

    async def scene():
        settings = {
            "voice": "rex",
            "turn_detection": ServerVad(threshold=0.5, idle_timeout_ms=9000),
            "keyterms": ["beluga"],
            "speed": 1.2,
            "reasoning_effort": "none",
            "pronunciations": {"SQL": "sequel"},
        }
        options = S2sOptions(
            instructions="Be kind.", language="de-AT", turn_detection=TurnDetection(prefix_ms=200)
        )
        async with stage(settings=settings, options=options, tools=[weather]) as on:
            return next(one for one in on.remote.sent if one["type"] == "session.updated")

    session = simulate(scene)["session"]
    assert session["instructions"] == "Be kind."
    assert (session["voice"], session["reasoning"]) == ("rex", {"effort": "none"})
    assert session["replace"] == {"SQL": "sequel"}
    assert session["resumption"] == {"enabled": True}
    assert [one["name"] for one in session["tools"]] == ["weather"]
    assert session["audio"]["output"]["speed"] == 1.2
    assert session["audio"]["input"]["transcription"] == {
        "model": "grok-transcribe",
        "language_hint": "de-AT",
        "keyterms": ["beluga"],
    }
    assert session["turn_detection"] == {
        "type": "server_vad",
        "threshold": 0.5,
        "silence_duration_ms": 500,
        "prefix_padding_ms": 200,
        "idle_timeout_ms": 9000,
    }


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"turn_detection": ServerVad(silence_duration_ms=300)}, S2sOptions()),
        ({}, S2sOptions(turn_detection=TurnDetection(silence_ms=300))),
        ({}, S2sOptions(latency=Latency.LOW)),
    ],
)
def test_a_shorter_silence_ends_the_turn_earlier(settings, options):
    """The settings of the service's detection take effect, whoever gives them."""

    async def scene():
        async with stage(settings=settings, options=options) as on:
            await asyncio.sleep(1)
            await on.caller.say("hello there")
            await asyncio.sleep(1)
            return on.caller.first_sound_ms

    assert simulate(scene) == 1380 + 300


def test_instructions_change_in_mid_call():
    """An update reaches the service."""

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
        async with stage(echo, pace=Pace(thinking_ms=120, word_ms=90)) as on:
            await on.caller.say("hello you over there")
            await asyncio.sleep(1.2)
            await on.caller.say("stop")
            await asyncio.sleep(3)
        return on.trace.lines()

    first, second = simulate(scene, seed=7), simulate(scene, seed=7)
    assert first == second
    assert len(first) > 50
