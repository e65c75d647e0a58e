"""Sound as the Whisper models see it: how loud it is in 80 bands, every 10 ms.

Windows of 25 ms (400 samples at 16 kHz, a Hann window), 10 ms apart and centred, give power
spectra. Triangular filters sum them into 80 bands, equally wide on the mel scale in Slaney's form:
linear up to 1000 Hz, logarithmic above, each filter of the same area. What is more than 80 dB below
the loudest is raised to that, and the scale is moved to lie about between -1 and 1. The constants
are those with which pipecat-ai 1.14.0 feeds its model (read 2026-11-21).
"""

import math
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

type Floats = NDArray[np.float64]

RATE = 16000
BANDS = 80
HOP_SAMPLES = 160
_WINDOW = 400
_BEND_HERTZ = 1000.0
_HERTZ_PER_MEL = 200.0 / 3
_LOG_STEP = math.log(6.4) / 27
_LEAST_POWER = 1e-10
_RANGE = 8.0
"""Powers of ten below the loudest that are told apart."""


def log_mel(samples: Floats) -> NDArray[np.float32]:
    """Levels of shape (80, samples / 160) of whole hops of mono sound at 16 kHz."""
    edge = _WINDOW // 2
    windows = sliding_window_view(np.pad(samples, edge, mode="reflect"), _WINDOW)[::HOP_SAMPLES]
    hann = np.hanning(_WINDOW + 1)[:-1]
    # One window more fits than there are hops; the last one is left out.
    spectra = np.fft.rfft(windows[: len(samples) // HOP_SAMPLES] * hann)
    power: Floats = spectra.real**2 + spectra.imag**2
    levels: Floats = np.log10(np.maximum(_filters() @ power.T, _LEAST_POWER))
    levels = np.maximum(levels, levels.max() - _RANGE)
    moved: Floats = (levels + 4) / 4
    return moved.astype(np.float32)


@cache
def _filters() -> Floats:
    """The bands' shares of each frequency, of shape (80, 201)."""
    corners = _hertz(np.linspace(0, _mel(RATE / 2), BANDS + 2))
    low, middle, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    frequencies = np.linspace(0, RATE / 2, _WINDOW // 2 + 1)
    rising = (frequencies - low) / (middle - low)
    falling = (high - frequencies) / (high - middle)
    filters: Floats = np.maximum(0, np.minimum(rising, falling)) * (2 / (high - low))
    return filters


def _mel(hertz: float) -> float:
    if hertz < _BEND_HERTZ:
        return hertz / _HERTZ_PER_MEL
    return _BEND_HERTZ / _HERTZ_PER_MEL + math.log(hertz / _BEND_HERTZ) / _LOG_STEP


def _hertz(mels: Floats) -> Floats:
    above = mels - _BEND_HERTZ / _HERTZ_PER_MEL
    return np.where(above < 0, mels * _HERTZ_PER_MEL, _BEND_HERTZ * np.exp(_LOG_STEP * above))
