"""How a conversation with Nova Sonic is configured.

All of it is sent before the first sound, in this order, and nothing of it can change later:

    sessionStart · promptStart · the instructions · what was said before · the block of sound

Source: https://docs.aws.amazon.com/nova/latest/nova2-userguide/sonic-input-events.html and
`sonic-chat-history` there, read 2026-11-21.
"""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.errors import ConfigurationError, Unsupported
from beluga_voice.events import HistoryItem, Message, Role, ToolSpec
from beluga_voice.interfaces import S2sOptions, TurnOwner, input_format_of, output_format_of
from beluga_voice.providers.s2s.nova_sonic._capabilities import (
    DEFAULT_MODEL,
    DEFAULT_VOICE,
    INPUT_RATES,
    MAX_HISTORY_BYTES,
    MAX_TEXT_BYTES,
    OUTPUT_RATES,
    Model,
    capabilities_of,
    model_named,
)
from beluga_voice.support import refuse_unsupported

Sensitivity = Literal["low", "medium", "high"]

MAX_TOKENS = 1024
TOP_P = 0.9
TEMPERATURE = 0.7
"""These three are what the documentation's examples have."""

_SENSITIVITIES = ("low", "medium", "high")
_TOOL_CHOICES = ("auto", "any")
_OP = "nova_sonic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for all conversations of one provider; see `NovaSonic`."""

    model: str = DEFAULT_MODEL
    voice: str | None = None
    sensitivity: Sensitivity | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    tool_choice: str | None = None

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise ConfigurationError("the model has no name", op=_OP)
        _check_fraction("temperature", self.temperature)
        _check_fraction("top_p", self.top_p)
        _check_tokens(self.max_output_tokens)
        if self.sensitivity is not None:
            if self.sensitivity not in _SENSITIVITIES:
                known = ", ".join(_SENSITIVITIES)
                raise ConfigurationError(
                    f"sensitivity is {self.sensitivity!r}; give one of {known}", op=_OP
                )
            if not self.profile.takes_sensitivity:
                raise Unsupported(f"{self.model} takes no sensitivity", op=_OP)
        _check_voice(self, self.voice)

    @property
    def profile(self) -> Model:
        """What the model can do."""
        return model_named(self.model)


def check(settings: Settings, options: S2sOptions) -> None:
    """Refuse what cannot be honoured; raises `Unsupported` or `ConfigurationError`."""
    if not options.respond_automatically:
        raise Unsupported("can_suppress_response: Nova Sonic answers every turn", op=_OP)
    if options.turn_owner not in (None, TurnOwner.PROVIDER):
        raise Unsupported("turn_owners: Nova Sonic finds the turns itself", op=_OP)
    if options.resume is not None:
        raise Unsupported("resumption: Nova Sonic has no handles; give the history", op=_OP)
    _check_format("output_formats", "speaks", options.output_format, OUTPUT_RATES)
    _check_format("input_formats", "hears", options.input_format, INPUT_RATES)
    language = options.language
    if language is not None and language not in settings.profile.languages:
        raise Unsupported(f"languages: {settings.model} does not speak {language!r}", op=_OP)
    _check_voice(settings, options.voice)
    _check_fraction("temperature", options.temperature)
    _check_tokens(options.max_output_tokens)
    refuse_unsupported(options, capabilities_of(settings.profile), _OP)
    _tools(options.tools)
    chosen = settings.tool_choice
    if chosen not in (None, *_TOOL_CHOICES) and chosen not in {one.name for one in options.tools}:
        raise ConfigurationError(f"tool_choice is {chosen!r}, and there is no such tool", op=_OP)


# ── the first events ────────────────────────────────────────────────────────────────────────


def session_start(settings: Settings, options: S2sOptions) -> dict[str, Any]:
    """How the model thinks, and how soon it takes a pause for the end of a turn."""
    start: dict[str, Any] = {
        "inferenceConfiguration": {
            "maxTokens": _first(options.max_output_tokens, settings.max_output_tokens, MAX_TOKENS),
            "topP": _first(settings.top_p, TOP_P),
            "temperature": _first(options.temperature, settings.temperature, TEMPERATURE),
        }
    }
    if settings.sensitivity is not None:
        sensitivity = settings.sensitivity.upper()
        start["turnDetectionConfiguration"] = {"endpointingSensitivity": sensitivity}
    return start


