"""Reads the messages of the OpenAI Realtime service.

Every kind of message that the protocol has is either `HANDLED` or `IGNORED`; a kind that it has
not, or not yet, is ignored as well.
"""

import msgspec

from beluga_voice.errors import BrokenProtocol
from beluga_voice.events import ResponseStatus, Usage
from beluga_voice.interfaces import WireMessage
from beluga_voice.providers.s2s.openai_realtime import _wire as wire
from beluga_voice.providers.s2s.openai_realtime._errors import message_of

_head = msgspec.json.Decoder(wire.Head).decode
_STATUSES = {status.value: status for status in ResponseStatus}


def read(message: WireMessage) -> tuple[str, object]:
    """The kind of a message and what it says; `None` if that means nothing to us.

    Raises `BrokenProtocol` for what is none of the protocol, and nothing else.
    """
    if isinstance(message, bytes):
        raise BrokenProtocol("a binary message, where the protocol has text", op="openai_realtime")
    try:
        kind = _head(message).type
        decoder = _DECODERS.get(kind)
        return kind, None if decoder is None else decoder.decode(message)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        seen = type(error).__name__
    # Not chained, and not quoted: it may hold what a person said.
    raise BrokenProtocol(f"a message that cannot be read ({seen})", op="openai_realtime")


def status_of(status: str | None) -> ResponseStatus:
    """How the making of a response ended."""
    return _STATUSES.get(status or "", ResponseStatus.FAILED)


def reason_of(details: wire.StatusDetails | None) -> str:
    """Why a response ended as it did, in a few words."""
    if details is None:
        return ""
    return details.reason or ("" if details.error is None else message_of(details.error))


def usage_of(used: wire.ResponseUsage | None) -> Usage | None:
    """What a response was charged."""
    if used is None:
        return None
    heard = used.input_token_details or wire.InputTokens()
    spoken = used.output_token_details or wire.OutputTokens()
    return Usage(
        input_text_tokens=heard.text_tokens,
        input_audio_tokens=heard.audio_tokens,
        output_text_tokens=spoken.text_tokens,
        output_audio_tokens=spoken.audio_tokens,
        cached_tokens=heard.cached_tokens,
    )


_TRANSCRIPTION = "conversation.item.input_audio_transcription"
_TYPES: dict[str, type[msgspec.Struct]] = {
    "session.created": wire.SessionMessage,
    "session.updated": wire.SessionMessage,
    "error": wire.ErrorMessage,
    "input_audio_buffer.speech_started": wire.InputMessage,
    "input_audio_buffer.speech_stopped": wire.InputMessage,
    "input_audio_buffer.committed": wire.InputMessage,
    f"{_TRANSCRIPTION}.delta": wire.TranscriptDelta,
    f"{_TRANSCRIPTION}.completed": wire.TranscriptCompleted,
    f"{_TRANSCRIPTION}.failed": wire.TranscriptFailed,
    "response.created": wire.ResponseMessage,
    "response.done": wire.ResponseMessage,
    "response.output_item.done": wire.OutputItem,
    "response.output_audio.delta": wire.AudioDelta,
    "response.output_audio_transcript.delta": wire.TextDelta,
    "response.output_text.delta": wire.TextDelta,
}
_DECODERS = {kind: msgspec.json.Decoder(message) for kind, message in _TYPES.items()}

HANDLED = frozenset(_TYPES)
"""Messages that mean something to us."""

IGNORED = frozenset(
    {
        "conversation.created",
        "rate_limits.updated",
        "input_audio_buffer.cleared",
        "input_audio_buffer.timeout_triggered",
        "input_audio_buffer.dtmf_event_received",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.created",
        "conversation.item.deleted",
        "conversation.item.retrieved",
        "conversation.item.truncated",
        f"{_TRANSCRIPTION}.segment",
        "response.output_item.added",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.output_text.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "mcp_list_tools.failed",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.mcp_call.in_progress",
        "response.mcp_call.completed",
        "response.mcp_call.failed",
        "output_audio_buffer.started",
        "output_audio_buffer.stopped",
        "output_audio_buffer.cleared",
    }
)
"""Messages that say nothing that another does not; calls come whole with the end of their item."""
