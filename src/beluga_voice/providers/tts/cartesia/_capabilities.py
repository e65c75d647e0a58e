"""What Cartesia Sonic can do, as data.

Sources, read on 2026-11-21: the AsyncAPI of `/tts/websocket` and the pages on contexts and on
volume, speed and emotion at docs.cartesia.ai, and the types of the Python SDK `cartesia` 4.2.0. The
service itself was not reachable.
"""

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.interfaces import Capabilities, Faithfulness

PATH = "/tts/websocket"
VOICES_PATH = "/voices"
VOICES_PER_PAGE = 100
MAX_PAGES = 100

DEFAULT_MODEL = "sonic-3.5"
DEFAULT_VOICE = "f786b574-daa5-4673-aa0c-cbe3e8534c02"
"""The English voice that published integrations use when they are given none."""

PCM_RATES = (24000, 16000, 8000, 22050, 44100, 48000)
MULAW = AudioFormat(Encoding.MULAW, 8000, 1)
ALAW = AudioFormat(Encoding.ALAW, 8000, 1)
FORMATS = (*(pcm16(rate) for rate in PCM_RATES), MULAW, ALAW)

WIRE_ENCODINGS = {
    Encoding.PCM16: "pcm_s16le",
    Encoding.MULAW: "pcm_mulaw",
    Encoding.ALAW: "pcm_alaw",
}

SPEEDS = (0.6, 1.5)
VOLUMES = (0.5, 2.0)
MAX_BUFFER_DELAY_MS = 5000
"""The service's own is 3000: good for text that comes word by word."""

LANGUAGES = frozenset(
    {
        "en",
        "fr",
        "de",
        "es",
        "pt",
        "zh",
        "ja",
        "hi",
        "it",
        "ko",
        "nl",
        "pl",
        "ru",
        "sv",
        "tr",
        "tl",
        "bg",
        "ro",
        "ar",
        "cs",
        "el",
        "fi",
        "hr",
        "ms",
        "sk",
        "da",
        "ta",
        "uk",
        "hu",
        "no",
        "vi",
        "bn",
        "th",
        "he",
        "ka",
        "id",
        "te",
        "gu",
        "kn",
        "ml",
        "mr",
        "pa",
        "or",
        "ur",
    }
)

CAPABILITIES = Capabilities(
    input_formats=(),
    output_formats=FORMATS,
    has_word_times=True,
    can_cancel=True,
    say=Faithfulness.EXACT,
    languages=LANGUAGES,
    settings=frozenset({"speed", "volume", "style"}),
)
"""How many contexts may speak at once is a matter of the plan: from 2."""
