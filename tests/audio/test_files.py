"""Sound files: WAV, MP3, FLAC, and OGG with Opus or Vorbis."""

import io
import random
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from beluga_voice.audio.file_kind import FileKind, kind_of
from beluga_voice.audio.files import (
    FileReader,
    FileWriter,
    read_sound,
    write_sound,
)
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.audio.wav import Sound, read_wav, write_wav
from beluga_voice.errors import AlreadyClosed, MissingExtra, Misuse, WrongFormat

RATES = (8000, 16000, 24000, 48000)
LOSSY = (FileKind.MP3, FileKind.OPUS, FileKind.VORBIS)


def speechlike(rate: int, samples: int, channels: int = 1) -> NDArray[np.int16]:
    """Noise below 1 kHz that comes and goes, another in each channel."""
    rng = np.random.default_rng(rate)
    width = rate // 1000
    smooth = np.ones(width) / width
    loud = np.sin(np.arange(samples) * (2 * np.pi * 3 / rate))
    noise = [np.convolve(rng.normal(0, 1, samples), smooth, "same") for _ in range(channels)]
    made = np.stack(noise, axis=1) * loud[:, None]
    return (made / np.abs(made).max() * 20000).astype("<i2")


def sound(rate: int = 16000, samples: int = 16077, channels: int = 1) -> Sound:
    shape = AudioFormat(Encoding.PCM16, rate, channels)
    return Sound(format=shape, data=speechlike(rate, samples, channels).tobytes())


@pytest.fixture(scope="module")
def files() -> dict[FileKind, bytes]:
    """The same second of sound in every kind of file."""
    return {kind: write_sound(sound(), kind) for kind in FileKind}


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("kind", FileKind)
def test_sound_comes_back_in_its_length_and_place(kind: FileKind, rate: int, channels: int) -> None:
    """Each kind keeps rate, channels and number of samples; nothing moves by over a sample."""
    original = sound(rate, rate + 77, channels)
    back = read_sound(write_sound(original, kind), kind=kind)
    assert back.format == original.format
    assert len(back.data) == len(original.data)
    before, after = (
        np.frombuffer(each.data, "<i2").reshape(-1, channels).astype(float)
        for each in (original, back)
    )
    if kind not in LOSSY:
        assert back == original
        return
    for channel in range(channels):
        likeness = [
            np.corrcoef(before[2000:6000, channel], after[2000 + late : 6000 + late, channel])[0, 1]
            for late in range(-8, 9)
        ]
        # Opus has its own filters for each rate; they may round to the next sample.
        assert 7 <= int(np.argmax(likeness)) <= 9
        assert likeness[8] > 0.95


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("kind", FileKind)
def test_every_encoding_is_taken(kind: FileKind, encoding: Encoding) -> None:
    """Sound in any encoding becomes a file of any kind, of its own length."""
    shape = AudioFormat(encoding, 16000, 2)
    original = Sound(format=shape, data=bytes(shape.block_bytes * 1000))
    back = read_sound(write_sound(original, kind))
    assert back.format.samples(back.data) == 1000
    assert (back.format.rate, back.format.channels) == (16000, 2)
    if kind is FileKind.WAV:
        assert back == original


def test_flac_keeps_24_bits_of_wider_sound() -> None:
    """32-bit PCM comes back but for its last 8 bits, and 16-bit PCM entirely."""
    wide = np.array([0x12345678, -0x12345678, 2**31 - 1, -(2**31)], "<i4")
    shape = AudioFormat(Encoding.PCM32, 16000, 1)
    back = read_sound(write_sound(Sound(format=shape, data=wide.tobytes()), FileKind.FLAC))
    assert back.format == shape
    assert np.frombuffer(back.data, "<i4").tolist() == (wide & ~0xFF).tolist()


