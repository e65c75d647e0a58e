"""Services behind which an agent of ours thinks, with a person on the line."""

from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from beluga_voice.app import VoiceSession
from beluga_voice.events import (
    InputTranscript,
    Message,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities, TurnOwner
from beluga_voice.providers.s2s.elevenlabs import ElevenLabsAgents
from beluga_voice.providers.s2s.gemini_live import GeminiLive
from beluga_voice.providers.s2s.grok import Grok
from beluga_voice.providers.s2s.nova_sonic import NovaSonic
from beluga_voice.providers.s2s.openai_live import OpenAILive
from beluga_voice.providers.s2s.openai_realtime import OpenAIRealtime
from beluga_voice.providers.s2s.reasoned.tooling import ASK_AGENT
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators import elevenlabs_agents as agents
from beluga_voice.testing.emulators import gemini_live as gemini
from beluga_voice.testing.emulators import grok as xai
from beluga_voice.testing.emulators import nova_sonic as nova
from beluga_voice.testing.emulators import openai_live as live
from beluga_voice.testing.emulators import openai_realtime as realtime
from beluga_voice.testing.emulators.speech import obey
from beluga_voice.testing.scripted import ScriptedVad
from beluga_voice.testing.speech import speech
from beluga_voice.testing.trace import Trace, trace

HOST, PORT = "voice.example.com", 8765


@dataclass
class Stage:
    """What a scene has at hand."""

    session: VoiceSession
    caller: ScriptedCaller
    trace: Trace
    capabilities: Capabilities

    def words(self, role):
        """What was said by one side, by the history."""
        items = self.session.history
        return [one.text for one in items if isinstance(one, Message) and one.role is role]


@asynccontextmanager
async def saying(agent, *, brain=obey, pace=None, faults=(), **session):
    """OpenAI Realtime, which is given words to say."""
    service = realtime.OpenAIRealtimeEmulator(brain, pace=pace, faults=faults)
    async with service.serving(HOST, PORT):
        provider = OpenAIRealtime(api_key=realtime.KEY, endpoint=service.url)
        async with talking(provider, agent, **session) as on:
            yield on


@asynccontextmanager
async def tooling(agent, *, brain=obey, pace=None, faults=(), **session):
    """Gemini Live, which asks a tool."""
    service = gemini.GeminiLiveEmulator(brain, pace=pace, faults=faults)
    async with service.serving(HOST, PORT) as address:
        provider = GeminiLive(api_key=gemini.API_KEY, endpoint=address)
        async with talking(provider, agent, **session) as on:
            yield on


@asynccontextmanager
async def tooling_grok(agent, *, brain=obey, pace=None, faults=(), **session):
    """Grok, which asks a tool: it listens in silence only where the turns are ours."""
    service = xai.GrokEmulator(brain, pace=pace, faults=faults)
    async with service.serving(HOST, PORT):
        provider = Grok(api_key=xai.KEY, endpoint=service.url)
        async with talking(provider, agent, **session) as on:
            yield on


@asynccontextmanager
async def tooling_nova(agent, *, brain=obey, pace=None, faults=(), **session):
    """Nova Sonic, which asks a tool."""
    service = nova.NovaSonicEmulator(
        brain, pace=pace, faults=faults, silence_ms=500, ends_completions=True
    )
    async with service.serving(HOST, PORT):
        provider = NovaSonic(open_channel=nova.plain(service.url))
        async with talking(provider, agent, **session) as on:
            yield on


@asynccontextmanager
async def tooling_elevenlabs(agent, *, brain=obey, pace=None, faults=(), **session):
    """An agent of ElevenLabs that is set up with the tool."""
    able = agents.EmulatedAgent(tools=(ASK_AGENT,))
    service = agents.ElevenLabsAgentsEmulator(
        brain, pace=pace, faults=faults, agents={agents.AGENT: able}
    )
    async with service.serving(HOST, PORT):
        provider = ElevenLabsAgents(agents.AGENT, api_key=agents.KEY, endpoint=service.url)
        async with talking(provider, agent, **session) as on:
            yield on


@asynccontextmanager
async def delegating(agent, *, brain=obey, pace=None, faults=(), **session):
    """OpenAI Live, which hands over whatever the person says."""
    service = live.OpenAILiveEmulator(brain, pace=pace, faults=faults)
    async with service.serving(HOST, PORT):
        provider = OpenAILive(api_key=live.KEY, endpoint=service.url)
        async with talking(provider, agent, **session) as on:
            yield on


@asynccontextmanager
async def talking(provider, agent, **session):
    """A session with that provider and agent, and a person on its line."""
    able = provider.capabilities
    rate = able.input_formats[0].rate
    caller = ScriptedCaller(input_rate=rate, output_rate=able.output_formats[0].rate)
    ears = ScriptedVad(rate=rate)
    made = VoiceSession(s2s=provider, agent=agent, line=caller, vad=ears, **session)
    seen = trace(made)
    async with made, caller.on(made):
        yield Stage(made, caller, seen, able)


EVERYWAY = pytest.mark.parametrize(
    "stage", [saying, tooling, tooling_grok, tooling_nova, tooling_elevenlabs, delegating]
)


# ── scripted services ───────────────────────────────────────────────────────────────────────

DUPLEX = Capabilities(
    turn_owners=(TurnOwner.DUPLEX,),
    needs_continuous_input=True,
    has_delegation=True,
    has_input_transcript=True,
)


async def voice(link, name, text):
    """Speak a response."""
    response_id = ResponseId(name)
    link.emit(ResponseStarted(response_id=response_id))
    for index, word in enumerate(speech(text, rate=24000)):
        link.emit(
            ResponseText(response_id=response_id, delta=f" {word.text}" if index else word.text),
            ResponseAudio(response_id=response_id, pcm=b"".join(word.frames)),
        )
    link.emit(ResponseDone(response_id=response_id, status=ResponseStatus.COMPLETED))


def person(text, number=1):
    """The person's final words."""
    return InputTranscript(utterance_id=UtteranceId(f"u{number}"), text=text, is_final=True)
