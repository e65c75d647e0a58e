"""What a client may say to Gemini Live, checked as strictly as the service checks it.

Names may be camelCase or snake_case, as in all of protobuf's JSON. A field that does not exist, or
has another type, is refused.
"""

import base64
import re
from typing import Any, Literal, cast

import msgspec


class BadFrame(Exception):
    """A frame the service would close the connection for, in words like its own."""


class _Strict(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """A base of all below: nothing else may be in it."""


class Blob(_Strict, frozen=True):
    """Sound or a picture."""

    mime_type: str
    data: str

    @property
    def decoded(self) -> bytes:
        """The data, from either alphabet of base64: the SDK uses the one for addresses."""
        try:
            return base64.b64decode(self.data.replace("-", "+").replace("_", "/"), validate=True)
        except ValueError as error:
            raise BadFrame("Base64 decoding failed.") from error


class FunctionResponse(_Strict, frozen=True):
    """What a tool gave."""

    id: str
    name: str
    response: dict[str, Any]
    scheduling: Literal["SILENT", "WHEN_IDLE", "INTERRUPT"] = "WHEN_IDLE"
    will_continue: bool = False


class Part(_Strict, frozen=True):
    """A piece of a turn; words only."""

    text: str


class Content(_Strict, frozen=True):
    """A turn."""

    parts: list[Part] = []
    role: str = "user"

    @property
    def text(self) -> str:
        """All its words."""
        return "".join(part.text for part in self.parts)


class PrebuiltVoice(_Strict, frozen=True):
    """A voice by its name."""

    voice_name: str


class VoiceConfig(_Strict, frozen=True):
    """Which voice."""

    prebuilt_voice_config: PrebuiltVoice | None = None


class SpeechConfig(_Strict, frozen=True):
    """How the model speaks."""

    voice_config: VoiceConfig | None = None
    language_code: str | None = None


class ThinkingConfig(_Strict, frozen=True):
    """How much the model thinks."""

    thinking_level: Literal["MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"] | None = None
    thinking_budget: int | None = None
    include_thoughts: bool = False


class GenerationConfig(_Strict, frozen=True):
    """How the model answers."""

    response_modalities: tuple[str, ...] = ("AUDIO",)
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    candidate_count: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    max_output_tokens: int | None = None
    seed: int | None = None
    media_resolution: str | None = None
    speech_config: SpeechConfig | None = None
    thinking_config: ThinkingConfig | None = None


class FunctionDeclaration(_Strict, frozen=True):
    """A tool."""

    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    parameters_json_schema: dict[str, Any] | None = None
    behavior: Literal["BLOCKING", "NON_BLOCKING"] | None = None
    """Where it is not said, the model decides."""


class ToolSet(_Strict, frozen=True):
    """Tools."""

    function_declarations: list[FunctionDeclaration] = []
    google_search: dict[str, Any] | None = None


class ActivityDetection(_Strict, frozen=True):
    """How the service finds the person's turns, or that it does not."""

    disabled: bool = False
    start_of_speech_sensitivity: (
        Literal["START_SENSITIVITY_LOW", "START_SENSITIVITY_HIGH"] | None
    ) = None
    end_of_speech_sensitivity: Literal["END_SENSITIVITY_LOW", "END_SENSITIVITY_HIGH"] | None = None
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None


class RealtimeInputConfig(_Strict, frozen=True):
    """How the person's sound is taken."""

    automatic_activity_detection: ActivityDetection = ActivityDetection()
    activity_handling: Literal["START_OF_ACTIVITY_INTERRUPTS", "NO_INTERRUPTION"] = (
        "START_OF_ACTIVITY_INTERRUPTS"
    )
    turn_coverage: str | None = None


class Transcribing(_Strict, frozen=True):
    """That a side is transcribed."""

    language_codes: list[str] = []


class SessionResumption(_Strict, frozen=True):
    """That handles are wanted, and which conversation to go on with."""

    handle: str | None = None


class SlidingWindow(_Strict, frozen=True):
    """How much is kept."""

    target_tokens: int | None = None


class Compression(_Strict, frozen=True):
    """That a long conversation forgets its beginning."""

    trigger_tokens: int | None = None
    sliding_window: SlidingWindow | None = None


class HistoryConfig(_Strict, frozen=True):
    """That the first words are history."""

    initial_history_in_client_content: bool = False


class Setup(_Strict, frozen=True):
    """The configuration."""

    model: str
    generation_config: GenerationConfig = GenerationConfig()
    system_instruction: Content | None = None
    tools: list[ToolSet] = []
    realtime_input_config: RealtimeInputConfig = RealtimeInputConfig()
    input_audio_transcription: Transcribing | None = None
    output_audio_transcription: Transcribing | None = None
    session_resumption: SessionResumption | None = None
    context_window_compression: Compression | None = None
    history_config: HistoryConfig = HistoryConfig()


class Empty(_Strict, frozen=True):
    """A mark without content."""


class RealtimeInput(_Strict, frozen=True):
    """What happens at the person's side, as it happens."""

    audio: Blob | None = None
    video: Blob | None = None
    text: str | None = None
    audio_stream_end: bool = False
    activity_start: Empty | None = None
    activity_end: Empty | None = None


class ClientContent(_Strict, frozen=True):
    """Turns as text."""

    turns: list[Content] = []
    turn_complete: bool = False


class ToolResponse(_Strict, frozen=True):
    """What tools gave."""

    function_responses: list[FunctionResponse]


class ToolsUpdate(_Strict, frozen=True):
    """The tools there are from now on, be it none."""

    tools: list[ToolSet] = []


class ContextUpdate(_Strict, frozen=True):
    """A change in mid-call."""

    system_instruction: Content | None = None
    tools: ToolsUpdate | None = None


class ClientFrame(_Strict, frozen=True):
    """One message; exactly one field is set."""

    setup: Setup | None = None
    realtime_input: RealtimeInput | None = None
    client_content: ClientContent | None = None
    tool_response: ToolResponse | None = None
    context_update: ContextUpdate | None = None


def parse(message: str | bytes) -> tuple[ClientFrame, dict[str, Any]]:
    """A frame, and its JSON in camelCase; raises `BadFrame`."""
    try:
        plain = _camel_case(msgspec.json.decode(message))
        frame = msgspec.convert(plain, ClientFrame)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BadFrame(f"Invalid JSON payload received. {error}") from error
    if len(plain) != 1:
        raise BadFrame("Request contains an invalid argument: one message at a time.")
    return frame, plain


_OPAQUE = {"response", "parameters", "parametersJsonSchema"}
"""What a client names itself."""


def _camel_case(value: Any) -> Any:
    if isinstance(value, dict):
        renamed: dict[str, Any] = {}
        # What JSON gives: names are text, values anything.
        for name, one in cast("dict[str, Any]", value).items():
            camel = re.sub("_([a-z])", lambda found: found[1].upper(), name)
            renamed[camel] = one if camel in _OPAQUE else _camel_case(one)
        return renamed
    if isinstance(value, list):
        # A list of anything.
        return [_camel_case(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    return value
