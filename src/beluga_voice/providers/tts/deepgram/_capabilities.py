"""What Deepgram's text-to-speech service can do, as data.

Sources, read on 2026-11-21: the vendor's AsyncAPI description of 2026-07-22, the types of
deepgram-sdk 7.17.0 (also for the voices), and https://developers.deepgram.com/docs/tts-ws-flush.
The service itself was not reachable.
"""

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.interfaces import Capabilities, Faithfulness, Voice

NAME = "deepgram"
PATH = "/v1/speak"
DEFAULT_VOICE = "aura-2-thalia-en"

PCM_RATES = (24000, 16000, 8000, 32000, 48000)
MULAW = AudioFormat(Encoding.MULAW, 8000, 1)
ALAW = AudioFormat(Encoding.ALAW, 8000, 1)
FORMATS = (*(pcm16(rate) for rate in PCM_RATES), MULAW, ALAW)
WIRE_ENCODINGS = {
    Encoding.PCM16: "linear16",
    Encoding.MULAW: "mulaw",
    Encoding.ALAW: "alaw",
}

SPEEDS = (0.7, 1.5)
MAX_CHARACTERS = 2000
"""Of one `Speak`, by the limit of the REST service; the websocket's is not documented."""
MAX_WAITING_CHARACTERS = 1_000_000
"""Of text that waits for its turn; ours, as the wire has no such limit."""
MAX_FLUSHES = 20
FLUSH_WINDOW_SECONDS = 60.0
SPARE_FLUSHES = 8
"""How many flushes are kept for ends of speech, when text pauses in the middle of one."""
MAX_CONNECTION_SECONDS = 3600.0

_NAMES = {
    "en": "amalthea andromeda apollo arcas aries asteria athena atlas aurora callista cora "
    "cordelia delia draco electra harmonia helena hera hermes hyperion iris janus "
    "juno jupiter luna mars minerva neptune odysseus ophelia orion orpheus pandora "
    "phoebe pluto saturn selene thalia theia vesta zeus",
    "es": "agustina alvaro antonia aquila carina celeste diana estrella gloria javier "
    "luciano nestor olivia selena silvia sirio valerio",
    "de": "aurelia elara fabian julius kara lara viktoria",
    "nl": "beatrix cornelia daphne hestia lars leda rhea roman sander",
    "fr": "agathe hector",
    "it": "cesare cinzia demetra dionisio elio flavio livia maia melia",
    "ja": "ama ebisu fujin izanami uzume",
}
VOICES = tuple(
    Voice(id=f"aura-2-{name}-{language}", name=name.capitalize(), languages=(language,))
    for language, names in _NAMES.items()
    for name in names.split()
)
"""Of the second generation; those of the first are `aura-NAME-en`."""

CAPABILITIES = Capabilities(
    input_formats=(),
    output_formats=FORMATS,
    can_cancel=True,
    say=Faithfulness.EXACT,
    max_connection_seconds=MAX_CONNECTION_SECONDS,
    languages=frozenset(_NAMES),
    settings=frozenset({"speed"}),
    max_contexts=1,
)
