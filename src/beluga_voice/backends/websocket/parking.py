"""Who may come back to which call: tokens, each good for one use.

A token is issued for a call and is in force until it is used or dropped. While the caller is
connected it has no end; once they `leave`, it dies at a stated time. Who uses a token is issued the
next one, and says so, which ends the one before. Only the hash of a token is kept, so that a copy
of this table, or of a checkpoint, lets nobody in.

Pure: the time and the secret are arguments. The newest `REMEMBERED` dead tokens are remembered, so
that who comes with one is told why it is of no use.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Hashable
from enum import StrEnum

REMEMBERED = 1000


class Gone(StrEnum):
    """Why a token opens nothing."""

    UNKNOWN = "this token is not known here"
    USED = "this token was used before, and each is good for one use"
    EXPIRED = "the call was not resumed in time"
    OVER = "the call is over"


def hashed(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class Parking[Held: Hashable]:
    """The tokens in force, and what each of them leads to."""

    __slots__ = ("_dead", "_held", "_tokens", "_until")

    def __init__(self) -> None:
        self._tokens: dict[Held, list[str]] = {}
        """The token that was issued last, and before it the one that was used last."""
        self._held: dict[str, Held] = {}
        self._until: dict[Held, float] = {}
        self._dead: OrderedDict[str, Gone] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def issue(self, held: Held, token: str) -> None:
        """That token leads there, too, and is the only one once it is `confirm`ed."""
        one = hashed(token)
        self._tokens.setdefault(held, []).append(one)
        self._held[one] = held
        self._until.pop(held, None)

    def confirm(self, held: Held) -> None:
        """The caller has the token that was issued last: those before it were used."""
        for one in self._tokens.get(held, [])[:-1]:
            self._kill(one, Gone.USED)
        del self._tokens.get(held, [])[:-1]

    def leave(self, held: Held, *, until: float) -> None:
        """Nobody is connected: the tokens die at that time."""
        self._until[held] = until

    def take(self, token: str, now: float) -> Held | Gone:
        """Use a token: what it leads to, or why it does not.

        A caller who loses the answer comes with the same token again, so it is used up only when
        the caller has shown that the next one arrived.
        """
        one = hashed(token)
        if (held := self._held.get(one)) is None:
            return self._dead.get(one, Gone.UNKNOWN)
        if now >= self._until.get(held, now + 1):
            self.drop(held, Gone.EXPIRED)
            return Gone.EXPIRED
        tokens = self._tokens[held]
        for other in tokens:
            if other != one:
                self._kill(other, Gone.USED)
        self._tokens[held] = [one]
        return held

    def drop(self, held: Held, why: Gone = Gone.OVER) -> None:
        """Nothing leads there any more."""
        for one in self._tokens.pop(held, []):
            self._kill(one, why)
        self._until.pop(held, None)

    def _kill(self, one: str, why: Gone) -> None:
        del self._held[one]
        self._dead[one] = why
        while len(self._dead) > REMEMBERED:
            self._dead.popitem(last=False)
