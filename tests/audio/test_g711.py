"""G.711 against the tables of the standard.

The standard's tables are rebuilt here from its decision values, column 3 of ITU-T G.711 (11/88)
tables 1a and 2a, and not from the formula the package uses.
"""

import struct
from bisect import bisect_right
from collections.abc import Callable
from itertools import pairwise

import pytest

from beluga_voice.audio import g711
from beluga_voice.errors import WrongFormat

ALL_CODES = bytes(range(256))


def mulaw_decisions() -> list[int]:
    """Table 2a: x1 = 1, steps of 2 up to 31, then 16 steps of 4 up to 95, and so on to 8159."""
    values = [0, *range(1, 31, 2)]
    at = 31
    for segment in range(1, 8):
        step = 2 ** (segment + 1)
        values += range(at, at + 16 * step, step)
        at += 16 * step
    assert at == 8159
    return [*values, at]


def alaw_decisions() -> list[int]:
    """Table 1a: 32 steps of 2 up to 64, then 16 steps of 4 up to 128, and so on to 4096."""
    values = [*range(0, 64, 2)]
    at = 64
    for segment in range(2, 8):
        step = 2**segment
        values += range(at, at + 16 * step, step)
        at += 16 * step
    assert at == 4096
    return [*values, at]


def pcm(*samples: int) -> bytes:
    """Little-endian 16-bit PCM."""
    return struct.pack(f"<{len(samples)}h", *samples)


def samples(data: bytes) -> tuple[int, ...]:
    """The samples of little-endian 16-bit PCM."""
    return struct.unpack(f"<{len(data) // 2}h", data)


def test_mulaw_decodes_by_the_table() -> None:
    """Each of the 256 codes is the middle of its two decision values, as table 2 says."""
    edges = mulaw_decisions()
    # The first interval, 0 to 1, is half of a step around zero: its output is 0.
    outputs = [(a + b) // 2 for a, b in pairwise(edges)]
    assert len(outputs) == 128
    decoded = samples(g711.mulaw_decode(ALL_CODES))
    for number, output in enumerate(outputs):
        assert decoded[0xFF - number] == 4 * output
        assert decoded[0x7F - number] == -4 * output


def test_alaw_decodes_by_the_table() -> None:
    """Each of the 256 codes, even bits inverted, is the middle of its two decision values."""
    edges = alaw_decisions()
    outputs = [(a + b) // 2 for a, b in pairwise(edges)]
    assert len(outputs) == 128
    decoded = samples(g711.alaw_decode(ALL_CODES))
    for number, output in enumerate(outputs):
        assert decoded[(0x80 | number) ^ 0x55] == 8 * output
        assert decoded[number ^ 0x55] == -8 * output


@pytest.mark.parametrize(
    ("decode", "vectors"),
    [
        (
            g711.mulaw_decode,
            {0x00: -32124, 0x0F: -16764, 0x7E: -8, 0x7F: 0, 0x80: 32124, 0xFE: 8, 0xFF: 0},
        ),
        (
            g711.alaw_decode,
            {0x00: -5504, 0x2A: -32256, 0x55: -8, 0x80: 5504, 0xAA: 32256, 0xD5: 8, 0xD4: 24},
        ),
    ],
)
def test_known_codes_decode(decode: Callable[[bytes], bytes], vectors: dict[int, int]) -> None:
    """Codes that everyone in telephony knows have their well-known values."""
    assert {code: samples(decode(bytes([code])))[0] for code in vectors} == vectors


def test_mulaw_encodes_every_sample_by_the_decision_values() -> None:
    """All 65536 samples get the code whose interval holds them; above the last, the last."""
    edges = mulaw_decisions()
    everything = range(-32768, 32768)
    encoded = g711.mulaw_encode(pcm(*everything))
    for sample, code in zip(everything, encoded, strict=True):
        magnitude = (sample if sample >= 0 else ~sample) // 4
        number = min(bisect_right(edges, magnitude) - 1, 127)
        assert code == (0xFF if sample >= 0 else 0x7F) - number


def test_alaw_encodes_every_sample_by_the_decision_values() -> None:
    """All 65536 samples get the code whose interval holds them."""
    edges = alaw_decisions()
    everything = range(-32768, 32768)
    encoded = g711.alaw_encode(pcm(*everything))
    for sample, code in zip(everything, encoded, strict=True):
        magnitude = (sample if sample >= 0 else ~sample) // 8
        number = bisect_right(edges, magnitude) - 1
        assert code == (number | (0x80 if sample >= 0 else 0)) ^ 0x55


def test_mulaw_codes_survive_pcm_but_for_the_negative_zero() -> None:
    """Decoding and encoding keeps each code; 0x7F, the negative zero, becomes 0xFF."""
    back = g711.mulaw_encode(g711.mulaw_decode(ALL_CODES))
    assert back == ALL_CODES.replace(b"\x7f", b"\xff")


def test_alaw_codes_survive_pcm() -> None:
    """Decoding and encoding keeps each of the 256 codes."""
    assert g711.alaw_encode(g711.alaw_decode(ALL_CODES)) == ALL_CODES


def test_silence_is_the_quietest_code() -> None:
    """The codes named as silence are what a zero sample encodes to."""
    assert g711.mulaw_encode(pcm(0)) == g711.MULAW_SILENCE
    assert g711.alaw_encode(pcm(0)) == g711.ALAW_SILENCE


@pytest.mark.parametrize("encode", [g711.mulaw_encode, g711.alaw_encode])
def test_half_a_sample_is_refused(encode: Callable[[bytes], bytes]) -> None:
    """PCM of an odd number of bytes is refused, and none at all is fine."""
    with pytest.raises(WrongFormat, match="3 bytes end inside a 16-bit sample"):
        encode(b"abc")
    assert encode(b"") == b""
