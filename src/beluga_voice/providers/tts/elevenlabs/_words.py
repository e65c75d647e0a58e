"""Words and their times, put together from the times of characters.

Each piece of sound says where its characters sound in it, from 0 anew. So a piece's characters
begin where its sound does: after all the sound that came before. Characters that come without
sound follow those that came before them. Should a service count from the beginning of the context
after all, its times lie beyond their own piece, and where that began, and are taken as they are.

A word may begin in one piece and end in another. It is told once its sound is there.
"""

import math
from collections import deque

from beluga_voice.events import TimedWord

SLACK_MS = 50.0
"""By how much times may be out."""


class WordTimes:
    """The words of one context, in samples at `rate` from its first one."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._text = ""
        self._start_ms = self._end_ms = 0.0
        self._held: deque[TimedWord] = deque()
        self.aligned_ms = 0.0
        """How long the characters sound, by their own times."""

    def add(
        self, times: list[tuple[str, float, float]], *, samples_before: int, samples: int
    ) -> None:
        """More characters: those of a piece of so many samples, after so many."""
        sane = [one for one in times if math.isfinite(one[1]) and math.isfinite(one[2])]
        if not sane:
            return
        begin_ms, length_ms = self._ms(samples_before), self._ms(samples)
        first = sane[0][1]
        if not samples:
            begin_ms = self._end_ms
        elif begin_ms > SLACK_MS and first >= max(begin_ms - SLACK_MS, length_ms):
            begin_ms = 0.0
        for char, start, duration in sane:
            if char.isspace() or not char:
                self.end_word()
                continue
            if not self._text:
                self._start_ms = begin_ms + max(start, 0.0)
            self._text += char
            self._end_ms = max(begin_ms + start + max(duration, 0.0), self._start_ms)
        _, start, duration = sane[-1]
        self.aligned_ms += max(start + duration - min(first, 0.0), 0.0)

    def end_word(self) -> None:
        """The characters so far are a whole word."""
        if not self._text:
            return
        start, end = self._samples(self._start_ms), self._samples(self._end_ms)
        self._held.append(TimedWord(text=self._text, start=start, end=end))
        self._text = ""

    def sounded(self, samples: int) -> tuple[TimedWord, ...]:
        """The words that have sounded in so many samples, and were not told yet."""
        told: list[TimedWord] = []
        while self._held and self._held[0].end <= samples:
            told.append(self._held.popleft())
        return tuple(told)

    def rest(self, samples: int) -> tuple[TimedWord, ...]:
        """All others, of a context that is over after so many samples; none lies beyond them."""
        self.end_word()
        told = tuple(
            TimedWord(text=one.text, start=min(one.start, samples), end=min(one.end, samples))
            for one in self._held
        )
        self._held.clear()
        return told

    def _ms(self, samples: int) -> float:
        return samples * 1000 / self._rate

    def _samples(self, milliseconds: float) -> int:
        return round(milliseconds * self._rate / 1000)
