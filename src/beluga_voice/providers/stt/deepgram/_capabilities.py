"""What Deepgram's speech-to-text services can do, as data.

Sources, read on 2026-11-21: the vendor's AsyncAPI description of 2026-07-22 and the types of
deepgram-sdk 7.17.0 (of recordings: `listen/v1/media`); https://developers.deepgram.com/docs/keep-alive,
.../docs/flux/force-end-turn and .../docs/flux/state. The service itself was not reachable.
"""

import re

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.interfaces import Capabilities
from beluga_voice.providers.phrases import PhraseLimits

NAME = "deepgram"
NOVA_PATH, FLUX_PATH = "/v1/listen", "/v2/listen"
DEFAULT_MODEL = "nova-3"
FLUX_MODELS = frozenset({"flux-general-en", "flux-general-multi"})
FLUX_MULTILINGUAL = "flux-general-multi"
KEYTERM_MODELS = "nova-3"
"""Models whose names begin so take `keyterm`; others take `keywords`."""

PHRASES = PhraseLimits(max_phrases=100)
"""By https://developers.deepgram.com/docs/keyterms, read 2026-11-21. There may be 500 tokens in
all, which the service counts: it refuses more with HTTP status 400, and says so."""

ALTERNATIVES_MODELS = re.compile(r"(base|enhanced|nova(?!-\d))\b")
"""Models that give other readings: the first three families. From nova-2 on the service refuses to
be asked, by https://github.com/orgs/deepgram/discussions/823; descriptions of today leave the
parameter out, and earlier ones had it as the most readings to give. Read 2026-11-21."""

PCM_RATES = (16000, 8000, 24000, 32000, 44100, 48000)
MULAW = AudioFormat(Encoding.MULAW, 8000, 1)
ALAW = AudioFormat(Encoding.ALAW, 8000, 1)
FORMATS = (*(pcm16(rate) for rate in PCM_RATES), MULAW, ALAW)
WIRE_ENCODINGS = {
    Encoding.PCM16: "linear16",
    Encoding.MULAW: "mulaw",
    Encoding.ALAW: "alaw",
}
SILENT_BYTES = {Encoding.MULAW: b"\xff", Encoding.ALAW: b"\xd5"}
"""Where silence is not zero."""

ENDPOINTING_MS = 300
"""The vendor's own default is 10, which ends at every breath; its guides advise 300 for talk."""
MIN_UTTERANCE_END_MS = 1000
EOT_THRESHOLDS = (0.5, 1.0)
EAGER_THRESHOLDS = (0.3, 0.9)
EOT_TIMEOUTS_MS = (500, 60_000)

KEEPALIVE_SECONDS = 4.0
"""Without sound or a `KeepAlive` for 10 s the service hangs up; it advises one every 3 to 5 s."""
PADDING_MS = 400
"""Silence after an utterance for Flux, which tells how far it is every 250 ms of sound."""
STEP_MS = 80
"""The length of a piece of sound that Flux works best with."""

FLUX_MULTI_LANGUAGES = frozenset({"en", "es", "fr", "de", "hi", "ru", "pt", "ja", "it", "nl"})
"""By https://developers.deepgram.com/docs/flux/language-prompting, read 2026-11-21. A region, as in
`pt-BR`, is taken too. nova-3 takes more languages than can be relied on here."""

MAX_PART_BYTES = 1024**3
"""Of a recording, by choice: no document that was read states the service's own limit."""


def file_capabilities(model: str) -> Capabilities:
    """What can be asked of that model where whole recordings are posted."""
    settings = {"phrases", "wants_words", "wants_punctuation", "filters_profanity"}
    if not model.startswith(KEYTERM_MODELS):
        settings.remove("phrases")
    if ALTERNATIVES_MODELS.match(model):
        settings.add("alternatives")
    return Capabilities(
        input_formats=tuple(pcm16(rate) for rate in PCM_RATES),
        output_formats=(),
        is_streaming=False,
        has_input_transcript=True,
        has_word_times=True,
        settings=frozenset(settings),
    )


def capabilities(model: str) -> Capabilities:
    """What can be asked of that model."""
    is_flux = model in FLUX_MODELS
    languages: frozenset[str] = frozenset()
    settings = {"phrases", "wants_words", "filters_profanity"}
    if is_flux:
        is_multilingual = model == FLUX_MULTILINGUAL
        languages = FLUX_MULTI_LANGUAGES if is_multilingual else frozenset({"en"})
    else:
        settings.add("wants_punctuation")
        if not model.startswith(KEYTERM_MODELS):
            settings.remove("phrases")
        if ALTERNATIVES_MODELS.match(model):
            settings.add("alternatives")
    return Capabilities(
        input_formats=FORMATS,
        output_formats=(),
        has_interim_transcripts=True,
        has_input_transcript=True,
        has_speech_events=True,
        has_word_times=True,
        needs_continuous_input=is_flux,
        languages=languages,
        settings=frozenset(settings),
        finds_turns=True,
    )
