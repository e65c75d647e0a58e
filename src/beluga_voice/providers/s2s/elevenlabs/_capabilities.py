"""What an agent of ElevenLabs can do.

Sources, all read 2026-11-21: the AsyncAPI types of `@elevenlabs/types` 0.23.0 (messages, languages,
formats, events), the types of the Python SDK `elevenlabs` 2.78.0 (what can be overridden), and
https://elevenlabs.io/docs/eleven-agents/customization/events (events of both directions). Marked
*observed* is what published integrations rely on and the vendor's types do not list.
"""

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.interfaces import Capabilities, Faithfulness, Resumption, TurnOwner

NAME = "elevenlabs"
ENDPOINT = "wss://api.elevenlabs.io"
CONVERSATION_PATH = "/v1/convai/conversation"
SIGNED_URL_PATH = "/v1/convai/conversation/get-signed-url"

FORMATS = {
    "pcm_8000": pcm16(8000),
    "pcm_16000": pcm16(16000),
    "pcm_22050": pcm16(22050),
    "pcm_24000": pcm16(24000),
    "pcm_44100": pcm16(44100),
    "pcm_48000": pcm16(48000),
    "ulaw_8000": AudioFormat(Encoding.MULAW, 8000),
}
"""How an agent may be set up to hear and to speak; it says which in its first message."""

# fmt: off
LANGUAGES = frozenset(
    {
        "en", "ja", "zh", "de", "hi", "fr", "ko", "pt", "pt-br", "it", "es", "id", "nl", "tr", "pl",
        "sv", "bg", "ro", "ar", "cs", "el", "fi", "ms", "da", "ta", "uk", "ru", "hu", "hr", "sk",
        "no", "vi", "tl", "af", "hy", "as", "az", "be", "bn", "bs", "ca", "et", "gl", "ka", "gu",
        "ha", "he", "is", "ga", "jv", "kn", "kk", "ky", "lv", "lt", "lb", "mk", "ml", "mr", "ne",
        "ps", "fa", "pa", "sr", "sd", "sl", "so", "sw", "te", "th", "ur", "cy",
    }
)
# fmt: on

VOICES = ()
"""A voice is named by an id of one's account; `tts("elevenlabs").voices()` lists them."""

TURN_SILENCE_MS = None
"""A model of the service decides, by how eager the agent is set up to be, and does not tell when it
noticed."""

USD_PER_MINUTE = 0.08
"""Of connection; the tokens of the agent's model come on top. From the list `genai-prices` 0.2.3,
which names https://elevenlabs.io/pricing/api for the agents' other API; read 2026-11-21. Plans
differ: by the vendor's help pages, as quoted elsewhere, a minute beyond those included is 400
credits on Creator ($0.12). *Not confirmed* for this API."""
SILENT_SHARE = 0.05
"""So much of the price is asked for after ten seconds in which nobody speaks; the same pages."""

SPEEDS = (0.7, 1.2)
"""The range of a voice's speed; https://elevenlabs.io/docs/agents-platform/customization/voice."""

CLIENT_EVENTS = (
    "conversation_initiation_metadata",
    "ping",
    "audio",
    "interruption",
    "user_transcript",
    "tentative_user_transcript",
    "agent_response",
    "agent_response_correction",
    "client_tool_call",
    "agent_tool_response",
    "agent_response_complete",
)
"""The events an agent should be set up to send for all of this provider to work.

By itself it sends the first seven only, and no tool is called then. `agent_response_complete` tells
the end of a response (*observed*); without it, a pause does.
"""

RECEIVE_TIMEOUT_SECONDS = 60
"""Without any sound for so long, the service ends a conversation (`transport_receive_timeout`)."""


def capabilities(input_format: str = "pcm_16000") -> Capabilities:
    """What the provider can do, with an agent that is set up to hear in that format."""
    rates = (16000, 8000, 22050, 24000, 44100, 48000)
    return Capabilities(
        input_formats=(pcm16(FORMATS[input_format].rate),),
        # Made from what the agent speaks, to the last sample of each response.
        output_formats=tuple(pcm16(rate) for rate in rates),
        turn_owners=(TurnOwner.PROVIDER,),
        has_interim_transcripts=True,
        has_input_transcript=True,
        # It may send how probable a voice is, which says nothing of turns.
        has_speech_events=False,
        has_word_times=True,
        has_tools=True,
        has_text_input=True,
        # Both are settings of the agent that no conversation can override.
        has_temperature=False,
        has_output_token_limit=False,
        can_cancel=False,
        can_truncate=False,
        can_suppress_response=False,
        can_request_response=True,
        can_seed_history=True,
        mutable=frozenset(),
        say=Faithfulness.BEST_EFFORT,
        needs_continuous_input=True,
        # It is a setting of the agent.
        max_connection_seconds=None,
        resumption=Resumption.HISTORY,
        languages=LANGUAGES,
    )
