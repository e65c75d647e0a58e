"""What OpenAI's transcription can do, as data.

Sources, read 2026-11-21: the types of the official SDK for Python, 3.52.0
(`types/audio/transcription_create_params.py`, `types/realtime/audio_transcription_param.py`). It
announces the shutdown of all models but the first three on 2027-02-26. Marked *observed* is what
published integrations rely on.
"""

from typing import Any, Literal

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.interfaces import Capabilities
from beluga_voice.providers.phrases import PhraseLimits

type Transport = Literal["realtime", "rest"]

DEFAULT_MODEL = "gpt-live-transcribe"
LIVE_MODELS = frozenset({"gpt-live-transcribe", "gpt-realtime-whisper"})
"""Models that are served over the websocket alone."""
KEYWORD_MODELS = frozenset({"gpt-transcribe", "gpt-live-transcribe"})
"""Models that take `keywords`."""
PHRASES = PhraseLimits()
"""The SDK states no limit of them."""
DELAY_MODELS = frozenset({"gpt-realtime-whisper"})
"""Models that take a `delay`; they take no prompt."""
WORD_MODELS = frozenset({"whisper-1"})
"""Models that give the times of words, over REST."""

REALTIME_PATH = "/realtime"
REST_PATH = "/audio/transcriptions"
OWN_HOST = "api.openai.com"
"""It refuses a model in the address of a transcription; other hosts want it there (*observed*)."""

WIRE_FORMATS: dict[AudioFormat, dict[str, Any]] = {
    pcm16(24000): {"type": "audio/pcm", "rate": 24000},
    AudioFormat(Encoding.MULAW, 8000): {"type": "audio/pcmu"},
    AudioFormat(Encoding.ALAW, 8000): {"type": "audio/pcma"},
}
"""What it hears live, by its own names."""
REST_FORMATS = (pcm16(16000), pcm16(24000), pcm16(8000), pcm16(48000))
"""What it is posted as a WAV file."""

MIN_COMMIT_MS = 100
"""Less sound is refused (`input_audio_buffer_commit_empty`, *observed*)."""
MAX_FILE_BYTES = 25 * 1024 * 1024
"""The largest file it takes."""
MAX_PART_BYTES = 20 * 1024 * 1024
"""A longer utterance is posted in parts."""
EXPIRED_CODE = 1001
EXPIRED_REASON = "maximum duration"
"""How a session ends that lasted as long as one may."""


def transport_of(model: str, asked: Transport | None) -> Transport:
    """How that model is reached, where nothing else was asked for."""
    return asked or ("realtime" if model in LIVE_MODELS else "rest")


def capabilities(model: str, transport: Transport) -> Capabilities:
    """What can be asked of it."""
    settings = {"phrases"} if model in KEYWORD_MODELS else set[str]()
    if transport == "realtime":
        return Capabilities(
            input_formats=tuple(WIRE_FORMATS),
            has_interim_transcripts=True,
            settings=frozenset(settings),
        )
    has_words = model in WORD_MODELS
    return Capabilities(
        input_formats=REST_FORMATS,
        is_streaming=False,
        has_word_times=has_words,
        settings=frozenset(settings | ({"wants_words"} if has_words else set[str]())),
    )
