"""The connection to a service breaks while the person speaks, or waits for the answer."""

import asyncio

import pytest

from beluga_voice import VoiceSession
from beluga_voice.events import Message, Reconnected, Role
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.matrix.people import QUESTIONS, Mind, Over, Person
from beluga_voice.testing.matrix.stages import SERVICES
from beluga_voice.testing.scripted import ScriptedVad
from beluga_voice.testing.trace import Trace

SPOKEN_MS = 800
"""How long the first question is."""


def written_down(name, *, breaks_at_ms):
    """The person asks two questions, and the wire breaks at that moment: what the history holds."""
    trace = Trace()

    async def scene():
        loop = asyncio.get_running_loop()
        async with SERVICES[name](Mind().think, ()) as service:
            able = service.capabilities
            rate = able.input_formats[0].rate
            person = Person(input_rate=rate, output_rate=able.output_formats[0].rate)
            session = VoiceSession(
                s2s=service, line=person, vad=lambda: ScriptedVad(rate=rate), observers=[trace]
            )
            async with session, person.on(session):
                loop.call_at(breaks_at_ms / 1000, loop.network.reset)
                await person.converse(Over(), questions=2, interrupts=False)
            return [
                one.text
                for one in session.history
                if isinstance(one, Message) and one.role is Role.USER
            ]

    words = simulate(scene)
    assert trace.of(Reconnected)
    return words


@pytest.mark.parametrize("breaks_at_ms", range(100, SPOKEN_MS + 900, 200))
@pytest.mark.parametrize("name", SERVICES)
def test_every_word_is_written_down_once(name, breaks_at_ms):
    """What was said into the lost connection is neither missing in the history nor there twice."""
    assert written_down(name, breaks_at_ms=breaks_at_ms) == list(QUESTIONS[:2])
