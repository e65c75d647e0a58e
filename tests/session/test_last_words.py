"""What the person said last is remembered, although they hang up before its words are known."""

import asyncio

from beluga_voice.testing.scripted import ScriptedStt
from session.stage import play, stage


async def at(milliseconds: float):
    """Wait until so long after the beginning."""
    await asyncio.sleep(max(0.0, milliseconds / 1000 - asyncio.get_running_loop().time()))


def test_words_that_are_awaited_at_the_hang_up_are_remembered():
    """The turn was over, and the recogniser had all of it: 500 ms later it says what it was."""

    async def scene():
        async with stage(stt=ScriptedStt(delay_ms=500)) as on:
            await on.caller.say("cancel my order")
            await at(1400)
            on.caller.hang_up()
            await at(4000)
        return on.user_words()

    assert play(scene) == ["cancel my order"]


def test_words_spoken_up_to_the_hang_up_are_remembered():
    """The line is gone 100 ms after the last word."""

    async def scene():
        async with stage() as on:
            await on.caller.say("cancel my order")
            await at(700)
            on.caller.hang_up()
            await at(4000)
        return on.user_words()

    assert play(scene) == ["cancel my order"]
