"""A conversation over the cascade, to the millisecond."""

import asyncio

import pytest

from beluga_voice.engine.interruptions import NEVER
from beluga_voice.engine.turns import TurnSettings
from beluga_voice.events import (
    AgentResponseAudio,
    AgentResponseEnded,
    AgentResponseStarted,
    BargedIn,
    KeyPressed,
    ResponseOutcome,
    SessionEnded,
    SessionStarted,
    SessionState,
    StateChanged,
    Transcription,
    TurnMeasured,
    UserSpeechEnded,
    UserSpeechStarted,
)
from beluga_voice.interfaces import AgentTurn
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts
from session.stage import LONG, play, stage


def test_a_turn_is_heard_answered_and_measured():
    """An utterance is transcribed, answered in speech, and its latency adds up."""

    async def scene():
        async with stage() as on:
            await asyncio.sleep(1)
            await on.caller.say("hello there")  # voice from 1000 to 1400 ms
            await asyncio.sleep(4)
            (measured,) = on.trace.of(TurnMeasured)
            finals = [one.text for one in on.trace.of(Transcription) if one.is_final]
            return finals, on.caller.heard, measured, on.caller.first_sound_ms

    finals, heard, measured, first_sound = play(scene)
    assert finals == ["hello there"]
    assert heard == LONG
    assert measured.endpointing_ms == 600
    assert measured.transcription_ms == 50
    assert measured.thinking_ms == 0
    assert measured.synthesis_ms == 30
    assert measured.delivery_ms == 0
    assert measured.total_ms == 680
    # The last frame of voice reaches the session at 1380 and ends there.
    assert first_sound == 1380 + 680


def test_the_parts_of_the_latency_add_up_to_the_whole():
    """Endpointing, transcription, thinking, synthesis and delivery sum to the total."""

    async def slow(text: str):
        await asyncio.sleep(0.123)
        yield "first words. "
        await asyncio.sleep(0.456)
        yield "more words."

    async def scene():
        async with stage(slow, stt=ScriptedStt(delay_ms=77), tts=ScriptedTts(delay_ms=41)) as on:
            await on.caller.say("hello")
            await asyncio.sleep(5)
            return on.trace.of(TurnMeasured)[0]

    measured = play(scene)
    parts = (
        measured.endpointing_ms,
        measured.transcription_ms,
        measured.thinking_ms,
        measured.synthesis_ms,
        measured.delivery_ms,
    )
    assert parts == (600, 77, 123, 41, 0)
    assert sum(parts) == measured.total_ms == 841


def test_the_states_of_a_turn():
    """The session says in order what it is doing."""

    async def scene():
        async with stage() as on:
            await asyncio.sleep(0.1)
            await on.caller.say("hello")
            await asyncio.sleep(4)
        return [one.state for one in on.trace.of(StateChanged)]

    assert play(scene) == [
        SessionState.CONNECTED,
        SessionState.IDLE,
        SessionState.SPEAKING,
        SessionState.PROCESSING,
        SessionState.RESPONDING,
        SessionState.IDLE,
        SessionState.DISCONNECTED,
    ]


def test_a_pause_within_an_utterance_does_not_end_the_turn():
    """A pause shorter than the end silence leaves one utterance."""

    async def scene():
        async with stage() as on:
            await on.caller.say("I would like")
            await asyncio.sleep(0.5)
            await on.caller.say("two tickets")
            await asyncio.sleep(4)
            return on.user_words(), len(on.trace.of(UserSpeechEnded))

    assert play(scene) == (["I would like two tickets"], 1)


def test_the_first_syllable_is_not_lost():
    """Sound from before the voice was noticed belongs to the utterance."""

    async def scene():
        async with stage() as on:
            await asyncio.sleep(0.5)
            await on.caller.say("hello")
            await asyncio.sleep(2)
            return on.user_words()

    assert play(scene) == ["hello"]


def test_barge_in_silences_the_line_within_one_frame():
    """The caller hears nothing later than one 20 ms frame after the decision."""

    async def scene():
        async with stage() as on:
            await on.caller.say("hello")
            await asyncio.sleep(2)
            await on.caller.say("stop it now")
            await asyncio.sleep(0.5)
            barged = on.trace.at_ms(BargedIn)
            return barged, on.caller.last_sound_ms, on.trace.of(BargedIn)[0].decision_ms

    barged, last_sound, decision = play(scene)
    assert decision == 300
    assert barged <= last_sound <= barged + 20


