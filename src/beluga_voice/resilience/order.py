"""Which of several providers is asked first.

How it works. The first one is preferred, then the second, and so on. One that failed *rests*: those
after it are preferred for a while. When that is over, one caller at a time may try it, while all
others stay where they are; once it works for that one, it has its old place again. Those that rest
are asked last, the one that is ready soonest first: a bad chance is better than none.

Pure: the time is an argument, in seconds.
"""

from collections.abc import Sequence


class Order:
    """The places of so many providers, for all who choose among them."""

    __slots__ = ("_rest_seconds", "_rests_until", "_tried_by")

    def __init__(self, count: int, rest_seconds: float) -> None:
        self._rest_seconds = rest_seconds
        self._rests_until: dict[int, float] = {}
        """Of those that failed and have not worked since."""
        self._tried_by: dict[int, int] = dict.fromkeys(range(count), 0)

    def at(self, now: float) -> Sequence[int]:
        """All of them, in the order in which they should be asked."""
        return sorted(self._tried_by, key=lambda one: (*self._rests(one, now), one))

    def begin(self, one: int) -> None:
        """Somebody asks it; `worked`, `failed` or `given_up` follows."""
        self._tried_by[one] += 1

    def worked(self, one: int, now: float) -> None:
        """It did what it was asked for; one that rests by now goes on resting."""
        self._tried_by[one] -= 1
        if self._rests_until.get(one, now) <= now:
            self._rests_until.pop(one, None)

    def given_up(self, one: int) -> None:
        """Nobody waited for how it went, or it was not asked at all."""
        self._tried_by[one] -= 1

    def failed(self, one: int, now: float) -> None:
        """It failed while it was asked."""
        self._tried_by[one] -= 1
        self.lost(one, now)

    def lost(self, one: int, now: float) -> None:
        """It failed later on."""
        self._rests_until[one] = now + self._rest_seconds

    def _rests(self, one: int, now: float) -> tuple[bool, float]:
        """Whether it rests, and until when."""
        until = self._rests_until.get(one)
        # One whose rest is over is for the first who comes, and not while that one tries.
        if until is None or (until <= now and not self._tried_by[one]):
            return False, 0.0
        return True, until
