"""Changes the sample rate of a stream of sound, with little delay.

**The filter.** Between samples, sound is the sum of its samples' sinc functions; here each sinc is
cut to 32 samples of the *lower* rate on either side by a Kaiser window. An output sample is the
product of the inputs around it with one row of taps, and since the two rates have a ratio of whole
numbers, only a few different rows exist ("phases"). Neighbouring outputs are computed together: a
group of them is one matrix, with the window of all inputs it needs, so that a frame is one matrix
product. The matrices are made once for each ratio and shared.

**Exact sums.** Samples are whole numbers of at most 32 bits and taps are multiples of 2**-20, so
every sum is exact in 64-bit floating point. That is why the same sound gives the same bytes however
it is cut, and on every machine: a matrix product adds in an order that depends on its shape and on
the processor. The taps of an output add up to exactly one, so a constant stays that constant.

**How long sound stays inside.** An output needs the 32 samples of the lower rate after it, and is
given as soon as they are there: 4 ms between 8000 Hz and anything higher, 2 ms at 16000 Hz. There
are no blocks to fill.

**How good it is.** Measured over all pairs of `RATES` with tones of half full scale, and of full
scale where something is to be removed: flat within 0.01 dB up to 0.42 of the lower rate; what lies
above half of the lower rate is down by 80 dB, and so are the images that a higher rate could let
in. A tone of 440 Hz differs by 1 step of 16 bits, in three pairs by 2, from the tone made at the
new rate: the tone that goes in was rounded, too.

**What it costs.** A frame of 20 ms takes 20 to 26 microseconds between rates of a simple ratio, and
42 to 60 where one is a multiple of 11025 Hz (85 from 44100 to 8000 Hz), with numpy 2.5 on one core
of 2.5 GHz; a processor that is shared takes up to twice as long. Ratios that nobody uses, such as
16001 to 16000, have their taps made for every frame, which takes about a millisecond.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from beluga_voice.audio.formats import AudioFormat
from beluga_voice.errors import WrongFormat

type Samples = NDArray[np.float64]
"""Floating point sound of shape (samples, channels), full scale at 1.0."""

type _Line = NDArray[np.float64]
"""Whole numbers of shape (samples,)."""

_REACH = 32
"""Samples of the lower rate on either side of an output that count for it."""

_STOP_BAND_DECIBELS = 80.0
_SPAN = 16
"""Samples of the lower rate that a group of outputs covers, at the least."""

_TAP_STEP = 2.0**-20
"""With samples up to 2**31 and taps whose sizes add up to less than 4, sums stay within 2**53."""

_FULL_SCALE = 2**31
_FINEST = 4096
"""Steps, of a sample at the lower rate, in which time is told where the ratio has more of them."""

_LARGEST_BANK = 2**18
"""Taps of a ratio that are kept; where there would be more, they are made when needed."""

_PIECE = 8192
"""Samples, at the higher rate, that are worked on at once: enough for speed, little for memory."""

_PCM16 = np.dtype("<i2")


def resampled_length(samples: int, in_rate: int, out_rate: int) -> int:
    """How many samples `samples` become: the nearest whole number, halves upwards."""
    return (2 * samples * out_rate + in_rate) // (2 * in_rate)


class ArrayResampler:
    """Resamples floating point arrays of shape (samples, channels), piece by piece.

    Samples lie within -1 and 1 and count in steps of 2**-31. Raises `WrongFormat` for a rate or a
    number of channels that `AudioFormat` refuses.
    """

    def __init__(self, in_rate: int, out_rate: int, *, channels: int = 1) -> None:
        for rate in (in_rate, out_rate):
            AudioFormat(rate=rate, channels=channels)
        self.in_rate = in_rate
        self.out_rate = out_rate
        self._streams = [_Stream(in_rate, out_rate) for _ in range(channels)]

    @property
    def delay_samples(self) -> int:
        """Samples at the output rate that were fed and not yet given: what `flush` would give."""
        return self._streams[0].delay_samples

    def feed(self, samples: Samples) -> Samples:
        """What is ready once `samples` were added, perhaps nothing."""
        if self.in_rate == self.out_rate:
            return samples
        whole = np.rint(samples * _FULL_SCALE)
        ready = [stream.feed(whole[:, at]) for at, stream in enumerate(self._streams)]
        return np.stack(ready, axis=1) / _FULL_SCALE

    def flush(self) -> Samples:
        """All that is held; the next `feed` begins another stream."""
        return np.stack([stream.flush() for stream in self._streams], axis=1) / _FULL_SCALE

    def clear(self) -> None:
        """Forget what is held and begin another stream."""
        for stream in self._streams:
            stream.clear()


class Resampler:
    """Resamples mono 16-bit PCM, piece by piece, from `in_rate` to `out_rate` in hertz.

    Over a whole stream *n* samples become *n* x `out_rate` / `in_rate`, rounded to the nearest
    (halves upwards), however the stream is cut. At most 32 samples of the lower rate are held.
    Where the rates are equal, `feed` returns its argument. Raises `WrongFormat` for a rate outside
    4000 to 192000.
    """

    def __init__(self, in_rate: int, out_rate: int) -> None:
        for rate in (in_rate, out_rate):
            AudioFormat(rate=rate)
        self.in_rate = in_rate
        self.out_rate = out_rate
        self._stream = _Stream(in_rate, out_rate)

    @property
    def delay_samples(self) -> int:
        """Samples at the output rate that were fed and not yet given: what `flush` would give."""
        return self._stream.delay_samples

    def feed(self, pcm: bytes) -> bytes:
        """What is ready once `pcm` was added, perhaps nothing.

        Raises `WrongFormat` if `pcm` ends inside a sample; nothing was taken then.
        """
        if len(pcm) % 2:
            raise WrongFormat(
                f"{len(pcm)} bytes end inside a 16-bit sample; pass whole samples", op="resample"
            )
        if self.in_rate == self.out_rate:
            return pcm
        return _as_pcm16(self._stream.feed(np.frombuffer(pcm, _PCM16).astype(np.float64)))

    def flush(self) -> bytes:
        """All that is held; the next `feed` begins another stream."""
        return _as_pcm16(self._stream.flush())

    def clear(self) -> None:
        """Forget what is held and begin another stream."""
        self._stream.clear()


class _Stream:
    """One channel of whole numbers. Input and output samples are counted from its beginning."""

    def __init__(self, in_rate: int, out_rate: int) -> None:
        divisor = math.gcd(in_rate, out_rate)
        self._filter = _Filter.of(out_rate // divisor, in_rate // divisor)
        self._piece = _PIECE * in_rate // max(in_rate, out_rate)
        self.clear()

    def clear(self) -> None:
        """Begin anew; before the first sample there is silence."""
        self._fed = 0
        self._given = 0
        self._begin = self._filter.window_begins(0)
        self._held = np.zeros(-self._begin)
        """The inputs from `_begin` on: what the group of the next output needs."""

    @property
    def delay_samples(self) -> int:
        """Outputs due for what was fed and not yet given."""
        return resampled_length(self._fed, self._filter.down, self._filter.up) - self._given

    def feed(self, samples: _Line) -> _Line:
        """The outputs whose whole window is known now."""
        if len(samples) <= self._piece:
            return self._feed(samples)
        pieces = range(0, len(samples), self._piece)
        return np.concatenate([self._feed(samples[at : at + self._piece]) for at in pieces])

    def flush(self) -> _Line:
        """The outputs that are due, with silence after the last input."""
        rest = self._give(np.zeros(0), self._given + self.delay_samples)
        self.clear()
        return rest

    def _feed(self, samples: _Line) -> _Line:
        self._fed += len(samples)
        return self._give(samples, max(self._given, self._filter.outputs_known(self._fed)))

    def _give(self, samples: _Line, end: int) -> _Line:
        """Take `samples`, and give the outputs before `end`."""
        taps = self._filter
        first = self._given // taps.group
        count = taps.whole_periods(-(-end // taps.group) - first) if end > self._given else 0
        known = len(self._held) + len(samples)
        needed = taps.window_begins(first + count - 1) + taps.window - self._begin
        line = np.concatenate((self._held, samples, np.zeros(max(0, needed - known))))
        outputs = taps.apply(line, first, count) if count else np.zeros(0)
        skipped = first * taps.group
        given = outputs[self._given - skipped : end - skipped]
        begin = taps.window_begins(end // taps.group)
        self._held = line[begin - self._begin : known].copy()
        self._begin = begin
        self._given = end
        return given


class _Filter:
    """The taps of one ratio, for `up` outputs to `down` inputs in lowest terms.

    Output *k* lies at input *k* x `down` / `up`. Outputs are numbered from 0 and taken in groups of
    `group`; all groups need windows of `window` inputs, and after `_period` groups the matrices
    repeat.
    """

    def __init__(self, up: int, down: int) -> None:
        self.up = up
        self.down = down
        self._lower = max(up, down)
        """A sample of the lower rate, in steps of 1/`up` of an input."""
        least = -(-_SPAN * up // min(up, down))
        # The more a group has in common with the period, the fewer matrices there are.
        self.group = max(range(least, 2 * least), key=lambda group: math.gcd(group, up))
        self._period = up // math.gcd(self.group, up)
        self.window = -(-((self.group - 1) * down + 2 * _REACH * self._lower) // up) + 1
        self._table = _impulse(min(self._lower, _FINEST))
        self._bank: _Matrices | None = None
        if self._period * self.window * self.group <= _LARGEST_BANK:
            once = self._matrices(np.arange(self._period))
            # Twice, so that a period that begins anywhere is one slice.
            self._bank = np.concatenate([once, once]) if self._period > 1 else once

    @staticmethod
    @lru_cache(maxsize=32)
    def of(up: int, down: int) -> "_Filter":
        """The filter of this ratio, shared by all that use it."""
        return _Filter(up, down)

    def outputs_known(self, fed: int) -> int:
        """How many outputs have their whole window within the first `fed` inputs."""
        return max(0, (fed * self.up - _REACH * self._lower) // self.down + 1)

    def window_begins[N: (int, NDArray[np.int64])](self, group: N) -> N:
        """The first input that `group` needs."""
        return (group * (self.group * self.down) - _REACH * self._lower) // self.up + 1

    def whole_periods(self, groups: int) -> int:
        """`groups`, or if that is more than a period the next whole number of periods."""
        if groups <= self._period:
            return groups
        return -(-groups // self._period) * self._period

    def apply(self, line: _Line, first: int, count: int) -> _Line:
        """The outputs of `count` groups; `line` begins with their first window."""
        if self._bank is not None and self._period == 1:
            step = self.group * self.down // self.up
            outputs: _Line = np.dot(self._windows(line, count, step).copy(), self._bank[0])
            return outputs.reshape(-1)
        across = min(count, self._period)
        begins = self.window_begins(np.arange(first, first + count)) - self.window_begins(first)
        windows = self._windows(line, len(line) - self.window + 1, 1)[begins]
        if self._bank is not None:
            at = first % self._period
            matrices = self._bank[at : at + across]
        else:
            matrices = self._matrices(np.arange(first, first + across))
        # One matrix product for each of the groups in a period, over all periods.
        windows = windows.reshape(-1, across, self.window).transpose(1, 0, 2)
        outputs = np.matmul(windows, matrices)
        return outputs.transpose(1, 0, 2).reshape(-1)

    def _windows(self, line: _Line, count: int, step: int) -> _Line:
        """A view of `line`: `count` windows that begin `step` samples apart and may overlap."""
        # The constructor checks bounds, and `as_strided` takes longer than the whole product.
        strides = step * line.itemsize, line.itemsize
        return np.ndarray((count, self.window), line.dtype, line, 0, strides)

    def _matrices(self, groups: NDArray[np.int64]) -> "_Matrices":
        """For each group the taps, of shape (window, group)."""
        outputs = groups[:, None] * self.group + np.arange(self.group)
        inputs = self.window_begins(groups)[:, None] + np.arange(self.window)
        away = np.abs(inputs[:, :, None] * self.up - outputs[:, None, :] * self.down)
        if self._lower > _FINEST:
            away = (away * _FINEST + self._lower // 2) // self._lower
        taps = self._table[np.minimum(away, len(self._table) - 1)]
        taps = np.rint(taps / (taps.sum(axis=1, keepdims=True) * _TAP_STEP)) * _TAP_STEP
        # What rounding left over goes to the largest tap.
        largest = taps.argmax(axis=1, keepdims=True)
        left = 1 - taps.sum(axis=1, keepdims=True)
        np.put_along_axis(taps, largest, np.take_along_axis(taps, largest, 1) + left, 1)
        return taps


type _Matrices = NDArray[np.float64]
"""Taps of shape (groups, window, group)."""


@lru_cache(maxsize=4)
def _impulse(steps: int) -> _Line:
    """Half of the filter's impulse response, with `steps` to a sample of the lower rate."""
    at = np.arange(_REACH * steps + 1) / steps
    # Kaiser's formulas for the window that reaches a stop band, and for the width of its slope.
    shape = 0.1102 * (_STOP_BAND_DECIBELS - 8.7)
    slope = (_STOP_BAND_DECIBELS - 7.95) / (14.36 * 2 * _REACH)
    cutoff = 1 - slope
    response = np.sinc(cutoff * at) * np.i0(shape * np.sqrt(1 - (at / _REACH) ** 2))
    response[-1] = 0
    return response


def _as_pcm16(samples: _Line) -> bytes:
    # A steep filter overshoots at loud edges, and 32768 would wrap to the other extreme.
    return np.rint(samples).clip(-32768, 32767).astype(_PCM16).tobytes()
