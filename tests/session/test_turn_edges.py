"""Who has the floor at awkward moments: pauses, noise, words that come late, lost links."""

import asyncio

import pytest

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.interruptions import InterruptionPolicy, InterruptionSettings
from beluga_voice.engine.link import ReconnectSettings
from beluga_voice.errors import ToolFailed
from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseResumed,
    AgentResponseStarted,
    BargedIn,
    DeadAir,
    EndOfTurnLikely,
    FunctionCalled,
    Message,
    Reconnecting,
    ResponseOutcome,
    Rung,
    SessionEnded,
    SessionState,
    Transcription,
    TurnMeasured,
    UserSpeechEnded,
    UserSpeechStarted,
)
from beluga_voice.interfaces import AgentTurn
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts
from session.stage import LONG, Stage, play, stage

ONE_WORD = EngineSettings(
    interruptions=InterruptionSettings(normal=InterruptionPolicy(min_words=1))
)
"""The agent speaks on until one word is understood."""


async def at(milliseconds: float):
    """Wait until so long after the beginning."""
    now = asyncio.get_running_loop().time()
    await asyncio.sleep(max(0.0, milliseconds / 1000 - now))


def times(on: Stage, kind: type[object]) -> list[float]:
    """When the events of that kind happened, in ms."""
    return [on.trace.at_ms(kind, index) for index in range(len(on.trace.of(kind)))]


def outcomes(on: Stage) -> list[ResponseOutcome]:
    """What became of the responses, in the order in which they ended."""
    return [one.outcome for one in on.trace.of(AgentResponseEnded)]


def test_words_of_the_application_do_not_end_the_wait_for_an_agent():
    """Six seconds after they were heard the agent is nudged, and 120 s after them all ends."""

    async def never(text: str):
        await asyncio.Event().wait()
        yield "never said"

    async def scene():
        async with stage(never) as on:
            await on.caller.say("hello")
            await at(2000)
            on.session.say("one moment")  # heard from 2030 to 2430
            await at(300_000)
            rungs = [one.rung for one in on.trace.of(DeadAir)]
            return rungs[:2], rungs[-1], times(on, DeadAir)[:3], times(on, SessionEnded)

    rungs, last, first_times, ended = play(scene)
    assert rungs == [Rung.NUDGE, Rung.SOUND]
    assert last is Rung.END
    assert first_times == [8430, 11430, 14430]
    assert ended == [122_430]


def test_words_of_the_application_do_not_end_the_wait_for_a_transcript():
    """Six seconds after they were heard, a speech-to-text service that gave nothing is left."""

    async def scene():
        async with stage(stt=ScriptedStt(finals=lambda number, words: [])) as on:
            on.caller.begin("hello there")  # voice until 380
            await at(200)
            on.session.say("one moment")  # heard from 1010 to 1410, after the turn
            await at(7410)
            return on.caller.sounds_ms, times(on, DeadAir), times(on, Reconnecting)

    assert play(scene) == ([(1010, 1410)], [7410], [7410])


def test_a_long_word_goes_on_after_a_pause_where_it_paused():
    """Noise more than two seconds into a word pauses it, and the rest of it is heard once."""

    async def scene():
        async def number(text: str):
            yield "07911123456 thanks"

        tts = ScriptedTts(delay_ms=30, word_ms=4000)
        async with stage(number, tts=tts) as on:
            await on.caller.say("hello")  # answered from 860
            await at(4200)
            await on.caller.noise(400)
            await at(120_000)
            (ended,) = on.trace.of(AgentResponseEnded)
            return ended, on.caller.sounds_ms, on.session.state

    ended, sounds, state = play(scene)
    assert (ended.outcome, ended.heard_text) == (ResponseOutcome.HEARD, "07911123456 thanks")
    assert ended.heard_ms == 8000
    assert sounds == [(860, 4480), (4930, 9310)]
    assert state is SessionState.IDLE


