"""The messages that the Grok Voice Agent protocol has beyond those it shares with others.

Read from the guide "Voice Agent API" of docs.x.ai and from published integrations, on 2026-11-21.
"""

from typing import Literal

import msgspec

# ── what the service says ───────────────────────────────────────────────────────────────────


class Conversation(msgspec.Struct):
    """What the session is about, which outlives it for half an hour."""

    id: str


class ConversationMessage(msgspec.Struct):
    """`conversation.created`."""

    conversation: Conversation


class TranscriptUpdated(msgspec.Struct):
    """`conversation.item.input_audio_transcription.updated`: all the words so far."""

    item_id: str
    transcript: str


class CallDone(msgspec.Struct):
    """`response.function_call_arguments.done`; it may not say of which response it is."""

    call_id: str
    name: str
    arguments: str = ""
    response_id: str | None = None


# ── what we say ─────────────────────────────────────────────────────────────────────────────


class SpokenText(msgspec.Struct):
    """Words to speak."""

    text: str
    type: Literal["output_text"] = "output_text"


class ForceMessage(msgspec.Struct, tag_field="type", tag="force_message"):
    """Words that are spoken as they are, and become part of the conversation."""

    content: list[SpokenText]
    role: Literal["assistant"] = "assistant"
    interruptible: bool = True


class CreateForceMessage(msgspec.Struct, tag_field="type", tag="conversation.item.create"):
    """Speak these words; a response comes of it without being asked for."""

    item: ForceMessage
    event_id: str