def prompt_start(settings: Settings, options: S2sOptions, prompt: str) -> dict[str, Any]:
    """How the model speaks, and its tools."""
    target = output_format_of(capabilities_of(settings.profile), options.output_format)
    start: dict[str, Any] = {
        "promptName": prompt,
        "textOutputConfiguration": {"mediaType": "text/plain"},
        "audioOutputConfiguration": {
            **_lpcm(target.rate),
            "voiceId": options.voice or settings.voice or DEFAULT_VOICE,
        },
    }
    if options.tools:
        chosen = settings.tool_choice or "auto"
        choice: dict[str, dict[str, str]] = (
            {chosen: {}} if chosen in _TOOL_CHOICES else {"tool": {"name": chosen}}
        )
        start["toolUseOutputConfiguration"] = {"mediaType": "application/json"}
        start["toolConfiguration"] = {"tools": _tools(options.tools), "toolChoice": choice}
    return start


def audio_input(settings: Settings, options: S2sOptions) -> dict[str, Any]:
    """What the person's sound looks like."""
    return _lpcm(input_format_of(capabilities_of(settings.profile), options.input_format).rate)


def instructions_of(options: S2sOptions) -> str:
    """What the model is told first: notes of the history too, as it takes none among the words."""
    notes = (
        one.text for one in options.history if isinstance(one, Message) and one.role is Role.SYSTEM
    )
    parts = [options.instructions, *notes]
    if options.language is not None:
        parts.append(f"Speak the language {options.language}.")
    return "\n\n".join(part for part in parts if part.strip())


def history_of(items: tuple[HistoryItem, ...]) -> list[tuple[Role, str]]:
    """What was said, as the service takes it: by turns, the person first, and not too much.

    Tools are left out: the service takes words only. Of what is too much the oldest goes.
    """
    turns: list[tuple[Role, str]] = []
    for one in items:
        if not isinstance(one, Message) or one.role is Role.SYSTEM or not one.text.strip():
            continue
        if turns and turns[-1][0] is one.role:
            turns[-1] = (one.role, f"{turns[-1][1]}\n{one.text}")
        else:
            turns.append((one.role, one.text))
    kept: list[tuple[Role, str]] = []
    room = MAX_HISTORY_BYTES
    for role, text in reversed(turns):
        size = len(text.encode())
        if size > room:
            # Of the last turn, its end: better than nothing.
            if not kept:
                kept.append((role, text.encode()[-room:].decode(errors="ignore")))
            break
        room -= size
        kept.append((role, text))
    kept.reverse()
    while kept and kept[0][0] is not Role.USER:
        del kept[0]
    return kept


def pieces(text: str) -> list[str]:
    """`text` in pieces that one `textInput` may hold, broken between characters."""
    data = text.encode()
    found: list[str] = []
    start = 0
    while start < len(data):
        end = min(start + MAX_TEXT_BYTES, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        found.append(data[start:end].decode())
        start = end
    return found


# ── parts ───────────────────────────────────────────────────────────────────────────────────


def _lpcm(rate: int) -> dict[str, Any]:
    return {
        "mediaType": "audio/lpcm",
        "sampleRateHertz": rate,
        "sampleSizeBits": 16,
        "channelCount": 1,
        "audioType": "SPEECH",
        "encoding": "base64",
    }


def _tools(tools: tuple[ToolSpec, ...]) -> list[dict[str, Any]]:
    specs: list[dict[str, Any]] = []
    for tool in tools:
        schema = tool.parameters or '{"type":"object","properties":{}}'
        try:
            msgspec.json.decode(schema, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise ConfigurationError(
                f"the parameters of the tool {tool.name!r} are no JSON Schema", op=_OP
            ) from error
        spec = {
            "name": tool.name,
            "description": tool.description,
            "inputSchema": {"json": schema},
        }
        specs.append({"toolSpec": spec})
    return specs


def _first[T](*values: T | None) -> T | None:
    return next((one for one in values if one is not None), None)


def _check_voice(settings: Settings, voice: str | None) -> None:
    voices = settings.profile.voices
    if voice is not None and voice not in voices:
        known = ", ".join(sorted(voices))
        raise Unsupported(f"{settings.model} has no voice {voice!r}; it has {known}", op=_OP)


def _check_format(
    capability: str, verb: str, wanted: AudioFormat | None, rates: tuple[int, ...]
) -> None:
    if wanted is None:
        return
    if wanted.encoding is Encoding.PCM16 and wanted.channels == 1 and wanted.rate in rates:
        return
    known = ", ".join(str(rate) for rate in rates)
    raise Unsupported(f"{capability}: Nova Sonic {verb} mono 16-bit PCM at {known} Hz only", op=_OP)


def _check_fraction(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:
        raise ConfigurationError(f"{name} is {value:g}; give 0 to 1", op=_OP)


def _check_tokens(value: int | None) -> None:
    if value is not None and value < 1:
        raise ConfigurationError(f"max_output_tokens is {value}; give at least 1", op=_OP)
