"""Sound files that other programs wrote, read whole and while they arrive."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from audio.foreign_sound import chirp, samples_of
from beluga_voice.audio.convert import convert
from beluga_voice.audio.file_kind import FileKind
from beluga_voice.audio.file_stream import StreamDecoder
from beluga_voice.audio.files import FileReader, read_sound
from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.audio.wav import Sound, read_wav
from beluga_voice.errors import WrongFormat

FOLDER = Path(__file__).parent / "foreign"
MP3_LATE = 576 + 529
"""Samples by which a coder and a decoder of MP3 are late together, where a file does not say so."""

EXACT = {
    "lame-vbr-tags.mp3": (44100, 2),
    "lame-abr-checksum.mp3": (24000, 1),
    "lame-vbr-plain-stereo.mp3": (32000, 2),
    "ffmpeg-tags.mp3": (22050, 1),
    "opusenc-stereo.opus": (48000, 2),
    "opusenc-60ms.opus": (8000, 1),
    "opusenc-2.5ms.opus": (16000, 1),
    "ffmpeg-pipe.opus": (24000, 1),
    "oggenc.ogg": (44100, 2),
    "ffmpeg-vorbis.ogg": (16000, 1),
    "flac-stereo.flac": (44100, 2),
    "flac-24-bits.flac": (8000, 1),
    "flac-8-bits.flac": (8000, 1),
    "flac-pipe.flac": (16000, 1),
    "sox-24-bits-extensible.wav": (8000, 2),
    "sox-float.wav": (8000, 1),
    "sox-mu-law.wav": (8000, 1),
    "sox-a-law.wav": (8000, 1),
    "sox-8-bits.wav": (8000, 1),
    "ffmpeg-float64.wav": (8000, 1),
    "ffmpeg-bext.wav": (8000, 1),
    "ffmpeg-pipe.wav": (8000, 1),
    "ffmpeg-rf64.wav": (8000, 1),
    "ffmpeg-rf64-pipe.wav": (8000, 1),
}
"""Files that tell where their sound begins and ends: their rate and channels."""

LATE = {
    "lame-cbr.mp3": (16000, 1, 9 * 576),
    "lame-mpeg25.mp3": (8000, 1, 6 * 576),
    "lame-no-info.mp3": (48000, 2, 12 * 1152),
    "ffmpeg-no-xing.mp3": (11025, 1, 7 * 576),
}
"""MP3 that does not: all its frames are given, with what the coder put around the sound."""

ENCODINGS = {
    "flac-24-bits.flac": Encoding.PCM32,
    "sox-24-bits-extensible.wav": Encoding.PCM32,
    "sox-float.wav": Encoding.FLOAT32,
    "ffmpeg-float64.wav": Encoding.FLOAT32,
    "sox-mu-law.wav": Encoding.MULAW,
    "sox-a-law.wav": Encoding.ALAW,
}
"""How samples are kept, where that is not in 16 bits."""

WHOLE_ONLY = (FileKind.FLAC, FileKind.VORBIS)
REFUSED = {
    "opusenc-chained-channels.opus": "of 1 channels and then one of 2; give them one by one",
    "ffmpeg-vorbis-chained.ogg": "holds 2 streams, one after the other; give them one by one",
    "ffmpeg-adpcm.wav": "Microsoft ADPCM is not supported; convert it",
}
OTHERS = {"ffmpeg-shine.mp3", "opusenc-44100.opus", "opusenc-chained.opus"}
"""What has a test of its own."""


def floats(sound: Sound) -> NDArray[np.float32]:
    """Its samples in rows, from -1 to 1."""
    shape = AudioFormat(Encoding.FLOAT32, sound.format.rate, sound.format.channels)
    data = convert(sound.data, sound.format, shape)
    return np.frombuffer(data, "<f4").reshape(-1, shape.channels)


def late_by(got: NDArray[np.float32], expected: NDArray[np.float64]) -> tuple[int, float]:
    """Where in `got` the tone is: the lag that fits best, and the error that is left."""

    def error(lag: int) -> float:
        ours, theirs = got[max(lag, 0) :], expected[max(-lag, 0) :]
        common = min(len(ours), len(theirs))
        return float(np.sqrt(np.mean((ours[:common] - theirs[:common]) ** 2)))

    best = min(range(-40, len(got) - len(expected) // 2), key=error)
    return best, error(best)


def in_pieces(content: bytes, size: int) -> tuple[AudioFormat | None, bytes]:
    """The format and samples of a stream that arrives in pieces of that size."""
    decoder = StreamDecoder()
    pieces = [decoder.feed(content[at : at + size]) for at in range(0, len(content), size)]
    return decoder.format, b"".join([*pieces, decoder.finish()])


@pytest.mark.parametrize("name", EXACT)
def test_a_file_that_tells_its_length_has_it(name: str) -> None:
    """To the sample, in its place, as loud as it was: given as bytes and as a path."""
    rate, channels = EXACT[name]
    path = FOLDER / name
    sound = read_sound(path)
    encoding = ENCODINGS.get(name, Encoding.PCM16)
    assert sound.format == AudioFormat(encoding, rate, channels)
    assert read_sound(path.read_bytes()) == sound
    got = floats(sound)
    assert len(got) == samples_of(rate)
    lag, error = late_by(got, chirp(rate, channels))
    # The coders of Opus and Vorbis move sound by fractions of a sample.
    assert abs(lag) <= 1
    assert error < 0.07


@pytest.mark.parametrize("name", LATE)
def test_mp3_that_does_not_tell_its_length_is_given_whole(name: str) -> None:
    """Nobody can know then what the coder added: nothing of the sound is missing."""
    rate, channels, samples = LATE[name]
    got = floats(read_sound(FOLDER / name))
    assert len(got) == samples
    lag, error = late_by(got, chirp(rate, channels))
    assert abs(lag - MP3_LATE) <= 1
    assert error < 0.07


@pytest.mark.parametrize("size", [1, 777, 1 << 20])
@pytest.mark.parametrize("name", [*EXACT, *LATE, *sorted(OTHERS)])
def test_a_stream_of_it_gives_the_same(name: str, size: int) -> None:
    """Cut into bytes, into pieces, and not at all; what is read as a whole file only says so."""
    content = (FOLDER / name).read_bytes()
    with FileReader(content) as reader:
        kind = reader.kind
    if kind in WHOLE_ONLY:
        with pytest.raises(WrongFormat, match="collect it, and use read_sound"):
            in_pieces(content, size)
    else:
        sound = read_sound(content)
        assert in_pieces(content, size) == (sound.format, sound.data)


def test_a_length_that_is_stated_wrongly_is_believed() -> None:
    """FFmpeg states other delays of this coder than it has, and plays 11 ms of silence itself."""
    got = floats(read_sound(FOLDER / "ffmpeg-shine.mp3"))
    lag, error = late_by(got, chirp(48000, 1))
    assert (len(got), lag) == (12143, 528)
    assert error < 0.07


def test_opus_of_a_rate_that_it_does_not_have_is_given_at_48_khz() -> None:
    """What was 44.1 kHz before coding is as long as it was, in samples of 48 kHz."""
    sound = read_sound(FOLDER / "opusenc-44100.opus")
    assert sound.format.rate == 48000
    assert sound.format.samples(sound.data) == -(-samples_of(44100) * 48000 // 44100)


def test_streams_of_opus_that_follow_one_another_are_one_sound() -> None:
    """The second was of another rate: each is whole, in its place, at the rate of the first."""
    got = floats(read_sound(FOLDER / "opusenc-chained.opus"))
    first, second = samples_of(16000), samples_of(48000) // 3
    assert len(got) == 2 * first + second
    for begin, length in ((0, first), (first, second), (first + second, first)):
        lag, error = late_by(got[begin : begin + length], chirp(16000, 1))
        assert abs(lag) <= 1
        assert error < 0.07


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_whole_is_not_read_in_part(name: str) -> None:
    """The message says what it is, and what to do."""
    with pytest.raises(WrongFormat, match=REFUSED[name]):
        read_sound(FOLDER / name)


@pytest.mark.parametrize("size", range(0, 4128, 97))
def test_large_wav_that_was_cut_short_gives_what_is_there(size: int) -> None:
    """Cut anywhere in its 64-bit header or its sound, whole samples or a refusal by name."""
    content = (FOLDER / "ffmpeg-rf64.wav").read_bytes()
    whole = read_wav(content).data
    try:
        found = read_wav(content[:size]).data
    except WrongFormat:
        with pytest.raises(WrongFormat):
            in_pieces(content[:size], 50)
    else:
        assert whole.startswith(found)
        assert in_pieces(content[:size], 50)[1] == found


def test_large_wav_ends_where_it_says() -> None:
    """What follows its sound, whose length is in 64 bits, is none of it."""
    content = (FOLDER / "ffmpeg-rf64.wav").read_bytes()
    tail = b"LIST\4\0\0\0INFO"
    assert read_wav(content + tail) == read_wav(content)
    assert in_pieces(content + tail, 100)[1] == read_wav(content).data


def test_every_file_here_is_read_by_a_test() -> None:
    """None is forgotten."""
    files = {path.name for path in FOLDER.iterdir()} - {"README.md", "make.sh"}
    assert files == {*EXACT, *LATE, *REFUSED, *OTHERS}
