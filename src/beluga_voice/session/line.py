"""A line to nobody: sound is only to be had from the session's events."""

from beluga_voice.events import CallCommand
from beluga_voice.interfaces import LineOptions


class NoLine:
    """Drops what it is sent, at the pace of a real line."""

    def __init__(self, options: LineOptions) -> None:
        self.options = options

    def send(self, command: CallCommand, /) -> None:
        """Nobody listens here."""
