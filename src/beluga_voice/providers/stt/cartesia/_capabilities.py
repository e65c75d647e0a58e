"""What Cartesia Ink can do, as data.

Sources, read on 2026-11-21: the AsyncAPI of `/stt/turns/websocket` and `/stt/websocket` at
docs.cartesia.ai, the pages on turns and on keyterms there, and the types of the Python SDK
`cartesia` 4.2.0. The service itself was not reachable.
"""

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.interfaces import Capabilities
from beluga_voice.providers.phrases import PhraseLimits

TURNS_PATH = "/stt/turns/websocket"
MANUAL_PATH = "/stt/websocket"

DEFAULT_MODEL = "ink-2"
WHISPER = "ink-whisper"
"""The family of models that has no turns of its own."""

PCM_RATES = (16000, 8000, 22050, 24000, 32000, 44100, 48000)
MULAW = AudioFormat(Encoding.MULAW, 8000, 1)
ALAW = AudioFormat(Encoding.ALAW, 8000, 1)
FORMATS = (*(pcm16(rate) for rate in PCM_RATES), MULAW, ALAW)
"""PCM of 32 bits and of floats is taken too, and says nothing more."""

WIRE_ENCODINGS = {
    Encoding.PCM16: "pcm_s16le",
    Encoding.MULAW: "pcm_mulaw",
    Encoding.ALAW: "pcm_alaw",
}

PHRASES = PhraseLimits(max_phrases=100, max_characters=1200)
"""By https://docs.cartesia.ai/use-the-api/stt/keyterms."""

START_THRESHOLDS = (0.5, 0.9)
EAGER_END_THRESHOLDS = (0.3, 0.6)
END_THRESHOLDS = (0.05, 0.5)
END_TIMEOUTS_MS = (640, 11200)
DEFAULT_START_THRESHOLD = 0.8
DEFAULT_EAGER_END_THRESHOLD = 0.4
DEFAULT_END_THRESHOLD = 0.2
"""Those of the SDK. The AsyncAPI has 0.6 and 0.3 for the two ends, so all are always stated."""
DEFAULT_END_TIMEOUT_MS = 640
"""The service's own is 5600. A session ends turns by its own ears; then the shortest is best."""

SILENCE_AFTER_TIMEOUT_MS = 360
"""What is fed beyond the timeout, so that a turn that can end does."""

KEEPALIVE_SECONDS = 60.0
"""A connection that gets no sound is closed after 3 minutes by the page on limits, 5 by
integrations; so silence is sent well before."""


def capabilities(model: str, *, is_manual: bool) -> Capabilities:
    """What can be asked of it. A model of our time knows English; the older one many languages."""
    is_whisper = model.startswith(WHISPER)
    settings = frozenset[str]() if is_whisper else frozenset({"phrases"})
    return Capabilities(
        input_formats=FORMATS,
        output_formats=(),
        has_interim_transcripts=True,
        has_input_transcript=True,
        has_speech_events=not is_manual,
        has_word_times=is_manual,
        needs_paced_input=not is_manual,
        languages=frozenset() if is_whisper else frozenset({"en"}),
        settings=settings | {"wants_words"} if is_manual else settings,
        finds_turns=not is_manual,
    )
