"""Faults of the link as a whole: refused, reset, closed, expired, or an error that is told."""

from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from beluga_voice.errors import (
    ConfigurationError,
    Denied,
    Overloaded,
    ProviderError,
    Rejected,
    Unreachable,
)
from beluga_voice.events import ErrorCategory, GoingAway, LinkClosed, ServiceFailed
from beluga_voice.testing.faults.fault import EVERY_PHASE, Effect, Fault, Kind, Place
from beluga_voice.testing.faults.when import CONNECTING, Phase, When

CLEAN_CODES = frozenset({1000, 1001})
"""Close codes that say that nothing is wrong (RFC 6455, 7.4.1)."""
AFTER_OPENING = EVERY_PHASE - {Phase.CONNECTING}


class Refused(StrEnum):
    """Why no connection comes about."""

    UNREACHABLE = "unreachable"
    """Nobody answers at that address: refused, no such name, a certificate that has expired."""
    OVERLOADED = "overloaded"
    """Come back later."""
    DENIED = "denied"
    """Wrong credentials."""
    REJECTED = "rejected"
    """Not this request, and not later either: a quota that is used up, an unknown model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal(Fault):
    """Connecting raises. `retry_after` is in seconds, for a service that is overloaded."""

    name = "refusal"
    phases = frozenset({Phase.CONNECTING})
    when: When = CONNECTING
    why: Refused = Refused.UNREACHABLE
    retry_after: float | None = None

    def check(self) -> None:
        if self.retry_after is not None and self.why is not Refused.OVERLOADED:
            message = "only a service that is overloaded says when to come back"
            raise ConfigurationError(message, op="faults")

    def begin(self, place: Place) -> Effect:
        return _Refusing(place, self.why, self.retry_after)


class _Refusing(Effect):
    def __init__(self, place: Place, why: Refused, retry_after: float | None) -> None:
        self._name = place.provider
        self._why = why
        self._retry_after = retry_after

    def refusal(self) -> ProviderError:
        name = self._name
        match self._why:
            case Refused.UNREACHABLE:
                return Unreachable(f"{name} cannot be reached", op="connect", provider=name)
            case Refused.OVERLOADED:
                return Overloaded(
                    f"{name} has too much to do",
                    op="connect",
                    provider=name,
                    retry_after=self._retry_after,
                )
            case Refused.DENIED:
                return Denied(f"{name} denies access", op="connect", provider=name)
            case Refused.REJECTED:
                return Rejected(f"{name} rejects this request", op="connect", provider=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(Fault):
    """The link dies abruptly: what is on its way is lost."""

    name = "reset"
    phases = AFTER_OPENING

    def begin(self, place: Place) -> Effect:
        lost = LinkClosed(is_clean=False, reason="the connection was reset")
        return _Ending(place, lost, is_abrupt=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Close(Fault):
    """The service closes the link with a code, after what is on its way.

    1000 and 1001 are clean ends. Others are not, such as 1011, an internal error, 1013, try again
    later, and the codes from 4000, which mean what a service has made of them.
    """

    name = "close"
    phases = AFTER_OPENING
    code: int = 1011
    reason: str = "closed by a fault"

    def check(self) -> None:
        if not 1000 <= self.code <= 4999:
            raise ConfigurationError(f"a close code is 1000 to 4999, not {self.code}", op="faults")

    def begin(self, place: Place) -> Effect:
        is_clean = self.code in CLEAN_CODES
        closed = LinkClosed(is_clean=is_clean, reason=self.reason, code=self.code)
        return _Ending(place, closed, is_abrupt=False)


class _Ending(Effect):
    def __init__(self, place: Place, closed: LinkClosed, *, is_abrupt: bool) -> None:
        self._wire = place.wire
        self._closed = closed
        self._is_abrupt = is_abrupt

    def strike(self, until: float | None) -> None:
        self._wire.end(self._closed, is_abrupt=self._is_abrupt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry(Fault):
    """The service ends the connection because it is old.

    With `warning_ms`, it says so that long before: `GoingAway`, which only speech to speech has.
    """

    name = "expiry"
    phases = AFTER_OPENING
    warning_ms: float | None = None

    def check(self) -> None:
        if self.warning_ms is not None and self.warning_ms <= 0:
            raise ConfigurationError("warning_ms should be above 0, or None", op="faults")

    def begin(self, place: Place) -> Effect:
        return _Expiring(place, self.warning_ms)


class _Expiring(Effect):
    def __init__(self, place: Place, warning_ms: float | None) -> None:
        self._wire = place.wire
        self._warning = (warning_ms or 0.0) / 1000
        self._warns = warning_ms is not None and place.kind is Kind.S2S

    def strike(self, until: float | None) -> None:
        if self._warns:
            self._wire.tell(GoingAway(time_left_seconds=self._warning))
        expired = LinkClosed(is_clean=True, reason="the connection has expired", code=1001)
        self._wire.later(self._warning, partial(self._wire.end, expired, is_abrupt=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint(Fault):
    """The service tells of an error; a fatal one ends the link.

    Without a fatal one, the conversation goes on as if nothing had been said: a request that was
    refused, such as a cancellation of what was over already, or a limit that is near.
    """

    name = "complaint"
    phases = AFTER_OPENING
    category: ErrorCategory = ErrorCategory.INVALID_REQUEST
    message: str = "an error by a fault"
    provider_code: str | None = None
    retry_after: float | None = None
    is_fatal: bool = False

    def begin(self, place: Place) -> Effect:
        failed = ServiceFailed(
            category=self.category,
            message=self.message,
            is_fatal=self.is_fatal,
            provider_code=self.provider_code,
            retry_after_seconds=self.retry_after,
        )
        return _Complaining(place, failed)


class _Complaining(Effect):
    def __init__(self, place: Place, failed: ServiceFailed) -> None:
        self._wire = place.wire
        self._failed = failed

    def strike(self, until: float | None) -> None:
        self._wire.tell(self._failed)
        if self._failed.is_fatal:
            closed = LinkClosed(is_clean=False, reason=self._failed.message)
            self._wire.end(closed, is_abrupt=False)
