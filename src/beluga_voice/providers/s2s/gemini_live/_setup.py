"""How a conversation with Gemini Live is configured.

All of it goes into the first message. Later only instructions and tools can change.

Source: https://ai.google.dev/api/live#BidiGenerateContentSetup, read 2026-11-21.
"""

from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from beluga_voice.audio.formats import Encoding, pcm16
from beluga_voice.errors import ConfigurationError, Unsupported
from beluga_voice.events import Message, ToolSpec
from beluga_voice.interfaces import S2sOptions, TurnOwner
from beluga_voice.providers.s2s.gemini_live._capabilities import (
    DEFAULT_MODEL,
    OUTPUT_RATE,
    Model,
    capabilities_of,
    model_named,
)
from beluga_voice.support import refuse_unsupported, turn_detection_of

Sensitivity = Literal["low", "high"]
ThinkingLevel = Literal["minimal", "low", "medium", "high", "xhigh"]

_THINKING_LEVELS = ("minimal", "low", "medium", "high", "xhigh")
_SENSITIVITIES = ("low", "high")
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_OP = "gemini_live"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for all conversations of one provider; see `GeminiLive`."""

    model: str = DEFAULT_MODEL
    voice: str | None = None
    language: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    thinking_level: ThinkingLevel | None = None
    start_sensitivity: Sensitivity | None = None
    end_sensitivity: Sensitivity | None = None
    prefix_padding_ms: int | None = None
    silence_ms: int | None = None
    allow_interruptions: bool = True
    compression: bool = True
    compression_trigger_tokens: int | None = None
    resumption: bool = True
    tools_wait: bool | None = None

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise ConfigurationError("the model has no name", op=_OP)
        _check_range("temperature", self.temperature, above=0, to=2)
        _check_range("top_p", self.top_p, above=0, to=1)
        _check_range("max_output_tokens", self.max_output_tokens, above=0, to=65_536)
        _check_range("prefix_padding_ms", self.prefix_padding_ms, above=-1, to=10_000)
        _check_range("silence_ms", self.silence_ms, above=-1, to=10_000)
        _check_range("compression_trigger_tokens", self.compression_trigger_tokens, above=0, to=1e6)
        for name in ("start_sensitivity", "end_sensitivity"):
            value = getattr(self, name)
            if value is not None and value not in _SENSITIVITIES:
                raise ConfigurationError(f"{name} is {value!r}; give 'low' or 'high'", op=_OP)
        model = self.profile
        if self.thinking_level is not None:
            if not model.takes_thinking_level:
                raise Unsupported(f"{self.model} takes no thinking level", op=_OP)
            if self.thinking_level not in _THINKING_LEVELS:
                known = ", ".join(_THINKING_LEVELS)
                raise ConfigurationError(
                    f"thinking_level is {self.thinking_level!r}; give one of {known}", op=_OP
                )
        if self.tools_wait is True and not model.tools_may_wait:
            raise Unsupported(f"{self.model} goes on while tools run", op=_OP)
        if self.tools_wait is False and not model.tools_may_overlap:
            raise Unsupported(f"{self.model} waits for its tools", op=_OP)

    @property
    def profile(self) -> Model:
        """What the model can do."""
        return model_named(self.model)

    @property
    def do_tools_wait(self) -> bool:
        """Whether the model waits for a tool; it does where there is a choice."""
        return self.profile.tools_may_wait if self.tools_wait is None else self.tools_wait


def check(settings: Settings, options: S2sOptions) -> None:
    """Refuse what cannot be honoured; raises `Unsupported` or `ConfigurationError`."""
    if not options.respond_automatically:
        raise Unsupported("Gemini Live answers every turn by itself", op=_OP)
    if options.turn_owner is TurnOwner.DUPLEX:
        raise Unsupported("Gemini Live takes turns", op=_OP)
    if options.output_format not in (None, pcm16(OUTPUT_RATE)):
        raise Unsupported(f"Gemini Live speaks {OUTPUT_RATE} Hz PCM only", op=_OP)
    source = options.input_format
    if source is not None and (source.encoding is not Encoding.PCM16 or source.channels != 1):
        raise Unsupported("Gemini Live hears mono 16-bit PCM only", op=_OP)
    _check_range("temperature", options.temperature, above=0, to=2)
    _check_range("max_output_tokens", options.max_output_tokens, above=0, to=65_536)
    asked = turn_detection_of(options)
    _check_range("prefix_ms", asked.prefix_ms, above=-1, to=10_000)
    _check_range("silence_ms", asked.silence_ms, above=-1, to=10_000)
    able = capabilities_of(settings.profile, resumption=settings.resumption)
    refuse_unsupported(options, able, _OP)
    tools_of(settings, options.tools)


def base_of(endpoint: str) -> str:
    """The beginning of the address, as a websocket's; `http` and `https` are taken as well."""
    parts = urlsplit(endpoint)
    if parts.scheme not in _SCHEMES or not parts.netloc or parts.query:
        raise ConfigurationError("the endpoint is wss://host or https://host", op=_OP)
    return f"{_SCHEMES[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}"