def test_the_history_holds_the_words_heard_and_no_more():
    """After a barge-in, the agent's words are those that sounded whole for the caller."""

    async def scene():
        async with stage() as on:
            await on.caller.say("hello")
            await asyncio.sleep(2)
            await on.caller.say("stop it now")
            await asyncio.sleep(0.4)  # until it is known what was said
            heard, (said, *_) = on.caller.heard, on.agent_words()
            ended = on.trace.of(AgentResponseEnded)[0]
            return heard, said, ended

    heard, said, ended = play(scene)
    assert said == heard == ended.heard_text
    assert 0 < len(heard.split()) < len(LONG.split())
    assert ended.outcome is ResponseOutcome.CUT
    assert ended.text == LONG
    assert LONG.startswith(heard)


def test_the_agent_is_told_what_was_heard():
    """The next turn's history holds the cut response, not the whole one."""
    from beluga_voice.interfaces import AgentTurn

    histories = []

    async def agent(turn: AgentTurn) -> str:
        histories.append(list(turn.history))
        return LONG

    async def scene():
        async with stage(agent) as on:
            await on.caller.say("hello")
            await asyncio.sleep(2)
            await on.caller.say("stop it now")
            await asyncio.sleep(4)
            return on.session.history

    history = play(scene)
    assert histories[1] == list(history[:3])
    assert histories[1][1].is_cut


def test_voice_shorter_than_the_minimum_does_not_interrupt():
    """A cough while the agent speaks changes nothing, and is not transcribed."""

    async def scene():
        async with stage() as on:
            await on.caller.say("hello")
            await asyncio.sleep(2)
            await on.caller.noise(200)
            await asyncio.sleep(4)
            return on.caller.heard, on.trace.of(UserSpeechEnded)[-1].was_ignored, on.user_words()

    assert play(scene) == (LONG, True, ["hello"])


def test_interruptions_can_be_forbidden():
    """With interruptions off, the response is heard whole and the words after it are a turn."""

    async def scene():
        async with stage(interruptions=NEVER) as on:
            await on.caller.say("hello")
            await asyncio.sleep(2.4)
            await on.caller.say("I was speaking over your response")
            await asyncio.sleep(4)
            return on.caller.heard, on.user_words()

    heard, said = play(scene)
    assert heard.startswith(LONG)
    assert said == ["hello", "I was speaking over your response"]


def test_a_barge_in_before_the_first_sound():
    """Voice while a response is awaited takes the floor, and both parts are one turn."""

    async def thinker(text: str) -> str:
        await asyncio.sleep(2)
        return f"you said {text}"

    async def scene():
        async with stage(thinker) as on:
            await on.caller.say("I want")
            await asyncio.sleep(1.5)
            await on.caller.say("an apple")
            await asyncio.sleep(5)
            return on.caller.heard, on.session.state

    assert play(scene) == ("you said I want an apple", SessionState.IDLE)


def test_a_second_barge_in_within_100_ms():
    """Two interruptions in a row leave the session usable and the history exact."""

    async def scene():
        async with stage(
            stt=ScriptedStt(), tts=ScriptedTts(), turns=TurnSettings(end_silence_ms=0)
        ) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1)
            on.session.interrupt()
            on.session.send_text("again")
            await asyncio.sleep(0.1)
            on.session.interrupt()
            await asyncio.sleep(0.1)
            heard = on.caller.heard
            await on.caller.say("still there")
            await asyncio.sleep(5)
            return heard, on.agent_words(), on.user_words(), on.session.state

    heard, agent, user, state = play(scene)
    assert agent == [heard, LONG]
    assert user == ["hello", "again", "still there"]
    assert state is SessionState.IDLE


@pytest.mark.parametrize("left_ms", [1, 10, 20, 30, 50])
def test_a_barge_in_in_the_last_moments_of_a_response(left_ms):
    """Voice that begins just before a response ends is the next turn, and nothing is cut."""

    async def scene():
        async with stage() as on:
            await on.caller.say("hello")
            while not on.trace.of(AgentResponseAudio):
                await asyncio.sleep(0.001)
            start = on.trace.at_ms(AgentResponseAudio)
            await asyncio.sleep((start + 2000 - left_ms) / 1000 - asyncio.get_running_loop().time())
            await on.caller.say("one more thing")
            await asyncio.sleep(5)
            return on.agent_words(), on.user_words(), on.session.state, on.trace.of(BargedIn)

    agent, user, state, barged = play(scene)
    assert agent == [LONG, LONG]
    assert user == ["hello", "one more thing"]
    assert state is SessionState.IDLE
    assert barged == []


