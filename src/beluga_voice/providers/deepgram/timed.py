"""A codec that wants to be woken: for what a service expects, or owes, by a certain moment.

The protocols here have deadlines in them: a service hangs up where nothing is sent, and may never
answer. A codec reads no clock of its own. It is given one, sets its *alarm*, and finds `TICK`
among the messages of the service when the moment has come.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from beluga_voice.errors import BrokenProtocol
from beluga_voice.interfaces import WireMessage
from beluga_voice.providers.tick import Ticking

_EARLY_SECONDS = 1e-6


def is_due(at: float, now: float) -> bool:
    """Whether a moment has come, for who is woken a little early, as clocks have steps."""
    return now >= at - _EARLY_SECONDS


class Alarm:
    """The next moment at which somebody wants to be woken; `None` if there is none."""

    __slots__ = ("_on_change", "at")

    def __init__(self) -> None:
        self.at: float | None = None
        self._on_change: Callable[[], None] | None = None

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call that whenever the moment comes nearer."""
        self._on_change = on_change

    def by(self, at: float) -> None:
        """Wake at that moment, or before."""
        if self.at is not None and self.at <= at:
            return
        self.at = at
        if self._on_change is not None:
            self._on_change()

    def rang(self) -> None:
        """The moment has come: a new one has to be set."""
        self.at = None


class Timed(Ticking, Protocol):
    """Who wants to be woken, and to know what goes out."""

    @property
    def alarm(self) -> Alarm: ...

    def passed(self, message: WireMessage, /) -> None: ...


class TimedCodec[R]:
    """What a codec with an alarm has: a clock in seconds, replies, and events of its own."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.alarm: Alarm = Alarm()
        self._now = now
        self._replies: list[WireMessage] = []
        self._told: list[R] = []
        """Events that came of a command: they are told at the next tick, which is at once."""

    @property
    def deadline(self) -> float | None:
        """When a `TICK` is wanted next."""
        return self.alarm.at

    def replies(self) -> list[WireMessage]:
        """What is to be sent without a command."""
        replies, self._replies = self._replies, []
        return replies

    def passed(self, message: WireMessage, /) -> None:
        """A message goes out now: the service has heard all that passed before."""

    def _tell(self, *events: R) -> None:
        """Events that are nobody's answer."""
        self._told += events
        if self._told:
            self.alarm.by(self._now())

    def _take_told(self) -> list[R]:
        told, self._told = self._told, []
        return told


class _Head(msgspec.Struct):
    type: str


_head = msgspec.json.Decoder(_Head)


def read[M](message: str, kinds: dict[str, msgspec.json.Decoder[M]], provider: str) -> M | None:
    """A message of one of those kinds; `None` if it is another, or `BrokenProtocol`."""
    try:
        kind = _head.decode(message).type
        decoder = kinds.get(kind)
        return None if decoder is None else decoder.decode(message)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        what = "a message that cannot be read"
        raise BrokenProtocol(what, op="decode", provider=provider) from error
