"""WAV files."""

import io
import struct
import wave
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.audio.wav import Sound, WavWriter, read_wav, write_wav
from beluga_voice.errors import AlreadyClosed, WrongFormat

PCM, FLOAT, ALAW, MULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    """A RIFF chunk, padded to an even length, with a true size or the one given."""
    length = len(content) if size is None else size
    return name + struct.pack("<I", length) + content + b"\0" * (len(content) % 2)


def fmt(
    codec: int, bits: int, *, rate: int = 16000, channels: int = 1, extra: bytes = b""
) -> bytes:
    """A "fmt " chunk."""
    block = channels * ((bits + 7) // 8)
    fields = struct.pack("<HHIIHH", codec, channels, rate, rate * block, block, bits)
    return chunk(b"fmt ", fields + extra)


def extensible(codec: int, bits: int, *, tail: bytes = GUID_TAIL, channels: int = 1) -> bytes:
    """A "fmt " chunk of WAVE_FORMAT_EXTENSIBLE."""
    extra = struct.pack("<HHIH", 22, bits, 0, codec) + tail
    return fmt(EXTENSIBLE, bits, channels=channels, extra=extra)


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    """A WAV file of these chunks."""
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def ints(*samples: int) -> bytes:
    """Little-endian 16-bit PCM."""
    return struct.pack(f"<{len(samples)}h", *samples)


@pytest.mark.parametrize(
    ("layout", "stored", "encoding", "data"),
    [
        (fmt(PCM, 8), b"\x80\x00\xff\x81", Encoding.PCM16, ints(0, -32768, 32512, 256)),
        (fmt(PCM, 16), ints(1, -2), Encoding.PCM16, ints(1, -2)),
        (
            fmt(PCM, 24),
            b"\x01\x00\x00\x00\x00\x80\xff\xff\x7f",
            Encoding.PCM32,
            struct.pack("<3i", 256, -(2**31), 0x7FFFFF00),
        ),
        (
            fmt(PCM, 32),
            struct.pack("<2i", 7, -(2**31)),
            Encoding.PCM32,
            struct.pack("<2i", 7, -(2**31)),
        ),
        (
            fmt(FLOAT, 32),
            struct.pack("<2f", 0.5, -1.0),
            Encoding.FLOAT32,
            struct.pack("<2f", 0.5, -1),
        ),
        (
            fmt(FLOAT, 64),
            struct.pack("<2d", 0.5, 1e300),
            Encoding.FLOAT32,
            struct.pack("<2f", 0.5, float("inf")),
        ),
        (fmt(MULAW, 8), b"\xff\x00\x80", Encoding.MULAW, b"\xff\x00\x80"),
        (fmt(ALAW, 8, extra=b"\0\0"), b"\xd5\x2a", Encoding.ALAW, b"\xd5\x2a"),
        (fmt(PCM, 12), ints(16, -32), Encoding.PCM16, ints(16, -32)),
        (extensible(PCM, 24), b"\x01\x02\x03", Encoding.PCM32, b"\x00\x01\x02\x03"),
        (
            extensible(FLOAT, 32),
            struct.pack("<f", 0.25),
            Encoding.FLOAT32,
            struct.pack("<f", 0.25),
        ),
        (extensible(MULAW, 8), b"\x12", Encoding.MULAW, b"\x12"),
    ],
)
def test_every_codec_is_read(layout: bytes, stored: bytes, encoding: Encoding, data: bytes) -> None:
    """Each codec and width is kept as it is, or in our next wider encoding."""
    sound = read_wav(riff(layout, chunk(b"data", stored)))
    assert sound == Sound(format=AudioFormat(encoding, 16000, 1), data=data)


def test_a_file_of_the_standard_library_is_read() -> None:
    """A stereo file made by the standard library's writer is read as it was written."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(44100)
        writer.writeframes(ints(1, 2, 3, 4))
    sound = read_wav(buffer.getvalue())
    assert sound == Sound(format=AudioFormat(Encoding.PCM16, 44100, 2), data=ints(1, 2, 3, 4))


def test_stereo_float_becomes_a_sessions_sound() -> None:
    """A 44.1 kHz stereo float file is 16 kHz mono PCM in one call, of the same length."""
    stored = struct.pack("<2f", 0.5, -0.25) * 44100
    sound = read_wav(riff(fmt(FLOAT, 32, rate=44100, channels=2), chunk(b"data", stored)))
    pcm = sound.to_pcm16(16000)
    assert sound.duration_ms == 1000
    assert len(pcm) == 2 * 16000
    assert pcm[16000:16020] == ints(*[4096] * 10)


def test_a_telephone_recording_becomes_a_sessions_sound() -> None:
    """An 8 kHz mu-law file, the telephone's, is 16 kHz PCM in one call."""
    codes = bytes(range(256)) * 10
    sound = read_wav(riff(fmt(MULAW, 8, rate=8000), chunk(b"data", codes)))
    line = AudioFormat(Encoding.MULAW, 8000, 1)
    assert sound.to_pcm16(16000) == convert(codes, line, pcm16(16000))
    assert sound.duration_ms == 320


def test_other_chunks_are_passed_over() -> None:
    """Chunks before, between and after are skipped, odd ones with their padding byte."""
    content = riff(
        chunk(b"LIST", b"INFOodd"),
        chunk(b"bext", b""),
        fmt(PCM, 16),
        chunk(b"fact", b"\1\0\0\0"),
        chunk(b"LIST", b"x"),
        chunk(b"data", ints(5, 6)),
        chunk(b"LIST", b"after"),
    )
    assert read_wav(content).data == ints(5, 6)


def test_an_odd_data_chunk_ends_before_its_padding() -> None:
    """The padding byte of an odd data chunk is no sample."""
    content = riff(fmt(MULAW, 8), chunk(b"data", b"abc"), chunk(b"LIST", b"after!"))
    assert read_wav(content).data == b"abc"


@pytest.mark.parametrize(
    ("riff_size", "data_size"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0, 0),
        (0xFFFFFFFF, 0),
        (36, 0),
        (0x7FFFFFFF, 0x7FFFFFDB),
        (None, 0xFFFFFFFF),
    ],
)
def test_a_streaming_writers_blank_sizes_mean_all_that_follows(
    riff_size: int | None, data_size: int
) -> None:
    """A file written to a pipe, whose sizes were never filled in, is read to its end."""
    content = riff(fmt(PCM, 16), chunk(b"data", ints(1, 2, 3), data_size), size=riff_size)
    assert read_wav(content).data == ints(1, 2, 3)


