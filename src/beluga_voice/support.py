"""What a provider cannot honour of what was asked of it: found before anything is connected."""

from collections.abc import Collection
from dataclasses import fields, replace

from beluga_voice.errors import Unsupported
from beluga_voice.interfaces import (
    STT_SETTINGS,
    TTS_SETTINGS,
    Capabilities,
    Latency,
    Resumption,
    S2sOptions,
    SttOptions,
    TtsOptions,
    TurnDetection,
    TurnOwner,
)

LATENCY_SILENCE_MS = {Latency.LOW: 300, Latency.MEDIUM: 500, Latency.HIGH: 900}
"""What a latency means where nothing else is said: the silence that ends a turn."""


def refuse_unsupported(options: S2sOptions, capabilities: Capabilities, provider: str) -> None:
    """Raise `Unsupported`, naming the capability, for what that provider cannot honour."""
    lacks: list[str] = []
    owner = owner_of(options, capabilities)
    if owner not in capabilities.turn_owners:
        lacks.append(f"turn_owners: it has no {owner} turns")
    if options.tools and not capabilities.has_tools:
        lacks.append("has_tools: it calls no tools")
    if options.temperature is not None and not capabilities.has_temperature:
        lacks.append("has_temperature: it takes no temperature")
    if options.max_output_tokens is not None and not capabilities.has_output_token_limit:
        lacks.append("has_output_token_limit: it takes no limit")
    if not options.respond_automatically and not capabilities.can_suppress_response:
        lacks.append("can_suppress_response: it answers by itself")
    if options.history and not capabilities.can_seed_history:
        lacks.append("can_seed_history: it cannot be told what was said before")
    if options.resume is not None and capabilities.resumption in (
        Resumption.NONE,
        Resumption.HISTORY,
    ):
        lacks.append("resumption: it continues nothing by a handle; give the history")
    if options.input_format not in (None, *capabilities.input_formats):
        lacks.append(f"input_formats: it does not take {options.input_format}")
    if options.output_format not in (None, *capabilities.output_formats):
        lacks.append(f"output_formats: it does not give {options.output_format}")
    if not _speaks(options.language, capabilities.languages):
        lacks.append(f"languages: it does not list {options.language}")
    if owner is not TurnOwner.FRAMEWORK:
        lacks += [
            f"turn_detection: it takes no {name}"
            for name in sorted(_detection_fields(options) - capabilities.turn_detection)
        ]
    elif options.turn_detection is not None:
        lacks.append("turn_detection: the framework finds these turns; set it there")
    if lacks:
        raise Unsupported(f"{provider} cannot honour {'; '.join(lacks)}", op="connect")


def refuse_unsupported_stt(options: SttOptions, capabilities: Capabilities, provider: str) -> None:
    """Raise `Unsupported`, naming the capability, for what that provider cannot honour."""
    lacks = _lacking_settings(options, SttOptions(), STT_SETTINGS, capabilities)
    if options.input_format not in (None, *capabilities.input_formats):
        lacks.append(f"input_formats: it does not take {options.input_format}")
    _refuse(lacks, options.language, capabilities, provider)


def refuse_unsupported_tts(options: TtsOptions, capabilities: Capabilities, provider: str) -> None:
    """Raise `Unsupported`, naming the capability, for what that provider cannot honour."""
    lacks = _lacking_settings(options, TtsOptions(), TTS_SETTINGS, capabilities)
    if options.wants_words and not capabilities.has_word_times:
        lacks.append("has_word_times: it does not say when words sound")
    if options.output_format not in (None, *capabilities.output_formats):
        lacks.append(f"output_formats: it does not give {options.output_format}")
    _refuse(lacks, options.language, capabilities, provider)


def _lacking_settings(
    options: SttOptions | TtsOptions,
    silent: SttOptions | TtsOptions,
    optional: frozenset[str],
    capabilities: Capabilities,
) -> list[str]:
    """What was asked for beyond the defaults, and is not honoured."""
    return [
        f"settings: it takes no {name}"
        for name in sorted(optional - capabilities.settings)
        if getattr(options, name) != getattr(silent, name)
    ]


def _refuse(
    lacks: list[str], language: str | None, capabilities: Capabilities, provider: str
) -> None:
    if not _speaks(language, capabilities.languages):
        lacks.append(f"languages: it does not list {language}")
    if lacks:
        raise Unsupported(f"{provider} cannot honour {'; '.join(lacks)}", op="connect")


def unknown_voice(voice: str | None, known: Collection[str]) -> str:
    """What there is to say of a voice that the list lacks; nothing of one that is there.

    For lists that a service may make longer any day: it is asked all the same.
    """
    if voice is None or voice in known:
        return ""
    return f"the voice {voice!r} is not among those known here: {', '.join(sorted(known))}"


def owner_of(options: S2sOptions, capabilities: Capabilities) -> TurnOwner:
    """Who owns the turns when these options were asked for."""
    return options.turn_owner or capabilities.turn_owners[0]


def turn_detection_of(options: S2sOptions) -> TurnDetection:
    """How turns are to be found: what was asked for, with a latency put into silence."""
    asked = options.turn_detection or TurnDetection()
    if options.latency is None or asked.silence_ms is not None:
        return asked
    return replace(asked, silence_ms=LATENCY_SILENCE_MS[options.latency])


def turn_silence_ms(options: S2sOptions, capabilities: Capabilities) -> float | None:
    """The silence after which the service reports the end of speech, where that is known."""
    asked = turn_detection_of(options).silence_ms
    return capabilities.turn_silence_ms if asked is None else asked


def _detection_fields(options: S2sOptions) -> set[str]:
    asked = turn_detection_of(options)
    return {one.name for one in fields(asked) if getattr(asked, one.name) is not None}


def _speaks(language: str | None, languages: frozenset[str]) -> bool:
    """Whether it lists that language, or one that differs in the region only."""
    if language is None or not languages:
        return True
    primary = {one.split("-")[0].lower() for one in languages}
    return language.replace("_", "-").split("-")[0].lower() in primary
