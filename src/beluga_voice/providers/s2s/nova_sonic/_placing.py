"""Where the words of a response sound, which Nova Sonic does not say.

It says the words of a sentence before their sound, and when the sound of a sentence is over; then
they are placed in it by their length. As a rule that is long before it has sounded. Where it is
not, words are placed as their sound comes, by the pace of the sentences before: what is cut then
was heard up to there, and no further. The clock for this is the person's sound, which comes at the
pace of hearing.
"""

from collections import deque
from dataclasses import dataclass

CHARACTERS_PER_SECOND = 15.0
"""The pace before any sentence was over: that of usual speech."""
AHEAD_SECONDS = 0.25
"""Sound that is further ahead of its time than this is made faster than it sounds."""
CUT_SHORT = 0.55
"""Sound shorter than this share of what was to be expected is not all of its sentence."""
MAX_WORDS = 2000
"""Words that may wait for their sound; those beyond are not told."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A word, and where it sounds in samples of its response."""

    text: str
    start: int
    end: int


class Placing:
    """The words of one response after the other, at a rate in samples a second."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._pace = rate / CHARACTERS_PER_SECOND
        self._words: deque[str] = deque()
        self._length = 0
        self._begin = 0
        self._at = 0
        self._position = 0
        self._seconds: float | None = None

    def begin(self) -> None:
        """Another response."""
        self._words.clear()
        self._length = self._begin = self._at = self._position = 0
        self._seconds = None

    def plan(self, text: str) -> None:
        """Words whose sound follows."""
        words = text.split()[: MAX_WORDS - len(self._words)]
        self._words += words
        self._length += sum(len(word) + 1 for word in words)

    def passed(self, seconds: float) -> None:
        """So much time went by."""
        if self._seconds is not None:
            self._seconds += seconds

    def hear(self, samples: int) -> list[Placed]:
        """Sound came; gives the words that must have sounded."""
        self._position += samples
        self._seconds = self._seconds or 0.0
        sounding = round(self._seconds * self._rate)
        is_ahead = self._position > sounding + AHEAD_SECONDS * self._rate
        return self._place(
            min(self._position, sounding) if is_ahead else self._position, self._pace
        )

    def end(self) -> list[Placed]:
        """The words that are left of a sentence whose sound is over."""
        sounded = self._position - self._begin
        if not sounded or sounded < self._length * self._pace * CUT_SHORT:
            return []
        self._pace = sounded / self._length if self._length else self._pace
        left = sum(len(word) + 1 for word in self._words)
        found = self._place(self._position, (self._position - self._at) / left) if left else []
        # What rounding left behind.
        found += [Placed(word, self._at, self._position) for word in self._words]
        self._words.clear()
        self._length = 0
        self._begin = self._at = self._position
        return found

    def _place(self, until: int, pace: float) -> list[Placed]:
        found: list[Placed] = []
        while self._words:
            end = self._at + int((len(self._words[0]) + 1) * pace)
            if end > until:
                break
            found.append(Placed(self._words.popleft(), self._at, end))
            self._at = end
        return found