def test_an_empty_data_chunk_that_others_follow_is_empty() -> None:
    """Size 0 is believed where the container goes on: what follows is not taken for sound."""
    sound = read_wav(riff(fmt(PCM, 16), chunk(b"data", b""), chunk(b"LIST", b"INFO")))
    assert sound.data == b""
    assert sound.duration_ms == 0
    assert sound.to_pcm16(8000) == b""


@settings(deadline=None, derandomize=True, max_examples=200)
@given(cut=st.integers(0, 200), channels=st.integers(1, 8), bits=st.sampled_from([8, 16, 24, 32]))
def test_a_file_cut_short_gives_what_is_there(cut: int, channels: int, bits: int) -> None:
    """Cut anywhere, a file gives a whole number of samples, or is refused by name."""
    stored = bytes(range(96))[: 96 - 96 % (channels * bits // 8)]
    whole = riff(fmt(PCM, bits, channels=channels), chunk(b"data", stored))
    content = whole[:cut]
    if cut < 44:
        with pytest.raises(WrongFormat):
            read_wav(content)
    else:
        sound = read_wav(content)
        present = min(cut - 44, len(stored)) // (channels * bits // 8)
        assert sound.format.samples(sound.data) == present


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.lists(st.tuples(st.sampled_from([b"fmt ", b"data", b"LIST"]), st.binary(max_size=60))))
def test_nonsense_is_read_or_refused(chunks: list[tuple[bytes, bytes]]) -> None:
    """Whatever the chunks hold, the answer is whole samples or `WrongFormat`."""
    with suppress(WrongFormat):
        sound = read_wav(riff(*(chunk(name, content) for name, content in chunks)))
        assert len(sound.data) % sound.format.block_bytes == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "this is empty; give a WAV file"),
        (b"ID3\x04 an MP3 file", r"not a WAV file, it begins with b'ID3\\x04 an MP3"),
        (b"RIFF\0\0\0\0AVI LIST", "not a WAV file"),
        (b"RIFF", "not a WAV file"),
        (riff(fmt(PCM, 16)), "without a data chunk"),
        (riff(chunk(b"data", b"ab")), "without a usable fmt chunk"),
        (riff(chunk(b"fmt ", b"short"), chunk(b"data", b"ab")), "without a usable fmt chunk"),
        (riff(fmt(2, 4), chunk(b"data", b"ab")), "Microsoft ADPCM .* not supported; convert it"),
        (riff(fmt(0x55, 0), chunk(b"data", b"ab")), "of MP3 .* not supported"),
        (riff(fmt(0x1234, 16), chunk(b"data", b"ab")), "codec 0x1234 in samples of 16 bits"),
        (riff(fmt(PCM, 64), chunk(b"data", b"ab")), "PCM in samples of 64 bits is not supported"),
        (riff(fmt(FLOAT, 16), chunk(b"data", b"ab")), "float in samples of 16 bits"),
        (riff(extensible(PCM, 16, tail=b"\0" * 14), chunk(b"data", b"ab")), "unknown sub-format"),
        (riff(fmt(EXTENSIBLE, 16), chunk(b"data", b"ab")), "unknown sub-format"),
        (riff(fmt(PCM, 16, rate=1), chunk(b"data", b"ab")), "1 Hz is outside 4000 to 192000"),
        (riff(fmt(PCM, 16, channels=9), chunk(b"data", b"ab")), "9 channels are outside 1 to 8"),
        (riff(fmt(PCM, 16, channels=0), chunk(b"data", b"ab")), "0 channels are outside 1 to 8"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(content: bytes, message: str) -> None:
    """Every refusal says what was seen."""
    with pytest.raises(WrongFormat, match=message):
        read_wav(content)


def test_a_refusal_names_the_file(tmp_path: Path) -> None:
    """For a path the message says which file it was."""
    path = tmp_path / "greeting.wav"
    path.touch()
    with pytest.raises(WrongFormat, match=r"greeting\.wav is empty"):
        read_wav(path)


@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_written_is_read(tmp_path: Path, channels: int) -> None:
    """A written file is what is returned, and both we and the standard library read it."""
    path = tmp_path / "sound.wav"
    pcm = ints(1, -2, 3, -4)
    content = write_wav(path, pcm, 24000, channels)
    assert path.read_bytes() == content == write_wav(None, pcm, 24000, channels)
    shape = AudioFormat(Encoding.PCM16, 24000, channels)
    assert read_wav(path) == read_wav(content) == Sound(format=shape, data=pcm)
    with wave.open(str(path)) as reader:
        assert reader.getparams()[:4] == (channels, 2, 24000, 4 // channels)
        assert reader.readframes(9) == pcm


def test_writing_half_a_sample_is_refused(tmp_path: Path) -> None:
    """Odd-byte PCM is refused before a file exists."""
    path = tmp_path / "sound.wav"
    with pytest.raises(WrongFormat, match="3 bytes are not a whole number"):
        write_wav(path, b"abc", 16000)
    assert not path.exists()


def test_streaming_writes_make_the_same_file(tmp_path: Path) -> None:
    """A file written piece by piece is byte for byte the one written at once."""
    path = tmp_path / "call.wav"
    with WavWriter(path, 8000, 2) as writer:
        writer.write(ints(1, 2))
        writer.write(b"")
        writer.write(ints(3, 4, 5, 6))
        assert writer.samples == 3
    assert path.read_bytes() == write_wav(None, ints(1, 2, 3, 4, 5, 6), 8000, 2)


def test_a_recording_is_readable_before_its_end(tmp_path: Path) -> None:
    """What reached the disk before a crash, header unfinished, is read as sound."""
    path = tmp_path / "call.wav"
    with WavWriter(path, 16000) as writer:
        writer.write(ints(7) * 100_000)
        unfinished = path.read_bytes()
    assert len(unfinished) > 44
    sound = read_wav(unfinished)
    assert sound.format == pcm16(16000)
    assert sound.data == ints(7) * (len(sound.data) // 2) != b""


def test_an_error_still_finishes_the_file(tmp_path: Path) -> None:
    """When the block is left by an error the header is filled in all the same."""
    path = tmp_path / "call.wav"

    def record() -> None:
        with WavWriter(path, 16000) as writer:
            writer.write(ints(1, 2))
            writer.write(b"abc")

    with pytest.raises(WrongFormat, match="3 bytes are not a whole number"):
        record()
    assert path.read_bytes() == write_wav(None, ints(1, 2), 16000)


def test_a_closed_writer_takes_no_more(tmp_path: Path) -> None:
    """Writing after close is refused, and closing twice does nothing."""
    path = tmp_path / "call.wav"
    writer = WavWriter(path, 16000)
    writer.close()
    writer.close()
    with pytest.raises(AlreadyClosed):
        writer.write(ints(1))
    assert path.read_bytes() == write_wav(None, b"", 16000)


def test_a_writer_of_an_impossible_format_leaves_no_file(tmp_path: Path) -> None:
    """A rate or channels that no sound has are refused before a file exists."""
    with pytest.raises(WrongFormat):
        WavWriter(tmp_path / "call.wav", 16000, 0)
    assert not (tmp_path / "call.wav").exists()
