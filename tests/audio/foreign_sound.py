"""The sound in the files of `foreign/`: made anew for every test, to compare with."""

import numpy as np
from numpy.typing import NDArray

from beluga_voice.audio.wav import write_wav

MILLISECONDS = 250
ODD_SAMPLES = 7
"""So that no file ends where a frame of its coder does."""
LOWEST_HZ, HIGHEST_HZ = 200, 1400


def samples_of(rate: int) -> int:
    """How many samples of each channel a file has at that rate."""
    return rate * MILLISECONDS // 1000 + ODD_SAMPLES


def chirp(rate: int, channels: int) -> NDArray[np.float64]:
    """A tone that rises, in the second channel one that falls; rows of samples, from -1 to 1."""
    seconds = np.arange(samples_of(rate)) / rate
    whole = MILLISECONDS / 1000
    edge = np.minimum(1, 40 * np.minimum(seconds, np.maximum(whole - seconds, 0)))
    slope = (HIGHEST_HZ - LOWEST_HZ) / whole / 2
    rising = np.sin(2 * np.pi * (LOWEST_HZ * seconds + slope * seconds**2))
    falling = np.sin(2 * np.pi * (HIGHEST_HZ * seconds - slope * seconds**2))
    return 0.5 * np.column_stack((rising, falling)[:channels]) * edge[:, np.newaxis]


def wav_of(rate: int, channels: int) -> bytes:
    """That sound as a file of 16-bit PCM, as it was given to the coders."""
    samples = np.round(chirp(rate, channels) * 32767).astype("<i2")
    return write_wav(None, samples.tobytes(), rate, channels)
