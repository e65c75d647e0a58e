"""What the engine wants done: the orders below, and a session event to tell the application."""

from msgspec import Struct

from beluga_voice.events import (
    EndReason,
    HistoryItem,
    ResponseId,
    S2sCommand,
    SayId,
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


class SayAgain(Struct, frozen=True, kw_only=True):
    """These words were cut before a sound of them was heard, and will be said later."""

    say_id: SayId


class Yield(Struct, frozen=True, kw_only=True):
    """This response is stuck in its middle, and silent: what came after it is heard first."""

    response_id: ResponseId


class Drop(Struct, frozen=True, kw_only=True):
    """Nothing more of this response is to be heard; what is behind it is."""

    response_id: ResponseId


class Finish(Struct, frozen=True, kw_only=True):
    """No more sound of this response follows what was queued."""

    response_id: ResponseId


class Silence(Struct, frozen=True, kw_only=True):
    """Empty the playout and the person's line, now."""


class Pause(Struct, frozen=True, kw_only=True):
    """Fall silent now, and keep what was not heard: it may be wanted again.

    `samples`, at the rate of the responses, is how much of what was sent is to be sent once more.
    """

    samples: int


class Resume(Struct, frozen=True, kw_only=True):
    """Go on with what was kept at a pause."""


class Summarise(Struct, frozen=True, kw_only=True):
    """Have the oldest part of the history summarised."""

    items: tuple[HistoryItem, ...]


class Swap(Struct, frozen=True, kw_only=True):
    """Give the link to the service up, as one that is of no use."""

    reason: str


class Tone(Struct, frozen=True, kw_only=True):
    """Let the person hear that the line lives: a short tone, or what was made ready for it."""


class HandOver(Struct, frozen=True, kw_only=True):
    """Give the call to somebody else, and say whether that was done (`HandedOver`)."""


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
    """Nobody wants the result of a tool: cancel it, unless it runs to its end in any case."""

    call_id: ToolCallId
    is_final: bool = False
    """Whether it is to be cancelled even so."""


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
    | Drop
    | Yield
    | SayAgain
    | Silence
    | Summarise
    | Swap
    | Pause
    | Resume
    | Tone
    | HandOver
    | Forward
    | Forget
    | Replay
    | RunTool
    | StopTool
    | End
    | SessionEvent
)
