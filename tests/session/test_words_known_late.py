"""Words of a voice over an agent that spoke on are answered, however late they are known."""

import asyncio

import pytest

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.interruptions import InterruptionPolicy, InterruptionSettings
from beluga_voice.events import Occasion, ResponseOutcome, UserSpeechEnded, UserSpeechStarted
from beluga_voice.interfaces import AgentTurn
from beluga_voice.testing.scripted import ScriptedStt
from session.stage import LONG, play, stage

ONE_WORD = InterruptionPolicy(min_words=1)


async def at(milliseconds: float):
    """Wait until so long after the beginning."""
    await asyncio.sleep(max(0.0, milliseconds / 1000 - asyncio.get_running_loop().time()))


def talk(*, late_ms, is_notice, more="", stops_at=None, loses_at=None, final=None):
    """Somebody says "stop that please" over the agent, and perhaps more.

    Gives what the agent is asked, what is remembered of the person, and what the application is
    told of their turns.
    """
    asked: list[str] = []
    number = 1 if is_notice else 2

    async def agent(turn: AgentTurn):
        asked.append(turn.text)
        yield LONG

    def finals(count: int, words: str) -> list[tuple[float, str]]:
        is_late = count == number
        return [(late_ms, words if final is None else final)] if is_late else [(50, words)]

    async def scene():
        stt = ScriptedStt(finals=finals)
        policy = None if is_notice else ONE_WORD
        async with stage(agent, stt=stt, interruptions=policy) as on:
            if is_notice:
                on.session.say(f"{LONG} {LONG}", occasion=Occasion.NOTICE)
                await at(600)
            else:
                await on.caller.say("hello there")
                await at(1500)
            await on.caller.say("stop that please")
            if more:
                await at(2600)
                await on.caller.say(more)
            if stops_at is not None:
                await at(stops_at)
                on.session.interrupt()
            if loses_at is not None:
                await at(loses_at)
                stt.links[-1].lose()
            await at(25_000)
            began, ended = on.trace.of(UserSpeechStarted), on.trace.of(UserSpeechEnded)
            assert len(began) == len(ended)
            return on.user_words(), [one.was_ignored for one in ended]

    words, ignored = play(scene)
    return (asked if is_notice else asked[1:]), words, ignored


@pytest.mark.parametrize("is_notice", [True, False], ids=["notice", "min_words"])
@pytest.mark.parametrize("late_ms", [50, 1400, 1600, 2500, 4500, 6000])
def test_they_are_answered_once(is_notice, late_ms):
    """Also if the response over which they were said is long over."""
    asked, words, _ = talk(late_ms=late_ms, is_notice=is_notice)
    assert asked == ["stop that please"]
    assert words[-1] == "stop that please"


@pytest.mark.parametrize("is_notice", [True, False], ids=["notice", "min_words"])
@pytest.mark.parametrize("late_ms", [1600, 2500, 3500, 6000])
def test_they_are_answered_when_the_person_has_said_more_since(is_notice, late_ms):
    """With it, or after the answer to it: nothing of either is left out or asked twice."""
    asked, words, _ = talk(late_ms=late_ms, is_notice=is_notice, more="and what about tuesday")
    assert sorted(" ".join(asked).split()) == sorted(
        ["stop", "that", "please", "and", "what", "about", "tuesday"]
    )
    assert words[-2:] == ["stop that please", "and what about tuesday"]


@pytest.mark.parametrize("is_notice", [True, False], ids=["notice", "min_words"])
@pytest.mark.parametrize("final", ["", "mm-hm"])
def test_late_words_that_say_nothing_are_not_answered(is_notice, final):
    """Silence and signs of listening are no question, however late they are known."""
    asked, _, _ = talk(late_ms=2000, is_notice=is_notice, final=final)
    assert asked == []


def test_late_words_are_not_answered_after_the_stop_key():
    """Who says stop, and presses it, has said all."""
    asked, words, _ = talk(late_ms=4000, is_notice=False, stops_at=2600)
    assert asked == []
    assert words == ["hello there", "stop that please"]


def test_late_words_are_asked_of_the_next_link():
    """The recogniser is lost before it has told what was said over a notice."""
    asked, words, _ = talk(late_ms=6000, is_notice=True, loses_at=3500)
    assert asked == ["stop that please"]
    assert words == ["stop that please"]


@pytest.mark.parametrize("final_ms", [100, 500])
def test_words_over_the_end_of_a_saying_stop_the_next(final_ms):
    """They are known when the second has begun: what is meant is to be silent."""

    async def scene():
        stt = ScriptedStt(delay_ms=final_ms)
        async with stage(stt=stt, interruptions=ONE_WORD) as on:
            first, second = on.session.say("one two three four five"), on.session.say(LONG)
            await at(380)
            await on.caller.say("stop it")
            await at(9000)
            return first.outcome, second.outcome, on.caller.heard

    first, second, heard = play(scene)
    assert (first, second) == (ResponseOutcome.HEARD, ResponseOutcome.CUT)
    assert heard.startswith("one two three four five")
    assert heard != f"one two three four five {LONG} {LONG}"


def test_words_that_are_known_after_a_hang_up_are_answered_by_nobody():
    """Those of two utterances come late, and the caller is gone."""
    asked: list[str] = []

    async def agent(text: str) -> str:
        asked.append(text)
        return LONG

    async def scene():
        async with stage(agent, stt=ScriptedStt(delay_ms=1500)) as on:
            await on.caller.say("hello there")
            await at(1500)
            await on.caller.say("it is me")
            await at(2300)
            on.caller.hang_up()
            await at(9000)
        return on.user_words()

    assert play(scene) == ["hello there", "it is me"]
    assert asked == []


def test_speech_while_the_link_is_away_joins_what_was_said_over_a_notice():
    """The next link hears all of it at once: it is one turn, and is answered once."""
    asked: list[str] = []

    async def agent(text: str) -> str:
        asked.append(text)
        return LONG

    def finals(number: int, words: str) -> list[tuple[float, str]]:
        return [(50 if words != "yes please do" else 5000, words)]

    async def scene():
        stt = ScriptedStt(finals=finals)
        async with stage(agent, stt=stt) as on:
            on.session.say(LONG, occasion=Occasion.NOTICE)
            await at(600)
            await on.caller.say("yes please do")
            await at(2300)
            stt.links[-1].lose()
            await on.caller.say("and what about tuesday")
            await at(20_000)
            return on.user_words()

    said = play(scene)
    assert " ".join(said) == "yes please do and what about tuesday"
    assert asked == ["yes please do and what about tuesday"]


def test_each_turn_is_told_to_end_once():
    """An answer falls due while the person speaks again, over something the application says."""
    policies = InterruptionSettings(normal=ONE_WORD, greeting=InterruptionPolicy(resumes=False))

    async def scene():
        async with stage(settings=EngineSettings(interruptions=policies)) as on:
            await on.caller.say("hello there")
            await at(1500)
            await on.caller.say("stop it")
            await at(2200)
            on.session.say(LONG, occasion=Occasion.GREETING)
            await at(2300)
            await on.caller.say("and some more words")
            await at(15_000)
            kinds = (UserSpeechStarted, UserSpeechEnded)
            events = [one.event for one in on.trace.happenings]
            return [type(one) for one in events if isinstance(one, kinds)]

    assert play(scene) == [UserSpeechStarted, UserSpeechEnded] * 2