@pytest.mark.parametrize(
    ("noise_ms", "delay_ms", "resumed"),
    [(400, 50, 2150), (700, 50, 2450), (300, 300, 2560), (300, 500, 2960)],
)
def test_a_response_that_ends_without_a_sound_in_a_pause_is_over(noise_ms, delay_ms, resumed):
    """Once the noise was found to hold no words, there is nothing to go on with."""

    async def gap(text: str):
        yield "one two three. "
        await asyncio.sleep(1.2)

    async def scene():
        async with stage(gap, stt=ScriptedStt(delay_ms=delay_ms)) as on:
            await on.caller.say("hello")
            await at(780 + delay_ms + 30 + 560)  # shortly before the last word is over
            await on.caller.noise(noise_ms)
            await at(120_000)
            return (
                times(on, AgentResponseResumed),
                times(on, AgentResponseEnded),
                on.caller.heard,
                on.session.state,
            )

    assert play(scene) == ([resumed], [resumed], "one two three.", SessionState.IDLE)


async def booking() -> str:
    """Book a table."""
    await asyncio.sleep(4)
    return "booked"


def test_nobody_waits_for_the_tool_of_an_interrupted_response():
    """The words over it are answered, and the agent is not asked a third time."""
    asked: list[str] = []

    async def agent(turn: AgentTurn):
        asked.append(turn.text)
        if len(asked) > 1:
            yield "fine"
            return
        yield "one moment. "
        yield await turn.call_tool("booking", "{}")

    async def scene():
        async with stage(agent, tools=[booking]) as on:
            await on.caller.say("book it")
            await at(1500)
            await on.caller.say("forget it")
            await at(40_000)
            return on.caller.heard, on.caller.sounds_ms, times(on, DeadAir), on.session.state

    heard, sounds, silences, state = play(scene)
    assert asked == ["book it", "forget it"]
    assert heard == "one moment. fine"
    assert sounds == [(1060, 1460), (2510, 2710)]
    assert silences == []
    assert state is SessionState.IDLE


def test_noise_after_a_stop_asks_for_nothing():
    """The question of a response that was stopped in its tool is not answered again."""

    async def agent(turn: AgentTurn):
        yield "one moment. "
        yield await turn.call_tool("booking", "{}")

    async def scene():
        async with stage(agent, tools=[booking]) as on:
            await on.caller.say("book it")
            await at(1700)
            on.caller.press_stop()
            await at(2500)
            await on.caller.noise(200)
            await at(40_000)
            return len(on.trace.of(FunctionCalled)), on.caller.heard, on.session.state

    assert play(scene) == (1, "one moment.", SessionState.IDLE)


def test_a_stop_in_a_pause_lets_waiting_words_be_said_after_the_turn():
    """What was to be said in the pause is heard when the turn ends, of which the end is told."""

    async def scene():
        async with stage() as on:
            await on.caller.say("hello")
            await at(2000)
            await on.caller.noise(500)  # the response pauses from 2300
            await at(2700)
            saying = on.session.say("notice words")
            await at(2800)
            on.caller.press_stop()
            await at(60_000)
            return (
                saying.outcome,
                times(on, UserSpeechStarted),
                times(on, UserSpeechEnded),
                on.caller.sounds_ms[-1],
                on.session.state,
            )

    outcome, started, ended, sounds, state = play(scene)
    assert outcome is ResponseOutcome.HEARD
    assert started == [40, 2040]
    assert ended == [780, 2800]
    assert sounds == (2830, 3230)
    assert state is SessionState.IDLE


def test_a_backchannel_survives_the_link_that_was_to_recognise_it():
    """The next link hears it too, it is no interruption, and the response goes on once."""

    async def scene():
        settings = EngineSettings(reconnect=ReconnectSettings(first_delay_ms=100))
        async with stage(stt=ScriptedStt(delay_ms=400), settings=settings) as on:
            await on.caller.say("hello")
            await at(2200)
            await on.caller.say("mm-hm okay")
            await at(2950)
            on.stt.links[-1].lose()
            await at(40_000)
            return on.caller.heard, len(on.trace.of(AgentResponseStarted)), on.user_words()

    assert play(scene) == (LONG, 1, ["hello", "mm-hm okay"])


def test_words_in_a_pause_are_answered_after_a_long_loss_of_the_link():
    """Their sound is kept for three seconds until there is a link that understands it."""

    async def scene():
        settings = EngineSettings(reconnect=ReconnectSettings(first_delay_ms=3000))
        async with stage(stt=ScriptedStt(delay_ms=400), settings=settings) as on:
            await on.caller.say("hello")
            await at(2200)
            await on.caller.say("stop it now")
            await at(3200)
            on.stt.links[-1].lose()
            await at(40_000)
            texts = [item.text for item in on.session.history if isinstance(item, Message)]
            return texts, times(on, Transcription), times(on, AgentResponseStarted)

    texts, heard, started = play(scene)
    assert texts == ["hello", "one two three four five six", "stop it now", LONG]
    assert heard == [1180, 6600]
    assert started == [1180, 6600]


