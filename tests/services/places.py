"""Services to try a handle on: each with the emulated or scripted peer that it needs."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from beluga_voice.agents.functions import agent_of
from beluga_voice.interfaces import AgentTurn
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.providers.s2s.elevenlabs import ElevenLabsAgents
from beluga_voice.providers.s2s.gemini_live import GeminiLive
from beluga_voice.providers.s2s.grok import Grok
from beluga_voice.providers.s2s.nova_sonic import NovaSonic
from beluga_voice.providers.s2s.openai_live import OpenAILive, ResponsesDelegation
from beluga_voice.providers.s2s.openai_realtime import OpenAIRealtime
from beluga_voice.services.speech_to_speech import SpeechToSpeechService, s2s
from beluga_voice.session.tools import tools_of
from beluga_voice.testing.emulators import elevenlabs_agents as agents
from beluga_voice.testing.emulators import gemini_live as gemini
from beluga_voice.testing.emulators import grok as xai
from beluga_voice.testing.emulators import nova_sonic as nova
from beluga_voice.testing.emulators import openai_live as live
from beluga_voice.testing.emulators import openai_realtime as realtime
from beluga_voice.testing.emulators.speech import Asked, Brain, Calls, Speaks
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts

HOST, PORT = "voice.example.com", 8765

type Place = Callable[..., AbstractAsyncContextManager[SpeechToSpeechService]]


@asynccontextmanager
async def openai_realtime(brain: Brain, *, faults: Any = (), **wanted: Any) -> AsyncIterator[Any]:
    """OpenAI Realtime."""
    made = realtime.OpenAIRealtimeEmulator(brain, faults=faults)
    async with made.serving(HOST, PORT) as service:
        yield s2s(OpenAIRealtime(api_key=realtime.KEY, endpoint=service.url), **wanted)


@asynccontextmanager
async def gemini_live(brain: Brain, *, faults: Any = (), **wanted: Any) -> AsyncIterator[Any]:
    """Gemini Live."""
    made = gemini.GeminiLiveEmulator(brain, faults=faults)
    async with made.serving(HOST, PORT) as address:
        yield s2s(GeminiLive(api_key=gemini.API_KEY, endpoint=address), **wanted)


@asynccontextmanager
async def grok(brain: Brain, *, faults: Any = (), **wanted: Any) -> AsyncIterator[Any]:
    """Grok."""
    async with xai.GrokEmulator(brain, faults=faults).serving(HOST, PORT) as service:
        yield s2s(Grok(api_key=xai.KEY, endpoint=service.url), **wanted)


@asynccontextmanager
async def nova_sonic(brain: Brain, *, faults: Any = (), **wanted: Any) -> AsyncIterator[Any]:
    """Nova Sonic."""
    made = nova.NovaSonicEmulator(brain, faults=faults)
    async with made.serving(HOST, PORT) as service:
        yield s2s(NovaSonic(open_channel=nova.plain(service.url)), **wanted)


@asynccontextmanager
async def openai_live(brain: Brain, *, faults: Any = (), **wanted: Any) -> AsyncIterator[Any]:
    """OpenAI Live, with a working model of the service's own where there are tools."""
    delegation = {"delegation": ResponsesDelegation(model="gpt-5.6")} if "tools" in wanted else {}
    async with live.OpenAILiveEmulator(brain, faults=faults).serving(HOST, PORT) as service:
        made = OpenAILive(api_key=live.KEY, endpoint=service.url, **delegation)
        yield s2s(made, **wanted)


@asynccontextmanager
async def elevenlabs(brain: Brain, *, faults: Any = (), **wanted: Any) -> AsyncIterator[Any]:
    """An agent of ElevenLabs, which is set up to call the tools."""
    specs = tuple(one.spec for one in tools_of(wanted.get("tools", ())).values())
    made = agents.ElevenLabsAgentsEmulator(
        brain, faults=faults, agents={agents.AGENT: agents.EmulatedAgent(tools=specs)}
    )
    async with made.serving(HOST, PORT) as service:
        provider = ElevenLabsAgents(agents.AGENT, api_key=agents.KEY, endpoint=service.url)
        yield s2s(provider, **wanted)


@asynccontextmanager
async def cascade(brain: Brain, *, faults: Any = (), **wanted: Any) -> AsyncIterator[Any]:
    """The cascade, with an agent that thinks with the same brain."""

    async def agent(turn: AgentTurn) -> Any:
        deeds = brain(Asked(text=turn.text, history=tuple(turn.history)))
        for deed in deeds if isinstance(deeds, list) else [deeds]:
            match deed:
                case Speaks():
                    yield deed.text
                case Calls():
                    yield " " + await turn.call_tool(deed.name, deed.arguments)

    made = Cascade(ScriptedStt(delay_ms=50), agent_of(agent), ScriptedTts(delay_ms=30))
    yield s2s(made, **wanted)


PLACES: dict[str, Place] = {
    "openai_realtime": openai_realtime,
    "gemini_live": gemini_live,
    "grok": grok,
    "nova_sonic": nova_sonic,
    "openai_live": openai_live,
    "elevenlabs": elevenlabs,
    "cascade": cascade,
}
