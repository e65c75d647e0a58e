"""Conversion between formats."""

import math
import struct
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beluga_voice.audio import g711
from beluga_voice.audio.convert import Converter, convert
from beluga_voice.audio.formats import RATES, AudioFormat, Encoding, pcm16
from beluga_voice.audio.resample import Resampler, resampled_length
from beluga_voice.errors import WrongFormat

FORMATS = st.builds(
    AudioFormat, st.sampled_from(Encoding), st.sampled_from(RATES), st.integers(1, 8)
)
MONO16 = pcm16(16000)


def shaped(encoding: Encoding, channels: int = 1) -> AudioFormat:
    """A format at 16 kHz."""
    return AudioFormat(encoding, 16000, channels)


def ints(*samples: int) -> bytes:
    """Little-endian 16-bit PCM."""
    return struct.pack(f"<{len(samples)}h", *samples)


def floats(*samples: float) -> bytes:
    """Little-endian 32-bit floats."""
    return struct.pack(f"<{len(samples)}f", *samples)


def longs(*samples: int) -> bytes:
    """Little-endian 32-bit PCM."""
    return struct.pack(f"<{len(samples)}i", *samples)


def sine(shape: AudioFormat, count: int) -> bytes:
    """A tone of 440 Hz at half scale, the same in all channels."""
    at = np.arange(count) * (2 * math.pi * 440 / shape.rate)
    tone = np.repeat(np.sin(at)[:, None] * 0.5, shape.channels, axis=1).astype("<f4").tobytes()
    return convert(tone, AudioFormat(Encoding.FLOAT32, shape.rate, shape.channels), shape)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(source=FORMATS, target=FORMATS, data=st.binary(max_size=2000), cuts=st.data())
def test_cutting_changes_nothing(
    source: AudioFormat, target: AudioFormat, data: bytes, cuts: st.DataObject
) -> None:
    """Any bytes, cut anywhere even inside samples, give what they give in one piece."""
    data = data[: len(data) - len(data) % source.block_bytes]
    converter = Converter(source, target)
    parts: list[bytes] = []
    at = 0
    while at < len(data):
        step = cuts.draw(st.integers(1, len(data) - at))
        parts.append(converter.feed(data[at : at + step]))
        at += step
    whole = b"".join(parts) + converter.flush()
    assert whole == convert(data, source, target)
    expected = resampled_length(source.samples(data), source.rate, target.rate)
    assert target.samples(whole) == expected


@pytest.mark.parametrize(("one", "other"), list(product(Encoding, Encoding)))
def test_a_tone_survives_every_pair_of_encodings(one: Encoding, other: Encoding) -> None:
    """A tone through another encoding and back is the tone, within what G.711 loses."""
    tone = sine(shaped(one), 1600)
    back = convert(convert(tone, shaped(one), shaped(other)), shaped(other), shaped(one))
    levels = [
        np.frombuffer(convert(data, shaped(one), shaped(Encoding.FLOAT32)), "<f4")
        for data in (tone, back)
    ]
    is_lossy = other in (Encoding.MULAW, Encoding.ALAW) and one is not other
    assert np.abs(levels[0] - levels[1]).max() <= (0.0313 / 2 if is_lossy else 2**-15)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.lists(st.integers(-32768, 32767), max_size=200))
def test_wider_encodings_keep_16_bits_exactly(samples: list[int]) -> None:
    """16-bit PCM through 32-bit PCM or float is unchanged."""
    pcm = ints(*samples)
    for wider in (Encoding.PCM32, Encoding.FLOAT32):
        assert convert(convert(pcm, MONO16, shaped(wider)), shaped(wider), MONO16) == pcm


def test_copying_a_channel_keeps_all_32_bits() -> None:
    """32-bit PCM copied to two channels loses no bit."""
    data = longs(0x12345678, -0x12345679, 2**31 - 1, -(2**31))
    twice = convert(data, shaped(Encoding.PCM32), shaped(Encoding.PCM32, 2))
    assert twice == longs(
        *(0x12345678, 0x12345678, -0x12345679, -0x12345679),
        *(2**31 - 1, 2**31 - 1, -(2**31), -(2**31)),
    )


@pytest.mark.parametrize(
    ("encoding", "decode"),
    [(Encoding.MULAW, g711.mulaw_decode), (Encoding.ALAW, g711.alaw_decode)],
)
def test_g711_converts_by_its_tables(encoding: Encoding, decode: Callable[[bytes], bytes]) -> None:
    """G.711 becomes PCM by the standard's table, whether or not it passes through floats."""
    codes = bytes(range(256))
    assert convert(codes, shaped(encoding), MONO16) == decode(codes)
    widened = convert(codes, shaped(encoding), shaped(Encoding.FLOAT32))
    assert convert(widened, shaped(Encoding.FLOAT32), MONO16) == decode(codes)


def test_channels_become_one_by_their_mean() -> None:
    """Two channels become their mean, also at the extremes where a sum would wrap."""
    stereo = ints(100, 300, 32767, 32767, -32768, -32768, 32767, -32767)
    assert convert(stereo, shaped(Encoding.PCM16, 2), MONO16) == ints(200, 32767, -32768, 0)


def test_eight_channels_become_one() -> None:
    """One loud channel of eight is heard at an eighth of its level."""
    eight = ints(8000, *[0] * 7)
    assert convert(eight, shaped(Encoding.PCM16, 8), MONO16) == ints(1000)


def test_one_channel_becomes_several_by_copying() -> None:
    """Every channel gets the one there was."""
    assert convert(ints(5, -6), MONO16, shaped(Encoding.PCM16, 3)) == ints(5, 5, 5, -6, -6, -6)


