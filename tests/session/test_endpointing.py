"""When a silence is the end of a turn, and what is made ready before that is sure."""

import asyncio

import pytest

from beluga_voice.engine.endpointing import Endpointing
from beluga_voice.engine.turns import TurnSettings
from beluga_voice.events import (
    AgentResponseStarted,
    EndOfTurnLikely,
    FunctionCalled,
    TurnContinued,
    TurnMeasured,
    UserSpeechEnded,
)
from beluga_voice.interfaces import AgentTurn
from beluga_voice.providers.turns.words import WordTurns
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts
from session.stage import LONG, play, stage


class Reads:
    """A turn detector that thinks of every text what it is told to."""

    def __init__(self, probability):
        self._probability = probability

    def probability(self, transcript, /):
        return self._probability


class Listens:
    """A turn detector that listens, takes a while, and remembers what it heard."""

    rate = 8000
    longest_samples = 8000

    def __init__(self, probability, *, seconds=0.05):
        self._probability = probability
        self._seconds = seconds
        self.heard = []

    async def probability(self, pcm, /):
        self.heard.append(pcm)
        await asyncio.sleep(self._seconds)
        return self._probability


class Fails:
    """A turn detector with a defect."""

    def probability(self, transcript, /):
        raise ZeroDivisionError


def interim():
    return ScriptedStt(delay_ms=50, interim=True)


def ended_ms(*detectors, stt=None, **settings):
    """When a turn of one second is over; its voice ends at 980 ms."""

    async def scene():
        async with stage(stt=stt or interim(), detectors=detectors, **settings) as on:
            await on.caller.say("one two three four five")
            await asyncio.sleep(5)
            return on.trace.at_ms(UserSpeechEnded)

    return play(scene)


# ── detectors ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("probability", "silence_ms"),
    [
        (None, 600),
        (0.5, 600),
        (1.0, 250 + 350 * 0.02),  # nobody is taken to be surer than 0.99
        (0.75, 425),
        (0.25, 1200),
        (0.0, 1800 - 1200 * 0.02),
    ],
)
def test_a_guess_moves_the_end_of_the_turn(probability, silence_ms):
    """The surer it is the sooner, and the more it doubts the later."""
    detectors = () if probability is None else (Reads(probability),)
    assert ended_ms(*detectors) == pytest.approx(980 + silence_ms, abs=0.001)


def test_guesses_are_put_together():
    """Two who lean the same way are surer than one, and one who does not know changes nothing."""
    one = ended_ms(Reads(0.75))
    assert ended_ms(Reads(0.75), Reads(0.5)) == one
    assert ended_ms(Reads(0.75), Reads(0.75)) < one
    assert ended_ms(Reads(0.75), Reads(0.25)) == 980 + 600


def test_one_that_listens_is_given_the_sound_of_the_turn():
    """At its own rate, no longer than it wants; its answer counts when it comes."""
    listens = Listens(1.0)
    # It is asked 200 ms after the voice ended, and takes 50 ms: then the turn is over.
    assert ended_ms(listens, Reads(0.5)) == 980 + 257
    assert [len(pcm) for pcm in listens.heard] == [16000]


def test_one_that_takes_long_delays_nothing():
    """The usual silence is the most that is waited for an answer."""
    assert ended_ms(Listens(1.0, seconds=30)) == 980 + 600


def test_one_with_a_defect_is_as_good_as_none():
    """It is logged, and the turn ends as usual."""
    assert ended_ms(Fails()) == 980 + 600


def test_an_unfinished_sentence_and_a_number_are_waited_for():
    """Groups of digits with a second between them are one utterance."""

    async def scene(detectors):
        async with stage(stt=interim(), detectors=detectors) as on:
            await on.caller.say("my number is")
            await asyncio.sleep(1)
            await on.caller.say("five five one")
            await asyncio.sleep(1)
            await on.caller.say("two three")
            await asyncio.sleep(5)
            return on.user_words()

    assert play(lambda: scene((WordTurns(),))) == ["my number is five five one two three"]
    assert len(play(lambda: scene(()))) == 3


# ── a service that finds turns ──────────────────────────────────────────────────────────────


def guessing_stt(*script):
    """A speech-to-text service that believes things: at so many ms, this."""

    class Guessing(ScriptedStt):
        def connect(self, options, /):
            context = super().connect(options)
            asyncio.get_running_loop()
            for at_ms, event in script:
                asyncio.get_running_loop().call_at(
                    at_ms / 1000, lambda event=event: self.links[-1].tell(event)
                )
            return context

    return Guessing(delay_ms=50, interim=True)


def test_the_decision_of_a_service_ends_the_turn():
    """Without waiting for the rest of the silence."""
    decided = guessing_stt((1250, EndOfTurnLikely(probability=0.9)))
    assert ended_ms(stt=decided) == 1250


def test_a_decision_while_a_voice_is_heard_counts_once_it_stops():
    """The detector notices the end of a voice 200 ms after it."""
    decided = guessing_stt((1050, EndOfTurnLikely(probability=0.9)))
    assert ended_ms(stt=decided) == 980 + 200


