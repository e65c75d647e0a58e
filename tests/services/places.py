"""Services to try a handle on: each with the emulated or scripted peer that it needs."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from beluga_voice.agents.functions import agent_of
from beluga_voice.interfaces import AgentTurn
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.providers.s2s.gemini_live import GeminiLive
from beluga_voice.providers.s2s.openai_realtime import OpenAIRealtime
from beluga_voice.services.speech_to_speech import SpeechToSpeechService, s2s
from beluga_voice.testing.emulators.gemini_live import API_KEY, GeminiLiveEmulator
from beluga_voice.testing.emulators.openai_realtime import KEY, OpenAIRealtimeEmulator
from beluga_voice.testing.emulators.speech import Asked, Brain, Calls, Speaks
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts

HOST, PORT = "voice.example.com", 8765

type Place = Callable[..., AbstractAsyncContextManager[SpeechToSpeechService]]


@asynccontextmanager
async def openai(brain: Brain, *, faults: Any = (), **wanted: Any) -> AsyncIterator[Any]:
    """OpenAI Realtime."""
    async with OpenAIRealtimeEmulator(brain, faults=faults).serving(HOST, PORT) as service:
        yield s2s(OpenAIRealtime(api_key=KEY, endpoint=service.url), **wanted)


@asynccontextmanager
async def gemini(brain: Brain, *, faults: Any = (), **wanted: Any) -> AsyncIterator[Any]:
    """Gemini Live."""
    async with GeminiLiveEmulator(brain, faults=faults).serving(HOST, PORT) as address:
        yield s2s(GeminiLive(api_key=API_KEY, endpoint=address), **wanted)


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
    "openai_realtime": openai,
    "gemini_live": gemini,
    "cascade": cascade,
}
