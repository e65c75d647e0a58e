"""What Gemini Live can do, model by model.

Sources, all read 2026-11-21:
https://ai.google.dev/gemini-api/docs/live-guide (sound, turns, tools),
https://ai.google.dev/gemini-api/docs/live-session (limits, resumption, compression),
https://ai.google.dev/gemini-api/docs/models (names), the types of google-genai 3.4.0, and what
published integrations do where the documents are silent.
"""

from dataclasses import dataclass

from beluga_voice.audio.formats import pcm16
from beluga_voice.interfaces import Capabilities, Faithfulness, Resumption, TurnOwner

DEFAULT_MODEL = "gemini-3.8-live"
OUTPUT_RATE = 24000


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """In what one model differs from another."""

    takes_thinking_level: bool = False
    needs_thinking_level: bool = False
    takes_content_in_mid_call: bool = True
    """`clientContent` after the beginning; otherwise words of ours go as realtime text."""
    takes_context_update: bool = True
    tools_may_wait: bool = True
    """A tool may hold up the conversation until it has answered."""
    tools_may_overlap: bool = True
    """The conversation may go on while a tool runs."""
    has_history_config: bool = True
    """It is told that the first `clientContent` is what was said before."""


MODELS = {
    "gemini-3.8-live": Model(),
    "gemini-3.8-live-extended-thinking": Model(
        takes_thinking_level=True, needs_thinking_level=True, tools_may_wait=False
    ),
    "gemini-3.1-flash-live-preview": Model(
        takes_thinking_level=True,
        takes_content_in_mid_call=False,
        takes_context_update=False,
        tools_may_overlap=False,
    ),
    "gemini-2.5-flash-native-audio-preview-12-2025": Model(
        takes_thinking_level=True, takes_context_update=False, has_history_config=False
    ),
}
"""A model that is not here is taken to be like the default one."""

# fmt: off
VOICES = (
    "Achernar", "Achird", "Algenib", "Algieba", "Alnilam", "Aoede", "Autonoe", "Callirrhoe",
    "Charon", "Despina", "Enceladus", "Erinome", "Fenrir", "Gacrux", "Iapetus", "Kore",
    "Laomedeia", "Leda", "Orus", "Puck", "Pulcherrima", "Rasalgethi", "Sadachbia", "Sadaltager",
    "Schedar", "Sulafat", "Umbriel", "Vindemiatrix", "Zephyr", "Zubenelgenubi",
)
# fmt: on
"""All thirty, `Puck` being the one that comes. From
https://ai.google.dev/gemini-api/docs/speech-generation and the types of livekit-agents' plugin."""

TURN_SILENCE_MS = None
"""The silence that ends a turn as it comes is not documented, and the service does not tell when it
noticed the end."""

_PRICES = {"input_text": 0.75, "input_audio": 3.0, "output_text": 4.5, "output_audio": 12.0}
USD_PER_MILLION_TOKENS: dict[str, dict[str, float]] = {
    "gemini-3.8-live": _PRICES,
    "gemini-3.8-live-extended-thinking": _PRICES,
    "gemini-3.1-flash-live-preview": _PRICES,
    "gemini-2.5-flash-native-audio-preview-12-2025": {
        **_PRICES,
        "input_text": 0.5,
        "output_text": 2.0,
    },
}
"""By model and kind of token; thoughts count as output. From the list `genai-prices` 0.2.3, which
names https://ai.google.dev/gemini-api/docs/pricing; read 2026-11-21."""


def model_named(name: str) -> Model:
    """The model of that name."""
    return MODELS.get(name.removeprefix("models/"), MODELS[DEFAULT_MODEL])


def capabilities_of(model: Model, *, resumption: bool) -> Capabilities:
    """What the provider can do with that model."""
    return Capabilities(
        # Any rate is taken that the message states; the model hears at 16 kHz.
        input_formats=tuple(pcm16(rate) for rate in (16000, 8000, 24000, 48000)),
        output_formats=(pcm16(OUTPUT_RATE),),
        turn_owners=(TurnOwner.PROVIDER, TurnOwner.FRAMEWORK),
        has_interim_transcripts=True,
        has_input_transcript=True,
        # Only Vertex sends them: a person is seen by what was understood, and by interruptions.
        has_speech_events=False,
        has_tools=True,
        has_text_input=True,
        has_temperature=True,
        has_output_token_limit=True,
        # Of a threshold it has two steps only; see the sensitivities of the provider.
        turn_detection=frozenset({"silence_ms", "prefix_ms"}),
        # The service stops by itself, and guesses what was heard.
        can_cancel=False,
        can_truncate=False,
        can_suppress_response=False,
        can_request_response=True,
        can_seed_history=True,
        can_add_history=model.takes_content_in_mid_call,
        mutable=frozenset({"instructions", "tools"} if model.takes_context_update else ()),
        say=Faithfulness.BEST_EFFORT,
        max_connection_seconds=600.0,
        resumption=Resumption.HANDLE if resumption else Resumption.HISTORY,
    )
