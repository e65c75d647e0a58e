"""Calls over the emulated services, recorded, and replayed without them."""

import asyncio

import pytest

from beluga_voice.interfaces import S2sOptions, TurnOwner
from beluga_voice.resilience.recorded import Recorded
from beluga_voice.session.session import Session
from beluga_voice.support import owner_of
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.conformance import Peer
from beluga_voice.testing.emulators.speech import Pace
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.recording.call import play
from beluga_voice.testing.recording.verdict import problems
from beluga_voice.testing.scripted import ScriptedVad
from beluga_voice.testing.trace import trace
from scenarios.rows import ROWS


def record(make, path):
    """A call of two questions over a service."""

    async def scene():
        async with make(Peer(pace=Pace(thinking_ms=200, word_ms=100))) as service:
            recorded = Recorded(service, to=path)
            able = service.capabilities
            is_ours = owner_of(S2sOptions(), able) is TurnOwner.FRAMEWORK
            needs_ears = is_ours or not able.has_speech_events
            caller = ScriptedCaller()
            session = Session(
                recorded,
                line=caller,
                detector=recorded.ears(ScriptedVad()) if needs_ears else None,
                session_id="replay",
            )
            seen = trace(session)
            async with session, caller.on(session):
                await asyncio.sleep(0.5)
                await caller.say("what time is it")
                await asyncio.sleep(5)
                await caller.say("and in Oslo please")
                await asyncio.sleep(5)
            return seen

    return simulate(scene)


@pytest.mark.parametrize("name", ROWS)
def test_a_call_over_any_service_is_replayed_without_it(tmp_path, name):
    """The same events at the same times, whoever decides whose turn it is."""
    seen = record(ROWS[name], tmp_path / "call.jsonl")
    call = play(tmp_path / "call.jsonl")
    assert call.mismatches == ()
    assert call.trace.story() == seen.story()
    assert problems(call) == []
    assert "agent_response_ended" in " ".join(seen.story())
