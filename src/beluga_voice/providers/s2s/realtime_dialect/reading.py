"""Reads the messages of a service.

Every kind of message that a protocol has is either handled or ignored; a kind that it has not, or
not yet, is ignored as well.
"""

from collections.abc import Collection, Mapping

import msgspec

from beluga_voice.errors import BrokenProtocol
from beluga_voice.events import ResponseStatus, Usage
from beluga_voice.interfaces import WireMessage
from beluga_voice.providers.s2s.realtime_dialect import wire
from beluga_voice.providers.s2s.realtime_dialect.errors import ErrorMap

_head = msgspec.json.Decoder(wire.Head).decode
_STATUSES = {status.value: status for status in ResponseStatus}


class Reader:
    """The messages of one protocol: those it handles by their types, and those it ignores."""

    def __init__(
        self, name: str, types: Mapping[str, type[msgspec.Struct]], ignored: Collection[str]
    ) -> None:
        self._name = name
        self._decoders = {kind: msgspec.json.Decoder(one) for kind, one in types.items()}
        self.handled = frozenset(types)
        """Messages that mean something to us."""
        self.ignored = frozenset(ignored)
        """Messages that say nothing that another does not."""

    def read(self, message: WireMessage) -> tuple[str, object]:
        """The kind of a message and what it says; `None` if that means nothing to us.

        Raises `BrokenProtocol` for what is none of the protocol, and nothing else.
        """
        if isinstance(message, bytes):
            raise BrokenProtocol("a binary message, where the protocol has text", op=self._name)
        try:
            kind = _head(message).type
            decoder = self._decoders.get(kind)
            return kind, None if decoder is None else decoder.decode(message)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            seen = type(error).__name__
        # Not chained, and not quoted: it may hold what a person said.
        raise BrokenProtocol(f"a message that cannot be read ({seen})", op=self._name)


def status_of(status: str | None) -> ResponseStatus:
    """How the making of a response ended."""
    return _STATUSES.get(status or "", ResponseStatus.FAILED)


def reason_of(details: wire.StatusDetails | str | None, errors: ErrorMap) -> str:
    """Why a response ended as it did, in a few words."""
    if details is None or isinstance(details, str):
        return details or ""
    return details.reason or ("" if details.error is None else errors.message_of(details.error))


def usage_of(used: wire.ResponseUsage | None) -> Usage | None:
    """What a response was charged; totals only where text and sound are not told apart."""
    if used is None:
        return None
    heard, spoken = used.input_token_details, used.output_token_details
    found = Usage(
        input_tokens=used.input_tokens if heard is None else None,
        output_tokens=used.output_tokens if spoken is None else None,
        input_text_tokens=None if heard is None else heard.text_tokens,
        input_audio_tokens=None if heard is None else heard.audio_tokens,
        cached_tokens=None if heard is None else heard.cached_tokens,
        output_text_tokens=None if spoken is None else spoken.text_tokens,
        output_audio_tokens=None if spoken is None else spoken.audio_tokens,
    )
    return None if found == Usage() else found


TRANSCRIPTION = "conversation.item.input_audio_transcription"

TYPES: dict[str, type[msgspec.Struct]] = {
    "session.created": wire.SessionMessage,
    "session.updated": wire.SessionMessage,
    "error": wire.ErrorMessage,
    "input_audio_buffer.speech_started": wire.InputMessage,
    "input_audio_buffer.speech_stopped": wire.InputMessage,
    "input_audio_buffer.committed": wire.InputMessage,
    f"{TRANSCRIPTION}.delta": wire.TranscriptDelta,
    f"{TRANSCRIPTION}.completed": wire.TranscriptCompleted,
    f"{TRANSCRIPTION}.failed": wire.TranscriptFailed,
    "response.created": wire.ResponseMessage,
    "response.done": wire.ResponseMessage,
    "response.output_item.done": wire.OutputItem,
    "response.output_audio.delta": wire.AudioDelta,
    "response.output_audio_transcript.delta": wire.TextDelta,
    "response.output_text.delta": wire.TextDelta,
}
"""What all services that speak it have in common."""

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
        f"{TRANSCRIPTION}.segment",
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
"""Calls come whole with the end of their item, so that their parts are among these."""
