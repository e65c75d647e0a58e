"""What the engine wants done: the orders below, and a session event to tell the application."""

from msgspec import Struct

from beluga_voice.events import (
    EndReason,
    HistoryItem,
    ResponseId,
    S2sCommand,
    SessionEvent,
    ToolCallId,
)


class Connect(Struct, frozen=True, kw_only=True):
    """Open a link to the service, which should know `history`."""

    history: tuple[HistoryItem, ...]


class Standby(Struct, frozen=True, kw_only=True):
    """Open a second link, which should know `history`, and keep it ready."""

    history: tuple[HistoryItem, ...]


class Adopt(Struct, frozen=True, kw_only=True):
    """Let the second link take the place of the first, and close that."""


class Discard(Struct, frozen=True, kw_only=True):
    """Close the second link."""


class Send(Struct, frozen=True, kw_only=True):
    """Give the service a command."""

    command: S2sCommand


class Finish(Struct, frozen=True, kw_only=True):
    """No more sound of this response follows what was queued."""

    response_id: ResponseId


class Silence(Struct, frozen=True, kw_only=True):
    """Empty the playout and the person's line, now."""


class Tone(Struct, frozen=True, kw_only=True):
    """Let the person hear a short tone: the line lives."""


class Forward(Struct, frozen=True, kw_only=True):
    """Begin or stop giving the person's sound to the service.

    Beginning includes the sound from shortly before, that the ears kept.
    """

    is_on: bool


class Forget(Struct, frozen=True, kw_only=True):
    """The service has the words of the utterance: its sound need not be kept any longer.

    If the person speaks again already, the sound of that turn is kept.
    """

    but_the_open_turn: bool = False


class Replay(Struct, frozen=True, kw_only=True):
    """Give the service the sound that was kept since the utterance began."""


class RunTool(Struct, frozen=True, kw_only=True):
    """Run a tool."""

    call_id: ToolCallId
    name: str
    arguments: str


class StopTool(Struct, frozen=True, kw_only=True):
    """Cancel a running tool."""

    call_id: ToolCallId


class End(Struct, frozen=True, kw_only=True):
    """End the session."""

    reason: EndReason
    message: str = ""


type Effect = (
    Connect
    | Standby
    | Adopt
    | Discard
    | Send
    | Finish
    | Silence
    | Tone
    | Forward
    | Forget
    | Replay
    | RunTool
    | StopTool
    | End
    | SessionEvent
)
