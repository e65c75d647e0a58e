"""How loud a piece of sound is.

All of it takes 16-bit little-endian PCM and raises `WrongFormat` if that ends inside a sample.
Levels are fractions of full scale, 0 to 1. Sound without samples is silent. Interleaved channels
are measured together.
"""

import math

import numpy as np
from numpy.typing import NDArray

from beluga_voice.errors import Misuse, WrongFormat

_FULL_SCALE = 32768
_ON_ONE_CORE = 8192
"""Of more samples, the library behind `dot` shares the work out to threads, which wait for each
other for milliseconds where cores are busy (OpenBLAS, more than 10,000; seen 2026-11-21)."""

DBFS_FLOOR = -96.0
"""What `dbfs` gives for silence: one step of 16 bits lies at -90.3, and -96 is below any sound."""


def rms(pcm16: bytes) -> float:
    """The root of the mean square: 1 for a square wave at full scale, 0.707 for a sine."""
    samples = _samples(pcm16).astype(np.float64)
    if not len(samples):
        return 0.0
    if len(samples) <= _ON_ONE_CORE:
        total = float(np.dot(samples, samples))
    else:
        total = float(np.square(samples).sum())
    return math.sqrt(total / len(samples)) / _FULL_SCALE


def peak(pcm16: bytes) -> float:
    """The magnitude of the loudest sample."""
    samples = _samples(pcm16)
    if not len(samples):
        return 0.0
    return max(int(samples.max()), -int(samples.min())) / _FULL_SCALE


def dbfs(pcm16: bytes) -> float:
    """The `rms` in decibels below full scale, 0 at the most and `DBFS_FLOOR` at the least.

    Full scale is the square wave's, so the loudest sine is at -3.01.
    """
    level = rms(pcm16)
    return max(DBFS_FLOOR, 20 * math.log10(level)) if level else DBFS_FLOOR


def peaks(pcm16: bytes, buckets: int) -> list[float]:
    """The `peak` of each of `buckets` equal stretches, for drawing a waveform.

    Sound with fewer samples than buckets is stretched. Raises `Misuse` for less than one bucket.
    """
    if buckets < 1:
        raise Misuse(f"{buckets} buckets hold nothing; ask for 1 or more", op="level")
    samples = _samples(pcm16)
    if not len(samples):
        return [0.0] * buckets
    starts = np.arange(buckets) * len(samples) // buckets
    highest = np.maximum.reduceat(samples, starts).astype(np.int32)
    lowest = np.minimum.reduceat(samples, starts).astype(np.int32)
    loudest: list[float] = (np.maximum(highest, -lowest) / _FULL_SCALE).tolist()
    return loudest


def _samples(pcm16: bytes) -> NDArray[np.int16]:
    if len(pcm16) % 2:
        raise WrongFormat(
            f"{len(pcm16)} bytes end inside a 16-bit sample; pass whole samples", op="level"
        )
    return np.frombuffer(pcm16, "<i2")
