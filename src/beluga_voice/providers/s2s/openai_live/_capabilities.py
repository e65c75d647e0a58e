"""What the OpenAI Live service can do, as data.

Sources, read on 2026-11-21: the types of the official Python SDK, version 3.52.0
(`openai.types.live`), the guide "Live delegation" of the API documentation, and what published
integrations observed where the documents are silent; marked *observed*. What is marked *ours* is a
choice of this provider.
"""

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.interfaces import Capabilities, Faithfulness, Resumption, TurnOwner

DEFAULT_MODEL = "gpt-live-1"
ENDPOINT = "wss://api.openai.com/v1/live/sessions"

MULAW = AudioFormat(Encoding.MULAW, 8000, 1)
ALAW = AudioFormat(Encoding.ALAW, 8000, 1)
DEFAULT_FORMAT = pcm16(24000)
WIRE_FORMATS: dict[AudioFormat, dict[str, str | int]] = {
    pcm16(24000): {"type": "audio/pcm", "rate": 24000},
    pcm16(16000): {"type": "audio/pcm", "rate": 16000},
    MULAW: {"type": "audio/pcmu", "rate": 8000},
    ALAW: {"type": "audio/pcma", "rate": 8000},
}
"""One of them, the same both ways, for the whole of a session."""
SILENCE = {Encoding.PCM16: b"\x00", Encoding.MULAW: b"\xff", Encoding.ALAW: b"\xd5"}

VOICES = (
    *("alloy", "ash", "ballad", "beacon", "bossa", "cedar", "cinder", "coral", "delta", "echo"),
    *("gleam", "marin", "meridian", "quartz", "ripple", "sage", "shida", "shimmer", "stone"),
    *("tempo", "verse", "vesper", "willow"),
)
"""Those the SDK names; the service has newer ones, so others are taken as well."""

TURN_SILENCE_MS = None
"""A model that hears while it speaks ends no turns."""

USD_PER_MINUTE = 0.05
"""Of session, silence included; the tokens of a Responses backend come on top."""

# ── limits ──────────────────────────────────────────────────────────────────────────────────

APPEND_TOKENS = 450
"""What one append may hold by our estimate; the service refuses more than 500 by its count."""
HISTORY_MESSAGES = 128
HISTORY_TOKENS = 7_500
"""By our estimate; the service takes 8,192 by its count, as rendered."""
MESSAGE_TOKENS = 8
"""What a message costs beside its words (*ours*)."""

# ── times, in milliseconds ──────────────────────────────────────────────────────────────────

GAP_MS = 800
"""A silence that ends an utterance or a response; what two other integrations use."""
WORDS_FIRST_MS = 2000
"""How long a response that began with words may wait for its sound (*ours*)."""
GRACE_MS = 1300
"""How long delegated work waits for the words it is about (*observed*: 0.9 to 1.3 s)."""
STALL_MS = 10_000
"""Sound that was taken without any being given: the service is stuck (*ours*)."""
IDLE_MS = 300
"""A line that gives nothing for so long is given silence in its stead (*observed*)."""
PUMP_MS = 100

VOICED_PEAK = 64 / 32768
"""What is louder is speech: the silent track has a dither of about 20 (*observed*)."""


def capabilities(sound: AudioFormat, *, has_tools: bool) -> Capabilities:
    """What can be asked of it; tools and delegation to us exclude each other."""
    return Capabilities(
        # The format is one for both ways, so there is no choice for each of them.
        input_formats=(sound,),
        output_formats=(sound,),
        turn_owners=(TurnOwner.DUPLEX,),
        has_interim_transcripts=True,
        has_input_transcript=True,
        # There are none on the wire. Those we make of the transcript come late: ears are better.
        has_speech_events=False,
        has_tools=has_tools,
        has_delegation=not has_tools,
        has_text_input=True,
        has_temperature=False,
        has_output_token_limit=False,
        can_cancel=False,
        can_truncate=False,
        can_suppress_response=False,
        # By an appended comment that asks it to speak.
        can_request_response=True,
        can_seed_history=True,
        mutable=frozenset({"instructions", "tools"} if has_tools else {"instructions"}),
        say=Faithfulness.BEST_EFFORT,
        needs_paced_input=True,
        needs_continuous_input=True,
        resumption=Resumption.HISTORY,
    )
