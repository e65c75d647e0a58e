"""WAV read while it arrives and written before its length is known."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.audio.wav import read_wav, write_wav
from beluga_voice.audio.wav_stream import WavDecoder, WavEncoder, wav_header
from beluga_voice.errors import WrongFormat


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def layout(codec: int, bits: int, *, channels: int = 1, rate: int = 8000) -> bytes:
    block = channels * bits // 8
    return struct.pack("<HHIIHH", codec, channels, rate, rate * block, block, bits)


def riff(*chunks: bytes) -> bytes:
    content = b"WAVE" + b"".join(chunks)
    return chunk(b"RIFF", content)


SAMPLES = bytes(range(96))
FILES = {
    "8 bits": riff(chunk(b"fmt ", layout(1, 8)), chunk(b"data", SAMPLES)),
    "16 bits": riff(chunk(b"fmt ", layout(1, 16)), chunk(b"data", SAMPLES)),
    "24 bits, stereo": riff(chunk(b"fmt ", layout(1, 24, channels=2)), chunk(b"data", SAMPLES)),
    "32 bits": riff(chunk(b"fmt ", layout(1, 32)), chunk(b"data", SAMPLES)),
    "mu-law": riff(chunk(b"fmt ", layout(7, 8)), chunk(b"data", SAMPLES)),
    "other chunks": riff(
        chunk(b"LIST", b"odd"),
        chunk(b"fmt ", layout(1, 16)),
        chunk(b"junk", bytes(301)),
        chunk(b"data", SAMPLES),
        chunk(b"LIST", b"not sound"),
    ),
    "no size": b"RIFF\xff\xff\xff\xffWAVE"
    + chunk(b"fmt ", layout(1, 16))
    + b"data\xff\xff\xff\xff"
    + SAMPLES,
    "size 0": b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", layout(1, 16)) + b"data\0\0\0\0" + SAMPLES,
    "no sound": riff(chunk(b"fmt ", layout(1, 16)), chunk(b"data", b""), chunk(b"LIST", SAMPLES)),
    "cut short": riff(chunk(b"fmt ", layout(1, 16)), chunk(b"data", bytes(200)))[:-61],
}


@pytest.mark.parametrize("name", FILES)
@given(sizes=st.lists(st.integers(1, 60), min_size=1))
def test_pieces_give_what_the_whole_file_gives(name: str, sizes: list[int]) -> None:
    """Cut anywhere, inside the header or a sample, a file gives what `read_wav` does."""
    content, whole = FILES[name], read_wav(FILES[name])
    decoder = WavDecoder()
    heard, at = b"", 0
    while at < len(content):
        size = sizes[at % len(sizes)]
        heard += decoder.feed(content[at : at + size])
        at += size
    decoder.flush()
    assert decoder.format == whole.format
    assert heard == whole.data


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"<html>not found</html>", "not a WAV"),
        (b"RIFX" + bytes(40), "not a WAV"),
        (b"RIFF\0\0\0\0AVI " + bytes(40), "not a WAV"),
        (riff(chunk(b"fmt ", layout(0x55, 16)), chunk(b"data", SAMPLES)), "MP3"),
        (riff(chunk(b"fmt ", layout(1, 16, channels=0)), chunk(b"data", SAMPLES)), "channels"),
        (riff(chunk(b"fmt ", layout(1, 16, rate=1)), chunk(b"data", SAMPLES)), "rate of 1 Hz"),
        (riff(chunk(b"data", SAMPLES), chunk(b"fmt ", layout(1, 16))), "before its fmt"),
        (riff(chunk(b"fmt ", bytes(5000))), "5000 bytes"),
    ],
)
def test_what_cannot_be_read_is_refused_as_soon_as_it_is_seen(content: bytes, problem: str) -> None:
    """Other things than WAV, and WAV that cannot be read, raise while they arrive."""
    decoder = WavDecoder()
    with pytest.raises(WrongFormat, match=problem):
        for at in range(0, len(content), 7):
            decoder.feed(content[at : at + 7])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"RIF", "inside its header"),
        (FILES["16 bits"][:20], "inside its header"),
        (riff(chunk(b"fmt ", layout(1, 16))), "inside its header"),
    ],
)
def test_a_stream_that_ends_before_its_sound_is_refused(content: bytes, problem: str) -> None:
    """The end of a stream that never came to its samples raises."""
    decoder = WavDecoder()
    assert decoder.feed(content) == b""
    with pytest.raises(WrongFormat, match=problem):
        decoder.flush()


def test_a_decoder_holds_no_more_than_a_sample() -> None:
    """What follows the sound is dropped as it comes, and an hour of it is not kept."""
    decoder = WavDecoder()
    decoder.feed(FILES["other chunks"])
    for _ in range(100):
        assert decoder.feed(bytes(10000)) == b""
    assert len(decoder._held) == 0  # pyright: ignore[reportPrivateUsage]  (a leak shows nowhere else)


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("is_known", [True, False])
def test_what_is_written_can_be_read(encoding: Encoding, channels: int, *, is_known: bool) -> None:
    """In every encoding, with and without a stated length, the samples come back."""
    shape = AudioFormat(encoding, 11025, channels)
    data = bytes(shape.block_bytes * 7)
    encoder = WavEncoder(shape, samples=7 if is_known else None)
    half = shape.block_bytes * 3
    content = encoder.feed(data[:half]) + encoder.feed(data[half:]) + encoder.flush()
    whole = read_wav(content)
    assert whole.format == shape
    assert whole.data == data
    assert is_known == (len(content) == 8 + int.from_bytes(content[4:8], "little"))


def test_pcm_with_a_length_is_what_write_wav_makes() -> None:
    """Our two writers agree to the byte."""
    encoder = WavEncoder(AudioFormat(Encoding.PCM16, 16000, 2), samples=2)
    assert encoder.feed(bytes(8)) + encoder.flush() == write_wav(None, bytes(8), 16000, 2)


def test_an_empty_stream_is_a_header() -> None:
    """Without samples the file holds none, and can be read."""
    encoder = WavEncoder(AudioFormat(), samples=0)
    assert read_wav(encoder.flush()).data == b""


def test_half_a_sample_and_too_much_are_refused() -> None:
    """A piece that ends inside a sample, and a length that WAV cannot state, raise."""
    with pytest.raises(WrongFormat, match="not a whole number"):
        WavEncoder(AudioFormat()).feed(b"abc")
    with pytest.raises(WrongFormat, match="4 GiB"):
        wav_header(AudioFormat(), 2**31)
