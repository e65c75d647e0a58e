"""Whether a service should be asked at all: a circuit breaker.

How it works. While the breaker is *closed*, the outcomes of calls are counted in a window of time.
When enough of them failed, or were slow, it *opens*: nobody asks the service for a while, and each
time it opens again the while is twice as long. After that it is *half open*: a few callers, and no
more, may try. If they do well it closes; the first of them who fails opens it again.

A service that is slow without an error is as bad for a person on a call as one that fails, so slow
calls are counted like failed ones, with a limit of their own. Pure: the time is an argument, in
seconds of any clock that does not go back.

A breaker may follow what another one did, and let probes through only by leave that is given from
outside: so the breakers of several processes are like one (see `sharing`).
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import NewType

from beluga_voice.errors import ConfigurationError

SLOTS = 10
"""Outcomes are counted by tenths of the window, so that a busy breaker needs no more memory."""


class Outcome(StrEnum):
    """How a call went."""

    GOOD = "good"
    SLOW = "slow"
    FAILED = "failed"


class BreakerState(StrEnum):
    """The states."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A breaker opened, or closed; times are those of its clock."""

    at: float
    until: float | None
    """When it is to be half open; `None` if it closed."""
    opened: int
    """How often it opened since it was closed last."""


Permit = NewType("Permit", int)
"""Leave to ask the service. One of a half-open breaker is a probe, with a number above 0."""

