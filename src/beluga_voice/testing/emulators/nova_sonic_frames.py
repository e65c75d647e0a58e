"""What a client may say to Nova Sonic, checked as strictly as the service checks it.

The vendor publishes no types for these events; these are written from its documentation:
https://docs.aws.amazon.com/nova/latest/nova2-userguide/sonic-input-events.html, read 2026-11-21.
A field that does not exist, or has another type, is refused.
"""

import base64
from typing import Any, Literal

import msgspec

MAX_TEXT_BYTES = 1024
"""Of one `textInput` (`sonic-chat-history`, there)."""
MAX_HISTORY_BYTES = 40 * 1024

# fmt: off
VOICES = frozenset(
    {
        "matthew", "tiffany", "amy", "olivia", "lupe", "carlos", "ambre", "florian", "tina",
        "lennart", "beatrice", "lorenzo", "carolina", "leo", "arjun", "kiara",
    }
)
# fmt: on


class BadEvent(Exception):
    """An event that the service refuses, in words like its own."""


class _Strict(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """The base of all below: nothing else may be in it."""


class Inference(_Strict, frozen=True):
    """How the model thinks."""

    max_tokens: int = 1024
    top_p: float = 0.9
    temperature: float = 0.7

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or not 0 <= self.top_p <= 1 or not 0 <= self.temperature <= 1:
            raise ValueError("inferenceConfiguration is out of range")


class TurnDetection(_Strict, frozen=True):
    """How soon a pause is the end of a turn."""

    endpointing_sensitivity: Literal["HIGH", "MEDIUM", "LOW"]


class SessionStart(_Strict, frozen=True):
    """The first event."""

    inference_configuration: Inference
    turn_detection_configuration: TurnDetection | None = None


class MediaType(_Strict, frozen=True):
    """Plain text."""

    media_type: Literal["text/plain"]


class JsonType(_Strict, frozen=True):
    """JSON."""

    media_type: Literal["application/json"]


class Lpcm(_Strict, frozen=True):
    """Sound, one way or the other; a voice belongs to what goes out only."""

    media_type: Literal["audio/lpcm"]
    sample_rate_hertz: Literal[8000, 16000, 24000]
    sample_size_bits: Literal[16]
    channel_count: Literal[1]
    audio_type: Literal["SPEECH"]
    encoding: Literal["base64"]
    voice_id: str | None = None


class InputSchema(_Strict, frozen=True):
    """A JSON Schema, as text."""

    json: str


class ToolSpecification(_Strict, frozen=True):
    """A tool."""

    name: str
    description: str
    input_schema: InputSchema


class Tool(_Strict, frozen=True):
    """A tool, wrapped."""

    tool_spec: ToolSpecification


class ToolConfiguration(_Strict, frozen=True):
    """The tools; `tool_choice` is `auto`, `any` or a tool."""

    tools: list[Tool]
    tool_choice: dict[Literal["auto", "any", "tool"], dict[str, str]] = {}


class PromptStart(_Strict, frozen=True):
    """How the model speaks, and its tools."""

    prompt_name: str
    text_output_configuration: MediaType
    audio_output_configuration: Lpcm
    tool_use_output_configuration: JsonType | None = None
    tool_configuration: ToolConfiguration | None = None


class ToolResultInput(_Strict, frozen=True):
    """Which call a result is for."""

    tool_use_id: str
    type: Literal["TEXT"]
    text_input_configuration: MediaType


class ContentStart(_Strict, frozen=True):
    """A block begins."""

    prompt_name: str
    content_name: str
    type: Literal["TEXT", "AUDIO", "TOOL"]
    interactive: bool
    role: Literal["SYSTEM", "SYSTEM_SPEECH", "USER", "ASSISTANT", "TOOL"]
    text_input_configuration: MediaType | None = None
    audio_input_configuration: Lpcm | None = None
    tool_result_input_configuration: ToolResultInput | None = None

    def __post_init__(self) -> None:
        wanted = {
            "TEXT": self.text_input_configuration,
            "AUDIO": self.audio_input_configuration,
            "TOOL": self.tool_result_input_configuration,
        }
        given = {kind for kind, configuration in wanted.items() if configuration is not None}
        if given != {self.type}:
            raise ValueError(f"the configuration of the content is not that of {self.type}")


class Content(_Strict, frozen=True):
    """A piece of a block: words, sound or a result."""

    prompt_name: str
    content_name: str
    content: str


class ContentEnd(_Strict, frozen=True):
    """A block is over."""

    prompt_name: str
    content_name: str


class PromptEnd(_Strict, frozen=True):
    """The prompt is over."""

    prompt_name: str


class SessionEnd(_Strict, frozen=True):
    """The last event."""


class ClientEvent(_Strict, frozen=True):
    """One event: exactly one of these."""

    session_start: SessionStart | None = None
    prompt_start: PromptStart | None = None
    content_start: ContentStart | None = None
    text_input: Content | None = None
    audio_input: Content | None = None
    tool_result: Content | None = None
    content_end: ContentEnd | None = None
    prompt_end: PromptEnd | None = None
    session_end: SessionEnd | None = None


class _Message(_Strict, frozen=True):
    event: ClientEvent


_decoder = msgspec.json.Decoder(_Message)


def parse(message: str | bytes) -> tuple[ClientEvent, dict[str, Any]]:
    """Read one message, typed and plain; raises `BadEvent`."""
    try:
        event = _decoder.decode(message).event
        plain: dict[str, Any] = msgspec.json.decode(message)["event"]
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadEvent(f"Unable to parse input chunk: {error}") from error
    if len(plain) != 1:
        raise BadEvent("Unable to parse input chunk: one event is expected.")
    return event, plain


def sound_of(content: Content) -> bytes:
    """The sound in a piece; raises `BadEvent`."""
    try:
        pcm = base64.b64decode(content.content, validate=True)
    except ValueError as error:
        raise BadEvent("Audio content is not base64.") from error
    if len(pcm) % 2:
        raise BadEvent("Audio content ends inside a sample.")
    return pcm