def test_a_decision_that_is_taken_back_counts_no_more():
    """The person went on, the service says."""
    wavering = guessing_stt((1050, EndOfTurnLikely(probability=0.9)), (1100, TurnContinued()))
    assert ended_ms(stt=wavering) == 980 + 600


# ── adapting ────────────────────────────────────────────────────────────────────────────────


def test_who_was_cut_off_is_given_more_time():
    """A quarter more with each cut-off, at most twice, and slowly less with turns that go well."""
    end = Endpointing(TurnSettings())
    delays = []
    for _ in range(4):
        delays.append(round(end.delay() * 1000))
        end.was_cut_off()
    assert delays == [600, 750, 938, 1172]
    assert round(end.delay() * 1000) == 1200
    for _ in range(100):
        end.went_well()
    assert end.delay() == 0.6


def test_a_speaker_with_long_pauses_is_cut_off_once():
    """The second pause of 700 ms is within the turn."""

    async def scene():
        async def slow(text: str):
            await asyncio.sleep(3)
            yield LONG

        async with stage(slow, stt=interim()) as on:
            await on.caller.say("one")
            await asyncio.sleep(0.7)
            await on.caller.say("two")
            await asyncio.sleep(0.7)
            await on.caller.say("three")
            await asyncio.sleep(9)
            return on.user_words()

    assert play(scene) == ["one", "two three"]


# ── preparing ───────────────────────────────────────────────────────────────────────────────

PREPARES = TurnSettings(prepares=True)


def prepared(agent, words="hello there", *, stt=None, tts=None, rest=6, **settings):
    async def scene():
        async with stage(
            agent,
            stt=stt or interim(),
            tts=tts or ScriptedTts(delay_ms=300),
            turns=PREPARES,
            **settings,
        ) as on:
            await on.caller.say(words)
            await asyncio.sleep(rest)
            return on, on.caller.heard, on.trace.of(TurnMeasured), on.agent_words()

    return play(scene)


async def slow_agent(text: str):
    """Think for 200 ms."""
    await asyncio.sleep(0.2)
    yield f"you said {text}"


def test_a_response_is_made_ready_while_the_silence_is_waited_for():
    """What took half a second to make is there when the turn is over."""
    _, heard, measured, agent = prepared(slow_agent)
    assert heard == agent[0] == "you said hello there"
    # 600 ms of silence and 50 for the final words; from 200 ms on it was made, in 500 ms.
    assert measured[0].total_ms == 700


def test_nobody_learns_of_what_was_prepared_for_other_words():
    """The person goes on: what was begun is dropped, and the agent is asked anew."""
    asked = []

    async def agent(turn: AgentTurn):
        asked.append((turn.text, len(turn.history)))
        await asyncio.sleep(0.2)
        yield f"you said {turn.text}"

    async def scene():
        async with stage(agent, stt=interim(), turns=PREPARES) as on:
            await on.caller.say("hello")
            await asyncio.sleep(0.45)
            await on.caller.say("there")
            await asyncio.sleep(5)
            started = len(on.trace.of(AgentResponseStarted))
            return on.caller.heard, started, on.session.history, on.tts.links[-1]

    heard, started, history, _ = play(scene)
    assert heard == "you said hello there"
    assert started == 1
    assert [item.text for item in history] == ["hello there", "you said hello there"]
    assert asked == [("hello", 1), ("hello there", 1)]


def test_no_tool_runs_before_the_turn_is_sure():
    """The agent waits at its first tool until the person is known to be done."""
    ran = []

    def book() -> str:
        """Book a table."""
        ran.append(asyncio.get_running_loop().time())
        return "booked"

    async def agent(turn: AgentTurn):
        yield await turn.call_tool("book", "{}")

    async def scene():
        async with stage(agent, stt=interim(), turns=PREPARES, tools=[book]) as on:
            await on.caller.say("a table")
            await asyncio.sleep(0.45)
            await on.caller.say("please")
            await asyncio.sleep(5)
            return on.trace.at_ms(UserSpeechEnded), len(on.trace.of(FunctionCalled))

    ended, calls = play(scene)
    assert calls == len(ran) == 1
    assert ran[0] * 1000 >= ended


def test_a_prepared_response_that_fails_is_tried_again():
    """The failure is not heard of, unless it happens again."""
    asked = []

    async def agent(text: str):
        asked.append(text)
        if len(asked) == 1:
            raise ZeroDivisionError
        yield "all right"

    _, heard, _, _ = prepared(agent)
    assert heard == "all right"
    assert len(asked) == 2


def test_a_session_that_ends_leaves_nothing_of_what_was_prepared():
    """No task, no sound."""

    async def forever(text: str):
        await asyncio.Event().wait()
        yield "never"

    async def scene():
        async with stage(forever, stt=interim(), turns=PREPARES) as on:
            before = asyncio.all_tasks()
            await on.caller.say("hello")
            await asyncio.sleep(0.4)
            during = asyncio.all_tasks()
            await on.session.close()
            await asyncio.sleep(1)
            return len(during - before), asyncio.all_tasks() - before

    preparing, left = play(scene)
    assert preparing == 1
    assert left == set()
