"""Calls over services that fail as they are told, and over what takes over."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from beluga_voice import VoiceSession
from beluga_voice.events import Message, Role
from beluga_voice.interfaces import Capabilities, SpeechToSpeech
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.providers.s2s.elevenlabs import ElevenLabsAgents
from beluga_voice.providers.s2s.gemini_live import GeminiLive
from beluga_voice.providers.s2s.grok import Grok
from beluga_voice.providers.s2s.nova_sonic import NovaSonic
from beluga_voice.providers.s2s.openai_live import OpenAILive
from beluga_voice.providers.s2s.openai_realtime import OpenAIRealtime
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators import elevenlabs_agents as agents
from beluga_voice.testing.emulators import gemini_live as gemini
from beluga_voice.testing.emulators import grok as xai
from beluga_voice.testing.emulators import nova_sonic as nova
from beluga_voice.testing.emulators import openai_live as live
from beluga_voice.testing.emulators import openai_realtime as realtime
from beluga_voice.testing.emulators.speech import Asked, Faults, Pace, Speaks
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad
from beluga_voice.testing.trace import Trace

LONG = "we do as he is so go on to us"
"""Words as short as they sound, so that those which a service gives no times for are counted."""
STT_MS, AGENT_MS, TTS_MS = 50, 40, 30
"""How long the parts of the cascade take."""


def rest_of(history) -> str:
    """Ten words, or what is left of them: what was heard is in the history."""
    said = [one for one in history if isinstance(one, Message) and one.role is Role.AGENT]
    heard = " ".join(one.text for one in said)
    return LONG[len(heard) :].strip() if LONG.startswith(heard) else LONG


class Brain:
    """A service's mind: ten words, or what is left of them."""

    def __init__(self):
        self.asked = []

    def __call__(self, asked: Asked) -> Speaks:
        self.asked.append(asked)
        return Speaks(rest_of(asked.history))


class Mind:
    """The cascade's agent, which is as clever, and keeps what it was asked and what it knew."""

    def __init__(self):
        self.asked = []
        self.knew = []

    async def respond(self, turn):
        """All at once, after a while."""
        self.asked.append(turn.text)
        self.knew.append([(one.role, one.text) for one in turn.history])
        await asyncio.sleep(AGENT_MS / 1000)
        yield rest_of(turn.history)


type Served = Callable[[Brain, Sequence[Faults]], AbstractAsyncContextManager[SpeechToSpeech]]
PACE = Pace(thinking_ms=400, word_ms=200)
HOST, PORT = "voice.example.com", 80
HOSTS = {"gemini_live": (gemini.HOST, gemini.PORT)}
"""Where the services are that are elsewhere."""


@asynccontextmanager
async def openai_realtime(brain, faults, host=HOST, port=PORT):
    """OpenAI Realtime."""
    service = realtime.OpenAIRealtimeEmulator(brain, pace=PACE, faults=faults)
    async with service.serving(host, port):
        yield OpenAIRealtime(api_key=realtime.KEY, endpoint=service.url)


@asynccontextmanager
async def gemini_live(brain, faults, *_):
    """Gemini Live."""
    service = gemini.GeminiLiveEmulator(brain, pace=PACE, faults=faults)
    async with service.serving() as endpoint:
        yield GeminiLive(api_key=gemini.API_KEY, endpoint=endpoint)


@asynccontextmanager
async def grok(brain, faults, host=HOST, port=PORT):
    """Grok."""
    service = xai.GrokEmulator(brain, pace=PACE, faults=faults)
    async with service.serving(host, port):
        yield Grok(api_key=xai.KEY, endpoint=service.url)


@asynccontextmanager
async def nova_sonic(brain, faults, host=HOST, port=PORT):
    """Nova Sonic."""
    service = nova.NovaSonicEmulator(
        brain, pace=PACE, faults=faults, silence_ms=500, ends_completions=True
    )
    async with service.serving(host, port):
        yield NovaSonic(open_channel=nova.plain(service.url))


@asynccontextmanager
async def openai_live(brain, faults, host=HOST, port=PORT):
    """OpenAI Live."""
    service = live.OpenAILiveEmulator(brain, pace=PACE, faults=faults)
    async with service.serving(host, port):
        yield OpenAILive(api_key=live.KEY, endpoint=service.url)


@asynccontextmanager
async def elevenlabs(brain, faults, host=HOST, port=PORT):
    """An agent of ElevenLabs."""
    service = agents.ElevenLabsAgentsEmulator(brain, pace=PACE, faults=faults)
    async with service.serving(host, port):
        yield ElevenLabsAgents(agents.AGENT, api_key=agents.KEY, endpoint=service.url)


SERVICES: dict[str, Served] = {
    "openai_realtime": openai_realtime,
    "gemini_live": gemini_live,
    "grok": grok,
    "nova_sonic": nova_sonic,
    "openai_live": openai_live,
    "elevenlabs": elevenlabs,
}


@dataclass
class Call:
    """A call, and what was seen of it."""

    session: VoiceSession
    caller: ScriptedCaller
    mind: Mind
    brain: Brain
    trace: Trace

    def words(self, role: Role) -> list[str]:
        """What one side said, by the history."""
        items = self.session.history
        return [one.text for one in items if isinstance(one, Message) and one.role is role]


def cascade_like(capabilities: Capabilities, mind: Mind) -> Cascade:
    """The three parts, at the rates of a service."""
    stt = ScriptedStt(delay_ms=STT_MS)
    stt.capabilities = replace(stt.capabilities, input_formats=capabilities.input_formats[:1])
    tts = ScriptedTts(delay_ms=TTS_MS, rate=capabilities.output_formats[0].rate)
    return Cascade(stt, mind, tts)


@asynccontextmanager
async def calling(
    served: Served, *faults: Faults, second: Served | None = None, **settings
) -> AsyncGenerator[Call]:
    """A call over a service whose connections have these faults, and over what comes after it.

    That is the cascade, or a second service, which has the same mind.
    """
    brain, mind, trace = Brain(), Mind(), Trace()
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(served(brain, faults))
        able = provider.capabilities
        if second is None:
            following: SpeechToSpeech = cascade_like(able, mind)
        else:
            following = await stack.enter_async_context(second(brain, ()))
        # Test speech does not survive another rate.
        other = following.capabilities
        rate = next(one.rate for one in able.input_formats if one in other.input_formats)
        spoken = next(one.rate for one in able.output_formats if one in other.output_formats)
        caller = ScriptedCaller(input_rate=rate, output_rate=spoken)
        session = VoiceSession(
            s2s=[provider, following],
            line=caller,
            vad=lambda: ScriptedVad(rate=rate),
            observers=[trace],
            ready_words=None,
            **settings,
        )
        async with session, caller.on(session):
            yield Call(session, caller, mind, brain, trace)
