"""Every speech-to-speech provider with the service that it is tried with, one row each.

A row is a name and a maker: an async context manager that gives the provider, connected to a
service like `Peer`. What is added here is held against the conformance suite, and plays in all
scenes.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from beluga_voice.interfaces import SpeechToSpeech
from beluga_voice.providers.s2s.elevenlabs import ElevenLabsAgents
from beluga_voice.providers.s2s.gemini_live import GeminiLive
from beluga_voice.providers.s2s.grok import Grok
from beluga_voice.providers.s2s.nova_sonic import NovaSonic
from beluga_voice.providers.s2s.openai_live import OpenAILive, ResponsesDelegation
from beluga_voice.providers.s2s.openai_realtime import OpenAIRealtime
from beluga_voice.testing.conformance import Maker, Peer
from beluga_voice.testing.conformance.s2s_talk import TOOL
from beluga_voice.testing.emulators import elevenlabs_agents as agents
from beluga_voice.testing.emulators import gemini_live as gemini
from beluga_voice.testing.emulators import grok as xai
from beluga_voice.testing.emulators import nova_sonic as nova
from beluga_voice.testing.emulators import openai_live as live
from beluga_voice.testing.emulators import openai_realtime as realtime
from scenarios.cascade_row import cascade

HOST, PORT = "voice.example.com", 80


@asynccontextmanager
async def openai_realtime(peer: Peer) -> AsyncGenerator[SpeechToSpeech]:
    """OpenAI Realtime, over its emulator."""
    service = realtime.OpenAIRealtimeEmulator(peer.brain, pace=peer.pace, faults=[peer.faults])
    async with service.serving(HOST, PORT):
        yield OpenAIRealtime(api_key=realtime.KEY, endpoint=service.url)


@asynccontextmanager
async def gemini_live(peer: Peer) -> AsyncGenerator[SpeechToSpeech]:
    """Gemini Live, over its emulator."""
    service = gemini.GeminiLiveEmulator(peer.brain, pace=peer.pace, faults=[peer.faults])
    async with service.serving() as endpoint:
        yield GeminiLive(api_key=gemini.API_KEY, endpoint=endpoint)


@asynccontextmanager
async def grok(peer: Peer) -> AsyncGenerator[SpeechToSpeech]:
    """Grok, over its emulator."""
    service = xai.GrokEmulator(peer.brain, pace=peer.pace, faults=[peer.faults])
    async with service.serving(HOST, PORT):
        yield Grok(api_key=xai.KEY, endpoint=service.url)


@asynccontextmanager
async def nova_sonic(peer: Peer) -> AsyncGenerator[SpeechToSpeech]:
    """Nova Sonic, over its emulator's plain wire."""
    service = nova.NovaSonicEmulator(
        peer.brain, pace=peer.pace, faults=[peer.faults], silence_ms=500, ends_completions=True
    )
    async with service.serving(HOST, PORT):
        yield NovaSonic(open_channel=nova.plain(service.url))


@asynccontextmanager
async def openai_live(peer: Peer) -> AsyncGenerator[SpeechToSpeech]:
    """OpenAI Live, over its emulator."""
    service = live.OpenAILiveEmulator(peer.brain, pace=peer.pace, faults=[peer.faults])
    async with service.serving(HOST, PORT):
        yield OpenAILive(api_key=live.KEY, endpoint=service.url)


@asynccontextmanager
async def openai_live_at_work(peer: Peer) -> AsyncGenerator[SpeechToSpeech]:
    """OpenAI Live, with a working model of the service, which calls the tools."""
    service = live.OpenAILiveEmulator(peer.brain, pace=peer.pace, faults=[peer.faults])
    async with service.serving(HOST, PORT):
        delegation = ResponsesDelegation(model="gpt-5.6")
        yield OpenAILive(api_key=live.KEY, endpoint=service.url, delegation=delegation)


@asynccontextmanager
async def elevenlabs(peer: Peer) -> AsyncGenerator[SpeechToSpeech]:
    """An agent of ElevenLabs that has the tool of the checks, over its emulator."""
    service = agents.ElevenLabsAgentsEmulator(
        peer.brain,
        pace=peer.pace,
        faults=[peer.faults],
        agents={agents.AGENT: agents.EmulatedAgent(tools=(TOOL,))},
    )
    async with service.serving(HOST, PORT):
        yield ElevenLabsAgents(agents.AGENT, api_key=agents.KEY, endpoint=service.url)


ROWS: dict[str, Maker[SpeechToSpeech]] = {
    "cascade": cascade,
    "openai_realtime": openai_realtime,
    "gemini_live": gemini_live,
    "grok": grok,
    "nova_sonic": nova_sonic,
    "openai_live": openai_live,
    "openai_live at work": openai_live_at_work,
    "elevenlabs": elevenlabs,
}
