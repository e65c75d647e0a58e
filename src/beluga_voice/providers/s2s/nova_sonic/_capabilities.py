"""What Amazon Nova Sonic can do, model by model.

Sources, all read 2026-11-21 as stored excerpts, under
https://docs.aws.amazon.com/nova/latest/nova2-userguide/: `sonic-turn-taking` (endpointing),
`sonic-chat-history` (history and its sizes), `sonic-language-support` (voices),
`sonic-input-events` (order, rates, settings), `sonic-output-events` (what comes back), and
https://docs.aws.amazon.com/nova/latest/userguide/available-voices.html for the first model. Where
they are silent, what published integrations do: livekit-agents 1.8.9, pipecat-ai 1.14.0,
strands-agents 1.62.0. What only those say is marked so.
"""

from dataclasses import dataclass

from beluga_voice.audio.formats import pcm16
from beluga_voice.interfaces import Capabilities, Faithfulness, Resumption, TurnOwner

DEFAULT_MODEL = "amazon.nova-2-sonic-v1:0"
DEFAULT_VOICE = "tiffany"

INPUT_RATES = (16000, 8000, 24000)
OUTPUT_RATES = (24000, 16000, 8000)

# ── limits ──────────────────────────────────────────────────────────────────────────────────

MAX_CONNECTION_SECONDS = 480.0
"""The service ends every stream after eight minutes, without a warning."""
MAX_TEXT_BYTES = 1024
"""One `textInput`; longer text goes in several, in the same block."""
MAX_HISTORY_BYTES = 40 * 1024
"""All that was said before, together; the oldest is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """In what one model differs from another."""

    voices: frozenset[str]
    languages: frozenset[str]
    takes_text: bool = True
    """Words may be written in mid-call."""
    takes_sensitivity: bool = True


# fmt: off
_FIRST_VOICES = frozenset(
    {
        "matthew", "tiffany", "amy", "lupe", "carlos", "ambre", "florian", "greta", "lennart",
        "beatrice", "lorenzo",
    }
)
_VOICES = frozenset(
    {
        # The first two speak every language.
        "matthew", "tiffany", "amy", "olivia", "lupe", "carlos", "ambre", "florian", "tina",
        "lennart", "beatrice", "lorenzo", "carolina", "leo", "arjun", "kiara",
    }
)
_LANGUAGES = frozenset(
    {"en-US", "en-GB", "en-AU", "en-IN", "fr-FR", "it-IT", "de-DE", "es-US", "pt-BR", "hi-IN"}
)
# fmt: on

MODELS = {
    "amazon.nova-2-sonic-v1:0": Model(voices=_VOICES, languages=_LANGUAGES),
    # Named by integrations; its own voices could not be read.
    "amazon.nova-2-5-sonic": Model(voices=_VOICES, languages=_LANGUAGES),
    # Ended by the vendor on 2026-09-14, by its model card; for those who kept it.
    "amazon.nova-sonic-v1:0": Model(
        voices=_FIRST_VOICES,
        languages=frozenset({"en-US", "en-GB", "fr-FR", "it-IT", "de-DE", "es-US"}),
        takes_text=False,
        takes_sensitivity=False,
    ),
}
"""A model that is not here is taken to be like the default one."""

VOICES = tuple(sorted(_VOICES))
"""Of the default model; the list is closed, and another voice is refused before connecting."""

PAUSE_MS = {"high": 1500, "medium": 1750, "low": 2000}
"""The pause that ends a turn, by sensitivity (`sonic-turn-taking`); which of them comes where none
is asked for is not documented."""
TURN_SILENCE_MS = None
"""The service does not tell when it noticed the end of a turn."""

USD_PER_MILLION_TOKENS: dict[str, dict[str, float]] = {
    DEFAULT_MODEL: {
        "input_text": 0.33,
        "input_audio": 3.0,
        "output_text": 2.75,
        "output_audio": 12.0,
    },
    "amazon.nova-sonic-v1:0": {
        "input_text": 0.06,
        "input_audio": 3.4,
        "output_text": 0.24,
        "output_audio": 13.6,
    },
}
"""By model and kind of token, on demand. From the list `genai-prices` 0.2.3; read 2026-11-21."""


def model_named(name: str) -> Model:
    """The model of that name, or of that name behind an ARN."""
    return MODELS.get(name.rpartition("/")[2], MODELS[DEFAULT_MODEL])


def capabilities_of(model: Model) -> Capabilities:
    """What the provider can do with that model."""
    return Capabilities(
        input_formats=tuple(pcm16(rate) for rate in INPUT_RATES),
        output_formats=tuple(pcm16(rate) for rate in OUTPUT_RATES),
        turn_owners=(TurnOwner.PROVIDER,),
        # The words of an utterance come when it is over, in one or more blocks.
        has_interim_transcripts=False,
        has_input_transcript=True,
        has_speech_events=False,
        has_tools=True,
        has_text_input=model.takes_text,
        has_temperature=True,
        has_output_token_limit=True,
        # It hears interruptions by itself, and keeps what it believes was heard.
        can_cancel=False,
        can_truncate=False,
        can_suppress_response=False,
        can_request_response=model.takes_text,
        # Before the sound begins, and never again.
        can_seed_history=True,
        mutable=frozenset(),
        say=Faithfulness.BEST_EFFORT if model.takes_text else Faithfulness.NONE,
        needs_paced_input=True,
        needs_continuous_input=True,
        max_connection_seconds=MAX_CONNECTION_SECONDS,
        resumption=Resumption.HISTORY,
        languages=model.languages,
    )
