"""Everything that can happen to a conversation: what the engine takes."""

from msgspec import Struct

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


class LinkOpened(Struct, frozen=True, kw_only=True):
    """The driver connected to the service."""


class LinkFailed(Struct, frozen=True, kw_only=True):
    """The driver could not connect."""

    error: BelugaError


class StandbyReady(Struct, frozen=True, kw_only=True):
    """The second link is open."""


class StandbyLost(Struct, frozen=True, kw_only=True):
    """The second link could not be opened, or is gone."""


class ToolFinished(Struct, frozen=True, kw_only=True):
    """A tool gave its result."""

    call_id: ToolCallId
    output: str
    is_error: bool


class Close(Struct, frozen=True, kw_only=True):
    """The application ends the session."""

    reason: EndReason = "closed"
    message: str = ""


type DriverEvent = LinkOpened | LinkFailed | StandbyReady | StandbyLost | ToolFinished | Close
type CallerEvent = CallerText | CallerInterrupt | KeyPressed | TalkKey | CallClosed
type Happened = S2sEvent | CallerEvent | VoiceStarted | VoiceStopped | Say | Update | DriverEvent
