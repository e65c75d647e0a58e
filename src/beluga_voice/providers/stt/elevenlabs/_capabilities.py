"""What ElevenLabs Scribe can do in real time, as data.

Sources, read 2026-11-21: the AsyncAPI document of Scribe (22 August 2026: messages, parameters and
their ranges), the guide to commit strategies in https://github.com/elevenlabs/skills (7 August
2026: 90 seconds to a commit, 50 characters before the first sound), the types of the Python SDK
`elevenlabs` 2.78.0. Marked *observed* is what published integrations rely on.
"""

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.interfaces import Capabilities, TurnOwner
from beluga_voice.providers.phrases import PhraseLimits

PATH = ("v1", "speech-to-text", "realtime")
DEFAULT_MODEL = "scribe_v2_realtime"
"""`scribe_v3_live` is the other one."""

FILE_PATH = "/v1/speech-to-text"
DEFAULT_FILE_MODEL = "scribe_v2"
MAX_PART_BYTES = 1024**3
"""Of a recording, which may have more: the SDK says 2 GB of those that are fetched."""

FORMATS: dict[AudioFormat, str] = {
    pcm16(16000): "pcm_16000",
    pcm16(8000): "pcm_8000",
    pcm16(22050): "pcm_22050",
    pcm16(24000): "pcm_24000",
    pcm16(44100): "pcm_44100",
    pcm16(48000): "pcm_48000",
    AudioFormat(Encoding.MULAW, 8000): "ulaw_8000",
}
"""What it hears, by its own names."""

MIN_COMMIT_MS = 300
"""A commit with less sound since the last one is `commit_throttled`, and ends the session."""
SEGMENT_SECONDS = 60.0
"""Sound after which we commit in mid-utterance: at 90 seconds the service would by itself."""
MAX_CHUNK_MS = 1000
"""The longest piece of sound the guide sends in one message."""
KEEPALIVE_SECONDS = 10.0
"""A message without sound after so long without one (*observed*: pings do not count)."""

SILENCE_SECONDS = (0.3, 3.0)
DEFAULT_SILENCE_SECONDS = 1.5
THRESHOLDS = (0.1, 0.9)
DURATIONS_MS = (50, 2000)
PHRASES = PhraseLimits(max_phrases=50, max_phrase_characters=20, max_phrase_words=5)
FILE_PHRASES = PhraseLimits(max_phrases=1000, max_phrase_characters=50, max_phrase_words=5)
"""By https://elevenlabs.io/docs/eleven-api/guides/how-to/speech-to-text/batch/keyterm-prompting;
the words by the SDK's `speech_to_text.convert`. Over 100 phrases, at least 20 s are charged."""
MAX_PREVIOUS_CHARACTERS = 50


FILE_CAPABILITIES = Capabilities(
    input_formats=tuple(pcm16(rate) for rate in (16000, 8000, 22050, 24000, 44100, 48000)),
    output_formats=(),
    is_streaming=False,
    has_word_times=True,
    settings=frozenset({"phrases", "wants_words"}),
)
"""What can be asked of it where whole recordings are posted."""


def capabilities(*, finds_turns: bool) -> Capabilities:
    """What can be asked of it; `finds_turns` with the commit strategy `vad`."""
    return Capabilities(
        input_formats=tuple(FORMATS),
        turn_owners=(TurnOwner.FRAMEWORK,),
        has_interim_transcripts=True,
        has_word_times=True,
        # Faster than it is spoken, sound overflows the service's queue.
        needs_paced_input=True,
        needs_continuous_input=finds_turns,
        # Ninety and more, by the models page, which does not list them.
        languages=frozenset(),
        settings=frozenset({"phrases", "wants_words"}),
        finds_turns=finds_turns,
    )