def test_noise_before_the_words_over_the_agent_are_known():
    """The words interrupt and are answered, and the noise is part of the same turn."""

    async def scene():
        async with stage(settings=ONE_WORD, stt=ScriptedStt(delay_ms=400)) as on:
            await on.caller.say("hello")
            await at(1500)
            await on.caller.say("stop")
            await at(2000)
            await on.caller.noise(300)
            await at(12_000)
            return (
                times(on, UserSpeechStarted),
                times(on, UserSpeechEnded),
                times(on, BargedIn),
                outcomes(on),
                on.user_words(),
            )

    started, ended, barged, ends, words = play(scene)
    assert started == [40, 1540]
    assert ended == [780, 2880]
    assert barged == [2280]
    assert ends == [ResponseOutcome.CUT, ResponseOutcome.HEARD]
    assert words == ["hello", "stop"]


def test_words_over_the_agent_that_never_become_known_end():
    """Their turn ends in time, and what is said next is a turn of its own."""

    async def scene():
        stt = ScriptedStt(finals=lambda number, words: [] if number == 2 else [(50, words)])
        async with stage(settings=ONE_WORD, stt=stt) as on:
            await on.caller.say("hello")
            await at(1500)
            await on.caller.say("stop")
            await at(5000)
            await on.caller.say("another thing")
            await at(12_000)
            ignored = [one.was_ignored for one in on.trace.of(UserSpeechEnded)]
            return ignored, times(on, UserSpeechEnded), on.user_words(), outcomes(on)

    ignored, ended, words, ends = play(scene)
    assert ignored == [False, False, False]
    assert ended == [780, 3380, 5980]
    assert words == ["hello", "another thing"]
    assert ends == [ResponseOutcome.HEARD, ResponseOutcome.HEARD]


def test_words_over_the_agent_survive_the_link_that_was_to_recognise_them():
    """The next link hears them from their beginning, and they interrupt."""

    async def scene():
        async with stage(settings=ONE_WORD, stt=ScriptedStt(delay_ms=400)) as on:
            await on.caller.say("hello")
            await at(1500)
            await on.caller.say("stop it now")
            await at(2350)
            on.stt.links[-1].lose()
            await at(12_000)
            return times(on, UserSpeechEnded), times(on, BargedIn), on.user_words(), outcomes(on)

    ended, barged, words, ends = play(scene)
    assert ended == [780, 2850]
    assert barged == [2850]
    assert words == ["hello", "stop it now"]
    assert ends == [ResponseOutcome.CUT, ResponseOutcome.HEARD]


def test_words_that_the_agent_has_not_said_yet_are_no_echo():
    """A voice after the guard interrupts, though its words occur later in the answer."""

    async def scene():
        async with stage(interruptions=InterruptionPolicy(guard_ms=200)) as on:
            await on.caller.say("hello")  # answered from 860
            await at(1400)
            await on.caller.say("seven eight")
            await at(12_000)
            ignored = [one.was_ignored for one in on.trace.of(UserSpeechEnded)]
            return on.caller.heard, ignored, times(on, BargedIn), outcomes(on)

    heard, ignored, barged, ends = play(scene)
    assert heard == f"one two three four {LONG}"
    assert ignored == [False, False]
    assert barged == [1680]
    assert ends == [ResponseOutcome.CUT, ResponseOutcome.HEARD]


def test_the_latency_of_an_answer_is_not_that_of_a_filler():
    """Words of the application while the agent thinks leave the parts of the latency alone."""

    async def slow(text: str):
        await asyncio.sleep(1)
        yield "the answer"

    async def scene():
        async with stage(slow) as on:
            await on.caller.say("hello")
            await at(900)
            on.session.say("one moment")
            await at(9000)
            (measured,) = on.trace.of(TurnMeasured)
            return measured

    measured = play(scene)
    assert measured.endpointing_ms == 600
    assert measured.transcription_ms == 50
    assert measured.thinking_ms == 1000
    assert measured.synthesis_ms == 30
    assert measured.delivery_ms == 0
    assert measured.total_ms == 1680


