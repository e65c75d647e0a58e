"""Lines that are not quite lines: one to nobody, and one that says when the person is gone."""

import logging
from collections.abc import Callable

from beluga_voice.errors import CallEnded, where
from beluga_voice.events import CallCommand
from beluga_voice.interfaces import Line, LineOptions

log = logging.getLogger(__name__)


class NoLine:
    """Drops what it is sent: sound is only to be had from the session's events."""

    def __init__(self, options: LineOptions) -> None:
        self.options = options

    def send(self, command: CallCommand, /) -> None:
        """Nobody listens here."""


class GuardedLine:
    """A line whose end is told once, as an event, instead of being raised at every command."""

    def __init__(self, line: Line, on_gone: Callable[[str], None]) -> None:
        self.options = line.options
        self._line = line
        self._on_gone = on_gone
        self._is_gone = False

    def send(self, command: CallCommand, /) -> None:
        """Hand it on, while there is somebody."""
        if self._is_gone:
            return
        try:
            self._line.send(command)
        except CallEnded as ended:
            self._is_gone = True
            self._on_gone(ended.message)
        except Exception as error:
            log.error("the line failed: %s", where(error))
            self._is_gone = True
            self._on_gone("the line failed")