def test_different_numbers_of_channels_go_through_mono() -> None:
    """Two channels become three equal ones."""
    given_out = convert(ints(10, 30), shaped(Encoding.PCM16, 2), shaped(Encoding.PCM16, 3))
    assert given_out == ints(20, 20, 20)


def test_channels_stay_apart_through_a_change_of_rate() -> None:
    """A silent left channel stays silent, and the right one is as if resampled alone."""
    right = sine(MONO16, 3200)
    pairs = np.stack([np.zeros(3200, "<i2"), np.frombuffer(right, "<i2")], axis=1)
    heard = convert(
        pairs.tobytes(), shaped(Encoding.PCM16, 2), AudioFormat(Encoding.PCM16, 24000, 2)
    )
    channels = np.frombuffer(heard, "<i2").reshape(-1, 2)
    alone = Resampler(16000, 24000)
    assert not channels[:, 0].any()
    assert channels[:, 1].tobytes() == alone.feed(right) + alone.flush()


def test_stereo_float_at_44100_becomes_a_sessions_sound() -> None:
    """What a browser's recorder gives, 44.1 kHz stereo float, becomes 16 kHz mono PCM."""
    source = AudioFormat(Encoding.FLOAT32, 44100, 2)
    heard = np.frombuffer(convert(sine(source, 44100), source, MONO16), "<i2").astype(int)
    ideal = np.frombuffer(sine(MONO16, 16000), "<i2").astype(int)
    assert len(heard) == 16000
    assert np.abs(heard - ideal)[1600:-1600].max() <= 4


def test_telephone_sound_becomes_a_sessions_sound() -> None:
    """8 kHz mu-law in 20 ms packets becomes 16 kHz PCM, as G.711 and the resampler say."""
    line = AudioFormat(Encoding.MULAW, 8000)
    packets = sine(line, 8000)
    converter = Converter(line, MONO16)
    heard = b"".join(converter.feed(packets[at : at + 160]) for at in range(0, 8000, 160))
    waiting = converter.delay_samples
    rest = converter.flush()
    alone = Resampler(8000, 16000)
    assert len(rest) == 2 * waiting
    assert heard + rest == alone.feed(g711.mulaw_decode(packets)) + alone.flush()
    assert len(heard + rest) == 2 * 16000


def test_too_loud_floats_are_clipped() -> None:
    """Floats beyond full scale become the loudest sample of their sign, in each encoding."""
    loud = floats(1.5, -1.5, 3e38, 1.0)
    source = shaped(Encoding.FLOAT32)
    assert convert(loud, source, MONO16) == ints(32767, -32768, 32767, 32767)
    largest = 2**31 - 1
    assert convert(loud, source, shaped(Encoding.PCM32)) == longs(
        largest, -(2**31), largest, largest
    )
    assert convert(loud, source, shaped(Encoding.MULAW)) == b"\x80\x00\x80\x80"


@pytest.mark.parametrize("rate", [16000, 24000])
@pytest.mark.parametrize("encoding", Encoding)
def test_floats_that_are_no_numbers_do_no_harm(encoding: Encoding, rate: int) -> None:
    """Not-a-number is silence and infinities are clipped, and neither spoils what follows."""
    nan, inf = math.nan, math.inf
    source = AudioFormat(Encoding.FLOAT32, 16000, 2)
    bad = floats(nan, nan, *[0.0] * 6000, inf, inf, -inf, -inf, inf, -inf, *[0.0] * 6000)
    good = floats(0.0, 0.0, *[0.0] * 6000, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0, *[0.0] * 6000)
    target = AudioFormat(encoding, rate, 1)
    assert convert(bad, source, target) == convert(good, source, target)


def test_equal_formats_pass_through() -> None:
    """Between equal formats the very same object comes back."""
    data = sine(MONO16, 320)
    assert Converter(MONO16, pcm16(16000)).feed(data) is data
    assert convert(data, MONO16, pcm16(16000)) is data


def test_equal_formats_still_wait_for_whole_samples() -> None:
    """Between equal formats, too, only whole samples are given out."""
    converter = Converter(MONO16, MONO16)
    assert converter.feed(b"abc") == b"ab"
    assert converter.feed(b"d") == b"cd"
    assert converter.flush() == b""


def test_a_stream_that_ends_inside_a_sample_is_refused() -> None:
    """An odd byte at the end is refused with its size, and the sound before it is not lost."""
    converter = Converter(MONO16, pcm16(24000))
    sound = sine(MONO16, 320)
    ready = converter.feed(sound + b"x")
    with pytest.raises(WrongFormat, match="ends 1 bytes into a sample of 2"):
        converter.flush()
    assert ready + converter.flush() == convert(sound, MONO16, pcm16(24000))


@pytest.mark.parametrize(
    ("source", "data"),
    [
        (MONO16, b"abc"),
        (shaped(Encoding.PCM16, 2), b"abcdef"),
        (shaped(Encoding.FLOAT32), b"abcde"),
        (shaped(Encoding.MULAW, 2), b"a"),
    ],
)
def test_part_of_a_sample_is_refused_at_once(source: AudioFormat, data: bytes) -> None:
    """A whole piece of sound that ends inside a sample of all channels is refused."""
    with pytest.raises(WrongFormat, match="not a whole number"):
        convert(data, source, pcm16(24000))
    with pytest.raises(WrongFormat, match="not a whole number"):
        convert(data, source, source)


def test_clear_begins_another_stream() -> None:
    """After clear neither an odd byte nor earlier sound is left."""
    source = AudioFormat(Encoding.FLOAT32, 16000, 2)
    converter = Converter(source, pcm16(24000))
    converter.feed(sine(source, 1000) + b"xyz")
    converter.clear()
    assert converter.delay_samples == 0
    silence = bytes(8 * 1000)
    assert converter.feed(silence) + converter.flush() == bytes(2 * 1500)
