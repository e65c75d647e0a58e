"""Where the parts of the engine leave what they want: effects now, and deadlines for later."""

from collections import deque

from msgspec.structs import replace

from beluga_voice.engine.deadlines import Deadlines
from beluga_voice.engine.effects import Effect, Send
from beluga_voice.errors import ErrorCode
from beluga_voice.events import (
    ErrorOccurred,
    S2sCommand,
    SeedHistory,
    SendText,
    SessionEvent,
    Update,
)


class Outlet:
    """The effects and deadlines of one engine."""

    def __init__(self) -> None:
        self.effects: deque[Effect] = deque()
        self.deadlines = Deadlines()
        self.is_up = False
        """Whether there is a service to send to."""
        self.is_connecting = False
        """Whether a link is being opened, with the history and settings of when that began."""
        self.late: list[SendText | SeedHistory | Update] = []
        """What the link that is being opened does not know yet."""

    def do(self, effect: Effect) -> None:
        """Have something done."""
        self.effects.append(effect)

    def emit(self, event: SessionEvent) -> None:
        """Tell the application."""
        self.effects.append(event)

    def fail(self, code: ErrorCode, message: str, *, is_fatal: bool = False) -> None:
        """Tell the application that something went wrong."""
        self.effects.append(ErrorOccurred(code=code, message=message, is_fatal=is_fatal))

    def unask(self) -> None:
        """The link that is being opened shall know what was written, and not answer it."""
        self.late = [
            replace(one, respond=False) if isinstance(one, SendText) else one for one in self.late
        ]

    def send(self, command: S2sCommand) -> None:
        """Give the service a command; without a link there is nobody to give it to.

        What it would have changed is told to the next link in another way: by the history it is
        opened with, and by what is taken up then.
        """
        if self.is_up:
            self.effects.append(Send(command=command))
        elif self.is_connecting and isinstance(command, SendText | SeedHistory | Update):
            self.late.append(command)