ORDINARY = Permit(0)
"""The permit of every call while the breaker is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """When a breaker opens, and for how long. Raises `ConfigurationError` for what makes no sense.

    Rates are parts of the calls in the window, above 0 to 1; one that is reached opens.
    """

    window_seconds: float = 60.0
    minimum_calls: int = 5
    """With fewer calls in the window, no rate counts."""
    failure_rate: float = 0.5
    slow_rate: float = 0.8
    """Of calls that were slow or failed."""
    open_seconds: float = 10.0
    """How long it stays open the first time; then twice as long, and so on."""
    max_open_seconds: float = 120.0
    probes: int = 2
    """How many calls a half-open breaker lets through, and wants to see do well."""
    probe_seconds: float = 30.0
    """A probe of which nothing was heard for so long does not count: another may try."""

    def __post_init__(self) -> None:
        for name in ("window_seconds", "open_seconds", "probe_seconds"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{name} should be above 0", op="breaker")
        for name in ("failure_rate", "slow_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigurationError(f"{name} is above 0 and at most 1", op="breaker")
        for name in ("minimum_calls", "probes"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is at least 1", op="breaker")
        if self.max_open_seconds < self.open_seconds:
            raise ConfigurationError("max_open_seconds is at least open_seconds", op="breaker")


@dataclass(slots=True)
class _Slot:
    """A tenth of the window."""

    number: int
    calls: int = 0
    slow: int = 0
    failed: int = 0


class Breaker:
    """One service's breaker. `state` is as of the last time that it was asked."""

    __slots__ = (
        "_asks_until",
        "_leave_until",
        "_opened",
        "_passed",
        "_probe",
        "_probes",
        "_settings",
        "_slots",
        "_until",
        "change",
        "is_asking",
        "state",
    )

    def __init__(self, settings: BreakerSettings | None = None) -> None:
        self._settings = settings or BreakerSettings()
        self._slots: deque[_Slot] = deque()
        self._until = 0.0
        """When an open breaker is to be half open."""
        self._opened = 0
        """How often it opened since it was closed last."""
        self._probe = 0
        self._probes: dict[Permit, float] = {}
        """Probes of which nothing is known yet, and when they began."""
        self._passed: list[Outcome] = []
        """How probes went."""
        self._asks_until = -inf
        """Until then, nobody may probe without leave."""
        self._leave_until = -inf
        self.is_asking = False
        """Whether a probe was refused for want of leave."""
        self.change: Change | None = None
        """The last one, made here or followed."""
        self.state = BreakerState.CLOSED

    @property
    def settings(self) -> BreakerSettings:
        """As it was made."""
        return self._settings

    def admit(self, now: float) -> Permit | None:
        """Leave for a call, which is to be followed by `record` or `give_back`; or none."""
        self._look(now)
        if self.state is BreakerState.CLOSED:
            return ORDINARY
        if self.state is BreakerState.OPEN:
            return None
        if self._leave_until <= now < self._asks_until:
            self.is_asking = True
            return None
        limit = now - self._settings.probe_seconds
        self._probes = {one: began for one, began in self._probes.items() if began > limit}
        if len(self._probes) + len(self._passed) >= self._settings.probes:
            return None
        self._probe += 1
        permit = Permit(self._probe)
        self._probes[permit] = now
        return permit

    def record(self, permit: Permit, outcome: Outcome, now: float) -> None:
        """How a call went. One call may have several outcomes: only a probe's first one counts."""
        self._look(now)
        if permit in self._probes:
            del self._probes[permit]
            self._probed(outcome, now)
        elif permit == ORDINARY and self.state is BreakerState.CLOSED:
            self._count(outcome, now)

    def give_back(self, permit: Permit) -> None:
        """Nothing came of the call, in either way: somebody else may try."""
        self._probes.pop(permit, None)

    def rest(self, until: float, now: float) -> None:
        """The service said that it cannot be asked before `until`."""
        self._look(now)
        if until <= now:
            return
        if self.state is not BreakerState.OPEN:
            self._open(now)
            self._until = until
        elif until <= self._until:
            return
        self._until = until
        self._changed(now, self._until)

    def follow(self, change: Change) -> None:
        """Do what another breaker of the same service did.

        A breaker that closes because another did has counted nothing; one that is closed already
        goes on counting.
        """
        self.change = change
        self._opened = change.opened
        if change.until is not None:
            self._forget()
            self.state, self._until = BreakerState.OPEN, change.until
        elif self.state is not BreakerState.CLOSED:
            self._forget()
            self.state = BreakerState.CLOSED

    def ask_first(self, until: float) -> None:
        """Let no probe through without `leave`, until then: others may be probing."""
        self._asks_until = until

    def leave(self, until: float) -> None:
        """Probes may be let through, until then."""
        self._leave_until = until

    def retry_after(self, now: float) -> float | None:
        """How long it stays open, in seconds; `None` if it is not."""
        self._look(now)
        return self._until - now if self.state is BreakerState.OPEN else None

    def state_at(self, now: float) -> BreakerState:
        """The state."""
        self._look(now)
        return self.state

    def _look(self, now: float) -> None:
        if self.state is BreakerState.OPEN and now >= self._until:
            self.state = BreakerState.HALF_OPEN

    def _count(self, outcome: Outcome, now: float) -> None:
        number = int(now * SLOTS / self._settings.window_seconds)
        if not self._slots or self._slots[-1].number < number:
            self._slots.append(_Slot(number))
        while self._slots[0].number <= number - SLOTS:
            self._slots.popleft()
        slot = self._slots[-1]
        slot.calls += 1
        slot.slow += outcome is not Outcome.GOOD
        slot.failed += outcome is Outcome.FAILED
        calls = sum(one.calls for one in self._slots)
        if calls < self._settings.minimum_calls or outcome is Outcome.GOOD:
            return
        failed = sum(one.failed for one in self._slots)
        slow = sum(one.slow for one in self._slots)
        if (
            failed >= calls * self._settings.failure_rate
            or slow >= calls * self._settings.slow_rate
        ):
            self._open(now)

    def _probed(self, outcome: Outcome, now: float) -> None:
        if outcome is Outcome.FAILED:
            self._open(now)
            return
        self._passed.append(outcome)
        if len(self._passed) < self._settings.probes:
            return
        slow = self._passed.count(Outcome.SLOW)
        if slow >= len(self._passed) * self._settings.slow_rate:
            self._open(now)
        else:
            self.state = BreakerState.CLOSED
            self._forget()
            self._opened = 0
            self._changed(now, None)

    def _open(self, now: float) -> None:
        self._forget()
        self.state = BreakerState.OPEN
        longest = self._settings.max_open_seconds
        self._until = now + min(self._settings.open_seconds * 2.0 ** min(self._opened, 64), longest)
        self._opened += 1
        self._changed(now, self._until)

    def _changed(self, now: float, until: float | None) -> None:
        self.change = Change(at=now, until=until, opened=self._opened)

    def _forget(self) -> None:
        self._leave_until = -inf
        self.is_asking = False
        self._slots.clear()
        self._probes.clear()
        self._passed.clear()