def test_too_loud_sound_is_clipped_and_never_wraps() -> None:
    """A square wave at full scale, which a coder overshoots, does not jump to the other side."""
    square = np.where(np.arange(16000) // 100 % 2, 32767, -32768).astype("<i2")
    original = Sound(format=pcm16(16000), data=square.tobytes())
    for kind in LOSSY:
        back = np.frombuffer(read_sound(write_sound(original, kind)).data, "<i2")
        middle = np.arange(16000) % 100 == 50
        assert np.all((back > 0)[middle][1:-1] == (square > 0)[middle][1:-1])


@pytest.mark.parametrize("kind", FileKind)
def test_content_decides_whatever_the_name_says(
    kind: FileKind, files: dict[FileKind, bytes], tmp_path: Path
) -> None:
    """A file with the name of another kind is read as what it is, unless a kind was stated."""
    path = tmp_path / "sound.mp3"
    path.write_bytes(files[kind])
    assert kind_of(files[kind]) is kind
    assert read_sound(path) == read_sound(files[kind])
    for other in set(FileKind) - {kind}:
        with pytest.raises(WrongFormat, match=f"said to be {other} and is {kind}"):
            read_sound(path, kind=other)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (bytes(5000), "no sound file"),
        (b"RIFF", "no sound file"),
        (b"RIFF\0\0\0\0WAVE", "inside its header"),
        (b'{"error": "not found"}', "JSON"),
        (b"<!doctype html>", "HTML"),
        (b"\0\0\0\x18ftypM4A " + bytes(100), "M4A"),
        (b"\x1aE\xdf\xa3" + bytes(100), "WebM"),
        (b"FORM\0\0\0\0AIFF", "AIFF"),
        (b"OggS" + bytes(100), "neither Opus nor Vorbis"),
        (b"\xff\xf1\x50\x80" + bytes(100), "AAC"),
        (b"\xff\xfb\x04\0" + bytes(100), "MP3 of a free bit rate"),
        (b"\xff\xfd\x90\0" + bytes(100), "MPEG audio of another layer"),
        (b".snd" + bytes(100), "AU"),
        (b"OggS" + bytes(24) + b"\x7fFLAC" + bytes(100), "an OGG file of FLAC"),
        (b"ID3" + bytes(3000), "MP3 stream is damaged"),
        (b"fLaC" + bytes(3000), "flac file is damaged"),
        (random.Random(1).randbytes(4000), "no sound file"),
    ],
)
def test_what_is_no_sound_is_refused_by_name(content: bytes, problem: str, tmp_path: Path) -> None:
    """Empty files, other files and random bytes raise, given as bytes or as a path."""
    path = tmp_path / "sound"
    path.write_bytes(content)
    for source in (content, path):
        with pytest.raises(WrongFormat, match=problem):
            read_sound(source)


