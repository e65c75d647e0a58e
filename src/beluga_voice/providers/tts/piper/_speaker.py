"""Speaks the sentences of one context, in the process with the voices."""

import unicodedata
from collections.abc import Callable, Iterator

from beluga_voice.audio.resample import Resampler

_PIECE_BYTES = 4800


def plain(text: str) -> str:
    """The text without what is no text to the library.

    Control characters become blanks. Double brackets, between which it expects sounds instead of
    words, are taken apart.
    """
    clean = "".join(
        " " if unicodedata.category(character) == "Cc" else character for character in text
    )
    return clean.replace("[[", "[ [")


class Speaker:
    """One context: what is still in the resampler.

    `say` gives a sentence as sound at the voice's rate, and may take a while.
    """

    def __init__(
        self, say: Callable[[str], bytes], *, voice_rate: int, rate: int, pause_samples: int
    ) -> None:
        self._say = say
        self._resampler = Resampler(voice_rate, rate)
        self._pause = bytes(2 * pause_samples)
        self._has_spoken = False

    def speak(self, sentence: str) -> Iterator[bytes]:
        """Its sound at the rate of the link, computed when it is first asked for."""
        sound = self._say(plain(sentence))
        if not sound:
            return
        if self._has_spoken:
            sound = self._pause + sound
        self._has_spoken = True
        yield from _pieces(self._resampler.feed(sound))

    def finish(self) -> Iterator[bytes]:
        """Sound that is left."""
        yield from _pieces(self._resampler.flush())


def _pieces(pcm: bytes) -> Iterator[bytes]:
    for at in range(0, len(pcm), _PIECE_BYTES):
        yield pcm[at : at + _PIECE_BYTES]
