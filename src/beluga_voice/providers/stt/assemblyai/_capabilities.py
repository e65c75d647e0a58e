"""What AssemblyAI's streaming can do, as data.

Sources, read 2026-11-21: the types of the official SDK for Python, `assemblyai` 1.8.2
(`streaming/v3/models.py`), https://assemblyai.com/docs/streaming/common-session-errors-and-closures
(close codes, 50 to 1000 ms in a frame, no faster than real time, 3 hours), and the API reference
https://assemblyai.com/docs/api-reference/streaming-api/universal-3-pro-streaming.
"""

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.events import ErrorCategory
from beluga_voice.interfaces import Capabilities
from beluga_voice.providers.phrases import PhraseLimits

NAME = "assemblyai"
ENDPOINT = "wss://streaming.assemblyai.com"
PATH = "/v3/ws"
KEY_VARIABLE = "ASSEMBLYAI_API_KEY"
API_VERSION = "2025-05-12"
DEFAULT_MODEL = "u3-rt-pro"

UNFORMATTED_MODELS = frozenset({"universal-streaming-english", "universal-streaming-multilingual"})
"""They write the end of a turn twice if `format_turns` is asked for: plain, then formatted."""
_SIX = frozenset({"en", "es", "de", "fr", "pt", "it"})
LANGUAGES = {
    "universal-streaming-english": frozenset({"en"}),
    "universal-streaming-multilingual": _SIX,
    "u3-rt-pro": _SIX,
}
"""By model; other models are not said to be limited."""

FORMATS: dict[AudioFormat, str] = {
    pcm16(16000): "pcm_s16le",
    pcm16(8000): "pcm_s16le",
    pcm16(24000): "pcm_s16le",
    pcm16(48000): "pcm_s16le",
    AudioFormat(Encoding.MULAW, 8000): "pcm_mulaw",
}
MIN_FRAME_MS = 50
MAX_FRAME_MS = 1000
"""A frame of sound outside these ends the session (3007)."""
MAX_SECONDS = 3 * 3600.0
PHRASES = PhraseLimits(max_phrases=100, max_phrase_characters=50)
"""By integrations that quote the vendor's page on streaming keyterms; more are refused there."""

CODES = {
    1008: ErrorCategory.AUTH,
    1013: ErrorCategory.RATE_LIMIT,
    3005: ErrorCategory.RETRYABLE,
    3006: ErrorCategory.INVALID_REQUEST,
    3007: ErrorCategory.INVALID_REQUEST,
    3008: ErrorCategory.SESSION_EXPIRED,
    3009: ErrorCategory.RATE_LIMIT,
    4000: ErrorCategory.INVALID_REQUEST,
    4001: ErrorCategory.AUTH,
    4002: ErrorCategory.INVALID_REQUEST,
    4003: ErrorCategory.INVALID_REQUEST,
    4008: ErrorCategory.SESSION_EXPIRED,
    4029: ErrorCategory.RETRYABLE,
    4031: ErrorCategory.TIMEOUT,
    4100: ErrorCategory.INVALID_REQUEST,
    4101: ErrorCategory.INVALID_REQUEST,
    4102: ErrorCategory.RATE_LIMIT,
}
"""Codes of `Error` messages, with which the connection is then closed."""
WORDS = {
    "session expired": ErrorCategory.SESSION_EXPIRED,
    "too many concurrent": ErrorCategory.RATE_LIMIT,
    "transmission rate": ErrorCategory.RETRYABLE,
    "insufficient": ErrorCategory.INVALID_REQUEST,
    "balance": ErrorCategory.INVALID_REQUEST,
}
"""What the words of an error say where its code means several things."""


def capabilities(model: str) -> Capabilities:
    """What can be asked of it."""
    settings = {"phrases", "wants_words", "filters_profanity"}
    if model in UNFORMATTED_MODELS:
        settings.add("wants_punctuation")
    return Capabilities(
        input_formats=tuple(FORMATS),
        has_interim_transcripts=True,
        has_speech_events=True,
        has_word_times=True,
        needs_paced_input=True,
        needs_continuous_input=True,
        max_connection_seconds=MAX_SECONDS,
        languages=LANGUAGES.get(model, frozenset()),
        settings=frozenset(settings),
        finds_turns=True,
    )


def category_of(code: int | None, said: str) -> ErrorCategory:
    """What an error means; one that is not known may be tried again."""
    words = said.lower()
    found = next((WORDS[part] for part in WORDS if part in words), None)
    return found or CODES.get(code or 0, ErrorCategory.RETRYABLE)
