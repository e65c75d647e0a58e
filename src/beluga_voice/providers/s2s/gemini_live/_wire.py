"""What Gemini Live says on its wire, as types.

Each message of the service is one JSON object, in a binary frame as a rule, and may hold several
things at once: a piece of the model's turn, transcripts, the end of the turn, what was counted.
Names of fields come in camelCase; protobuf's JSON allows snake_case as well, so both are read.
Fields that are not named here are skipped.

Source: https://ai.google.dev/api/live, and the types of google-genai 3.4.0; read 2026-11-21.
"""

import base64
import re
from typing import Any, cast

import msgspec

from beluga_voice.errors import BrokenProtocol
from beluga_voice.interfaces import WireMessage

OUTPUT_MIME = "audio/pcm;rate=24000"
"""The only sound the service makes: mono 16-bit little-endian PCM."""

# What an application chose the names of: never renamed.
_OPAQUE = frozenset({"args"})


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    """The base of all below."""


class Blob(_Part, frozen=True):
    """Sound, in base64 of either alphabet: protobuf's JSON allows both."""

    mime_type: str = ""
    data: str = ""


class Part(_Part, frozen=True):
    """A piece of the model's turn. Its text is a thought, and never spoken."""

    inline_data: Blob | None = None


class Content(_Part, frozen=True):
    """Pieces of a turn."""

    parts: list[Part] = []

    def sound(self) -> bytes:
        """The sound in all its parts; raises `BrokenProtocol` if it is not what is promised."""
        return b"".join([_sound(one.inline_data) for one in self.parts if one.inline_data])


class Words(_Part, frozen=True):
    """A piece of a transcript: what came since the piece before."""

    text: str = ""
    finished: bool = False


class ServerContent(_Part, frozen=True):
    """What became of the conversation."""

    model_turn: Content | None = None
    input_transcription: Words | None = None
    output_transcription: Words | None = None
    generation_complete: bool = False
    interrupted: bool = False
    turn_complete: bool = False
    turn_complete_reason: str = ""


class FunctionCall(_Part, frozen=True):
    """A tool the model wants run."""

    id: str
    name: str
    args: dict[str, Any] = {}


class ToolCall(_Part, frozen=True):
    """Tools the model wants run."""

    function_calls: list[FunctionCall] = []


class ToolCallCancellation(_Part, frozen=True):
    """Tools whose results are not wanted any more."""

    ids: list[str] = []


class TokenCount(_Part, frozen=True):
    """Tokens of one modality: `TEXT`, `AUDIO`, ..."""

    modality: str = ""
    token_count: int = 0


class UsageMetadata(_Part, frozen=True):
    """What a turn took, with all of the prompt counted again each turn."""

    cached_content_token_count: int | None = None
    prompt_tokens_details: list[TokenCount] = []
    response_tokens_details: list[TokenCount] = []


class GoAway(_Part, frozen=True):
    """The connection ends soon; `time_left` is like `"50s"`."""

    time_left: str = ""


class SessionResumptionUpdate(_Part, frozen=True):
    """A handle for another connection, or that there is none just now."""

    new_handle: str = ""
    resumable: bool = False


class SetupComplete(_Part, frozen=True):
    """The configuration was accepted."""

    session_id: str | None = None


class VoiceActivity(_Part, frozen=True):
    """The person's voice began or ended; not sent by the developer API."""

    voice_activity_type: str = ""


class ServerMessage(_Part, frozen=True):
    """One message of the service."""

    setup_complete: SetupComplete | None = None
    server_content: ServerContent | None = None
    tool_call: ToolCall | None = None
    tool_call_cancellation: ToolCallCancellation | None = None
    usage_metadata: UsageMetadata | None = None
    go_away: GoAway | None = None
    session_resumption_update: SessionResumptionUpdate | None = None
    voice_activity: VoiceActivity | None = None


_decoder = msgspec.json.Decoder(ServerMessage)
_camel = msgspec.json.Decoder()


def read(message: WireMessage) -> ServerMessage:
    """Read one message; raises `BrokenProtocol` for what is none."""
    try:
        if isinstance(message, str):
            message = message.encode()
        # Sound has no underscore as a rule, and takes the short way.
        if b"_" not in message:
            return _decoder.decode(message)
        return msgspec.convert(in_camel_case(_camel.decode(message)), ServerMessage)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        # Not the error's own words: they may quote what a person said.
        raise BrokenProtocol(
            f"a message of {len(message)} bytes is not of Gemini Live: {type(error).__name__}",
            op="gemini_live",
        ) from None


def _sound(blob: Blob) -> bytes:
    if blob.mime_type.replace(" ", "") != OUTPUT_MIME:
        raise BrokenProtocol(f"sound came as {blob.mime_type[:60]!r}", op="gemini_live")
    try:
        pcm = base64.b64decode(blob.data.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        raise BrokenProtocol("sound came in broken base64", op="gemini_live") from None
    if len(pcm) & 1:
        raise BrokenProtocol("sound ended inside a sample", op="gemini_live")
    return pcm


def write(message: dict[str, Any]) -> WireMessage:
    """A message of ours; the service takes them as text."""
    return msgspec.json.encode(message).decode()


def in_camel_case(value: Any) -> Any:
    """`value` with all names in camelCase, save those that an application chose."""
    if isinstance(value, dict):
        # What JSON gives: names are text, values anything.
        fields = cast("dict[str, Any]", value)
        return {
            camel(name): one if name in _OPAQUE else in_camel_case(one)
            for name, one in fields.items()
        }
    if isinstance(value, list):
        # A list of anything.
        return [in_camel_case(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def camel(name: str) -> str:
    """`snake_case` as `snakeCase`."""
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name)
