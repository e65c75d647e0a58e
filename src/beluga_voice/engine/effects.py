"""What the engine wants done: the orders below, and a session event to tell the application."""

from dataclasses import dataclass

from beluga_voice.events import (
    EndReason,
    HistoryItem,
    ResponseId,
    S2sCommand,
    SessionEvent,
    ToolCallId,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """Open a link to the service, which should know `history`."""

    history: tuple[HistoryItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Give the service a command."""

    command: S2sCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """No more sound of this response follows what was queued."""

    response_id: ResponseId


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Empty the playout and the person's line, now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tone:
    """Let the person hear a short tone: the line lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """Begin or stop giving the person's sound to the service.

    Beginning includes the sound from shortly before, that the ears kept.
    """

    is_on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """The service has the words of the utterance: its sound need not be kept any longer.

    If the person speaks again already, the sound of that turn is kept.
    """

    but_the_open_turn: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Give the service the sound that was kept since the utterance began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTool:
    """Run a tool."""

    call_id: ToolCallId
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTool:
    """Cancel a running tool."""

    call_id: ToolCallId


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """End the session."""

    reason: EndReason
    message: str = ""


type Effect = (
    Connect
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
