"""Speaks the sentences of one context, in the process with the voices."""

import unicodedata
from collections.abc import Callable

from beluga_voice.audio.resample import Resampler
from beluga_voice.providers.tts.worker_wire import Audio, Send

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
        self,
        context_id: str,
        say: Callable[[str], bytes],
        *,
        voice_rate: int,
        rate: int,
        pause_samples: int,
    ) -> None:
        self._context_id = context_id
        self._say = say
        self._resampler = Resampler(voice_rate, rate)
        self._pause = bytes(2 * pause_samples)
        self._has_spoken = False

    def speak(self, text: str, send: Send, goes_on: Callable[[], bool], /) -> None:
        """Speak a sentence, in pieces at the rate of the link."""
        sound = self._say(plain(text))
        if not sound:
            return
        if self._has_spoken:
            sound = self._pause + sound
        self._has_spoken = True
        self._give(self._resampler.feed(sound), send, goes_on)

    def finish(self, send: Send, /) -> None:
        """Give what is left."""
        self._give(self._resampler.flush(), send, lambda: True)

    def _give(self, pcm: bytes, send: Send, goes_on: Callable[[], bool]) -> None:
        for at in range(0, len(pcm), _PIECE_BYTES):
            if not goes_on():
                return
            send(Audio(context_id=self._context_id, pcm=pcm[at : at + _PIECE_BYTES]))
