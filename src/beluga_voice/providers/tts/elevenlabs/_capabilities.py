"""What ElevenLabs' voices can do over a websocket of several contexts, as data.

Sources, read 2026-11-21: the types of the Python SDK `elevenlabs` 2.78.0 (messages of
`multi-stream-input`, ranges), https://elevenlabs.io/docs/overview/models (models and languages),
https://elevenlabs.io/docs/api-reference/websockets (formats, parameters). Marked *observed* is what
published integrations rely on.
"""

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.interfaces import Capabilities, Faithfulness

DEFAULT_MODEL = "eleven_flash_v2_5"
DEFAULT_VOICE = "JBFqnCBsd6RMkjVDRZzb"
"""The voice of the examples of the SDK, which every account has."""

DIALOGUE_MODELS = ("eleven_v3", "eleven_v4")
"""Models whose names begin so are refused here with HTTP 403 (*observed*): they are for another
protocol, which this provider does not speak."""

FORMATS: dict[AudioFormat, str] = {
    pcm16(24000): "pcm_24000",
    pcm16(16000): "pcm_16000",
    pcm16(8000): "pcm_8000",
    pcm16(22050): "pcm_22050",
    pcm16(32000): "pcm_32000",
    pcm16(44100): "pcm_44100",
    pcm16(48000): "pcm_48000",
    AudioFormat(Encoding.MULAW, 8000): "ulaw_8000",
    AudioFormat(Encoding.ALAW, 8000): "alaw_8000",
}
"""What it gives without a container, by its own names. Some ask for a paid plan."""

MAX_CONTEXTS = 5
"""Contexts that are not over yet; one more ends the connection (`max_active_conversations`)."""
SPEEDS = (0.7, 1.2)
MAX_INACTIVITY_SECONDS = 180
"""The longest the service can be told to wait for text; 20 is its own."""

# fmt: off
_V2 = frozenset(
    {
        "en", "ja", "zh", "de", "hi", "fr", "ko", "pt", "it", "es", "id", "nl", "tr", "fil", "pl",
        "sv", "bg", "ro", "ar", "cs", "el", "fi", "hr", "ms", "sk", "da", "ta", "uk", "ru",
    }
)
# fmt: on
_V2_5 = _V2 | {"hu", "no", "vi"}
LANGUAGES = {
    "eleven_multilingual_v2": _V2,
    "eleven_flash_v2_5": _V2_5,
    "eleven_turbo_v2_5": _V2_5,
    "eleven_flash_v2": frozenset({"en"}),
    "eleven_turbo_v2": frozenset({"en"}),
}
LANGUAGE_CODE_MODELS = ("eleven_flash_v2_5", "eleven_turbo_v2_5")
"""Models that can be held to a language; the others find it in the text."""
UNSPACED = frozenset({"ja", "ko", "zh"})
"""Languages in which the times of the words as written are better than as read (*observed*)."""


def capabilities(model: str) -> Capabilities:
    """What can be asked of it with that model; of one that is not known, any language."""
    return Capabilities(
        input_formats=(),
        output_formats=tuple(FORMATS),
        has_word_times=True,
        can_cancel=True,
        say=Faithfulness.EXACT,
        languages=LANGUAGES.get(model, frozenset()),
        settings=frozenset({"speed", "stability", "is_ssml"}),
        max_contexts=MAX_CONTEXTS,
    )
