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
    PlaybackReported,
    S2sEvent,
    Say,
    SayId,
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

    refusal: str = ""
    """Why none will come about with these settings, if that is so."""


class ToolFinished(Struct, frozen=True, kw_only=True):
    """A tool gave its result."""

    call_id: ToolCallId
    output: str
    is_error: bool


class TurnGuessed(Struct, frozen=True, kw_only=True):
    """A turn detector's guess whether the person is done: 0 to 1."""

    probability: float


class HandedOver(Struct, frozen=True, kw_only=True):
    """Somebody else has the call now; or, with a `failure`, nobody does."""

    failure: str = ""


class Summarised(Struct, frozen=True, kw_only=True):
    """The oldest `count` items of the history, in short; none if they could not be summarised."""

    count: int
    text: str


class CancelSay(Struct, frozen=True, kw_only=True):
    """The application no longer wants these words spoken."""

    say_id: SayId


class Leave(Struct, frozen=True, kw_only=True):
    """The application ends the session, once what is being said, and the goodbye, were heard."""

    goodbye: str = ""
    reason: EndReason = "closed"
    message: str = ""


class Renew(Struct, frozen=True, kw_only=True):
    """The application changed a setting that only another connection can have."""


class Close(Struct, frozen=True, kw_only=True):
    """The application ends the session."""

    reason: EndReason = "closed"
    message: str = ""


type DriverEvent = LinkOpened | LinkFailed | StandbyReady | StandbyLost | ToolFinished | HandedOver
type AppEvent = Say | CancelSay | Summarised | Update | Leave | Renew | Close
type CallerEvent = (
    CallerText | CallerInterrupt | KeyPressed | TalkKey | PlaybackReported | CallClosed
)
type EarsEvent = VoiceStarted | VoiceStopped | TurnGuessed
type Happened = S2sEvent | CallerEvent | EarsEvent | AppEvent | DriverEvent
