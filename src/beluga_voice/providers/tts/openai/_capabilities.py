"""What OpenAI's speech over REST can do, as data.

Sources, read 2026-11-21: the types of the official SDK for Python, 3.52.0
(`types/audio/speech_create_params.py`, `speech_model.py`). All models that OpenAI serves here have
an announced shutdown on 2027-01-06, and the replacement is not served on this route.
"""

from beluga_voice.audio.formats import pcm16
from beluga_voice.interfaces import Capabilities, Faithfulness, Voice

PATH = "/audio/speech"
DEFAULT_MODEL = "gpt-4o-mini-tts"
DEFAULT_VOICE = "alloy"
RATE = 24000
"""`pcm` is mono 16-bit PCM at this rate, without a header."""
SPEEDS = (0.25, 4.0)
MAX_INPUT_CHARACTERS = 4096
PLAIN_MODELS = frozenset({"tts-1", "tts-1-hd"})
"""These take neither `instructions` nor `stream_format`."""

VOICES = tuple(
    Voice(id=name, name=name.capitalize())
    for name in (
        "alloy",
        "ash",
        "ballad",
        "coral",
        "echo",
        "fable",
        "onyx",
        "nova",
        "sage",
        "shimmer",
        "verse",
        "marin",
        "cedar",
    )
)


def capabilities(model: str, *, rate: int) -> Capabilities:
    """What can be asked of it."""
    settings = {"speed"} if model in PLAIN_MODELS else {"speed", "style"}
    return Capabilities(
        output_formats=(pcm16(rate),),
        can_cancel=True,
        say=Faithfulness.EXACT,
        settings=frozenset(settings),
    )
