"""The resampler."""

import math
from fractions import Fraction
from itertools import cycle, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from beluga_voice.audio.formats import RATES
from beluga_voice.audio.resample import ArrayResampler, Resampler, resampled_length
from beluga_voice.errors import WrongFormat

PAIRS = list(permutations(RATES, 2))
UPWARDS = [pair for pair in PAIRS if pair[0] < pair[1]]
DOWNWARDS = [pair for pair in PAIRS if pair[0] > pair[1]]
ODD = [(16001, 16000), (16000, 16001), (47999, 8000), (8000, 47999)]


def sine(rate: int, count: int, *, hertz: float = 440.0, level: float = 0.5) -> bytes:
    """A tone as 16-bit PCM."""
    at = np.arange(count) * (2 * np.pi * hertz / rate)
    return np.rint(np.sin(at) * level * 32767).astype("<i2").tobytes()


def in_frames(resampler: Resampler, pcm: bytes, frame_samples: int) -> bytes:
    """The whole of `pcm`, fed in frames and flushed."""
    step = 2 * frame_samples
    parts = [resampler.feed(pcm[at : at + step]) for at in range(0, len(pcm), step)]
    return b"".join([*parts, resampler.flush()])


def at_once(pcm: bytes, in_rate: int, out_rate: int) -> bytes:
    """The whole of `pcm`, fed in one piece and flushed."""
    resampler = Resampler(in_rate, out_rate)
    return resampler.feed(pcm) + resampler.flush()


