"""What a caller has not heard yet: the sound of one call, by its position.

Every sample that goes to the caller has a position, counted from 0. Sound is kept from the moment
it is put in until the caller says that it was heard, so that it can be given again over another
connection. `give` hands out what comes next. As long as a connection takes everything at once,
nothing is behind, and the sound just passes by; after a resumption it is given out in portions, as
the caller hears it, and never more than `ahead` samples ahead of that.

Pure. Positions and lengths are in samples of 16 bits.
"""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Continued:
    """Where the sound goes on after a resumption."""

    position: int
    was_cleared: bool
    """What the caller has beyond the position it named is not wanted any more."""


class Unheard:
    """The account of one call's sound; at most `limit` samples are kept, the oldest go."""

    __slots__ = ("_ahead", "_cleared_at", "_given", "_heard", "_limit", "_pieces", "_start", "end")

    def __init__(self, *, limit: int, ahead: int, position: int = 0) -> None:
        self._limit = limit
        self._ahead = ahead
        self._pieces: deque[bytes] = deque()
        self._start = position
        """The position of the first sample that is kept."""
        self._heard = position
        self._given = position
        self._cleared_at = 0
        self.end = position
        """The position of the sample that is put in next."""

    @property
    def is_behind(self) -> bool:
        """Whether something was put in and not given out."""
        return self._given < self.end

    @property
    def ahead(self) -> int:
        """How many samples the caller has still to hear."""
        return self.end - self._heard

    @property
    def kept(self) -> int:
        """How many samples are kept."""
        return self.end - self._start

    def put(self, pcm: bytes) -> bool:
        """Sound for the caller; true if it is given out with that, because nothing was behind."""
        is_next = self._given == self.end
        self._pieces.append(pcm)
        self.end += len(pcm) >> 1
        while self.end - self._start > self._limit:
            self._start += len(self._pieces.popleft()) >> 1
        if is_next:
            self._given = self.end
        elif self._given < self._start:
            self._given = self._start
        return is_next

    def hold(self, pcm: bytes) -> None:
        """Sound for a caller who is not there."""
        given = self._given
        self.put(pcm)
        self._given = max(given, self._start)

    def clear(self) -> int:
        """Nothing of it is wanted any more; gives the position at which sound goes on."""
        self._pieces.clear()
        self._start = self._given = self._heard = self._cleared_at = self.end
        return self.end

    def confirm(self, position: int) -> None:
        """Everything before that position was heard; what was not given cannot have been."""
        self._heard = max(self._heard, min(position, self._given))
        pieces = self._pieces
        while pieces and self._start + (len(pieces[0]) >> 1) <= self._heard:
            self._start += len(pieces.popleft()) >> 1

    def resume(self, position: int) -> Continued:
        """The caller is back, and lacks everything from that position on."""
        position = min(position, self.end)
        was_cleared = position < self._cleared_at
        position = max(position, self._start)
        self._given = self._heard = position
        self.confirm(position)
        return Continued(position=position, was_cleared=was_cleared)

    def give(self) -> bytes | None:
        """The next portion for the caller; `None` if there is none, or enough is on its way."""
        if not self.is_behind or self._given - self._heard >= self._ahead:
            return None
        at = self._start
        for piece in self._pieces:
            following = at + (len(piece) >> 1)
            if following > self._given:
                skipped = self._given - at
                self._given = following
                return piece[skipped * 2 :] if skipped else piece
            at = following
        raise AssertionError("what is behind is kept")
