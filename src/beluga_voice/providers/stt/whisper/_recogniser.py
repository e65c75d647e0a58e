"""Turns one person's sound into words, in the process with the model.

Whisper hears windows of up to 30 s, each as a whole, and has no memory of the last. So while
somebody speaks, the whole utterance is heard again and again for interim words, and once more at
its end for the final ones. An utterance that outgrows the window is cut where it is quietest, and
the words before the cut are settled.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from beluga_voice.providers.stt.whisper._languages import joined
from beluga_voice.providers.stt.whisper._model import RATE, Asked, Found
from beluga_voice.providers.stt.worker_wire import Finished, Word

LONGEST_SAMPLES = 28 * RATE
"""Sound that is heard as a whole; the model's window is 30 s."""
_CUT_WITHIN = 8 * RATE
_QUIET = RATE // 5

type Sound = NDArray[np.float32]


class Recogniser:
    """One utterance after the other. `transcribe` finds words, and `voice_in` a voice."""

    def __init__(
        self,
        transcribe: Callable[[Sound, Asked], Found | None],
        voice_in: Callable[[Sound], tuple[int, int] | None],
        *,
        language: str | None,
        hint: str | None,
        wants_words: bool,
        beam_size: int,
    ) -> None:
        self._transcribe = transcribe
        self._voice_in = voice_in
        self._asked = Asked(language, hint, wants_words, beam_size, is_final=True)
        self._quick = Asked(language, hint, wants_words, beam_size, is_final=False)
        self._heard = bytearray()
        self._settled: list[tuple[int, Found]] = []
        """Words before the sound that is kept, and where their own sound began."""
        self._begin = 0

    @property
    def samples(self) -> int:
        """Sound whose words are not settled."""
        return len(self._heard) // 2

    @property
    def is_full(self) -> bool:
        """Whether `settle` should be called before more is heard."""
        return self.samples >= LONGEST_SAMPLES

    def hear(self, pcm: bytes) -> None:
        """Take more sound: mono 16-bit PCM at 16 kHz."""
        self._heard += pcm

    def settle(self) -> None:
        """Find the words up to where it was quietest in the last 8 s, and keep them."""
        sound = self._sound()
        cut = len(sound) - _CUT_WITHIN + _quietest(sound[-_CUT_WITHIN:])
        self._keep(sound[:cut])
        del self._heard[: 2 * cut]
        self._begin += cut

    def text(self) -> tuple[str, str | None]:
        """All words so far, quickly found, and their language."""
        found = self._words_in(self._sound(), self._quick)
        return self._whole([*self._settled, *([found] if found else [])])

    def finish(self, utterance_id: str) -> Finished:
        """The utterance's words; the next one begins."""
        self._keep(self._sound())
        pieces = self._settled
        self.drop()
        text, language = self._whole(pieces)
        return Finished(
            utterance_id=utterance_id,
            text=text,
            words=tuple(
                Word(word.text, begin + word.start, begin + word.end, word.confidence)
                for begin, found in pieces
                for word in found.words
            ),
            confidence=min((found.confidence for _, found in pieces), default=None),
            language=language,
        )

    def drop(self) -> None:
        """Forget the utterance; the next one begins."""
        self._heard.clear()
        self._settled = []
        self._begin = 0

    def _keep(self, sound: Sound) -> None:
        if found := self._words_in(sound, self._asked):
            self._settled.append(found)

    def _words_in(self, sound: Sound, asked: Asked) -> tuple[int, Found] | None:
        """Only where there is a voice: in silence, the model invents words."""
        voiced = self._voice_in(sound)
        if voiced is None:
            return None
        start, end = voiced
        found = self._transcribe(sound[start:end], asked)
        return None if found is None else (self._begin + start, found)

    def _whole(self, pieces: list[tuple[int, Found]]) -> tuple[str, str | None]:
        language = pieces[-1][1].language if pieces else None
        return joined([found.text for _, found in pieces], language), language

    def _sound(self) -> Sound:
        samples = np.frombuffer(bytes(self._heard), dtype="<i2").astype(np.float32)
        return samples / np.float32(32768)


def _quietest(sound: Sound) -> int:
    """The middle of the quietest fifth of a second, in samples."""
    count = len(sound) // _QUIET
    loudness = np.square(sound[: count * _QUIET]).reshape(count, _QUIET).mean(axis=1)
    return int(loudness.argmin()) * _QUIET + _QUIET // 2
