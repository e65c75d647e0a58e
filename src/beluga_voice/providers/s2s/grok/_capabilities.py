"""What the xAI Grok Voice Agent service can do, as data.

Sources, read on 2026-11-21: the guide "Voice Agent API" of docs.x.ai (also in its revisions of June
2026, for resumption and spoken messages), the model card of July 2026 for the length of a session,
and what published integrations do where the documents are silent. The service itself was not
reachable: what is marked so is not confirmed by it.
"""

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.interfaces import Capabilities, Faithfulness, Resumption, TurnOwner

DEFAULT_MODEL = "grok-voice-latest"
"""An alias, of `grok-voice-3.0` in November 2026."""
TRANSCRIPTION_MODEL = "grok-transcribe"
"""With it the person's words come while they speak; the final ones come in any case."""
ENDPOINT = "wss://api.x.ai/v1/realtime"

PCM_RATES = (24000, 16000, 8000, 22050, 32000, 44100, 48000)
PCM = tuple(pcm16(rate) for rate in PCM_RATES)
MULAW = AudioFormat(Encoding.MULAW, 8000, 1)
ALAW = AudioFormat(Encoding.ALAW, 8000, 1)
FORMATS = (*PCM, MULAW, ALAW)
"""Opus is taken too, one packet to a message; there is no encoder here."""

WIRE_FORMATS: dict[AudioFormat, dict[str, str | int]] = {
    **{one: {"type": "audio/pcm", "rate": one.rate} for one in PCM},
    MULAW: {"type": "audio/pcmu", "rate": 8000},
    ALAW: {"type": "audio/pcma", "rate": 8000},
}

VOICES = ("eve", "ara", "rex", "sal", "leo")
"""Those that the guide names, `eve` being the one that comes; about 24 more, and one's own, are in
the list that `GET /v1/tts/voices` gives to whom has a key. Others are taken as they are."""

TURN_SILENCE_MS = None
"""The silence that ends a turn as it comes is not documented (it can be set: 0 to 10,000)."""

MIN_COMMIT_MS = 100
"""Not documented: what the protocol asks for elsewhere, and harmless where less is taken."""

SPEEDS = (0.7, 1.5)
THRESHOLDS = (0.1, 0.9)
MAX_DETECTION_MS = 10_000
MAX_KEYTERMS = 100
MAX_KEYTERM_CHARACTERS = 50

SERVER_TOOLS = frozenset({"web_search", "x_search", "file_search", "browse_page", "mcp"})
"""Tools of the service's own. A function of such a name makes every response fail (unconfirmed)."""

MAX_CONNECTION_SECONDS = 7200.0
"""120 minutes by the model card of July 2026; 30 were in force in April."""

USD_PER_MINUTE = 0.08
USD_PER_TEXT = 0.004
"""Of connection, and of each text that is sent, since August 2026; tools of the service's own come
on top. From the list `genai-prices` 0.2.3, which names docs.x.ai/developers/pricing; read
2026-11-21."""


def capabilities(
    *, resumption: bool, max_connection_seconds: float, silence_ms: int | None = None
) -> Capabilities:
    """What can be asked of it, with turns that end after `silence_ms` where that is set."""
    return Capabilities(
        input_formats=FORMATS,
        output_formats=FORMATS,
        # Integrations found turns of the client's own unstable: ask for them only when needed.
        turn_owners=(TurnOwner.PROVIDER, TurnOwner.FRAMEWORK),
        has_interim_transcripts=True,
        has_input_transcript=True,
        has_speech_events=True,
        has_tools=True,
        has_text_input=True,
        has_temperature=False,
        has_output_token_limit=False,
        turn_detection=frozenset({"silence_ms", "prefix_ms", "threshold"}),
        turn_silence_ms=TURN_SILENCE_MS if silence_ms is None else silence_ms,
        can_cancel=True,
        can_truncate=True,
        can_suppress_response=False,
        can_request_response=True,
        can_seed_history=True,
        can_add_history=True,
        mutable=frozenset({"instructions", "tools"}),
        say=Faithfulness.EXACT,
        max_connection_seconds=max_connection_seconds,
        resumption=Resumption.CONVERSATION_ID if resumption else Resumption.HISTORY,
    )
