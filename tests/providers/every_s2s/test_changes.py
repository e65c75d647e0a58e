"""What of a call cannot be changed while it lasts is refused, and said."""

import pytest

from beluga_voice import VoiceSession
from beluga_voice.errors import Unsupported
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.matrix.people import Mind
from beluga_voice.testing.matrix.stages import SERVICES
from beluga_voice.testing.scripted import ScriptedVad

CHANGES = {"instructions": "Be brief.", "tools": ()}


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_keeps_is_refused_and_named(name):
    """Whatever its profile does not call mutable; a voice takes another connection."""

    async def scene():
        async with SERVICES[name](Mind().think, ()) as service:
            able = service.capabilities
            rate = able.input_formats[0].rate
            caller = ScriptedCaller(input_rate=rate, output_rate=able.output_formats[0].rate)
            session = VoiceSession(s2s=service, line=caller, vad=lambda: ScriptedVad(rate=rate))
            async with session, caller.on(session):
                for change, value in CHANGES.items():
                    if change in able.mutable:
                        session.update(**{change: value})
                        continue
                    with pytest.raises(Unsupported, match=change):
                        session.update(**{change: value})
                return able.mutable

    assert "voice" not in simulate(scene)
