"""A session of a service with a limit ends there, and says before when that is, where it does."""

import asyncio

import pytest

from beluga_voice.events import ErrorCategory, LinkReady, ServiceFailed
from beluga_voice.providers.s2s.grok import Grok
from beluga_voice.providers.s2s.nova_sonic import NovaSonic
from beluga_voice.providers.s2s.openai_live import OpenAILive
from beluga_voice.providers.s2s.openai_realtime import OpenAIRealtime
from beluga_voice.testing.conformance.conversation import Stage
from beluga_voice.testing.conformance.report import Rule
from beluga_voice.testing.emulators import grok, nova_sonic, openai_live, openai_realtime
from beluga_voice.testing.emulators.openai_live_session import Manners
from beluga_voice.testing.emulators.realtime_session import EPOCH
from beluga_voice.testing.loop import simulate
from emulators.six import HOST, PORT

SECONDS = 20.0
LIMITED = {
    "grok": (
        grok.GrokEmulator(lifetime_seconds=SECONDS),
        lambda url: Grok(api_key=grok.KEY, endpoint=url),
        None,
    ),
    "nova_sonic": (
        nova_sonic.NovaSonicEmulator(max_connection_ms=SECONDS * 1000),
        lambda url: NovaSonic(open_channel=nova_sonic.plain(url)),
        None,
    ),
    "openai_live": (
        openai_live.OpenAILiveEmulator(manners=Manners(lifetime_seconds=SECONDS)),
        lambda url: OpenAILive(api_key=openai_live.KEY, endpoint=url),
        EPOCH + SECONDS,
    ),
    "openai_realtime": (
        openai_realtime.OpenAIRealtimeEmulator(lifetime_seconds=SECONDS),
        lambda url: OpenAIRealtime(api_key=openai_realtime.KEY, endpoint=url),
        EPOCH + SECONDS,
    ),
}
"""Those that have one by their documents; the others end a session when they please."""


@pytest.mark.parametrize("name", LIMITED)
def test_a_session_lasts_so_long(name):
    """It goes on until then, and is over as a session that expired."""
    emulator, provider, announced = LIMITED[name]

    async def scene():
        async with emulator.serving(HOST, PORT):
            made = provider(emulator.url)
            on = Stage(None, Rule.TURNS, made.capabilities.turn_owners[0])
            async with on.talking(made) as talk:
                (ready,) = talk.record.of(LinkReady)
                await asyncio.sleep(SECONDS - 1)
                before = talk.record.of(ServiceFailed)
                await asyncio.sleep(2)
                return ready, before, talk.record.of(ServiceFailed)

    ready, before, failed = simulate(scene)
    assert before == []
    assert [one.category for one in failed] == [ErrorCategory.SESSION_EXPIRED]
    assert ready.expires_at == announced
