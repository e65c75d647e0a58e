"""Every hosted recogniser and voice, with a service that fails without saying so, one row each.

A row is a maker: an async context manager that is given a fault, and gives the provider, whose
emulated service has that fault and no other. `None` is a service without one.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import StrEnum
from typing import Any

from beluga_voice.interfaces import SpeechToText, TextToSpeech
from beluga_voice.providers.stt.assemblyai import AssemblyAi
from beluga_voice.providers.stt.cartesia import CartesiaStt
from beluga_voice.providers.stt.deepgram import Deepgram, DeepgramFiles
from beluga_voice.providers.stt.elevenlabs import Scribe, ScribeFiles
from beluga_voice.providers.stt.openai import OpenAIStt
from beluga_voice.providers.tts.cartesia import Cartesia
from beluga_voice.providers.tts.deepgram import DeepgramTts
from beluga_voice.providers.tts.elevenlabs import ElevenLabs
from beluga_voice.providers.tts.openai import OpenAITts
from beluga_voice.testing.emulators import (
    assemblyai_stt,
    cartesia_stt,
    cartesia_tts,
    deepgram,
    deepgram_files,
    deepgram_session,
    deepgram_tts,
    elevenlabs_files,
    elevenlabs_speech,
    elevenlabs_stt,
    elevenlabs_tts,
    openai_http,
    openai_stt,
)
from beluga_voice.testing.emulators.speech import Faults, Pace

HOST, PORT = "speech.example.com", 80
STALL_MS = 1000
"""A service that goes quiet does so after so much sound."""
LATE_MS = 900


class SttFault(StrEnum):
    """What a recogniser does wrong."""

    NEVER_FINAL = "words, and never final ones"
    FINALS_TWICE = "final words twice"
    FINALS_LATE = "final words while the next are spoken"
    QUIET = "quiet while sound flows"


class TtsFault(StrEnum):
    """What a voice does wrong."""

    NO_SOUND = "no sound, with success"
    SILENCE = "silence alone"
    HEADER = "a WAV header in the sound"
    OTHER_RATE = "a WAV file of another rate"
    OWN_RATE = "samples of another rate"
    HALF_SAMPLE = "half a sample at the end"
    QUIET = "quiet in mid-speech"


type Stt = Callable[[SttFault | None], AbstractAsyncContextManager[SpeechToText]]
type Tts = Callable[[TtsFault | None], AbstractAsyncContextManager[TextToSpeech]]


def common(fault: SttFault | TtsFault | None) -> dict[str, Any]:
    """What all emulators take alike."""
    is_quiet = fault in (SttFault.QUIET, TtsFault.QUIET)
    return {
        "pace": Pace(transcript_ms=LATE_MS if fault is SttFault.FINALS_LATE else 0),
        "faults": [Faults(stall_after_audio_ms=STALL_MS)] if is_quiet else (),
    }


def posted(fault: SttFault | None) -> dict[str, Any]:
    """The same where there is one answer to each request: it comes, or it does not."""
    settings = common(fault)
    if fault in (SttFault.QUIET, SttFault.NEVER_FINAL):
        settings["faults"] = [Faults(is_mute=True)]
    return settings


# ── recognisers ─────────────────────────────────────────────────────────────────────────────


def _deepgram(model: str) -> Stt:
    @asynccontextmanager
    async def make(fault: SttFault | None) -> AsyncGenerator[SpeechToText]:
        quirks = deepgram_session.Quirks(
            never_final=fault is SttFault.NEVER_FINAL, repeats_finals=fault is SttFault.FINALS_TWICE
        )
        service = deepgram.DeepgramEmulator(quirks=quirks, **common(fault))
        async with service.serving(HOST, PORT):
            yield Deepgram(model, api_key=deepgram.KEY, endpoint=service.url)

    return make


def _cartesia_stt(*, manual: bool) -> Stt:
    @asynccontextmanager
    async def make(fault: SttFault | None) -> AsyncGenerator[SpeechToText]:
        service = cartesia_stt.CartesiaSttEmulator(
            never_ends=fault is SttFault.NEVER_FINAL,
            repeats_finals=fault is SttFault.FINALS_TWICE,
            **common(fault),
        )
        async with service.serving(HOST, PORT):
            yield CartesiaStt(api_key=cartesia_stt.KEY, endpoint=service.url, manual=manual)

    return make


@asynccontextmanager
async def _scribe(fault: SttFault | None) -> AsyncGenerator[SpeechToText]:
    quirks = elevenlabs_stt.Quirks(
        is_never_final=fault is SttFault.NEVER_FINAL,
        repeats_finals=fault is SttFault.FINALS_TWICE,
    )
    service = elevenlabs_stt.ScribeEmulator(quirks=quirks, **common(fault))
    async with service.serving(HOST, PORT):
        yield Scribe(api_key=elevenlabs_speech.KEY, endpoint=service.url)


@asynccontextmanager
async def _openai_live(fault: SttFault | None) -> AsyncGenerator[SpeechToText]:
    quirks = openai_stt.Quirks(
        never_final=fault is SttFault.NEVER_FINAL, repeats_finals=fault is SttFault.FINALS_TWICE
    )
    service = openai_stt.OpenAISttEmulator(is_gateway=True, quirks=quirks, **common(fault))
    async with service.serving(HOST, PORT):
        yield OpenAIStt(api_key=openai_stt.KEY, endpoint=service.base)


@asynccontextmanager
async def _openai_posted(fault: SttFault | None) -> AsyncGenerator[SpeechToText]:
    service = openai_http.OpenAIHttpEmulator(**posted(fault))
    async with service.serving(HOST, PORT):
        yield OpenAIStt("gpt-transcribe", api_key=openai_http.KEY, endpoint=service.url)


@asynccontextmanager
async def _deepgram_files(fault: SttFault | None) -> AsyncGenerator[SpeechToText]:
    async with deepgram_files.DeepgramFilesEmulator(**posted(fault)).serving(HOST, PORT) as service:
        yield DeepgramFiles(api_key=deepgram_files.KEY, endpoint=service.url, answer_seconds=10)


@asynccontextmanager
async def _scribe_files(fault: SttFault | None) -> AsyncGenerator[SpeechToText]:
    async with elevenlabs_files.ScribeFilesEmulator(**posted(fault)).serving(HOST, PORT) as service:
        yield ScribeFiles(api_key=elevenlabs_files.KEY, endpoint=service.url, answer_seconds=10)


@asynccontextmanager
async def _assemblyai(fault: SttFault | None) -> AsyncGenerator[SpeechToText]:
    quirks = assemblyai_stt.Quirks(
        never_final=fault is SttFault.NEVER_FINAL, repeats_finals=fault is SttFault.FINALS_TWICE
    )
    service = assemblyai_stt.AssemblyAiEmulator(quirks=quirks, **common(fault))
    async with service.serving(HOST, PORT):
        yield AssemblyAi(api_key=assemblyai_stt.KEY, endpoint=service.url)


STT: dict[str, Stt] = {
    "deepgram nova": _deepgram("nova-3"),
    "deepgram flux": _deepgram("flux-general-en"),
    "cartesia turns": _cartesia_stt(manual=False),
    "cartesia manual": _cartesia_stt(manual=True),
    "elevenlabs": _scribe,
    "openai live": _openai_live,
    "openai posted": _openai_posted,
    "deepgram files": _deepgram_files,
    "elevenlabs files": _scribe_files,
    "assemblyai": _assemblyai,
}

# ── voices ──────────────────────────────────────────────────────────────────────────────────

WRONG_RATE = 11025


@asynccontextmanager
async def _deepgram_tts(fault: TtsFault | None) -> AsyncGenerator[TextToSpeech]:
    quirks = deepgram_session.Quirks(
        is_soundless=fault is TtsFault.NO_SOUND,
        is_silent=fault is TtsFault.SILENCE,
        has_header=fault in (TtsFault.HEADER, TtsFault.OTHER_RATE),
        header_rate=WRONG_RATE if fault is TtsFault.OTHER_RATE else None,
        odd_end=fault is TtsFault.HALF_SAMPLE,
    )
    service = deepgram.DeepgramEmulator(quirks=quirks, **common(fault))
    async with service.serving(HOST, PORT):
        yield DeepgramTts(api_key=deepgram.KEY, endpoint=service.url)


@asynccontextmanager
async def _cartesia_tts(fault: TtsFault | None) -> AsyncGenerator[TextToSpeech]:
    twists: dict[TtsFault | None, cartesia_tts.Twist] = {
        TtsFault.NO_SOUND: "no sound",
        TtsFault.SILENCE: "mute",
        TtsFault.HEADER: "wav header",
        TtsFault.OTHER_RATE: "wrong wav",
        TtsFault.OWN_RATE: "16 khz",
        TtsFault.HALF_SAMPLE: "odd end",
    }
    service = cartesia_tts.CartesiaTtsEmulator(twist=twists.get(fault), **common(fault))
    async with service.serving(HOST, PORT):
        yield Cartesia(api_key=cartesia_tts.KEY, endpoint=service.url)


@asynccontextmanager
async def _elevenlabs_tts(fault: TtsFault | None) -> AsyncGenerator[TextToSpeech]:
    headers = {
        TtsFault.HEADER: deepgram_tts.wav_header(24000),
        TtsFault.OTHER_RATE: deepgram_tts.wav_header(WRONG_RATE),
    }
    quirks = elevenlabs_tts.Quirks(
        is_soundless=fault is TtsFault.NO_SOUND,
        is_silent=fault is TtsFault.SILENCE,
        container=headers.get(fault, b"") if fault else b"",
        true_rate=16000 if fault is TtsFault.OWN_RATE else None,
        odd_end=fault is TtsFault.HALF_SAMPLE,
    )
    service = elevenlabs_tts.ElevenLabsTtsEmulator(quirks=quirks, **common(fault))
    async with service.serving(HOST, PORT):
        yield ElevenLabs(api_key=elevenlabs_speech.KEY, endpoint=service.url)


@asynccontextmanager
async def _openai_tts(fault: TtsFault | None) -> AsyncGenerator[TextToSpeech]:
    replies: dict[TtsFault | None, openai_http.Reply] = {
        TtsFault.NO_SOUND: "empty",
        TtsFault.SILENCE: "mute",
        TtsFault.HEADER: "wav",
        TtsFault.OTHER_RATE: "wrong wav",
        TtsFault.HALF_SAMPLE: "odd",
    }
    reply = replies.get(fault, "events")
    service = openai_http.OpenAIHttpEmulator(reply=reply, **common(fault))
    async with service.serving(HOST, PORT):
        yield OpenAITts(api_key=openai_http.KEY, endpoint=service.url)


TTS: dict[str, Tts] = {
    "deepgram": _deepgram_tts,
    "cartesia": _cartesia_tts,
    "elevenlabs": _elevenlabs_tts,
    "openai": _openai_tts,
}
