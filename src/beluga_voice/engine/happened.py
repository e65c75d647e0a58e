"""Everything that can happen to a conversation: what the engine takes."""

from dataclasses import dataclass

from beluga_voice.engine.voice import VoiceStarted, VoiceStopped
from beluga_voice.errors import BelugaError
from beluga_voice.events import (
    CallClosed,
    CallerInterrupt,
    CallerText,
    EndReason,
    KeyPressed,
    S2sEvent,
    Say,
    TalkKey,
    ToolCallId,
    Update,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOpened:
    """The driver connected to the service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFailed:
    """The driver could not connect."""

    error: BelugaError


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinished:
    """A tool gave its result."""

    call_id: ToolCallId
    output: str
    is_error: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """The application ends the session."""

    reason: EndReason = "closed"
    message: str = ""


type DriverEvent = LinkOpened | LinkFailed | ToolFinished | Close
type CallerEvent = CallerText | CallerInterrupt | KeyPressed | TalkKey | CallClosed
type Happened = S2sEvent | CallerEvent | VoiceStarted | VoiceStopped | Say | Update | DriverEvent
