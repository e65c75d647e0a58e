"""One of the connections of a link, and whether what it owes is late."""

import asyncio
from collections.abc import Callable, Iterable

from beluga_voice.events import SendAudio
from beluga_voice.interfaces import Link
from beluga_voice.resilience.breaker import Outcome
from beluga_voice.resilience.progress import Progress
from beluga_voice.resilience.retelling import Retelling


class Watched[S, R]:
    """An open connection. `late` is called once for each time that it comes to be late.

    Without `progress`, it never is. `release` begins to close it; one without it is closed by
    whoever opened it.
    """

    def __init__(
        self,
        link: Link[S, R],
        again: Iterable[S],
        *,
        release: Callable[[], None] | None = None,
        bytes_per_second: int,
        progress: Progress | None = None,
        late: Callable[["Watched[S, R]"], None] | None = None,
    ) -> None:
        self._release = release
        self.progress = progress
        self._late = late
        self._loop = asyncio.get_running_loop()
        self._link = link
        self._telling = Retelling(self._send, again, bytes_per_second=bytes_per_second)
        self._timer: asyncio.TimerHandle | None = None
        self._is_stopped = False
        self.is_late = False

    @property
    def owes(self) -> bool:
        """Whether anything is awaited of it."""
        return self.progress is not None and self.progress.deadline is not None

    @property
    def reason(self) -> str:
        """What is missing, or went wrong."""
        return "" if self.progress is None else self.progress.reason

    def begin(self, hear: Callable[["Watched[S, R]", R], None]) -> None:
        """Hear what it tells, and tell it again what another one was told."""
        self._link.attach(lambda event: hear(self, event))
        self._telling.begin()

    def send(self, command: S) -> None:
        """A command of now, after what it is told again."""
        if not self._is_stopped:
            self._telling.send(command)

    def received(self, event: R) -> Outcome | None:
        """How what was asked for came, if this is the first of it."""
        if self.progress is None:
            return None
        now = self._loop.time()
        outcome = self.progress.received(event, now)
        if self.is_late:
            due = self.progress.deadline
            self.is_late = due is not None and due <= now
        return outcome

    def stop(self) -> None:
        """Begin to close; it is told nothing more, and not late any more."""
        self._is_stopped = True
        self._telling.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._release is not None:
            self._release()

    def _send(self, command: S) -> None:
        # Sound, of which there is most, asks for nothing.
        if self.progress is not None and type(command) is not SendAudio:
            self.progress.sent(command, self._loop.time())
            self._arm()
        self._link.send(command)

    def _arm(self) -> None:
        """Look when something may be overdue: one timer, for deadlines only move away."""
        due = None if self.progress is None else self.progress.deadline
        if due is not None and self._timer is None and not self.is_late and not self._is_stopped:
            self._timer = self._loop.call_at(due, self._look, due)

    def _look(self, now: float) -> None:
        """It is `now`, if perhaps not to the last bit of the loop's clock."""
        self._timer = None
        due = None if self.progress is None else self.progress.deadline
        if due is None or due > now:
            self._arm()
        else:
            self.is_late = True
            if self._late is not None:
                self._late(self)
