"""A short tone that tells a person that the line lives."""

import math
import struct
from functools import lru_cache

TONE_MS = 160
_NOTES = (523.25, 659.25)
_LEVEL = 0.12


@lru_cache(maxsize=8)
def tone(rate: int) -> bytes:
    """Two soft notes, mono 16-bit PCM at `rate`, with rounded ends so that they do not click."""
    length = rate * TONE_MS // 1000
    half = length // 2
    samples: list[int] = []
    for index in range(length):
        note = _NOTES[0] if index < half else _NOTES[1]
        place = (index % half) / half if half else 0.0
        envelope = math.sin(math.pi * place)
        value = math.sin(2 * math.pi * note * index / rate) * envelope * _LEVEL
        samples.append(round(value * 32767))
    return struct.pack(f"<{length}h", *samples)
