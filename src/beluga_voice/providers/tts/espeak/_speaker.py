"""Speaks the pieces of one context, in a worker process."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator

from beluga_voice.audio.resample import Resampler
from beluga_voice.providers.tts.espeak._library import Library
from beluga_voice.providers.tts.worker_wire import Audio, Send, Word, Words

_TOKEN = re.compile(r"\S+")
_PAUSES = {".": 400, "!": 400, "?": 400, "…": 400, ":": 290, ";": 290, ",": 180}
"""Milliseconds of silence after a piece that ends so and has another after it: those the library
makes within a text, at `_PAUSES_PACE` words a minute."""
_PAUSES_PACE = 140


def plain(text: str) -> str:
    """The text with control characters as blanks, of the same length.

    One of them begins a command to the library; so does nothing else in plain text mode.
    Surrogates, which have no place in UTF-8, go as well.
    """
    return "".join(
        " " if unicodedata.category(character) in ("Cc", "Cs") else character for character in text
    )


class Speaker:
    """One context: its sound so far, and what is still in the resampler."""

    def __init__(self, context_id: str, library: Library, *, rate: int, pace: int) -> None:
        self._context_id = context_id
        self._library = library
        self._rate = rate
        self._pace = pace
        self._resampler = None if rate == library.rate else Resampler(library.rate, rate)
        self._made = 0
        """Samples at the library's rate."""
        self._sent = 0
        """Samples at the rate of the link."""
        self._words: list[Word] = []
        self._pause_milliseconds = 0

    def speak(self, text: str, send: Send, goes_on: Callable[[], bool], /) -> None:
        """Speak a piece; `goes_on` is asked for every 60 ms of sound."""
        text = plain(text)
        if not text.strip():
            return
        self._pause(send)
        timing = _Timing(text)
        begin = self._made

        def on_sound(pcm: bytes, words: list[tuple[int, int]]) -> bool:
            if not goes_on():
                return False
            for position, sample in words:
                self._words += self._scaled(timing.begins(position, sample), begin)
            self._made += len(pcm) // 2
            self._give(pcm if self._resampler is None else self._resampler.feed(pcm), send)
            return True

        self._library.speak(text, on_sound)
        self._words += self._scaled(timing.ends(self._made - begin), begin)
        self._give(b"", send)
        self._pause_milliseconds = _PAUSES.get(text.rstrip()[-1], 0)

    def finish(self, send: Send, /) -> None:
        """Give what is left."""
        self._give(b"" if self._resampler is None else self._resampler.flush(), send)

    def _pause(self, send: Send) -> None:
        """The rest between two pieces; the library makes none at the end of a text."""
        samples = (
            self._pause_milliseconds * _PAUSES_PACE * self._library.rate // (1000 * self._pace)
        )
        self._made += samples
        silence = bytes(2 * samples)
        self._give(silence if self._resampler is None else self._resampler.feed(silence), send)

    def _scaled(self, words: Iterator[tuple[str, int, int]], begin: int) -> list[Word]:
        rates = self._rate, self._library.rate
        return [
            Word(
                text=text,
                start=(begin + start) * rates[0] // rates[1],
                end=(begin + end) * rates[0] // rates[1],
            )
            for text, start, end in words
        ]

    def _give(self, pcm: bytes, send: Send) -> None:
        """Send sound, then the words of which all sound was sent."""
        if pcm:
            self._sent += len(pcm) // 2
            send(Audio(context_id=self._context_id, pcm=pcm))
        sent = [word for word in self._words if word.end <= self._sent]
        if sent:
            self._words = self._words[len(sent) :]
            send(Words(context_id=self._context_id, words=tuple(sent)))


class _Timing:
    """Which words of a text sound when.

    The library says where some words begin, often several for one word ("1984"), and none for
    what it does not speak. A word here is what stands between blanks; it lasts until the next
    one that sounds, and what makes no sound of its own goes with the word before it. So the
    words, joined by blanks, are the text.
    """

    def __init__(self, text: str) -> None:
        found = [(match.start(), match.group()) for match in _TOKEN.finditer(text)]
        self._starts = [start for start, _ in found]
        self._tokens = [token for _, token in found]
        self._taken = 0
        self._current: int | None = None
        self._began = 0

    def begins(self, position: int, sample: int) -> Iterator[tuple[str, int, int]]:
        """The library begins to speak what is at `position`; what ended by that."""
        token = max(0, bisect_right(self._starts, position) - 1)
        if self._current is not None and token <= self._current:
            return
        if self._current is not None:
            yield " ".join(self._tokens[self._taken : token]), self._began, sample
            self._taken = token
        self._current = token
        self._began = sample

    def ends(self, sample: int) -> Iterator[tuple[str, int, int]]:
        """All was spoken; the last word."""
        if self._current is not None:
            yield " ".join(self._tokens[self._taken :]), self._began, max(self._began, sample)
