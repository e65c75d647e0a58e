"""Carries a line's frames through a reducer that knows one rate only.

A line's frame of 10 ms is resampled to the reducer's rate, made clearer, and resampled back. The
resamplers hold back some sound, so both ways begin with as much silence: then every frame that goes
in gives exactly one frame, and all of them are late by the same time.
"""

from collections.abc import Callable

from beluga_voice.audio.framing import Framer
from beluga_voice.audio.resample import Resampler
from beluga_voice.errors import ConfigurationError, WrongFormat

RATES = (8000, 16000, 24000, 32000, 44100, 48000)
"""Rates at which 10 ms are a whole number of samples."""

_HELD = 32
"""Samples of the lower rate that a resampler holds at most."""


class AtRate:
    """Mono 16-bit PCM at `rate` through `reduce`, which takes frames of 10 ms at `own_rate`.

    Raises `ConfigurationError` for a rate that is not one of `RATES`.
    """

    def __init__(self, reduce: Callable[[bytes], bytes], *, own_rate: int, rate: int) -> None:
        if rate not in RATES:
            known = ", ".join(map(str, RATES))
            raise ConfigurationError(f"a rate of {rate}; it takes {known}", op="noise")
        self.rate = rate
        self.frame_samples = rate // 100
        self.delay_milliseconds = 0.0
        """How much later sound comes out, by the resampling alone."""
        self._reduce = reduce
        self._is_own = rate == own_rate
        if self._is_own:
            return
        self._there = Resampler(rate, own_rate)
        self._back = Resampler(own_rate, rate)
        self._frames = Framer(2 * (own_rate // 100))
        lower = min(rate, own_rate)
        there, back = (-(-_HELD * each // lower) for each in (own_rate, rate))
        self._frames.feed(bytes(2 * there))
        self._ready = bytes(2 * back)
        self.delay_milliseconds = there * 1000 / own_rate + back * 1000 / rate

    def process(self, frame: bytes, /) -> bytes:
        """The frame that is due; raises `WrongFormat` for a frame of another length."""
        size = 2 * self.frame_samples
        if len(frame) != size:
            raise WrongFormat(f"a frame of {len(frame)} bytes; {size} are due", op="noise")
        if self._is_own:
            return self._reduce(frame)
        for each in self._frames.feed(self._there.feed(frame)):
            self._ready += self._back.feed(self._reduce(each))
        due, self._ready = self._ready[:size], self._ready[size:]
        return due