@pytest.mark.parametrize("lead_ms", [20, 100, 200])
def test_heard_is_exact_on_a_line_that_holds_sound_ahead(lead_ms):
    """A line with a buffer is cleared, and what it had not played was not heard."""

    async def scene():
        async with stage(caller=ScriptedCaller(lead_ms=lead_ms)) as on:
            await on.caller.say("hello")
            await asyncio.sleep(2)
            await on.caller.say("stop it now")
            await asyncio.sleep(0.4)  # until it is known what was said
            return on.caller.heard, on.agent_words(), on.caller.last_sound_ms, on.trace

    heard, said, last_sound, seen = play(scene)
    assert said == [heard]
    assert last_sound == seen.at_ms(BargedIn)


def test_typed_words_are_answered_in_speech():
    """Text takes the place of an utterance, and interrupts."""

    async def echo(text: str) -> str:
        return f"you wrote {text}"

    async def scene():
        async with stage(echo) as on:
            on.caller.type("good day")
            await asyncio.sleep(3)
            return on.caller.heard, on.user_words()

    assert play(scene) == ("you wrote good day", ["good day"])


def test_stop_works_at_any_time():
    """A stop while nothing happens, while a response is awaited and while it sounds is obeyed."""

    async def scene():
        async with stage() as on:
            on.caller.press_stop()
            await on.caller.say("hello")
            await asyncio.sleep(0.62)
            on.caller.press_stop()
            await asyncio.sleep(3)
            nothing = on.caller.heard
            await on.caller.say("again")
            await asyncio.sleep(1.5)
            on.caller.press_stop()
            at = on.caller.now_ms
            await asyncio.sleep(1)
            return nothing, on.caller.last_sound_ms <= at, on.session.state

    assert play(scene) == ("", True, SessionState.IDLE)


def test_the_caller_hangs_up_in_mid_response():
    """The session ends with its reason, and nothing is left over."""

    async def scene():
        async with stage() as on:
            await on.caller.say("hello")
            await asyncio.sleep(1.5)
            on.caller.hang_up()
            await on.session.wait_closed()
            return on.trace.of(SessionEnded)[0].reason, on.trace.of(AgentResponseStarted)

    reason, started = play(scene)
    assert reason == "hung_up"
    assert len(started) == 1


def test_events_end_with_the_session():
    """Iterating gives everything from the start to `SessionEnded`, without a gap."""

    async def scene():
        kinds, numbers = [], []
        async with stage() as on, asyncio.TaskGroup() as tasks:

            async def read():
                async for happening in on.session.events():
                    kinds.append(type(happening.event))
                    numbers.append(happening.sequence)

            tasks.create_task(read(), name="reader")
            await on.caller.say("hello")
            await asyncio.sleep(2)
            await on.session.close()
        return kinds, numbers

    kinds, numbers = play(scene)
    assert kinds[0] is StateChanged
    assert SessionStarted in kinds
    assert UserSpeechStarted in kinds
    assert kinds[-1] is SessionEnded
    assert numbers == sorted(numbers)


def test_a_scenario_run_twice_gives_the_same_trace():
    """Every event, with all its fields and its time, is the same in a second run."""

    async def scene():
        async with stage() as on:
            for words in ("hello there", "stop", "what is the time", "goodbye now"):
                await on.caller.say(words)
                await asyncio.sleep(1.7)
        return on.trace.lines()

    first, second = play(scene), play(scene)
    assert first == second
    assert len(first) > 40


def test_a_line_that_stops_bringing_sound_ends_the_utterance():
    """If the line goes dead in mid-speech, the turn is over after the time allowed."""

    async def scene():
        async with stage() as on:
            on.caller.begin("hello there my friend")
            await asyncio.sleep(0.5)
            # The microphone dies: no frame comes any more.
            for task in asyncio.all_tasks():
                if task.get_name() == "microphone":
                    task.cancel()
            await asyncio.sleep(6)
            return on.user_words(), on.trace.at_ms(UserSpeechEnded)

    words, ended = play(scene)
    assert words == ["hello there"]
    assert ended == 480 + 2000


def test_nothing_understood_leaves_the_session_listening():
    """Voice without words gets no response and no place in the history."""

    async def scene():
        async with stage() as on:
            await on.caller.noise(500)
            await asyncio.sleep(3)
            idle = on.session.state
            await on.caller.say("hello")
            await asyncio.sleep(4)
            return idle, on.caller.heard, on.user_words()

    assert play(scene) == (SessionState.IDLE, LONG, ["hello"])


def test_a_greeting_is_spoken_first():
    """The agent says its greeting when the call begins, and it can be interrupted."""

    async def scene():
        async with stage(greeting="welcome to the line") as on:
            await asyncio.sleep(2)
            return on.caller.heard, on.agent_words()

    assert play(scene) == ("welcome to the line", ["welcome to the line"])


