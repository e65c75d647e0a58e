"""How much may be tried again before trying again makes things worse.

How it works. Every call pays a part of a token in; trying once more, or asking two services at
once, takes a whole one out. So in good times a few percent of the calls may be doubled, and when
everything fails, the load on what is left does not double with it. A trickle lets somebody who
rarely calls try again, too. Pure: the time is an argument.
"""

from dataclasses import dataclass

from beluga_voice.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSettings:
    """Raises `ConfigurationError` for what is negative, and a `most` that is below 1."""

    per_call: float = 0.1
    """What each call pays in, in tokens."""
    per_second: float = 0.1
    """What comes in with time."""
    most: float = 10.0
    """No more than so many tokens are kept; it begins with them."""

    def __post_init__(self) -> None:
        if self.per_call < 0 or self.per_second < 0:
            raise ConfigurationError("per_call and per_second are not negative", op="budget")
        if self.most < 1:
            raise ConfigurationError("most is at least 1, or nothing is ever tried", op="budget")


class RetryBudget:
    """Tokens for trying again; share one among all who use a service, or in a whole process."""

    __slots__ = ("_at", "_settings", "_tokens")

    def __init__(self, settings: BudgetSettings | None = None) -> None:
        self._settings = settings or BudgetSettings()
        self._tokens = self._settings.most
        self._at: float | None = None

    def tokens(self, now: float) -> float:
        """What is left."""
        if self._at is not None and now > self._at:
            self._add((now - self._at) * self._settings.per_second)
        self._at = now if self._at is None else max(self._at, now)
        return self._tokens

    def called(self, now: float) -> None:
        """A call was made for the first time."""
        self.tokens(now)
        self._add(self._settings.per_call)

    def spend(self, now: float) -> bool:
        """Whether one more may be tried; takes its token."""
        if self.tokens(now) < 1:
            return False
        self._tokens -= 1
        return True

    def _add(self, tokens: float) -> None:
        self._tokens = min(self._tokens + tokens, self._settings.most)
