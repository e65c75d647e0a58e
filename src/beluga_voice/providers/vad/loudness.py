"""How loud a frame is, with nothing installed."""

import math
import sys
from array import array

SILENCE_DB = -100.0
"""The level of digital silence."""


def level_db(frame: bytes) -> float:
    """The level of mono 16-bit PCM in dB of full scale, -100 at least, without any offset."""
    samples = array("h", frame)
    if sys.byteorder == "big":
        samples.byteswap()
    count = len(samples)
    power = math.sumprod(samples, samples) / count - (sum(samples) / count) ** 2
    return max(SILENCE_DB, 10 * math.log10(power / 2**30)) if power > 0 else SILENCE_DB
