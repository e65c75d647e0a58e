"""The messages of the OpenAI Realtime protocol (GA), as they are on the wire.

Only the fields that are used are named; others are ignored. Sound is base64 in JSON, which the
decoder turns into `bytes` and back. Read from the types of the official OpenAI SDK for Python,
version 3.52.0, on 2026-11-21; where another service is known to leave something out, or to put it
elsewhere, that is taken too.
"""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

# ── what the service says ───────────────────────────────────────────────────────────────────


class Head(msgspec.Struct):
    """Any message: its kind."""

    type: str


class SessionObject(msgspec.Struct):
    """The session as the service sees it."""

    id: str | None = None
    model: str | None = None
    expires_at: float | None = None


class SessionMessage(msgspec.Struct):
    """`session.created`, `session.updated`."""

    session: SessionObject


class ErrorObject(msgspec.Struct):
    """What went wrong."""

    message: str = ""
    type: str | None = None
    code: str | None = None
    event_id: str | None = None


class ErrorMessage(msgspec.Struct):
    """`error`."""

    error: ErrorObject


class InputMessage(msgspec.Struct):
    """`input_audio_buffer.speech_started`, `.speech_stopped`, `.committed`."""

    item_id: str


class TranscriptDelta(msgspec.Struct):
    """`conversation.item.input_audio_transcription.delta`."""

    item_id: str
    delta: str = ""


class TranscriptUsage(msgspec.Struct):
    """Tokens, or seconds."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float | None = None


class TranscriptCompleted(msgspec.Struct):
    """`conversation.item.input_audio_transcription.completed`."""

    item_id: str
    transcript: str
    status: str | None = None
    usage: TranscriptUsage | None = None


class TranscriptFailed(msgspec.Struct):
    """`conversation.item.input_audio_transcription.failed`."""

    item_id: str
    error: ErrorObject = msgspec.field(default_factory=ErrorObject)


class InputTokens(msgspec.Struct):
    """What a response was charged for its input."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    cached_tokens: int | None = None


class OutputTokens(msgspec.Struct):
    """What a response was charged for its output."""

    text_tokens: int | None = None
    audio_tokens: int | None = None


class ResponseUsage(msgspec.Struct):
    """What a response was charged."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_token_details: InputTokens | None = None
    output_token_details: OutputTokens | None = None


class StatusDetails(msgspec.Struct):
    """Why a response ended as it did."""

    reason: str | None = None
    error: ErrorObject | None = None


class Item(msgspec.Struct):
    """An item of a response: a message, or a function call with the rest of the fields."""

    type: str
    id: str | None = None
    status: str | None = None
    name: str | None = None
    arguments: str | None = None
    call_id: str | None = None


class ResponseObject(msgspec.Struct):
    """A response, at its beginning or its end."""

    id: str
    status: str | None = None
    status_details: StatusDetails | str | None = None
    metadata: dict[str, str] | None = None
    output: list[Item] | None = None
    usage: ResponseUsage | None = None


class ResponseMessage(msgspec.Struct):
    """`response.created`, `response.done`."""

    response: ResponseObject
    usage: ResponseUsage | None = None
    """Where it is not in the response."""


class OutputItem(msgspec.Struct):
    """`response.output_item.added`, `.done`."""

    response_id: str
    item: Item


class AudioDelta(msgspec.Struct):
    """`response.output_audio.delta`."""

    response_id: str
    item_id: str
    delta: bytes
    content_index: int = 0


class TextDelta(msgspec.Struct):
    """`response.output_audio_transcript.delta`, `response.output_text.delta`."""

    response_id: str
    item_id: str
    delta: str


# ── what we say ─────────────────────────────────────────────────────────────────────────────


class Content(msgspec.Struct):
    """A part of a message item."""

    type: Literal["input_text", "output_text"]
    text: str


class MessageItem(msgspec.Struct, tag_field="type", tag="message"):
    """Words of the person, the agent, or about them."""

    role: Literal["user", "assistant", "system"]
    content: list[Content]


class FunctionCall(msgspec.Struct, tag_field="type", tag="function_call"):
    """A call of a tool, as part of the history."""

    name: str
    call_id: str
    arguments: str


class FunctionCallOutput(msgspec.Struct, tag_field="type", tag="function_call_output"):
    """What a tool gave."""

    call_id: str
    output: str


type ClientItem = MessageItem | FunctionCall | FunctionCallOutput


class SessionUpdate(msgspec.Struct, tag_field="type", tag="session.update", omit_defaults=True):
    """Settings: the keys that are there change."""

    session: dict[str, Any]
    event_id: str | None = None


class Append(msgspec.Struct, tag_field="type", tag="input_audio_buffer.append"):
    """Sound."""

    audio: bytes


class Commit(msgspec.Struct, tag_field="type", tag="input_audio_buffer.commit"):
    """The utterance ends here."""


class Clear(msgspec.Struct, tag_field="type", tag="input_audio_buffer.clear"):
    """Forget the sound since the last utterance."""


class CreateItem(
    msgspec.Struct, tag_field="type", tag="conversation.item.create", omit_defaults=True
):
    """Words, a call or a result for the conversation."""

    item: ClientItem
    event_id: str | None = None


class Truncate(msgspec.Struct, tag_field="type", tag="conversation.item.truncate"):
    """Only so much of the item was heard."""

    item_id: str
    content_index: int
    audio_end_ms: int
    event_id: str


class ResponseSettings(msgspec.Struct, omit_defaults=True):
    """What one response should be like; what is not said is as in the session."""

    metadata: dict[str, str]
    instructions: str | None = None
    input: list[ClientItem] | UnsetType = UNSET
    tool_choice: str | None = None


class CreateResponseMessage(msgspec.Struct, tag_field="type", tag="response.create"):
    """Answer now."""

    response: ResponseSettings
    event_id: str


class CancelResponse(msgspec.Struct, tag_field="type", tag="response.cancel", omit_defaults=True):
    """Stop a response; without an id, the one that is being made."""

    event_id: str
    response_id: str | None = None
