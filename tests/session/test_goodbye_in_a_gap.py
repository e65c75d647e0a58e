"""A goodbye comes behind the whole answer, also where the answer has a gap."""

import asyncio

from session.stage import play, stage


async def at(milliseconds: float):
    """Wait until so long after the beginning."""
    await asyncio.sleep(max(0.0, milliseconds / 1000 - asyncio.get_running_loop().time()))


def test_a_goodbye_is_not_said_in_the_gap_of_an_answer():
    """The agent thinks in mid-answer, and the application leaves meanwhile."""

    async def gap(text: str):
        yield "well. "
        await asyncio.sleep(1.5)
        yield "here it is"

    async def scene():
        async with stage(gap) as on:
            await on.caller.say("hello")
            await at(1200)
            await on.session.leave("good bye")
            return on.caller.heard

    assert play(scene) == "well. here it is good bye"
