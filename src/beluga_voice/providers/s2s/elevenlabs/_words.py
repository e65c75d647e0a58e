"""Words and their times, put together from the times of characters.

Each piece of sound may say where its characters sound, in milliseconds from its own beginning. A
word may begin in one piece and end in another.
"""

from dataclasses import dataclass

from beluga_voice.providers.s2s.elevenlabs._wire import Alignment

SLACK_MS = 100.0
"""Times may overrun their piece of sound by so much; beyond it, they count from the response's
beginning."""
LONGEST = 20_000
"""Characters of a word; where a language has no spaces, it may be a whole answer."""


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word and where it sounds, in milliseconds from the beginning of the response."""

    text: str
    start_ms: float
    end_ms: float


class WordTimes:
    """The words of one response."""

    def __init__(self) -> None:
        self._text = ""
        self._start_ms = self._end_ms = 0.0

    def add(self, alignment: Alignment, *, at_ms: float, length_ms: float) -> list[SpokenWord]:
        """The words that are whole now. The piece of sound begins at `at_ms` of the response."""
        times = list(
            zip(
                alignment.chars,
                alignment.char_start_times_ms,
                alignment.char_durations_ms,
                strict=False,
            )
        )
        is_relative = all(start <= length_ms + SLACK_MS for _, start, _ in times)
        begin_ms = at_ms if is_relative else 0.0
        words: list[SpokenWord] = []
        for char, start, duration in times:
            if char.isspace():
                words += self.rest()
                continue
            if not self._text:
                self._start_ms = begin_ms + max(start, 0.0)
            self._text += char
            self._end_ms = max(begin_ms + start + max(duration, 0.0), self._start_ms)
            if len(self._text) >= LONGEST:
                words += self.rest()
        return words

    def rest(self) -> list[SpokenWord]:
        """The last word, which nothing follows."""
        if not self._text:
            return []
        word = SpokenWord(self._text, self._start_ms, self._end_ms)
        self._text = ""
        return [word]
