"""Asks turn detectors whether the person is done, and makes one guess of what they say.

How it works. A detector that reads is asked with every new version of the words; one that listens,
at each pause, with the sound of the turn. Their guesses are taken as independent, so their odds are
multiplied: 0.5 is what somebody says who does not know. When the person speaks again, all guesses
are void.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from beluga_voice.errors import where
from beluga_voice.interfaces import ListeningTurnDetector, TurnDetector

log = logging.getLogger(__name__)

SUREST = 0.99
"""No single detector is taken to be surer than this, or than its opposite."""

type AnyTurnDetector = TurnDetector | ListeningTurnDetector


class Guessing:
    """The turn detectors of one session. `tell` is given each new guess, 0 to 1."""

    def __init__(
        self, detectors: Sequence[AnyTurnDetector], *, rate: int, tell: Callable[[float], None]
    ) -> None:
        self._readers: list[TurnDetector] = []
        self._listeners: list[ListeningTurnDetector] = []
        for detector in detectors:
            if isinstance(detector, ListeningTurnDetector):
                self._listeners.append(detector)
            else:
                self._readers.append(detector)
        self._rate = rate
        self._tell = tell
        self._guesses: dict[int, float] = {}
        self._tasks: dict[int, asyncio.Task[float]] = {}

    def read(self, text: str) -> None:
        """The words so far."""
        for number, reader in enumerate(self._readers):
            try:
                self._note(number, reader.probability(text))
            except Exception as error:
                log.error("a turn detector failed: %s", where(error))
        if self._readers:
            self._combine()

    def paused(self, sound: Iterable[bytes]) -> None:
        """The person has paused; this is the turn so far, at the line's rate."""
        if not self._listeners:
            return
        pcm = b"".join(sound)
        for number, listener in enumerate(self._listeners, len(self._readers)):
            task = asyncio.get_running_loop().create_task(
                listener.probability(self._as_wanted(pcm, listener)),
                name="beluga-voice turn detector",
            )
            self._tasks[number] = task
            task.add_done_callback(partial(self._guessed, number))

    def begin(self) -> None:
        """The person speaks again."""
        self._guesses.clear()
        self.close()

    def close(self) -> None:
        """Nobody asks any more."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    def _as_wanted(self, pcm: bytes, listener: ListeningTurnDetector) -> bytes:
        if listener.rate != self._rate:
            from beluga_voice.audio.resample import Resampler

            resampler = Resampler(self._rate, listener.rate)
            pcm = resampler.feed(pcm) + resampler.flush()
        return pcm[-listener.longest_samples * 2 :]

    def _guessed(self, number: int, task: asyncio.Task[float]) -> None:
        if self._tasks.get(number) is not task:
            return  # of an earlier pause
        del self._tasks[number]
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            assert isinstance(error, Exception)
            log.error("a turn detector failed: %s", where(error))
            return
        self._note(number, task.result())
        self._combine()

    def _note(self, number: int, guess: float) -> None:
        if 0 <= guess <= 1:
            self._guesses[number] = guess
        else:
            log.error("a turn detector gave %r, which is no probability", guess)

    def _combine(self) -> None:
        odds = 1.0
        for guess in self._guesses.values():
            bounded = min(max(guess, 1 - SUREST), SUREST)
            odds *= bounded / (1 - bounded)
        if self._guesses:
            self._tell(odds / (1 + odds))
