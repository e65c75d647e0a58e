"""A recogniser that is slow, and tells so by interim words, is not begun anew for ever."""

import asyncio

import pytest

from beluga_voice.events import Reconnecting, Transcript
from beluga_voice.testing.scripted import ScriptedStt
from session.stage import play, stage


@pytest.mark.parametrize("tells", [True, False])
def test_words_that_take_eight_seconds_are_answered(tells):
    """It takes 8 s for a final each time, with interim words in between (or none)."""

    async def scene():
        stt = ScriptedStt(finals=lambda number, words: [(8000, words)], interim=tells)
        async with stage(stt=stt) as on:
            await on.caller.say("hello there")
            for _ in range(50):
                await asyncio.sleep(1)
                if tells:
                    stt.links[-1].tell(Transcript(text="hello", is_final=False))
            return on.caller.heard[:13], len(on.trace.of(Reconnecting)), on.session.state

    heard, reconnects, _ = play(scene)
    assert heard == "one two three"
    if tells:
        assert reconnects == 0
