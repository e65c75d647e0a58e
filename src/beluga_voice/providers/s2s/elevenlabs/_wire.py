"""What an agent of ElevenLabs says on its wire, as types.

Each message is one JSON object in a text frame. Its `type` says what it is, and what it holds lies
in a field of its own, most of which are called like the type with `_event` at the end. Fields that
are not named here are skipped.

Source: the AsyncAPI types of `@elevenlabs/types` 0.23.0, read 2026-11-21. Not in them, but seen by
published integrations: `agent_response_complete`, `client_error`, and `is_final` of a sound.
"""

import base64
import binascii
from typing import Any

import msgspec

from beluga_voice.errors import BrokenProtocol
from beluga_voice.interfaces import WireMessage
from beluga_voice.providers.s2s.elevenlabs._capabilities import NAME

QUIET: WireMessage = b""
"""Nothing more of a response came for a while: our own channel says so, never the service."""

type EventId = int | str | None
"""A number that grows; some clients saw it in quotation marks."""


class _Part(msgspec.Struct, frozen=True):
    """The base of all below."""


class Metadata(_Part, frozen=True):
    """The conversation has begun."""

    conversation_id: str
    agent_output_audio_format: str = "pcm_16000"
    user_input_audio_format: str = "pcm_16000"


class Alignment(_Part, frozen=True):
    """Where the characters of a piece of sound begin in it, and how long they sound."""

    chars: list[str] = []
    char_start_times_ms: list[float] = []
    char_durations_ms: list[float] = []


class AudioEvent(_Part, frozen=True):
    """A piece of the agent's speech."""

    audio_base_64: str = ""
    event_id: EventId = None
    alignment: Alignment | None = None
    is_final: bool | None = None

    @property
    def sound(self) -> bytes:
        """The sound; raises `BrokenProtocol` if it is no base64."""
        try:
            return base64.b64decode(self.audio_base_64, validate=True)
        except (binascii.Error, ValueError):
            raise BrokenProtocol("sound came in broken base64", op=NAME) from None


class UserTranscript(_Part, frozen=True):
    """What the person said."""

    user_transcript: str
    event_id: EventId = None


class AgentResponse(_Part, frozen=True):
    """All the words of a response."""

    agent_response: str
    event_id: EventId = None


class Correction(_Part, frozen=True):
    """The words of an interrupted response that were heard, as far as the service knows."""

    corrected_agent_response: str
    original_agent_response: str = ""
    event_id: EventId = None


class Marker(_Part, frozen=True):
    """That something happened at that event."""

    event_id: EventId = None


class Ping(_Part, frozen=True):
    """A question whether we are there."""

    event_id: EventId
    ping_ms: float | None = None


class ClientToolCall(_Part, frozen=True):
    """A tool the agent wants run here."""

    tool_call_id: str
    tool_name: str
    parameters: dict[str, Any] | None = None
    event_id: EventId = None


class AgentToolResponse(_Part, frozen=True):
    """A tool was run, or given up."""

    tool_name: str = ""
    tool_call_id: str = ""
    is_error: bool = False


class VadScore(_Part, frozen=True):
    """How probable a voice of the person is, 0 to 1."""

    vad_score: float


class ErrorEvent(_Part, frozen=True):
    """A failure; a close with that code follows as a rule."""

    code: int | str | None = None
    message: str | None = None
    error_type: str | None = None
    error_name: str | None = None
    reason: str | None = None

    @property
    def kind(self) -> str:
        """Its type, by whichever name."""
        return self.error_type or self.error_name or ""


class ServerMessage(_Part, frozen=True):
    """One message of the service."""

    type: str
    conversation_initiation_metadata_event: Metadata | None = None
    ping_event: Ping | None = None
    audio_event: AudioEvent | None = None
    user_transcription_event: UserTranscript | None = None
    tentative_user_transcription_event: UserTranscript | None = None
    agent_response_event: AgentResponse | None = None
    agent_response_correction_event: Correction | None = None
    agent_response_complete_event: Marker | None = None
    interruption_event: Marker | None = None
    client_tool_call: ClientToolCall | None = None
    agent_tool_response: AgentToolResponse | None = None
    vad_score_event: VadScore | None = None
    error_event: ErrorEvent | None = None


_decoder = msgspec.json.Decoder(ServerMessage)


def read(message: WireMessage) -> ServerMessage:
    """Read one message; raises `BrokenProtocol` for what is none."""
    try:
        return _decoder.decode(message)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        # Not the error's own words: they may quote what a person said.
        raise BrokenProtocol(
            f"a message of {len(message)} bytes is not of ElevenLabs: {type(error).__name__}",
            op=NAME,
        ) from None


def need[T](part: T | None, kind: str) -> T:
    """What a message of that kind has to hold; raises `BrokenProtocol` if it does not."""
    if part is None:
        raise BrokenProtocol(f"a message of the type {kind} holds none", op=NAME)
    return part


def number(event_id: EventId) -> int | None:
    """The number of an event; raises `BrokenProtocol` for what is none."""
    if event_id is None or isinstance(event_id, int):
        return event_id
    if not (event_id.isascii() and event_id.isdigit() and len(event_id) <= 18):
        raise BrokenProtocol("the id of an event is no number", op=NAME)
    return int(event_id)


def write(message: dict[str, Any]) -> WireMessage:
    """A message of ours."""
    return msgspec.json.encode(message).decode()
