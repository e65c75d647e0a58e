"""The settings of a transcription by Deepgram: checked, and as the service wants them."""

from dataclasses import dataclass

from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import Capabilities, SttOptions, input_format_of
from beluga_voice.providers.stt.deepgram._capabilities import (
    EAGER_THRESHOLDS,
    EOT_THRESHOLDS,
    EOT_TIMEOUTS_MS,
    FLUX_MODELS,
    FLUX_MULTILINGUAL,
    MIN_UTTERANCE_END_MS,
    NAME,
    PHRASES,
    WIRE_ENCODINGS,
)
from beluga_voice.support import refuse_unsupported_stt

type Query = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the service has beyond what every speech-to-text provider has."""

    model: str
    endpointing_ms: int | None = None
    utterance_end_ms: int | None = None
    smart_format: bool = False
    numerals: bool = False
    eot_threshold: float | None = None
    eager_eot_threshold: float | None = None
    eot_timeout_ms: int | None = None
    tag: str | None = None
    mip_opt_out: bool = False
    finalize_seconds: float = 3.0
    quiet_seconds: float = 10.0

    @property
    def is_flux(self) -> bool:
        """Whether the model finds turns, over the second version of the protocol."""
        return self.model in FLUX_MODELS

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigurationError("give a model", op=NAME)
        others = ("endpointing_ms", "utterance_end_ms", "smart_format")
        if not self.is_flux:
            others = ("eot_threshold", "eager_eot_threshold", "eot_timeout_ms")
        for name in others:
            if getattr(self, name):
                kind = "Nova" if self.is_flux else "Flux"
                raise ConfigurationError(f"{name} is for models of {kind}", op=NAME)
        _within("eot_threshold", self.eot_threshold, EOT_THRESHOLDS)
        _within("eager_eot_threshold", self.eager_eot_threshold, EAGER_THRESHOLDS)
        _within("eot_timeout_ms", self.eot_timeout_ms, EOT_TIMEOUTS_MS)
        if (self.eager_eot_threshold or 0) > (self.eot_threshold or 1):
            raise ConfigurationError("eager_eot_threshold is above eot_threshold", op=NAME)
        if self.endpointing_ms is not None and self.endpointing_ms < 0:
            raise ConfigurationError(f"endpointing_ms {self.endpointing_ms} is negative", op=NAME)
        if self.utterance_end_ms is not None and self.utterance_end_ms < MIN_UTTERANCE_END_MS:
            message = f"utterance_end_ms {self.utterance_end_ms} is below {MIN_UTTERANCE_END_MS}"
            raise ConfigurationError(message, op=NAME)
        for name in ("finalize_seconds", "quiet_seconds"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{name} should be above 0", op=NAME)


def _within(name: str, value: float | None, bounds: tuple[float, float]) -> None:
    if value is not None and not bounds[0] <= value <= bounds[1]:
        raise ConfigurationError(f"{name} {value} is outside {bounds[0]} to {bounds[1]}", op=NAME)


def query_of(options: SttOptions, settings: Settings, capabilities: Capabilities) -> Query:
    """The whole configuration; raises `Unsupported` for what the service cannot honour."""
    refuse_unsupported_stt(options, capabilities, NAME)
    source = input_format_of(capabilities, options.input_format)
    query: Query = [
        ("model", settings.model),
        ("encoding", WIRE_ENCODINGS[source.encoding]),
        ("sample_rate", str(source.rate)),
    ]
    query += _flux(options, settings) if settings.is_flux else _nova(options, settings)
    query += [("keyterm", phrase) for phrase in PHRASES.taken(options.phrases, NAME)]
    switches = {
        "numerals": settings.numerals,
        "profanity_filter": options.filters_profanity,
        "mip_opt_out": settings.mip_opt_out,
    }
    query += [(name, "true") for name, is_on in switches.items() if is_on]
    if settings.tag is not None:
        query.append(("tag", settings.tag))
    return query


def file_query_of(options: SttOptions, model: str) -> Query:
    """What is asked for with a recording; its format is in the file."""
    query: Query = [
        ("model", model),
        ("punctuate", "true" if options.wants_punctuation else "false"),
        ("profanity_filter", "true" if options.filters_profanity else "false"),
    ]
    if options.language is None:
        query.append(("detect_language", "true"))
    else:
        query.append(("language", options.language.replace("_", "-")))
    phrases = PHRASES.taken(options.phrases, f"{NAME}_files")
    return query + _alternatives(options) + [("keyterm", phrase) for phrase in phrases]


def _nova(options: SttOptions, settings: Settings) -> Query:
    # Interim results are asked for in any case: they tell that the service is alive.
    query: Query = [
        ("channels", "1"),
        ("interim_results", "true"),
        ("vad_events", "true"),
        ("punctuate", "true" if options.wants_punctuation else "false"),
        *_alternatives(options),
    ]
    if options.language is not None:
        query.append(("language", options.language.replace("_", "-")))
    if settings.smart_format:
        query.append(("smart_format", "true"))
    if settings.endpointing_ms is not None:
        endpointing = str(settings.endpointing_ms) if settings.endpointing_ms else "false"
        query.append(("endpointing", endpointing))
    if settings.utterance_end_ms is not None:
        query.append(("utterance_end_ms", str(settings.utterance_end_ms)))
    return query


def _alternatives(options: SttOptions) -> Query:
    return [("alternatives", str(options.alternatives))] if options.alternatives > 1 else []


def _flux(options: SttOptions, settings: Settings) -> Query:
    query: Query = []
    if options.language is not None and settings.model == FLUX_MULTILINGUAL:
        query.append(("language_hint", options.language.replace("_", "-").split("-")[0]))
    for name in ("eot_threshold", "eager_eot_threshold", "eot_timeout_ms"):
        value = getattr(settings, name)
        if value is not None:
            query.append((name, str(value)))
    return query
