"""How loud a frame is."""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

_PCM16 = np.dtype("<i2")
SILENCE_DB = -100.0
"""The level of digital silence."""


def level_db(frame: bytes) -> float:
    """The level of mono 16-bit PCM in dB of full scale, -100 at least, without any offset."""
    if not any(frame[:2]) and frame == bytes(len(frame)):
        return SILENCE_DB
    samples = np.frombuffer(frame, _PCM16).astype(np.float64)
    count = len(samples)
    offset = float(samples.dot(_ones(count))) / count
    power = float(samples.dot(samples)) / count - offset * offset
    return max(SILENCE_DB, 10 * math.log10(power / 2**30)) if power > 0 else SILENCE_DB


@cache
def _ones(count: int) -> NDArray[np.float64]:
    """With these, a sum is a product of vectors, which numpy has in less time."""
    return np.ones(count)