def test_an_agent_that_fails_is_told_what_was_heard_of_it():
    """The words made before the failure, and not heard, are in nobody's history."""
    told: list[list[str]] = []

    async def failing(turn: AgentTurn):
        told.append([item.text for item in turn.history if isinstance(item, Message)])
        yield "one two three four. five six seven eight. nine ten. "
        await asyncio.sleep(0.3)
        if len(told) == 1:
            raise ToolFailed("no table", op="book")

    async def scene():
        async with stage(failing, tts=ScriptedTts(delay_ms=30, making_ms=180)) as on:
            await on.caller.say("hello")
            await at(5000)
            await on.caller.say("again")
            await at(6500)
            return on.agent_words()[0]

    assert play(scene) == "one two"
    assert told == [["hello"], ["hello", "one two", "again"]]


@pytest.mark.parametrize("is_stopped", [True, False])
def test_a_stop_in_a_pause_leaves_the_end_of_the_turn_where_it_was(is_stopped):
    """The person's turn ends 600 ms after their voice, whether or not they press stop."""

    async def scene():
        async with stage() as on:
            await on.caller.say("hello")
            await at(2000)
            await on.caller.say("please stop")  # voice until 2380
            await at(2620)
            if is_stopped:
                on.caller.press_stop()
            await at(9000)
            return times(on, UserSpeechEnded)

    assert play(scene) == [780, 2980]


def test_a_turn_detector_that_gives_no_number_is_as_good_as_none():
    """The turn ends after the usual silence."""

    class Undecided:
        def probability(self, text: str, /) -> float:
            return float("nan")

    async def scene():
        stt = ScriptedStt(delay_ms=50, interim=True)
        async with stage(detectors=(Undecided(),), stt=stt) as on:
            await on.caller.say("hello there")  # voice until 380
            await at(10_000)
            return times(on, UserSpeechEnded), on.caller.heard

    assert play(scene) == ([980], LONG)


@pytest.mark.parametrize("asked", range(2000, 3400, 100))
def test_a_new_link_at_any_moment_of_a_pause_loses_nothing(asked):
    """Noise over the agent, and a request to reconnect around it: the answer is heard whole."""

    async def scene():
        async with stage() as on:
            await on.caller.say("hello")
            await at(1920)

            async def noise():
                await on.caller.noise(500)

            noising = asyncio.create_task(noise())
            await at(asked - 80)
            on.session.reconnect()
            await noising
            await at(asked + 15_000)
            return on.caller.heard, on.agent_words(), on.session.state

    assert play(scene) == (LONG, [LONG], SessionState.IDLE)


def test_words_after_the_end_that_a_service_saw_make_it_void():
    """The turn ends 600 ms after the voice, although the service was sure before."""

    async def scene():
        async with stage(stt=ScriptedStt(delay_ms=50, interim=True)) as on:
            on.caller.begin("one two three four five six seven eight")  # voice until 1580
            await at(300)
            on.stt.links[-1].tell(EndOfTurnLikely(probability=0.9))
            await at(9000)
            return times(on, UserSpeechEnded)

    assert play(scene) == [2180]


@pytest.mark.parametrize("lead_ms", [20, 200])
def test_an_answer_does_not_begin_over_who_spoke_into_a_filler(lead_ms):
    """A voice that is there when words of the application end has the floor.

    The answer to what was said before is not given; one to all of it is.
    """

    async def slow(text: str):
        await asyncio.sleep(1.2)
        yield LONG

    async def scene():
        async with stage(slow, caller=ScriptedCaller(lead_ms=lead_ms)) as on:
            await on.caller.say("hello")
            await at(900)
            on.session.say("one moment")  # heard from 930 to 1330
            await at(1150)
            await on.caller.say("and also a table for two people please")  # voice until 2740
            await at(14_000)
            return on.caller.sounds_ms, on.user_words(), on.caller.heard, on.session.state

    sounds, words, heard, state = play(scene)
    assert sounds == [(930, 1330), (4620, 6620)]
    assert words == ["hello", "and also a table for two people please"]
    assert heard == f"one moment {LONG}"
    assert state is SessionState.IDLE