@pytest.mark.parametrize("kind", FileKind)
def test_damage_anywhere_is_refused_or_survived(
    kind: FileKind, files: dict[FileKind, bytes]
) -> None:
    """Cut or changed anywhere, a file gives at most its samples in whole ones, or is refused."""
    content = files[kind]
    chance = random.Random(7)
    cuts = [content[:at] for at in (*range(64), *range(64, len(content), len(content) // 60))]
    changed: list[bytes] = []
    for _ in range(100):
        damaged = bytearray(content)
        for _ in range(chance.randrange(1, 9)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        changed.append(bytes(damaged))
    refused = 0
    for damaged in (*cuts, *changed):
        try:
            found = read_sound(damaged)
        except WrongFormat:
            refused += 1
        else:
            assert found.format.samples(found.data) <= 60 * 16077
    assert refused


@pytest.mark.parametrize("kind", FileKind)
def test_a_file_is_read_and_written_in_pieces(kind: FileKind, tmp_path: Path) -> None:
    """Written in pieces of any size and read in pieces, a file is what it is in one go."""
    original = sound(samples=50001, channels=2)
    path = tmp_path / "sound"
    sizes = random.Random(2)
    with FileWriter(path, kind, original.format) as writer:
        at = 0
        while at < len(original.data):
            size = 4 * sizes.randrange(0, 3000)
            writer.write(original.data[at : at + size])
            at += size
        assert writer.samples == 50001
    with FileReader(path) as reader:
        assert reader.kind is kind
        pieces = list(reader)
        assert reader.read() == b""
    assert len(pieces) > 1
    assert b"".join(pieces) == read_sound(path).data
    assert len(b"".join(pieces)) == len(original.data)
    if kind is FileKind.WAV:
        assert path.read_bytes() == write_wav(None, original.data, 16000, 2)
        assert read_wav(path) == original


@pytest.mark.parametrize("kind", [FileKind.WAV, FileKind.FLAC, FileKind.VORBIS])
def test_an_hour_is_read_without_holding_it(kind: FileKind, tmp_path: Path) -> None:
    """An hour, silent but for its ends, goes to a file and back with its exact length.

    The others have their hour in `test_file_stream`.
    """
    second = speechlike(8000, 8000).tobytes()
    path = tmp_path / "hour"
    with FileWriter(path, kind, pcm16(8000)) as writer:
        writer.write(second)
        for _ in range(3598):
            writer.write(bytes(16000))
        writer.write(second)
    size, last = 0, b""
    tracemalloc.start()
    with FileReader(path) as reader:
        for piece in reader:
            size += len(piece)
            last = piece
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 3600 * len(second)
    assert np.frombuffer(last, "<i2").std() > 1000
    assert most < 2_000_000


def test_more_than_was_allowed_is_refused(files: dict[FileKind, bytes]) -> None:
    """A file longer than asked for is refused before all of it is in memory."""
    for content in files.values():
        with pytest.raises(WrongFormat, match=r"longer than 0.5 s"):
            read_sound(content, longest_seconds=0.5)


def test_what_a_kind_cannot_hold_is_refused(tmp_path: Path) -> None:
    """Rates and channels that a kind does not have, and empty sound, raise and leave no file."""
    path = tmp_path / "sound"
    for kind, rate, channels, problem in (
        (FileKind.OPUS, 44100, 1, "convert to one of 8000, 12000"),
        (FileKind.MP3, 96000, 1, "convert to one of 8000, 11025"),
        (FileKind.MP3, 16000, 3, "convert to 2 or fewer"),
    ):
        with pytest.raises(WrongFormat, match=problem):
            FileWriter(path, kind, AudioFormat(Encoding.PCM16, rate, channels))
    for kind in set(FileKind) - {FileKind.WAV}:
        with pytest.raises(WrongFormat, match="one sample or more"):
            write_sound(Sound(format=pcm16(16000), data=b""), kind, path)
    with pytest.raises(Misuse, match="outside 0 to 1"):
        FileWriter(path, FileKind.MP3, pcm16(16000), quality=2)
    assert not path.exists()
    assert read_sound(write_sound(Sound(format=pcm16(8000), data=b""), FileKind.WAV)).data == b""


@pytest.mark.parametrize("kind", LOSSY)
def test_quality_costs_size(kind: FileKind) -> None:
    """The best quality makes a larger file than the smallest."""
    worst, best = (write_sound(sound(48000, 96000), kind, quality=q) for q in (0.0, 1.0))
    assert len(worst) < len(best)


def test_half_a_sample_is_refused_and_nothing_written() -> None:
    """A piece that ends inside a sample raises, and the file goes on."""
    for kind in FileKind:
        content = io.BytesIO()
        with FileWriter(content, kind, pcm16(16000)) as writer:
            writer.write(bytes(2000))
            with pytest.raises(WrongFormat, match="not a whole number"):
                writer.write(b"abc")
            writer.write(bytes(2000))
        assert len(read_sound(content.getvalue()).data) == 4000


def test_a_closed_file_is_closed(files: dict[FileKind, bytes]) -> None:
    """After `close`, which may come twice, reading and writing raise."""
    for kind, content in files.items():
        reader = FileReader(content)
        reader.close()
        reader.close()
        with pytest.raises(AlreadyClosed):
            reader.read()
        writer = FileWriter(io.BytesIO(), kind, pcm16(16000))
        writer.write(bytes(200))
        writer.close()
        writer.close()
        with pytest.raises(AlreadyClosed):
            writer.write(bytes(200))


def test_a_path_that_cannot_be_used_raises_what_the_system_says(tmp_path: Path) -> None:
    """A file that is not there, and a folder that is not, raise `OSError`."""
    with pytest.raises(FileNotFoundError):
        read_sound(tmp_path / "nothing.mp3")
    for kind in FileKind:
        with pytest.raises(FileNotFoundError):
            FileWriter(tmp_path / "nowhere" / "sound", kind, pcm16(16000))


def test_without_the_package_only_wav_can_be_used(
    monkeypatch: pytest.MonkeyPatch, files: dict[FileKind, bytes], tmp_path: Path
) -> None:
    """The other kinds raise the line that installs it, and leave no file behind."""
    monkeypatch.setitem(sys.modules, "soundfile", None)
    path = tmp_path / "sound"
    for kind in set(FileKind) - {FileKind.WAV}:
        with pytest.raises(MissingExtra, match=r"beluga-voice\[files\]"):
            read_sound(files[kind])
        with pytest.raises(MissingExtra, match=r"beluga-voice\[files\]"):
            FileWriter(path, kind, pcm16(16000))
    assert not path.exists()
    assert read_sound(write_sound(sound(), FileKind.WAV)) == sound()
