"""What a format is, and what silence is in it."""

import struct

import pytest

from beluga_voice.audio.formats import Encoding, is_digital_silence


@pytest.mark.parametrize(
    ("encoding", "silence", "sound"),
    [
        (Encoding.PCM16, bytes(4), b"\0\0\1\0"),
        (Encoding.PCM32, bytes(8), b"\0\0\0\0\1\0\0\0"),
        (Encoding.FLOAT32, bytes(8), struct.pack("<ff", 0, 1e-6)),
        (Encoding.MULAW, b"\xff\x7f\xff", b"\xff\xfe"),
        (Encoding.ALAW, b"\xd5\x55\xd5", b"\xd5\xd4"),
    ],
)
def test_digital_silence_is_what_the_encoding_has_for_nothing(
    encoding: Encoding, silence: bytes, sound: bytes
) -> None:
    """The least step away from it is sound; no bytes at all are silence."""
    assert is_digital_silence(silence, encoding)
    assert is_digital_silence(b"", encoding)
    assert not is_digital_silence(sound, encoding)
