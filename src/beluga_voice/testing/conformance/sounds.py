"""Sound for checking ears: a voice, and much that is none, each made by a formula.

All of it is mono 16-bit PCM at the rate that is asked for, and the same each time.
"""

import numpy as np
from numpy.typing import NDArray

from beluga_voice.testing.speech import pcm_of, silence, speech

type Line = NDArray[np.float64]

FULL_SCALE = 32767
SPEECH_LEVEL = 3000.0
"""The root mean square of the voice: 21 dB below full scale."""
ROOM_LEVEL = 24.0
"""The same of a quiet room: 63 dB below full scale."""

_FORMANTS = np.array(
    [[730, 1090, 2440], [270, 2290, 3010], [300, 870, 2240], [530, 1840, 2480], [570, 840, 2410]],
    float,
)
"""Resonances of the vowels of father, see, boot, bed and law, in hertz: means of men's voices by
Peterson and Barney, 1952."""
_STRENGTHS = (1.0, 0.5, 0.25)
_WIDTHS = (60.0, 90.0, 120.0)
_SYLLABLES_A_SECOND = 4
_CHORD = (261.6, 329.6, 392.0)


def voice(rate: int, seconds: float = 2.0) -> bytes:
    """Somebody who speaks vowels without a pause, four a second, with a melody."""
    at = _times(rate, seconds)
    pitch = 120 + 18 * np.sin(2 * np.pi * 0.7 * at) + 6 * np.sin(2 * np.pi * 3.1 * at)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    syllables = at * _SYLLABLES_A_SECOND
    index = syllables.astype(int)
    moved = np.clip((syllables - index) * 3 - 1, 0, 1)[:, None]
    count = len(_FORMANTS)
    formants = _FORMANTS[index % count] * (1 - moved) + _FORMANTS[(index + 1) % count] * moved
    made: Line = np.zeros(len(at))
    for harmonic in range(1, 40):
        hertz = harmonic * pitch
        strength: Line = np.full(len(at), 0.01)
        for which, (peak, width) in enumerate(zip(_STRENGTHS, _WIDTHS, strict=True)):
            strength += peak / (1 + ((hertz - formants[:, which]) / width) ** 2)
        strength[hertz > 0.45 * rate] = 0
        made += strength * np.sin(harmonic * phase) / harmonic**0.5
    return pcm(_at_level(made * np.clip(3 * np.sin(np.pi * (syllables % 1)), 0, 1), SPEECH_LEVEL))


def noise(rate: int, seconds: float = 2.0, *, level: float = SPEECH_LEVEL, seed: int = 1) -> bytes:
    """White noise, `level` being its root mean square."""
    count = round(rate * seconds)
    return pcm(np.random.default_rng(seed).normal(0, level, count))


def music(rate: int, seconds: float = 2.0) -> bytes:
    """A chord with overtones, struck twice a second."""
    at = _times(rate, seconds)
    made: Line = np.zeros(len(at))
    for hertz in _CHORD:
        for overtone in range(1, 5):
            made += np.sin(2 * np.pi * hertz * overtone * at) / overtone
    return pcm(_at_level(made * np.exp(-4 * (at % 0.5)), SPEECH_LEVEL))


def square(rate: int, seconds: float = 2.0) -> bytes:
    """A square wave of 200 Hz, as loud as there is."""
    is_low = (_times(rate, seconds) * 400).astype(int) % 2
    return np.where(is_low, -FULL_SCALE - 1, FULL_SCALE).astype("<i2").tobytes()


def constant(rate: int, seconds: float = 2.0) -> bytes:
    """An offset and nothing else, as a broken microphone gives it."""
    return np.full(round(rate * seconds), FULL_SCALE, "<i2").tobytes()


def sounds(rate: int) -> dict[str, bytes]:
    """Everything that ears may be given, by name."""
    return {
        "silence": silence(2000, rate=rate),
        "a quiet room": noise(rate, level=ROOM_LEVEL),
        "a voice": voice(rate),
        "test speech": pcm_of(speech("hello there how are you", rate=rate)),
        "noise": noise(rate),
        "music": music(rate),
        "a full-scale square": square(rate),
        "a constant": constant(rate),
    }


def mixed(one: bytes, other: bytes) -> bytes:
    """Two sounds at once, for as long as the shorter one lasts."""
    count = min(len(one), len(other)) // 2
    return pcm(line_of(one)[:count] + line_of(other)[:count])


def pcm(line: Line) -> bytes:
    """Sound in steps of 16-bit PCM as such; what is too loud is clipped."""
    return np.rint(line).clip(-FULL_SCALE - 1, FULL_SCALE).astype("<i2").tobytes()


def line_of(sound: bytes) -> Line:
    """16-bit PCM as numbers."""
    return np.frombuffer(sound, "<i2").astype(np.float64)


def power_of(line: Line) -> float:
    """The mean square of a sound; of nothing, 0."""
    return float(np.mean(line**2)) if len(line) else 0.0


def _times(rate: int, seconds: float) -> Line:
    return np.arange(round(rate * seconds)) / rate


def _at_level(line: Line, level: float) -> Line:
    scaled: Line = line * (level / np.sqrt(np.mean(line**2)))
    return scaled
