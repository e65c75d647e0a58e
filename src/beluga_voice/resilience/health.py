"""What all sessions of a process know of the services they use.

Pure: the time is an argument, and whoever has a board keeps it.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from beluga_voice.errors import ConfigurationError
from beluga_voice.resilience.breaker import Breaker, BreakerSettings, BreakerState, Change
from beluga_voice.resilience.budget import RetryBudget

KEPT_GATES = 1000
"""With so many gates, those that nobody uses are forgotten: tenants come and go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceHealth:
    """How a service is, as its users see it."""

    name: str
    state: BreakerState
    retry_after: float | None
    """For how many seconds nobody asks it."""
    links: int
    """Conversations with it that are open."""
    failures: int
    """Since the process began."""
    last_failure: str
    last_failure_at: float | None


class Standing:
    """What is known of one service."""

    __slots__ = ("breaker", "failures", "last_failure", "last_failure_at", "links", "name")

    def __init__(self, name: str, settings: BreakerSettings | None) -> None:
        self.name = name
        self.breaker = Breaker(settings)
        self.links = 0
        self.failures = 0
        self.last_failure = ""
        self.last_failure_at: float | None = None

    def failed(self, reason: str, now: float) -> None:
        """Note a failure."""
        self.failures += 1
        self.last_failure, self.last_failure_at = reason, now

    def at(self, now: float) -> ServiceHealth:
        """How it is."""
        return ServiceHealth(
            name=self.name,
            state=self.breaker.state_at(now),
            retry_after=self.breaker.retry_after(now),
            links=self.links,
            failures=self.failures,
            last_failure=self.last_failure,
            last_failure_at=self.last_failure_at,
        )


class Gate:
    """Lets so many in at once; who waits is called in the order of coming."""

    __slots__ = ("_waiting", "inside")

    def __init__(self) -> None:
        self.inside = 0
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def enter(self, limit: int) -> bool:
        """Go in, if fewer than `limit` are in there and nobody waits."""
        if self._waiting or self.inside >= limit:
            return False
        self.inside += 1
        return True

    def wait(self, limit: int, enter: Callable[[], None]) -> Callable[[], None]:
        """Have `enter` called when one is in. Gives what is to be called to wait no longer."""
        entry = (limit, enter)
        self._waiting.append(entry)

        def leave() -> None:
            if entry in self._waiting:
                self._waiting.remove(entry)
                self._next()

        return leave

    def leave(self) -> None:
        """Go out; the next may come in."""
        self.inside -= 1
        self._next()

    def _next(self) -> None:
        while self._waiting and self.inside < self._waiting[0][0]:
            _, enter = self._waiting.popleft()
            self.inside += 1
            enter()


class Board:
    """The services of a process by name, the gates before them, and their budgets."""

    __slots__ = ("_budgets", "_gates", "_standings", "asks_until", "heard", "is_shared")

    def __init__(self) -> None:
        self._standings: dict[str, Standing] = {}
        self._gates: dict[tuple[str, str], Gate] = {}
        self._budgets: dict[str, RetryBudget] = {}
        self.asks_until = -inf
        """Until then, no new breaker lets probes through without leave."""
        self.heard: dict[str, Change] = {}
        """Services that another process left alone, for breakers that are yet to be made."""
        self.is_shared = False
        """Whether its breakers are shared with other processes."""

    def of(self, name: str, settings: BreakerSettings | None = None) -> Standing:
        """What is known of that service; the first who asks decides on its breaker.

        Raises `ConfigurationError` if `settings` are others than those it has.
        """
        found = self._standings.get(name)
        if found is None:
            found = self._standings[name] = Standing(name, settings)
            found.breaker.ask_first(self.asks_until)
            if name in self.heard:
                found.breaker.follow(self.heard[name])
        if settings is not None and settings != found.breaker.settings:
            raise ConfigurationError(
                f"{name} has a breaker with other settings: give one of them another key",
                op="guarded",
            )
        return found

    def breakers(self) -> dict[str, Breaker]:
        """The breaker of every service that was ever asked."""
        return {name: one.breaker for name, one in self._standings.items()}

    def gate(self, name: str, tenant: str) -> Gate:
        """The gate before that service, for that tenant; to be used at once, or asked for again."""
        if len(self._gates) >= KEPT_GATES:
            busy = {key: one for key, one in self._gates.items() if one.inside or one.waiting}
            self._gates = busy
        return self._gates.setdefault((name, tenant), Gate())

    def budget(self, name: str) -> RetryBudget:
        """What all who use that service may ask of it twice."""
        return self._budgets.setdefault(name, RetryBudget())

    def health(self, now: float) -> list[ServiceHealth]:
        """How every service is that was ever asked."""
        return [one.at(now) for one in self._standings.values()]
