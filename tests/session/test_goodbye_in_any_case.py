"""A goodbye is said and heard to its end, whatever is in its way."""

import asyncio

import pytest

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.farewell import LONGEST_FAREWELL_SECONDS
from beluga_voice.engine.patience import PatienceSettings
from beluga_voice.events import KeyPressed, SessionEnded, TalkKey
from beluga_voice.testing.scripted import ScriptedStt
from session.stage import LONG, play, stage

GOODBYE = "good bye and thank you"


async def at(milliseconds: float):
    """Wait until so long after the beginning."""
    await asyncio.sleep(max(0.0, milliseconds / 1000 - asyncio.get_running_loop().time()))


async def hang(text: str):
    """Never answer."""
    await asyncio.sleep(1000)
    return "too late"


async def end(on):
    """Wait for the end of the call; gives what was heard last, and when the call was over."""
    await on.session.wait_closed()
    return on.caller.heard, asyncio.get_running_loop().time()


def test_it_is_said_though_an_agent_hangs():
    """The answer is waited for as long as any last words, and then the goodbye is said."""

    async def scene():
        async with stage(hang) as on:
            await on.caller.say("hello there")
            await at(2000)
            leaving = asyncio.create_task(on.session.leave(GOODBYE))
            heard, over = await end(on)
            await leaving
            return heard, over, [one.reason for one in on.trace.of(SessionEnded)]

    heard, over, reasons = play(scene)
    assert (heard, reasons) == (GOODBYE, ["closed"])
    assert 2 + LONGEST_FAREWELL_SECONDS <= over < 2 + LONGEST_FAREWELL_SECONDS + 12


@pytest.mark.parametrize("is_longest", [False, True], ids=["leaves", "longest call"])
def test_it_is_said_over_a_person_who_never_stops(is_longest):
    """What they said until then is remembered, and they do not clip it."""
    patience = PatienceSettings(max_duration_ms=5000 if is_longest else None, goodbye=GOODBYE)

    async def scene():
        async with stage(settings=EngineSettings(patience=patience)) as on:
            speaking = asyncio.create_task(on.caller.say("and so on " * 200))
            await at(5000)
            if not is_longest:
                leaving = asyncio.create_task(on.session.leave(GOODBYE))
            heard, over = await end(on)
            speaking.cancel()
            if not is_longest:
                await leaving
            return heard, over, len(on.user_words()[0].split())

    heard, over, words = play(scene)
    assert heard == GOODBYE
    assert 5 + LONGEST_FAREWELL_SECONDS <= over < 5 + LONGEST_FAREWELL_SECONDS + 12
    assert words > 200


def test_it_is_said_though_the_recogniser_hangs():
    """The words of the last turn never come."""

    async def scene():
        stt = ScriptedStt(finals=lambda number, words: [])
        async with stage(stt=stt) as on:
            await on.caller.say("hello there")
            await at(2000)
            await on.session.leave(GOODBYE)
            return on.caller.heard

    assert play(scene) == GOODBYE


def press(keys):
    """Press telephone keys."""

    def presses(on):
        for key in keys:
            on.session.receive(KeyPressed(key=key))

    return presses


def test_keys_that_were_pressed_before_are_answered_first():
    """They are complete after their usual time, and the goodbye comes behind the answer."""

    async def echo(text: str):
        return f"you pressed {text}"

    async def scene():
        async with stage(echo) as on:
            await at(1000)
            press("42")(on)
            await at(1100)
            await on.session.leave(GOODBYE)
            return on.caller.heard

    assert play(scene) == f"you pressed 42 {GOODBYE}"


@pytest.mark.parametrize("before_ms", [0, 500, 1900])
def test_keys_do_not_clip_what_is_said_last(before_ms):
    """Whoever leaves without a goodbye wants what is being said to be heard."""

    async def scene():
        async with stage() as on:
            on.session.say(f"{LONG} {LONG}")
            await at(100)
            press("42")(on)
            await at(100 + before_ms)
            await on.session.leave()
            return on.caller.heard

    assert play(scene) == f"{LONG} {LONG}"


@pytest.mark.parametrize("pressed_ms", [900, 1100, 1500])
def test_a_talk_key_does_not_clip_it(pressed_ms):
    """Held down before the goodbye it has its turn; over the goodbye it has none."""

    async def scene():
        async with stage() as on:
            loop = asyncio.get_running_loop()
            for after_ms, is_down in ((0, True), (300, False)):
                event = TalkKey(is_down=is_down)
                loop.call_at((pressed_ms + after_ms) / 1000, on.session.receive, event)
            await at(1000)
            await on.session.leave(GOODBYE)
            return on.caller.heard

    assert play(scene) == GOODBYE
