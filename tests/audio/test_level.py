"""Loudness."""

import math
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beluga_voice.audio.level import DBFS_FLOOR, dbfs, peak, peaks, rms
from beluga_voice.errors import Misuse, WrongFormat

SAMPLES = st.lists(st.integers(-32768, 32767), min_size=1, max_size=400)


def ints(*samples: int) -> bytes:
    """Little-endian 16-bit PCM."""
    return struct.pack(f"<{len(samples)}h", *samples)


def sine(level: float) -> bytes:
    """A second of a tone."""
    return ints(*(round(level * 32767 * math.sin(n * math.tau / 40)) for n in range(16000)))


@settings(deadline=None, derandomize=True, max_examples=100)
@given(SAMPLES)
def test_levels_are_what_the_textbook_says(samples: list[int]) -> None:
    """rms and peak are those of the definition, in fractions of full scale."""
    pcm = ints(*samples)
    mean_square = sum(sample * sample for sample in samples) / len(samples)
    assert math.isclose(rms(pcm), math.sqrt(mean_square) / 32768, rel_tol=1e-12)
    assert peak(pcm) == max(abs(sample) for sample in samples) / 32768
    assert rms(pcm) <= peak(pcm) <= 1


@settings(deadline=None, derandomize=True, max_examples=100)
@given(SAMPLES, st.integers(1, 500))
def test_peaks_cover_every_sample(samples: list[int], buckets: int) -> None:
    """There are as many peaks as asked for, each of its own stretch, and none is missed."""
    drawn = peaks(ints(*samples), buckets)
    assert len(drawn) == buckets
    count = len(samples)
    for number, value in enumerate(drawn):
        start, end = number * count // buckets, (number + 1) * count // buckets
        assert value == max(abs(s) for s in samples[start : max(end, start + 1)]) / 32768
    assert max(drawn) == max(abs(sample) for sample in samples) / 32768


def test_the_scale_of_decibels() -> None:
    """A full-scale square wave is at 0 dB, a sine at -3.01, and a tenth of it 20 dB lower."""
    assert dbfs(ints(-32768, -32768)) == 0
    assert dbfs(sine(1.0)) == pytest.approx(-3.01, abs=0.005)
    assert dbfs(sine(0.1)) == pytest.approx(-23.01, abs=0.005)


def test_decibels_have_a_floor() -> None:
    """Silence is at the floor, one step above it, and hardly anything is not below it."""
    assert dbfs(bytes(640)) == DBFS_FLOOR == -96.0
    assert dbfs(ints(1)) == pytest.approx(-90.31, abs=0.005)
    assert dbfs(ints(1, *[0] * 99)) == DBFS_FLOOR


def test_no_sound_is_silent() -> None:
    """Without samples every level is that of silence."""
    assert (rms(b""), peak(b""), dbfs(b""), peaks(b"", 3)) == (0, 0, DBFS_FLOOR, [0, 0, 0])


def two_peaks(pcm: bytes) -> list[float]:
    """`peaks` with the face of the other measures."""
    return peaks(pcm, 2)


@pytest.mark.parametrize("measure", [rms, peak, dbfs, two_peaks])
def test_half_a_sample_is_refused(measure: Callable[[bytes], object]) -> None:
    """Odd-byte PCM is refused by every measure."""
    with pytest.raises(WrongFormat, match="3 bytes end inside a 16-bit sample"):
        measure(b"abc")


def test_no_buckets_are_refused() -> None:
    """A drawing of no stretches is a misuse."""
    with pytest.raises(Misuse, match="ask for 1 or more"):
        peaks(ints(1), 0)