def setup_of(settings: Settings, options: S2sOptions) -> dict[str, Any]:
    """The first message."""
    model = settings.profile
    generation: dict[str, Any] = {"responseModalities": ["AUDIO"]}
    temperature = options.temperature or settings.temperature
    if temperature is not None:
        generation["temperature"] = temperature
    if settings.top_p is not None:
        generation["topP"] = settings.top_p
    tokens = options.max_output_tokens or settings.max_output_tokens
    if tokens is not None:
        generation["maxOutputTokens"] = tokens
    if (speech := _speech(settings, options)) is not None:
        generation["speechConfig"] = speech
    level = settings.thinking_level or ("low" if model.needs_thinking_level else None)
    if level is not None:
        generation["thinkingConfig"] = {"thinkingLevel": level.upper()}
    setup: dict[str, Any] = {
        "model": f"models/{settings.model.removeprefix('models/')}",
        "generationConfig": generation,
        "inputAudioTranscription": {},
        "outputAudioTranscription": {},
    }
    if options.instructions:
        setup["systemInstruction"] = {"parts": [{"text": options.instructions}]}
    if options.tools:
        setup["tools"] = tools_of(settings, options.tools)
    if (listening := _listening(settings, options)) is not None:
        setup["realtimeInputConfig"] = listening
    if settings.resumption:
        setup["sessionResumption"] = {} if options.resume is None else {"handle": options.resume}
    if settings.compression:
        compression: dict[str, Any] = {"slidingWindow": {}}
        if settings.compression_trigger_tokens is not None:
            compression["triggerTokens"] = settings.compression_trigger_tokens
        setup["contextWindowCompression"] = compression
    if announces_history(settings, options):
        setup["historyConfig"] = {"initialHistoryInClientContent": True}
    return {"setup": setup}


def announces_history(settings: Settings, options: S2sOptions) -> bool:
    """Whether the service is told that the first content it gets is what was said before."""
    has_words = any(isinstance(one, Message) for one in options.history)
    return has_words and options.resume is None and settings.profile.has_history_config


def tools_of(settings: Settings, tools: tuple[ToolSpec, ...]) -> list[dict[str, Any]]:
    """Tools as the service describes them; raises `ConfigurationError` for a broken schema."""
    declarations: list[dict[str, Any]] = []
    for tool in tools:
        try:
            parameters = msgspec.json.decode(tool.parameters or "{}", type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise ConfigurationError(
                f"the parameters of the tool {tool.name!r} are no JSON Schema", op=_OP
            ) from error
        declaration: dict[str, Any] = {
            "name": tool.name,
            "description": tool.description,
            "behavior": "BLOCKING" if settings.do_tools_wait else "NON_BLOCKING",
        }
        # An object without properties is refused by the service; no parameters at all are not.
        if parameters.get("properties"):
            declaration["parametersJsonSchema"] = parameters
        declarations.append(declaration)
    return [{"functionDeclarations": declarations}] if declarations else []


def _speech(settings: Settings, options: S2sOptions) -> dict[str, Any] | None:
    speech: dict[str, Any] = {}
    if voice := options.voice or settings.voice:
        speech["voiceConfig"] = {"prebuiltVoiceConfig": {"voiceName": voice}}
    if language := options.language or settings.language:
        speech["languageCode"] = language
    return speech or None


def _listening(settings: Settings, options: S2sOptions) -> dict[str, Any] | None:
    """Who finds the turns, and how."""
    listening: dict[str, Any] = {}
    detection: dict[str, Any] = {}
    if options.turn_owner is TurnOwner.FRAMEWORK:
        detection["disabled"] = True
    else:
        for kind, sensitivity in (
            ("start", settings.start_sensitivity),
            ("end", settings.end_sensitivity),
        ):
            if sensitivity is not None:
                value = f"{kind.upper()}_SENSITIVITY_{sensitivity.upper()}"
                detection[f"{kind}OfSpeechSensitivity"] = value
        asked = turn_detection_of(options)
        padding_ms = settings.prefix_padding_ms if asked.prefix_ms is None else asked.prefix_ms
        silence_ms = settings.silence_ms if asked.silence_ms is None else asked.silence_ms
        if padding_ms is not None:
            detection["prefixPaddingMs"] = padding_ms
        if silence_ms is not None:
            detection["silenceDurationMs"] = silence_ms
    if detection:
        listening["automaticActivityDetection"] = detection
    if not settings.allow_interruptions:
        listening["activityHandling"] = "NO_INTERRUPTION"
    return listening or None


def _check_range(name: str, value: float | None, *, above: float, to: float) -> None:
    if value is not None and not above < value <= to:
        least = f"above {above:g}" if above >= 0 else "from 0"
        raise ConfigurationError(f"{name} is {value:g}; give {least} to {to:g}", op=_OP)
