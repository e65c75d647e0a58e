"""What the wrappers tell whoever wants to know: who was left, who is open, who was refused."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from beluga_voice.errors import where
from beluga_voice.resilience.breaker import BreakerState

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """A conversation goes on with another provider; `following` is `None` if there is none left."""

    previous: str
    following: str | None
    reason: str
    is_mid_call: bool
    """Whether a link was open, and what it had not answered was given to the next."""
    is_renewal: bool = False
    """The next is the same service, over another connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChanged:
    """The breaker of a provider has another state."""

    provider: str
    state: BreakerState


def tell[N](hear: Callable[[N], None] | None, notice: N) -> None:
    """Call whoever wants to know; what that raises is logged and ends nothing."""
    if hear is None:
        return
    try:
        hear(notice)
    except Exception as error:
        log.error("whoever is told of switches failed: %s", where(error))


class Once[N]:
    """Tells only what differs from what was told last."""

    __slots__ = ("_hear", "_told")

    def __init__(self, hear: Callable[[N], None] | None, told: N) -> None:
        self._hear = hear
        self._told = told

    def tell(self, notice: N) -> None:
        """Pass it on, if it is news."""
        if notice != self._told:
            self._told = notice
            tell(self._hear, notice)
