"""An hour of sound through every pair of rates, in pieces of any size."""

import random
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from beluga_voice.audio.convert import Converter, convert
from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.audio.wav import read_wav
from beluga_voice.audio.wav_stream import WavDecoder, WavEncoder

RATES = (8000, 16000, 24000, 48000)
HOUR = 3600
ENCODINGS = (Encoding.PCM16, Encoding.MULAW, Encoding.PCM32, Encoding.FLOAT32, Encoding.ALAW)
PAIRS = list(product(RATES, RATES))
CHANNELS = ((1, 1), (2, 1), (1, 2), (2, 2))


def formats(at: int) -> tuple[AudioFormat, AudioFormat]:
    """For each pair of rates another pair of encodings and of channels."""
    rates, channels = PAIRS[at], CHANNELS[at % 3]
    encodings = ENCODINGS[at % 5], ENCODINGS[(at // 5 + 2 * at) % 5]
    source, target = zip(encodings, rates, channels, strict=True)
    return AudioFormat(*source), AudioFormat(*target)


def a_second(shape: AudioFormat) -> bytes:
    """A tone of 440 Hz at half scale, the same in all channels: a whole number of waves."""
    tone = np.sin(np.arange(shape.rate) * (2 * np.pi * 440 / shape.rate)) * 0.5
    wide = np.repeat(tone[:, None], shape.channels, axis=1).astype("<f4").tobytes()
    return convert(wide, AudioFormat(Encoding.FLOAT32, shape.rate, shape.channels), shape)


def levels(data: bytes, shape: AudioFormat) -> NDArray[np.float32]:
    """Samples of the first channel, full scale being 1."""
    wide = convert(data, shape, AudioFormat(Encoding.FLOAT32, shape.rate, shape.channels))
    return np.frombuffer(wide, "<f4")[:: shape.channels]


@pytest.mark.parametrize("at", range(len(PAIRS)), ids=["-".join(map(str, pair)) for pair in PAIRS])
def test_an_hour_has_its_exact_length_and_no_click(at: int) -> None:
    """Every second of an hour, fed in random pieces, is the same tone to the bit, to the end."""
    source, target = formats(at)
    second = a_second(source)
    expected = convert(3 * second, source, target)
    size = target.rate * target.block_bytes
    steady = expected[size : 2 * size]
    # The tone is the one that the target would have had, within what the encodings lose.
    is_lossy = {source.encoding, target.encoding} & {Encoding.MULAW, Encoding.ALAW}
    ideal = levels(a_second(target), target)
    assert np.abs(levels(steady, target) - ideal).max() < (0.04 if is_lossy else 0.0002)

    sizes = random.Random(at)
    line = second * 9
    converter = Converter(source, target)
    fed, given = 0, bytearray()
    seconds = 0
    total = HOUR * len(second)
    while fed < total:
        begin = fed % len(second)
        count = min(total - fed, sizes.randrange(1, 8 * len(second)))
        given += converter.feed(line[begin : begin + count])
        fed += count
        while len(given) >= 2 * size:
            if seconds:
                assert given[:size] == steady, f"second {seconds}"
            del given[:size]
            seconds += 1
    given += converter.flush()
    assert seconds * size + len(given) == HOUR * size
    assert bytes(given) == expected[-len(given) :]


@pytest.mark.parametrize("rates", PAIRS, ids=["-".join(map(str, pair)) for pair in PAIRS])
@pytest.mark.parametrize("milliseconds", [10, 20, 60])
def test_frames_leave_no_mark_in_noise(rates: tuple[int, int], milliseconds: int) -> None:
    """Noise in frames of a line's length gives the very bytes of noise in one piece."""
    source = AudioFormat(Encoding.PCM16, rates[0], 2)
    target = AudioFormat(Encoding.PCM16, rates[1], 1)
    noise = np.random.default_rng(3).integers(-32768, 32768, 2 * rates[0]).astype("<i2").tobytes()
    step = rates[0] * milliseconds // 1000 * source.block_bytes
    converter = Converter(source, target)
    parts = [converter.feed(noise[at : at + step]) for at in range(0, len(noise), step)]
    assert b"".join((*parts, converter.flush())) == convert(noise, source, target)


def test_wav_to_wav_in_pieces_is_wav_to_wav_at_once() -> None:
    """A WAV of mu-law at 8 kHz becomes one of stereo floats at 24 kHz while it arrives."""
    source = AudioFormat(Encoding.MULAW, 8000, 1)
    target = AudioFormat(Encoding.FLOAT32, 24000, 2)
    sound = a_second(source)
    writer = WavEncoder(source)
    content = writer.feed(sound) + writer.flush()
    decoder, encoder = WavDecoder(), WavEncoder(target)
    converter = Converter(source, target)
    sizes = random.Random(5)
    made, at = b"", 0
    while at < len(content):
        count = sizes.randrange(1, 300)
        samples = decoder.feed(content[at : at + count])
        made += encoder.feed(converter.feed(samples))
        at += count
    decoder.flush()
    made += encoder.feed(converter.flush()) + encoder.flush()
    assert decoder.format == source
    whole = read_wav(made)
    assert whole.format == target
    assert whole.data == convert(sound, source, target)
