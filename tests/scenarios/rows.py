"""Every speech-to-speech provider with the service that it is tried with, one row each.

A row is a name and a maker: an async context manager that gives the provider, connected to a
service like `Peer`. What is added here is held against the conformance suite, and plays in all
scenes.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from beluga_voice.interfaces import SpeechToSpeech
from beluga_voice.providers.s2s.gemini_live import GeminiLive
from beluga_voice.providers.s2s.openai_realtime import OpenAIRealtime
from beluga_voice.testing.conformance import Maker, Peer
from beluga_voice.testing.emulators.gemini_live import API_KEY, GeminiLiveEmulator
from beluga_voice.testing.emulators.openai_realtime import KEY, OpenAIRealtimeEmulator
from scenarios.cascade_row import cascade

HOST, PORT = "voice.example.com", 80


@asynccontextmanager
async def openai_realtime(peer: Peer) -> AsyncGenerator[SpeechToSpeech]:
    """OpenAI Realtime, over its emulator."""
    service = OpenAIRealtimeEmulator(peer.brain, pace=peer.pace, faults=[peer.faults])
    async with service.serving(HOST, PORT):
        yield OpenAIRealtime(api_key=KEY, endpoint=service.url)


@asynccontextmanager
async def gemini_live(peer: Peer) -> AsyncGenerator[SpeechToSpeech]:
    """Gemini Live, over its emulator."""
    service = GeminiLiveEmulator(peer.brain, pace=peer.pace, faults=[peer.faults])
    async with service.serving() as endpoint:
        yield GeminiLive(api_key=API_KEY, endpoint=endpoint)


ROWS: dict[str, Maker[SpeechToSpeech]] = {
    "cascade": cascade,
    "openai_realtime": openai_realtime,
    "gemini_live": gemini_live,
}
