"""How loud a frame is."""

import math

import numpy as np

SILENCE_DB = -100.0
"""The level of digital silence."""


def level_db(frame: bytes) -> float:
    """The level of mono 16-bit PCM in dB of full scale, -100 at least, without any offset."""
    if frame == bytes(len(frame)):
        return SILENCE_DB
    samples = np.frombuffer(frame, "<i2").astype(np.float64)
    offset = float(np.add.reduce(samples)) / len(samples)
    power = float(samples.dot(samples)) / len(samples) - offset * offset
    return max(SILENCE_DB, 10 * math.log10(power / 2**30)) if power > 0 else SILENCE_DB
