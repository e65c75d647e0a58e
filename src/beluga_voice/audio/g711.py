"""The telephone's two companding laws: mu-law (G.711 Annex PCMU) and A-law (PCMA).

One byte stands for one sample on a logarithmic scale: a sign, three bits of *segment*, four bits of
*step* within it. Each segment's steps are twice as wide as those of the segment before. Everything
here is bytes to bytes: one G.711 byte, two bytes of little-endian 16-bit PCM.

ITU-T G.711 (11/88) states mu-law for 14 bits and A-law for 13; in 16-bit PCM the values stand
shifted left, so the loudest are 32124 and 32256. Encoding uses the standard's decision values,
which are not always the nearest output: at the border of two segments the border decides. A sample
that lies exactly on a decision value is rounded as in ITU-T G.191's reference, whose magnitude of
a negative sample is its one's complement.

Mu-law has two zeros, 0xFF (positive) and 0x7F (negative), and both decode to 0. Zero encodes to
0xFF; 0x7F is what -1 to -4 encode to. So 0x7F is the only code that does not survive a
way through PCM: it comes back as 0xFF. A-law has no zero and keeps all 256.
"""

import numpy as np
from numpy.typing import NDArray

from beluga_voice.errors import WrongFormat

MULAW_SILENCE = b"\xff"
ALAW_SILENCE = b"\xd5"

_MULAW_BIAS = 33
_MULAW_LARGEST = 0x1FFF


def _mulaw_decode_table() -> NDArray[np.int16]:
    code: NDArray[np.int64] = ~np.arange(256) & 0xFF
    segment, step = code >> 4 & 7, code & 15
    magnitude = ((2 * step + _MULAW_BIAS) << segment) - _MULAW_BIAS
    signed: NDArray[np.int64] = np.where(code & 0x80, -4 * magnitude, 4 * magnitude)
    return signed.astype("<i2")


def _alaw_decode_table() -> NDArray[np.int16]:
    code: NDArray[np.int64] = np.arange(256) ^ 0x55
    segment, step = code >> 4 & 7, code & 15
    # The two lowest segments are one straight line; from the second on a leading one is implied.
    magnitude = (2 * step + 1 + np.where(segment, 32, 0)) << np.maximum(segment - 1, 0)
    signed: NDArray[np.int64] = np.where(code & 0x80, 8 * magnitude, -8 * magnitude)
    return signed.astype("<i2")


def _magnitudes() -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The magnitude and "is not negative" of each 16-bit pattern, ordered as unsigned."""
    sample = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int64)
    return np.where(sample < 0, ~sample, sample), sample >= 0


def _mulaw_encode_table() -> NDArray[np.uint8]:
    magnitude, is_positive = _magnitudes()
    biased = np.minimum((magnitude >> 2) + _MULAW_BIAS, _MULAW_LARGEST)
    segment = np.searchsorted(2 ** np.arange(6, 13), biased, side="right")
    code: NDArray[np.int64] = segment << 4 | (biased >> segment + 1) & 15
    signed: NDArray[np.int64] = ~(code | np.where(is_positive, 0, 0x80)) & 0xFF
    return signed.astype(np.uint8)


def _alaw_encode_table() -> NDArray[np.uint8]:
    magnitude, is_positive = _magnitudes()
    magnitude = magnitude >> 4
    segment = np.searchsorted(2 ** np.arange(4, 11), magnitude, side="right")
    code: NDArray[np.int64] = segment << 4 | (magnitude >> np.maximum(segment - 1, 0)) & 15
    signed: NDArray[np.int64] = (code | np.where(is_positive, 0x80, 0)) ^ 0x55
    return signed.astype(np.uint8)


_MULAW_DECODED = _mulaw_decode_table()
_ALAW_DECODED = _alaw_decode_table()
_MULAW_ENCODED = _mulaw_encode_table()
_ALAW_ENCODED = _alaw_encode_table()


def mulaw_decode(data: bytes) -> bytes:
    """16-bit PCM of mu-law bytes, twice as long."""
    return _MULAW_DECODED[np.frombuffer(data, np.uint8)].tobytes()


def mulaw_encode(pcm: bytes) -> bytes:
    """Mu-law bytes of 16-bit PCM; raises `WrongFormat` if it ends inside a sample."""
    return _MULAW_ENCODED[_patterns(pcm)].tobytes()


def alaw_decode(data: bytes) -> bytes:
    """16-bit PCM of A-law bytes, twice as long."""
    return _ALAW_DECODED[np.frombuffer(data, np.uint8)].tobytes()


def alaw_encode(pcm: bytes) -> bytes:
    """A-law bytes of 16-bit PCM; raises `WrongFormat` if it ends inside a sample."""
    return _ALAW_ENCODED[_patterns(pcm)].tobytes()


def _patterns(pcm: bytes) -> NDArray[np.uint16]:
    if len(pcm) % 2:
        raise WrongFormat(
            f"{len(pcm)} bytes end inside a 16-bit sample; pass whole samples", op="g711"
        )
    return np.frombuffer(pcm, "<u2")