def test_push_to_talk_overrules_the_voice_detector():
    """With a talk key, the turn ends when the key is let go, not after a silence."""
    from beluga_voice.events import TalkKey

    async def scene():
        async with stage() as on:
            on.session.receive(TalkKey(is_down=True))
            await on.caller.say("hello")
            await asyncio.sleep(2)
            await on.caller.say("world")
            on.session.receive(TalkKey(is_down=False))
            released = on.caller.now_ms
            await asyncio.sleep(4)
            return on.user_words(), on.trace.at_ms(UserSpeechEnded) - released, on.caller.heard

    assert play(scene) == (["hello world"], 0, LONG)


def test_telephone_keys_are_one_input():
    """Keys that follow one another are given to the agent together, at once after the hash key."""

    async def echo(text: str) -> str:
        return f"got {text}"

    async def scene():
        async with stage(echo) as on:
            for key in "12":
                on.session.receive(KeyPressed(key=key))
                await asyncio.sleep(0.5)
            on.session.receive(KeyPressed(key="#"))
            await asyncio.sleep(2)
            first = on.caller.heard
            on.session.receive(KeyPressed(key="7"))
            await asyncio.sleep(5)
            return first, on.user_words()

    assert play(scene) == ("got 12", ["12", "7"])


def test_what_was_heard_is_settled_when_the_call_ends():
    """A response that sounds when the person hangs up is in the history as far as it was heard."""

    async def scene():
        async with stage() as on:
            await on.caller.say("hello")
            await asyncio.sleep(1.2)
            on.caller.hang_up()
            await on.session.wait_closed()
            (ended,) = on.trace.of(AgentResponseEnded)
            return ended.outcome, on.agent_words(), on.caller.heard

    assert play(scene) == (ResponseOutcome.CUT, ["one two"], "one two")


@pytest.mark.parametrize("wait_ms", [50, 150, 300, 500, 700])
def test_words_of_the_application_wait_for_the_persons_turn(wait_ms):
    """What the application says while the person has the floor is spoken after that turn."""

    async def echo(text: str) -> str:
        return f"you said {text}"

    async def scene():
        async with stage(echo) as on:
            on.caller.begin("my order is late")
            await asyncio.sleep(wait_ms / 1000)
            on.session.say("one moment")
            await asyncio.sleep(6)
            return on.caller.heard, on.user_words()

    heard, said = play(scene)
    assert said == ["my order is late"]
    assert heard == "one moment you said my order is late"


@pytest.mark.parametrize("wait_ms", [100, 500, 900, 1100])
def test_typed_words_are_answered_together_with_spoken_ones(wait_ms):
    """What is typed while the person speaks is part of the turn, and nothing is lost."""
    asked = []

    async def echo(text: str) -> str:
        asked.append(text)
        return "fine"

    async def scene():
        async with stage(echo) as on:
            on.caller.begin("my order is late")
            await asyncio.sleep(wait_ms / 1000)
            on.caller.type("number twelve")
            await asyncio.sleep(6)

    play(scene)
    assert sorted(" ".join(asked).split()) == sorted(
        ["my", "order", "is", "late", "number", "twelve"]
    )


def test_the_person_goes_on_while_a_tool_runs():
    """Words before and after an interrupted tool call are one request."""
    asked = []

    async def search() -> str:
        """Takes long."""
        await asyncio.sleep(3)
        return "found"

    async def agent(turn):
        asked.append(turn.text)
        return await turn.call_tool("search", "{}")

    agent.__annotations__ = {"turn": AgentTurn, "return": str}

    async def scene():
        async with stage(agent, tools=[search]) as on:
            await on.caller.say("find my order")
            await asyncio.sleep(1.5)
            await on.caller.say("the red one")
            await asyncio.sleep(6)
            return on.caller.heard

    assert play(scene) == "found"
    assert asked == ["find my order", "find my order the red one"]


def test_what_ends_telephone_keys_may_be_chosen():
    """Another key, a shorter pause; and what is no key of a telephone is none."""

    async def scene():
        asked = []

        async def agent(text: str) -> str:
            asked.append((text, round(asyncio.get_running_loop().time() * 1000)))
            return "thank you"

        turns = TurnSettings(keys_pause_ms=500, keys_end="*")
        async with stage(agent, turns=turns) as on:
            for key in ("4", "2", "x", "", "#", "*"):
                on.session.receive(KeyPressed(key=key))
            await asyncio.sleep(2)
            on.session.receive(KeyPressed(key="7"))
            await asyncio.sleep(3)
            return asked

    assert play(scene) == [("42#", 0), ("7", 2500)]
