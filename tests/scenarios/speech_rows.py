"""Every hosted speech-to-text and text-to-speech service, with the emulator it is tried with."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from beluga_voice.interfaces import SpeechToText, TextToSpeech
from beluga_voice.providers.stt.assemblyai import AssemblyAi
from beluga_voice.providers.stt.cartesia import CartesiaStt
from beluga_voice.providers.stt.deepgram import Deepgram
from beluga_voice.providers.stt.elevenlabs import Scribe
from beluga_voice.providers.stt.openai import OpenAIStt
from beluga_voice.providers.tts.cartesia import Cartesia
from beluga_voice.providers.tts.deepgram import DeepgramTts
from beluga_voice.providers.tts.elevenlabs import ElevenLabs
from beluga_voice.providers.tts.openai import OpenAITts
from beluga_voice.testing.emulators import (
    assemblyai_stt,
    cartesia_server,
    cartesia_stt,
    cartesia_tts,
    deepgram,
    elevenlabs_speech,
    elevenlabs_stt,
    elevenlabs_tts,
    openai_http,
    openai_stt,
)

HEARING, SPEAKING = "hears.example.com", "speaks.example.com"
PORT = 80


@asynccontextmanager
async def _deepgram(model: str) -> AsyncGenerator[SpeechToText]:
    async with deepgram.DeepgramEmulator().serving(HEARING, PORT) as service:
        yield Deepgram(model, api_key=deepgram.KEY, endpoint=service.url)


@asynccontextmanager
async def _cartesia_stt(*, manual: bool) -> AsyncGenerator[SpeechToText]:
    async with cartesia_stt.CartesiaSttEmulator().serving(HEARING, PORT) as service:
        yield CartesiaStt(api_key=cartesia_server.KEY, endpoint=service.url, manual=manual)


@asynccontextmanager
async def _scribe() -> AsyncGenerator[SpeechToText]:
    async with elevenlabs_stt.ScribeEmulator().serving(HEARING, PORT) as service:
        yield Scribe(api_key=elevenlabs_speech.KEY, endpoint=service.url)


@asynccontextmanager
async def _openai_stt() -> AsyncGenerator[SpeechToText]:
    async with openai_stt.OpenAISttEmulator(is_gateway=True).serving(HEARING, PORT) as service:
        yield OpenAIStt("gpt-live-transcribe", api_key=openai_stt.KEY, endpoint=service.base)


@asynccontextmanager
async def _assemblyai() -> AsyncGenerator[SpeechToText]:
    async with assemblyai_stt.AssemblyAiEmulator().serving(HEARING, PORT) as service:
        yield AssemblyAi(api_key=assemblyai_stt.KEY, endpoint=service.url)


@asynccontextmanager
async def _deepgram_tts() -> AsyncGenerator[TextToSpeech]:
    async with deepgram.DeepgramEmulator().serving(SPEAKING, PORT) as service:
        yield DeepgramTts(api_key=deepgram.KEY, endpoint=service.url)


@asynccontextmanager
async def _cartesia_tts() -> AsyncGenerator[TextToSpeech]:
    async with cartesia_tts.CartesiaTtsEmulator().serving(SPEAKING, PORT) as service:
        yield Cartesia(api_key=cartesia_server.KEY, endpoint=service.url)


@asynccontextmanager
async def _elevenlabs_tts() -> AsyncGenerator[TextToSpeech]:
    async with elevenlabs_tts.ElevenLabsTtsEmulator().serving(SPEAKING, PORT) as service:
        yield ElevenLabs(api_key=elevenlabs_speech.KEY, endpoint=service.url)


@asynccontextmanager
async def _openai_tts() -> AsyncGenerator[TextToSpeech]:
    async with openai_http.OpenAIHttpEmulator().serving(SPEAKING, PORT):
        yield OpenAITts(api_key=openai_http.KEY, endpoint=f"http://{SPEAKING}/v1")


STT: dict[str, Callable[[], AbstractAsyncContextManager[SpeechToText]]] = {
    "deepgram nova": lambda: _deepgram("nova-3"),
    "deepgram flux": lambda: _deepgram("flux-general-en"),
    "cartesia turns": lambda: _cartesia_stt(manual=False),
    "cartesia manual": lambda: _cartesia_stt(manual=True),
    "elevenlabs": _scribe,
    "openai": _openai_stt,
    "assemblyai": _assemblyai,
}
TTS: dict[str, Callable[[], AbstractAsyncContextManager[TextToSpeech]]] = {
    "deepgram": _deepgram_tts,
    "cartesia": _cartesia_tts,
    "elevenlabs": _elevenlabs_tts,
    "openai": _openai_tts,
}