def as_array(pcm: bytes) -> NDArray[np.float64]:
    """Samples as floats, still in steps of 16-bit PCM."""
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def middle(pcm: bytes, rate: int) -> NDArray[np.float64]:
    """Samples without the first and last tenth of a second, where the sound begins and ends."""
    return as_array(pcm)[rate // 10 : -rate // 10]


def decibels(samples: NDArray[np.float64], *, level: float) -> float:
    """The loudness of `samples` against that of a tone of `level`."""
    return 20 * float(np.log10(np.sqrt(np.mean(samples**2)) / (level * 32767 / 2**0.5)))


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    rates=st.tuples(
        st.sampled_from(RATES) | st.integers(4000, 192000),
        st.sampled_from(RATES) | st.integers(4000, 192000),
    ),
    sizes=st.lists(st.integers(0, 3) | st.integers(0, 400), max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
def test_length_is_exact_and_cutting_changes_nothing(
    rates: tuple[int, int], sizes: list[int], seed: int
) -> None:
    """For any rates and chunks length and delay are exact, and the bytes are the same."""
    noise = np.random.default_rng(seed).integers(-32768, 32768, sum(sizes)).astype("<i2")
    resampler = Resampler(*rates)
    parts: list[bytes] = []
    at = 0
    for size in sizes:
        parts.append(resampler.feed(noise[at : at + size].tobytes()))
        at += size
        given_out = len(b"".join(parts)) // 2
        assert resampler.delay_samples == resampled_length(at, *rates) - given_out >= 0
        if rates[0] != rates[1]:
            assert given_out == due(at, *rates)
    expected = resampler.delay_samples
    parts.append(resampler.flush())
    assert len(parts[-1]) == 2 * expected
    assert b"".join(parts) == at_once(noise.tobytes(), *rates)


def due(fed: int, in_rate: int, out_rate: int) -> int:
    """How many outputs have 32 samples of the lower rate after them, among `fed` inputs."""
    reach = Fraction(32, min(in_rate, out_rate))
    return max(0, math.floor((Fraction(fed, in_rate) - reach) * out_rate) + 1)


@pytest.mark.parametrize(
    ("in_rate", "out_rate", "held"),
    [
        (8000, 16000, 63),
        (16000, 8000, 31),
        (16000, 24000, 47),
        (24000, 16000, 31),
        (24000, 8000, 31),
        (48000, 16000, 31),
        (16000, 48000, 95),
        (8000, 48000, 191),
    ],
)
def test_a_frame_leaves_four_milliseconds_or_less(in_rate: int, out_rate: int, held: int) -> None:
    """After every 20 ms frame just under 32 samples of the lower rate are held, never more."""
    resampler = Resampler(in_rate, out_rate)
    frame = bytes(2 * in_rate // 50)
    for _ in range(50):
        resampler.feed(frame)
        assert resampler.delay_samples == held
    assert held <= 0.004 * out_rate


@pytest.mark.parametrize(
    ("samples", "in_rate", "out_rate", "expected"),
    [
        (0, 8000, 16000, 0),
        (160, 8000, 16000, 320),
        (441, 44100, 16000, 160),
        (2, 48000, 8000, 0),
        (3, 48000, 8000, 1),
        (100, 44100, 48000, 109),
        (3600 * 44100, 44100, 8000, 3600 * 8000),
    ],
)
def test_length_is_rounded_to_the_nearest(
    samples: int, in_rate: int, out_rate: int, expected: int
) -> None:
    """The length is n times the ratio, rounded to the nearest and upwards from a half."""
    assert resampled_length(samples, in_rate, out_rate) == expected


@pytest.mark.parametrize(("in_rate", "out_rate"), PAIRS + ODD)
def test_a_tone_stays_the_tone(in_rate: int, out_rate: int) -> None:
    """A tone in frames is, to two steps, as if made at the new rate: no click, delay or loss."""
    tone = sine(in_rate, in_rate // 2)
    heard = in_frames(Resampler(in_rate, out_rate), tone, in_rate // 50)
    # In one piece it is longer than what is worked on at once.
    assert heard == at_once(tone, in_rate, out_rate)
    assert len(heard) == 2 * resampled_length(in_rate // 2, in_rate, out_rate)
    ideal = sine(out_rate, len(heard) // 2)
    assert np.abs(middle(heard, out_rate) - middle(ideal, out_rate)).max() <= 2


@pytest.mark.parametrize(("in_rate", "out_rate"), PAIRS + ODD)
def test_a_constant_stays_exactly_that(in_rate: int, out_rate: int) -> None:
    """A constant is the same constant at the new rate, to the last bit."""
    heard = ArrayResampler(in_rate, out_rate).feed(np.ones((in_rate // 20, 1)))
    assert set(heard[out_rate // 100 :, 0]) == {1.0}


@pytest.mark.parametrize("rates", [(8000, 16000), (24000, 16000), (22050, 24000), *ODD])
def test_arrays_are_cut_anywhere_to_the_last_bit(rates: tuple[int, int]) -> None:
    """Full-scale noise in two channels of floats is the same, bit for bit, however it is cut."""
    noise = np.random.default_rng(1).uniform(-1, 1, (2000, 2))
    framed, whole = ArrayResampler(*rates, channels=2), ArrayResampler(*rates, channels=2)
    parts = [framed.feed(noise[at : at + 77]) for at in range(0, 2000, 77)]
    heard = np.concatenate([*parts, framed.flush()])
    assert np.array_equal(heard, np.concatenate([whole.feed(noise), whole.flush()]))


@pytest.mark.parametrize(("in_rate", "out_rate"), PAIRS)
def test_what_both_rates_hold_keeps_its_level(in_rate: int, out_rate: int) -> None:
    """Tones up to 0.42 of the lower rate come through within 0.02 dB."""
    for share in (0.05, 0.25, 0.42):
        tone = sine(in_rate, in_rate // 2, hertz=share * min(in_rate, out_rate))
        heard = middle(at_once(tone, in_rate, out_rate), out_rate)
        assert abs(decibels(heard, level=0.5)) <= 0.02


@pytest.mark.parametrize(("in_rate", "out_rate"), DOWNWARDS)
def test_what_the_new_rate_cannot_hold_is_removed(in_rate: int, out_rate: int) -> None:
    """A tone above half the new rate is gone by 79 dB instead of coming back as another tone."""
    for share in (0.505, 0.55, 0.75, 1.01):
        # What is too high for the old rate as well would not be the tone it is meant to be.
        hertz = min(share * out_rate, 0.499 * in_rate)
        too_high = sine(in_rate, in_rate // 2, hertz=hertz, level=1.0)
        left = middle(at_once(too_high, in_rate, out_rate), out_rate)
        assert np.sqrt(np.mean(left**2)) <= 32767 / 2**0.5 * 10 ** (-79 / 20)


@pytest.mark.parametrize(("in_rate", "out_rate"), UPWARDS)
def test_a_higher_rate_adds_no_other_tone(in_rate: int, out_rate: int) -> None:
    """Whatever comes with a tone, its images above all, is 80 dB below it."""
    for share in (0.1, 0.3, 0.42):
        hertz = round(share * in_rate / 10) * 10
        heard = at_once(sine(in_rate, in_rate, hertz=hertz, level=1.0), in_rate, out_rate)
        # A tenth of a second holds whole waves, so that the tone is one line of the spectrum.
        lines = np.abs(np.fft.rfft(as_array(heard)[out_rate // 2 :][: out_rate // 10]))
        tone = lines[hertz // 10]
        lines[hertz // 10] = 0
        assert lines.max() <= tone * 1e-4


def test_loud_edges_are_clipped() -> None:
    """A square wave at full scale, whose edges overshoot, keeps its sign everywhere."""
    square = (np.where(np.arange(8000) // 100 % 2, 32767, -32768)).astype("<i2")
    heard = as_array(at_once(square.tobytes(), 8000, 48000)).reshape(-1, 600)
    assert (heard[0::2, 20:-20] < -20000).all()
    assert (heard[1::2, 20:-20] > 20000).all()
    assert heard.max() == 32767
    assert heard.min() == -32768


def test_silence_stays_silent() -> None:
    """Digital silence has no dither added."""
    assert at_once(bytes(32000), 16000, 24000) == bytes(48000)


def test_equal_rates_pass_through() -> None:
    """Between equal rates the very same object comes back, and nothing is held."""
    resampler = Resampler(16000, 16000)
    pcm = sine(16000, 320)
    assert resampler.feed(pcm) is pcm
    assert resampler.delay_samples == 0
    assert resampler.flush() == b""


def test_an_hour_in_uneven_chunks_has_an_hours_length() -> None:
    """An hour in chunks of changing size has exactly an hour's samples, and no more delay."""
    in_rate, out_rate = 4410, 4000
    resampler = Resampler(in_rate, out_rate)
    sound = bytes(2 * 50000)
    left = 3600 * in_rate
    given_out = 0
    for size in cycle((49999, 317, 31013, 1, 44100)):
        given_out += len(resampler.feed(sound[: 2 * min(size, left)]))
        left -= min(size, left)
        if not left:
            break
    assert given_out == 2 * due(3600 * in_rate, in_rate, out_rate)
    assert given_out + len(resampler.flush()) == 2 * 3600 * out_rate


@pytest.mark.parametrize("method", ["flush", "clear"])
def test_a_resampler_begins_again(method: str) -> None:
    """After flush or clear the next stream is as from a new resampler."""
    resampler = Resampler(16000, 24000)
    resampler.feed(sine(16000, 5000, hertz=1000))
    getattr(resampler, method)()
    assert resampler.delay_samples == 0
    pcm = sine(16000, 4000)
    assert resampler.feed(pcm) + resampler.flush() == at_once(pcm, 16000, 24000)


@pytest.mark.parametrize("rates", [(16000, 24000), (16000, 16000)])
def test_half_a_sample_is_refused_and_changes_nothing(rates: tuple[int, int]) -> None:
    """An odd number of bytes is refused and the stream goes on as if it had not been fed."""
    resampler = Resampler(*rates)
    pcm = sine(16000, 400)
    ready = resampler.feed(pcm)
    with pytest.raises(WrongFormat, match="end inside a 16-bit sample"):
        resampler.feed(b"abc")
    assert ready + resampler.flush() == at_once(pcm, *rates)


@pytest.mark.parametrize("rates", [(0, 16000), (16000, 0), (16000, 1_000_000)])
def test_an_impossible_rate_is_refused(rates: tuple[int, int]) -> None:
    """A rate that no sound has is refused when the resampler is made."""
    with pytest.raises(WrongFormat, match="outside 4000 to 192000"):
        Resampler(*rates)
