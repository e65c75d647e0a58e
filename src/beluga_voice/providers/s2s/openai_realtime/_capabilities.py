"""What the OpenAI Realtime service can do, as data.

Sources, read on 2026-11-21: the types of the official Python SDK, version 3.52.0
(`openai.types.realtime`), and the guide "Realtime conversations" of the API documentation.
"""

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.interfaces import Capabilities, Faithfulness, Resumption, TurnOwner

DEFAULT_MODEL = "gpt-realtime-2.1"
DEFAULT_TRANSCRIPTION_MODEL = "gpt-transcribe"
ENDPOINT = "wss://api.openai.com/v1/realtime"

PCM = pcm16(24000)
"""The only rate the service takes as PCM."""
MULAW = AudioFormat(Encoding.MULAW, 8000, 1)
ALAW = AudioFormat(Encoding.ALAW, 8000, 1)
FORMATS = (PCM, MULAW, ALAW)

WIRE_FORMATS: dict[AudioFormat, dict[str, str | int]] = {
    PCM: {"type": "audio/pcm", "rate": 24000},
    MULAW: {"type": "audio/pcmu"},
    ALAW: {"type": "audio/pcma"},
}

MIN_COMMIT_MS = 100
"""An utterance that is shorter is an error (`input_audio_buffer_commit_empty`)."""

MAX_OUTPUT_TOKENS = 4096
"""The largest number that `max_output_tokens` may be; more is only to be had without a limit."""

SPEEDS = (0.25, 1.5)

WITHOUT_REASONING = ("gpt-realtime-1.5", "gpt-realtime-mini", "gpt-realtime-2025-08-28")
"""Families that refuse `reasoning` and `parallel_tool_calls`; so does `gpt-realtime` itself."""

MAX_CONNECTION_SECONDS = 3600.0

_PRICES = {
    "input_text": 4.0,
    "cached_text": 0.4,
    "input_audio": 32.0,
    "cached_audio": 0.4,
    "output_text": 24.0,
    "output_audio": 64.0,
}
USD_PER_MILLION_TOKENS: dict[str, dict[str, float]] = {
    "gpt-realtime-2.1": _PRICES,
    "gpt-realtime-2": _PRICES,
    "gpt-realtime-1.5": {**_PRICES, "output_text": 16.0},
    "gpt-realtime": {**_PRICES, "output_text": 16.0},
    "gpt-realtime-2.1-mini": {
        "input_text": 0.6,
        "cached_text": 0.06,
        "input_audio": 10.0,
        "cached_audio": 0.3,
        "output_text": 2.4,
        "output_audio": 20.0,
    },
}
"""By model and kind of token; the transcripts of the person come on top. From the list
`genai-prices` 0.2.3, which names the vendor's model pages; read 2026-11-21."""

TURN_SILENCE_MS = 500
"""The silence that ends a turn as it comes (API reference, `silence_duration_ms`, 2026-11)."""

VOICES = ("alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse")
"""All that are built in, `marin` and `cedar` recommended; and one's own, by ids. From the types of
the SDK."""
OWN_VOICE = "voice_"
"""What the id of a voice of one's own begins with."""


def can_reason(model: str) -> bool:
    """Whether the model takes a reasoning effort; one that is not known here may."""
    return model != "gpt-realtime" and not model.startswith(WITHOUT_REASONING)


def capabilities(
    *, has_transcripts: bool, is_semantic: bool = False, silence_ms: int | None = None
) -> Capabilities:
    """What can be asked of it.

    There are transcripts of the person only where they are paid for. Where the words decide that a
    turn is over, no silence does.
    """
    tunable = () if is_semantic else ("silence_ms", "prefix_ms", "threshold")
    return Capabilities(
        input_formats=FORMATS,
        output_formats=FORMATS,
        turn_owners=(TurnOwner.PROVIDER, TurnOwner.FRAMEWORK),
        has_interim_transcripts=has_transcripts,
        has_input_transcript=has_transcripts,
        has_speech_events=True,
        has_tools=True,
        has_text_input=True,
        has_temperature=False,  # removed with the beta dialect
        has_output_token_limit=True,
        turn_detection=frozenset(tunable),
        turn_silence_ms=None if is_semantic else silence_ms or TURN_SILENCE_MS,
        can_cancel=True,
        can_truncate=True,
        can_suppress_response=True,
        can_request_response=True,
        can_seed_history=True,
        can_add_history=True,
        # The voice is fixed after the first sound of a session, so it is not among them.
        mutable=frozenset({"instructions", "tools"}),
        say=Faithfulness.BEST_EFFORT,
        max_connection_seconds=MAX_CONNECTION_SECONDS,
        resumption=Resumption.HISTORY,
    )
