"""When the connection to a service is replaced before it ends.

How it works. A service ends its connections: after so many minutes, or when it says that it goes
away. Shortly before, a second link is opened in a quiet moment, and takes the place of the first in
a quiet moment: nobody speaks, nothing sounds, no tool runs. The second link was told the
conversation when it was opened. What was said in between is added, if the service takes that; if it
does not, the second link is given up, and another is opened. Should there be no quiet moment until
the service cuts the first link, that is a loss like any other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import auto

from beluga_voice.engine.deadlines import Due
from beluga_voice.engine.effects import Adopt, Discard, Standby
from beluga_voice.engine.history import History
from beluga_voice.engine.outlet import Outlet
from beluga_voice.engine.table import Label, Machine
from beluga_voice.events import HistoryItem, SeedHistory, ServiceRenewed
from beluga_voice.interfaces import Capabilities

SETTINGS = "settings"
"""The reason of a renewal for the sake of what only another connection can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalSettings:
    """When a connection is replaced."""

    lead_seconds: float = 60.0
    """How long before the service's own limit a quiet moment is looked for; at most a quarter of
    it."""
    retry_seconds: float = 5.0
    """After a second link that did not come about, or was lost."""


class Renewing(Label):
    """The states."""

    IDLE = auto()
    WANTED = auto()
    OPENING = auto()
    READY = auto()


class RenewalInput(Label):
    """The inputs."""

    DUE = auto()
    """The connection will end soon."""
    OPEN = auto()
    """A quiet moment: open the second link."""
    STANDS_BY = auto()
    """The second link is there."""
    LOST = auto()
    """The second link did not come about, is lost, or knows too little."""
    ADOPTED = auto()
    """It has taken the place of the first, or the first is gone."""


TABLE: dict[tuple[Renewing, RenewalInput], Renewing] = {
    (Renewing.IDLE, RenewalInput.DUE): Renewing.WANTED,
    (Renewing.IDLE, RenewalInput.ADOPTED): Renewing.IDLE,
    (Renewing.IDLE, RenewalInput.LOST): Renewing.IDLE,
    (Renewing.WANTED, RenewalInput.DUE): Renewing.WANTED,
    (Renewing.WANTED, RenewalInput.OPEN): Renewing.OPENING,
    (Renewing.WANTED, RenewalInput.LOST): Renewing.WANTED,
    (Renewing.WANTED, RenewalInput.ADOPTED): Renewing.IDLE,
    (Renewing.OPENING, RenewalInput.DUE): Renewing.OPENING,
    (Renewing.OPENING, RenewalInput.STANDS_BY): Renewing.READY,
    (Renewing.OPENING, RenewalInput.LOST): Renewing.WANTED,
    (Renewing.OPENING, RenewalInput.ADOPTED): Renewing.IDLE,
    (Renewing.READY, RenewalInput.DUE): Renewing.READY,
    (Renewing.READY, RenewalInput.LOST): Renewing.WANTED,
    (Renewing.READY, RenewalInput.ADOPTED): Renewing.IDLE,
}


class Renewal:
    """The replacement of one conversation's link, again and again."""

    def __init__(
        self,
        outlet: Outlet,
        history: History,
        *,
        capabilities: Capabilities,
        settings: RenewalSettings,
        is_quiet: Callable[[], bool],
    ) -> None:
        self._outlet = outlet
        self._history = history
        self._settings = settings
        self._is_quiet = is_quiet
        self._can_add = capabilities.can_add_history
        limit = capabilities.max_connection_seconds
        self._age = None if limit is None else limit - min(settings.lead_seconds, limit / 4)
        self._machine = Machine("renewal", Renewing.IDLE, TABLE)
        self._known: tuple[HistoryItem, ...] = ()
        """What the second link was told."""
        self._reason = ""
        self._not_before = 0.0

    @property
    def is_wanted(self) -> bool:
        """Whether a quiet moment is looked for."""
        return self._machine.state in (Renewing.WANTED, Renewing.READY)

    def opened(self, now: float) -> None:
        """There is a link, and it is new."""
        self._give_up()
        if self._age is not None:
            self._outlet.deadlines.set(Due.RENEW, now + self._age)

    def closed(self) -> None:
        """The link is gone, before it could be replaced."""
        self._give_up()
        self._outlet.deadlines.clear(Due.RENEW)

    def due(self, reason: str) -> None:
        """The link will end soon."""
        if self._machine.state is Renewing.IDLE:
            self._reason = reason
        self._machine.take(RenewalInput.DUE)

    def stands_by(self) -> None:
        """The second link is there; if nobody wants it any more, it is let go."""
        if self._machine.state is Renewing.OPENING:
            self._machine.take(RenewalInput.STANDS_BY)
        else:
            self._outlet.do(Discard())

    def lost(self, now: float, *, refusal: str = "") -> bool:
        """The second link did not come about, or is gone; whether it is not tried again.

        With settings that were refused it is not, if it was for their sake.
        """
        self._machine.take(RenewalInput.LOST)
        if refusal and self._reason == SETTINGS:
            self._machine.take(RenewalInput.ADOPTED)
            return True
        self._try_later(now)
        return False

    def look(self, now: float) -> None:
        """Is this a quiet moment? Called after everything that happens, while one is wanted."""
        if now < self._not_before or not self._is_quiet():
            return
        if self._machine.state is Renewing.WANTED:
            self._machine.take(RenewalInput.OPEN)
            self._known = self._history.items
            self._outlet.do(Standby(history=self._known))
        elif self._machine.state is Renewing.READY:
            self._adopt(now)

    def _adopt(self, now: float) -> None:
        items, known = self._history.items, self._known
        added = items[len(known) :] if items[: len(known)] == known else None
        if added is None or (added and not self._can_add):
            self._outlet.do(Discard())
            self._machine.take(RenewalInput.LOST)
            self._try_later(now)
            return
        self._outlet.do(Adopt())
        if added:
            self._outlet.send(SeedHistory(items=added))
        self._machine.take(RenewalInput.ADOPTED)
        self._outlet.emit(ServiceRenewed(reason=self._reason))
        self._outlet.deadlines.clear(Due.RENEW)
        if self._age is not None:
            self._outlet.deadlines.set(Due.RENEW, now + self._age)

    def changed(self, now: float) -> None:
        """The settings changed: a second link that was asked for the old ones is not wanted."""
        if self._machine.state in (Renewing.OPENING, Renewing.READY):
            self._outlet.do(Discard())
            self.lost(now)

    def _try_later(self, now: float) -> None:
        self._not_before = now + self._settings.retry_seconds
        self._outlet.deadlines.set(Due.RENEW, self._not_before)

    def _give_up(self) -> None:
        if self._machine.state in (Renewing.OPENING, Renewing.READY):
            self._outlet.do(Discard())
        self._machine.take(RenewalInput.ADOPTED)
        self._not_before = 0.0
