"""The six speech-to-speech services on the simulated network, all served and talked to alike."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from beluga_voice.interfaces import SpeechToSpeech
from beluga_voice.providers.s2s.elevenlabs import ElevenLabsAgents
from beluga_voice.providers.s2s.gemini_live import GeminiLive
from beluga_voice.providers.s2s.grok import Grok
from beluga_voice.providers.s2s.nova_sonic import NovaSonic
from beluga_voice.providers.s2s.openai_live import OpenAILive, ResponsesDelegation
from beluga_voice.providers.s2s.openai_realtime import OpenAIRealtime
from beluga_voice.testing.conformance.s2s_talk import TOOL
from beluga_voice.testing.emulators import elevenlabs_agents as agents
from beluga_voice.testing.emulators import gemini_live as gemini
from beluga_voice.testing.emulators import grok as xai
from beluga_voice.testing.emulators import nova_sonic as nova
from beluga_voice.testing.emulators import openai_live as live
from beluga_voice.testing.emulators import openai_realtime as realtime
from beluga_voice.testing.emulators.speech import Brain, Faults, Pace, echo

HOST, PORT = "voice.example.com", 80


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a service behaves, and what the provider is given beside."""

    brain: Brain = echo
    pace: Pace = field(default_factory=Pace)
    faults: Sequence[Faults] = ()
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def behaviour(self) -> dict[str, Any]:
        """What every emulator takes."""
        return {"brain": self.brain, "pace": self.pace, "faults": self.faults}

    @property
    def given(self) -> dict[str, Any]:
        """What the provider takes."""
        return dict(self.settings)


@dataclass(frozen=True)
class Served:
    """A service that runs, and a provider that talks to it."""

    provider: SpeechToSpeech
    emulator: Any

    @property
    def sessions(self) -> list[Any]:
        """Every connection that was taken, in order: what it `received` and `sent`."""
        if isinstance(self.emulator, gemini.GeminiLiveEmulator):
            return list(self.emulator.connections)
        return list(self.emulator.sessions)


@asynccontextmanager
async def _openai_realtime(plan: Plan) -> AsyncGenerator[Served]:
    emulator = realtime.OpenAIRealtimeEmulator(**plan.behaviour)
    async with emulator.serving(HOST, PORT):
        provider = OpenAIRealtime(api_key=realtime.KEY, endpoint=emulator.url, **plan.given)
        yield Served(provider, emulator)


@asynccontextmanager
async def _grok(plan: Plan) -> AsyncGenerator[Served]:
    emulator = xai.GrokEmulator(**plan.behaviour)
    async with emulator.serving(HOST, PORT):
        yield Served(Grok(api_key=xai.KEY, endpoint=emulator.url, **plan.given), emulator)


@asynccontextmanager
async def _gemini_live(plan: Plan) -> AsyncGenerator[Served]:
    emulator = gemini.GeminiLiveEmulator(**plan.behaviour)
    async with emulator.serving(HOST, PORT) as endpoint:
        provider = GeminiLive(api_key=gemini.API_KEY, endpoint=endpoint, **plan.given)
        yield Served(provider, emulator)


@asynccontextmanager
async def _nova_sonic(plan: Plan) -> AsyncGenerator[Served]:
    emulator = nova.NovaSonicEmulator(**plan.behaviour, silence_ms=500, ends_completions=True)
    async with emulator.serving(HOST, PORT):
        yield Served(NovaSonic(open_channel=nova.plain(emulator.url), **plan.given), emulator)


@asynccontextmanager
async def _openai_live(plan: Plan) -> AsyncGenerator[Served]:
    """Work is delegated to the client."""
    emulator = live.OpenAILiveEmulator(**plan.behaviour)
    async with emulator.serving(HOST, PORT):
        provider = OpenAILive(api_key=live.KEY, endpoint=emulator.url, **plan.given)
        yield Served(provider, emulator)


@asynccontextmanager
async def _openai_live_working(plan: Plan) -> AsyncGenerator[Served]:
    """Work is delegated to a model of the service, which calls the tools."""
    given = {"delegation": ResponsesDelegation(model="gpt-5.6"), **plan.given}
    async with _openai_live(Plan(**plan.behaviour, settings=tuple(given.items()))) as served:
        yield served


@asynccontextmanager
async def _elevenlabs(plan: Plan) -> AsyncGenerator[Served]:
    """Tools are set up at the agent."""
    agent = agents.EmulatedAgent(tools=(TOOL,))
    emulator = agents.ElevenLabsAgentsEmulator(**plan.behaviour, agents={agents.AGENT: agent})
    async with emulator.serving(HOST, PORT):
        provider = ElevenLabsAgents(
            agents.AGENT, api_key=agents.KEY, endpoint=emulator.url, **plan.given
        )
        yield Served(provider, emulator)


type Serve = Callable[[Plan], AbstractAsyncContextManager[Served]]

SIX: dict[str, Serve] = {
    "elevenlabs": _elevenlabs,
    "gemini_live": _gemini_live,
    "grok": _grok,
    "nova_sonic": _nova_sonic,
    "openai_live": _openai_live,
    "openai_realtime": _openai_realtime,
}
WITH_TOOLS: dict[str, Serve] = {**SIX, "openai_live": _openai_live_working}
"""The same, each in the way in which it calls tools."""
