"""How many may call at once: in all, of one tenant, and over one provider.

A place is taken before a call begins and given back when it is over, so that those who are let in
are not disturbed by those who are not. A call that waits for its caller to come back keeps its
place. Pure.
"""

from collections import Counter
from dataclasses import dataclass

from beluga_voice.backends.websocket.protocol import Limits, Refusal, WireCode

RETRY_SECONDS = 30
"""When one who was turned away should try again: places are free when calls end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """For whom a place is taken. What is empty is not counted."""

    tenant: str = ""
    provider: str = ""


class Admission:
    """The places of one process."""

    __slots__ = ("_limits", "_providers", "_tenants", "inside")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._tenants: Counter[str] = Counter()
        self._providers: Counter[str] = Counter()
        self.inside = 0
        """How many places are taken."""

    def refusal(self, party: Party) -> Refusal | None:
        """Why there is no place for that party; `None` if there is one."""
        limits = self._limits
        if self.inside >= limits.max_sessions:
            return _refused(
                WireCode.SERVER_FULL,
                f"all {limits.max_sessions} lines are busy; try again in a minute",
            )
        most = limits.max_sessions_per_tenant
        if most is not None and party.tenant and self._tenants.get(party.tenant, 0) >= most:
            return _refused(
                WireCode.TENANT_FULL,
                f"the most calls you may have here at once is {most}; end one of them first",
            )
        most = limits.max_sessions_per_provider
        if most is not None and party.provider and self._providers.get(party.provider, 0) >= most:
            return _refused(
                WireCode.PROVIDER_FULL,
                f"all {most} lines to the speech service are busy; try again in a minute",
            )
        return None

    def enter(self, party: Party) -> Refusal | None:
        """Take a place; the refusal if there is none."""
        if refusal := self.refusal(party):
            return refusal
        self.inside += 1
        for counter, key in ((self._tenants, party.tenant), (self._providers, party.provider)):
            if key:
                counter[key] += 1
        return None

    def leave(self, party: Party) -> None:
        """Give the place back."""
        self.inside -= 1
        for counter, key in ((self._tenants, party.tenant), (self._providers, party.provider)):
            if key:
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]


def _refused(code: WireCode, message: str) -> Refusal:
    return Refusal(code=code, message=message, is_fatal=True)
