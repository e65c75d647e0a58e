"""Faults of time: what comes late, unevenly, or not at all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from beluga_voice.errors import Overloaded, ProviderError
from beluga_voice.events import (
    ErrorCategory,
    ResponseDone,
    ResponseStarted,
    ResponseStatus,
    ServiceFailed,
    Transcript,
)
from beluga_voice.testing.faults.fault import (
    DOWN,
    Effect,
    Fault,
    Place,
    check_positive,
    check_share,
)
from beluga_voice.testing.faults.pieces import answer_of, is_done
from beluga_voice.testing.faults.when import CONNECTING, When
from beluga_voice.testing.network import DirectionName


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay(Fault):
    """Everything is under way for `ms` longer. Order is kept."""

    name = "delay"
    ms: float = 300.0

    def check(self) -> None:
        check_positive(ms=self.ms)

    def begin(self, place: Place) -> Effect:
        return _Late(place, self.ms, self.ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Jitter(Fault):
    """Everything is under way for up to `ms` longer, evenly spread. Order is kept, as by TCP."""

    name = "jitter"
    ms: float = 200.0

    def check(self) -> None:
        check_positive(ms=self.ms)

    def begin(self, place: Place) -> Effect:
        return _Late(place, 0.0, self.ms)


class _Late(Effect):
    def __init__(self, place: Place, least_ms: float, most_ms: float) -> None:
        self._place = place
        self._least_ms = least_ms
        self._most_ms = most_ms

    def late_seconds(self) -> float:
        if self._least_ms == self._most_ms:
            return self._least_ms / 1000
        return self._place.chance.uniform(self._least_ms, self._most_ms) / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang(Fault):
    """Nothing arrives in this direction any more, and no end either, until `lasting_ms` are over.

    What comes meanwhile arrives then. At the phase `connecting`, connecting itself hangs.
    """

    name = "hang"

    def begin(self, place: Place) -> Effect:
        return _Hung(place, self.direction, self.when.lasting_ms)


class _Hung(Effect):
    def __init__(self, place: Place, direction: DirectionName, lasting_ms: float | None) -> None:
        self._place = place
        self._direction = direction
        self._lasting_ms = lasting_ms

    def connect_seconds(self) -> float:
        return math.inf if self._lasting_ms is None else self._lasting_ms / 1000

    def strike(self, until: float | None) -> None:
        self._place.wire.hold(self._direction, math.inf if until is None else until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Brownout(Fault):
    """The service is slow, without an error: `slow_ms` for connecting, and for all that it says.

    With `failing`, so large a part of the connections is refused, and of the answers fails: a
    response with the status `failed`, speech without a sound, a final transcript without a word,
    the latter two after a `ServiceFailed`.
    """

    name = "brownout"
    directions = frozenset({DOWN})
    when: When = CONNECTING
    slow_ms: float = 2000.0
    failing: float = 0.0

    def check(self) -> None:
        check_positive(slow_ms=self.slow_ms)
        if self.failing:
            check_share(self.failing)

    def begin(self, place: Place) -> Effect:
        return _Brown(place, self.slow_ms, self.failing)


class _Brown(Effect):
    def __init__(self, place: Place, slow_ms: float, failing: float) -> None:
        self._place = place
        self._slow = slow_ms / 1000
        self._failing = failing
        self._answers: dict[str, bool] = {}
        """Which have begun, and whether they fail."""

    def connect_seconds(self) -> float:
        return self._slow

    def refusal(self) -> ProviderError | None:
        if not self._draw():
            return None
        name = self._place.provider
        return Overloaded(f"{name} has too much to do", op="connect", provider=name)

    def late_seconds(self) -> float:
        return self._slow

    def alter(self, item: object) -> Sequence[object]:
        if isinstance(item, Transcript):
            is_empty = item.is_final and self._draw()
            return (self._failure(), replace(item, text="", words=())) if is_empty else (item,)
        answer = answer_of(item)
        if answer is None:
            return (item,)
        if answer not in self._answers:
            self._answers[answer] = self._draw()
            if self._answers[answer] and isinstance(item, ResponseStarted):
                failed = ResponseStatus.FAILED
                reason = "the service has too much to do"
                done = ResponseDone(response_id=item.response_id, status=failed, reason=reason)
                return (item, done)
        if not self._answers[answer]:
            return (item,)
        if is_done(item) and not isinstance(item, ResponseDone):
            return (self._failure(), item)
        return ()

    def spare(self, item: object) -> Sequence[object]:
        has_failed = self._answers.get(answer_of(item) or "", False)
        return self.alter(item) if has_failed else (item,)

    def _draw(self) -> bool:
        return bool(self._failing) and self._place.chance.random() < self._failing

    def _failure(self) -> ServiceFailed:
        message = f"{self._place.provider} has too much to do"
        return ServiceFailed(category=ErrorCategory.RETRYABLE, message=message)
