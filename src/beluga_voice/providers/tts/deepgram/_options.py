"""The settings of Deepgram's voices: checked, and as the service wants them."""

from beluga_voice.errors import Unsupported
from beluga_voice.interfaces import TtsOptions, output_format_of
from beluga_voice.providers.tts.deepgram._capabilities import (
    CAPABILITIES,
    NAME,
    SPEEDS,
    VOICES,
    WIRE_ENCODINGS,
)
from beluga_voice.support import refuse_unsupported_tts

type Query = list[tuple[str, str]]


def query_of(options: TtsOptions, voice: str, *, mip_opt_out: bool) -> Query:
    """The whole configuration; raises `Unsupported` for what the service cannot honour."""
    refuse_unsupported_tts(options, CAPABILITIES, NAME)
    if not SPEEDS[0] <= options.speed <= SPEEDS[1]:
        message = f"speed {options.speed} is outside {SPEEDS[0]} to {SPEEDS[1]}"
        raise Unsupported(message, op=NAME)
    target = output_format_of(CAPABILITIES, options.output_format)
    query = [
        ("model", options.voice or _voice_in(options.language, voice)),
        ("encoding", WIRE_ENCODINGS[target.encoding]),
        ("sample_rate", str(target.rate)),
    ]
    if options.speed != 1.0:
        query.append(("speed", f"{options.speed:g}"))
    if mip_opt_out:
        query.append(("mip_opt_out", "true"))
    return query


def _voice_in(language: str | None, preferred: str) -> str:
    """The preferred voice if it speaks that language, else the first that does."""
    if language is None:
        return preferred
    primary = language.replace("_", "-").split("-")[0].lower()
    if preferred.endswith(f"-{primary}"):
        return preferred
    return next(one.id for one in VOICES if primary in one.languages)
