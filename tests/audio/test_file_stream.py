"""Sound that is converted while it arrives: every format to every other, in pieces of any size."""

import io
import random
import struct
import sys
import tracemalloc
from itertools import pairwise, product

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from beluga_voice.audio import mpeg, ogg
from beluga_voice.audio.convert import convert
from beluga_voice.audio.file_kind import FileKind
from beluga_voice.audio.file_stream import (
    FileFormat,
    StreamConverter,
    StreamDecoder,
    StreamEncoder,
    converted,
)
from beluga_voice.audio.files import read_sound, write_sound
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.audio.wav import Sound
from beluga_voice.errors import AlreadyClosed, MissingExtra, Misuse, WrongFormat

RATES = (8000, 16000, 24000, 48000)
STREAMED = (FileKind.WAV, FileKind.MP3, FileKind.OPUS)
CODED = (FileKind.MP3, FileKind.OPUS)
FORMATS = (*Encoding, *STREAMED)
"""All that row of formats: samples in every encoding, and files of every kind."""


CLICK = 4000
"""What a tone of half scale may differ by: Opus stays below it, a click does not."""


def noise(shape: AudioFormat, samples: int) -> bytes:
    """Soft noise that comes and goes, another in each channel."""
    rng = np.random.default_rng(shape.rate)
    rough = rng.normal(0, 1, (samples + 7, shape.channels))
    smooth = sum(rough[at : at + samples] for at in range(8))
    loud = np.abs(np.sin(np.arange(samples) * (2 * np.pi * 3 / shape.rate)))[:, None]
    wide = (smooth * loud * 0.05).clip(-1, 1).astype("<f4").tobytes()
    return convert(wide, AudioFormat(Encoding.FLOAT32, shape.rate, shape.channels), shape)


def pieces_of(data: bytes, seed: int, most: int = 4000) -> list[bytes]:
    """`data` cut into pieces of random sizes, some of them empty."""
    chance = random.Random(seed)
    pieces, at = [], 0
    while at < len(data):
        size = chance.randrange(0, most)
        pieces.append(data[at : at + size])
        at += size
    return pieces


def decoded(content: bytes, cuts: list[bytes] | None = None) -> Sound:
    """What a decoder gives for a file in pieces."""
    decoder = StreamDecoder()
    ready = [decoder.feed(piece) for piece in (cuts or [content])]
    ready.append(decoder.finish())
    assert decoder.format is not None
    return Sound(format=decoder.format, data=b"".join(ready))


def whole(content: bytes) -> Sound:
    """What libsndfile makes of the whole file by itself: an opinion that is not ours."""
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        wide = file.read(dtype="float32", always_2d=True)
        shape = AudioFormat(Encoding.FLOAT32, file.samplerate, file.channels)
    target = AudioFormat(Encoding.PCM16, shape.rate, shape.channels)
    return Sound(format=target, data=convert(wide.tobytes(), shape, target))


@pytest.fixture(scope="module")
def files() -> dict[FileKind, bytes]:
    """The same sound of 1.3 s as a file of every kind."""
    shape = AudioFormat(Encoding.PCM16, 16000, 2)
    return {
        kind: write_sound(Sound(format=shape, data=noise(shape, 20803)), kind) for kind in FileKind
    }


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("kind", CODED)
@pytest.mark.parametrize("samples", [1, 20, 479, 24077, 96001])
def test_a_stream_gives_the_samples_of_the_file(
    kind: FileKind, rate: int, channels: int, samples: int
) -> None:
    """Decoded in pieces, it is bit for bit what libsndfile decodes at once, to the last sample."""
    shape = AudioFormat(Encoding.PCM16, rate, channels)
    content = write_sound(Sound(format=shape, data=noise(shape, samples)), kind)
    found = decoded(content, pieces_of(content, samples))
    assert found.format == shape
    assert found == whole(content)
    assert shape.samples(found.data) == samples


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kind=st.sampled_from(STREAMED))
def test_it_does_not_matter_how_a_stream_is_cut(data: st.DataObject, kind: FileKind) -> None:
    """Cut anywhere, down to single bytes, a file gives the same samples."""
    shape = AudioFormat(Encoding.PCM16, 8000, 1)
    content = write_sound(Sound(format=shape, data=noise(shape, 3001)), kind)
    places = data.draw(st.lists(st.integers(0, len(content)), max_size=40).map(sorted))
    bounds = [0, *places, len(content)]
    cuts = [content[a:b] for a, b in pairwise(bounds)]
    assert decoded(content, cuts) == decoded(content)
    assert decoded(content, [content[at : at + 1] for at in range(len(content))]).format == shape


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=30), kind=st.sampled_from(STREAMED)
)
def test_it_does_not_matter_how_sound_is_cut(sizes: list[int], kind: FileKind) -> None:
    """Coded in pieces of any size, sound is what it is when coded at once."""
    shape = AudioFormat(Encoding.PCM16, 16000, 1)
    samples = sum(sizes)
    sound = noise(shape, samples)
    encoder = StreamEncoder(kind, shape)
    made, at = b"", 0
    for size in sizes:
        made += encoder.feed(sound[2 * at : 2 * (at + size)])
        at += size
    if not samples and kind is not FileKind.WAV:
        with pytest.raises(WrongFormat, match="one sample or more"):
            encoder.finish()
        return
    made += encoder.finish()
    assert encoder.samples == samples
    once = write_sound(Sound(format=shape, data=sound), kind)
    assert decoded(made) == decoded(once)
    assert len(decoded(made).data) == len(sound)


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
def test_every_format_becomes_every_other(source: Encoding | FileKind, target: object) -> None:
    """Each pair, at all pairs of rates and channels: of exact length, in its place, in pieces."""
    for at, (rates, channels) in enumerate(
        product(product(RATES, RATES), ((1, 1), (2, 1), (1, 2)))
    ):
        if at % 5 != (FORMATS.index(source) + FORMATS.index(target)) % 5:  # type: ignore[arg-type]
            continue
        start = AudioFormat(
            source if isinstance(source, Encoding) else Encoding.PCM16, rates[0], channels[0]
        )
        end = AudioFormat(
            target if isinstance(target, Encoding) else Encoding.PCM16, rates[1], channels[1]
        )
        sound = noise(start, rates[0] // 4 + 11)
        content = sound
        if isinstance(source, FileKind):
            content = write_sound(Sound(format=start, data=sound), source)
            sound = read_sound(content).data
        wanted = FileFormat(kind=target, shape=end) if isinstance(target, FileKind) else end
        given = start if isinstance(source, Encoding) else source
        made = b"".join(converted(pieces_of(content, at), given, wanted))
        if isinstance(target, FileKind):
            found = decoded(made)
            assert found.format == end
            made = found.data
        expected = convert(sound, start, end)
        assert len(made) == len(expected)
        if target not in CODED:
            assert made == expected
            continue
        before, after = (np.frombuffer(each, "<i2").astype(float) for each in (expected, made))
        assert np.corrcoef(before, after)[0, 1] > 0.8


def through(kind: FileKind, rate: int, seconds: int) -> tuple[int, float, list[int]]:
    """A tone of 10 s in every minute, coded and decoded in pieces: samples, error, memory.

    The error is the largest distance from the sine wave that the tone is: where pieces meet, or
    files had their silence, it would jump. Memory is in bytes, after each second of the last tenth.
    """
    wave = np.sin(np.arange(rate) * (2 * np.pi * 440 / rate)) * 16383
    second, silence = wave.astype("<i2").tobytes(), bytes(2 * rate)
    to_file = StreamConverter(pcm16(rate), FileFormat(kind=kind, shape=pcm16(rate)))
    from_file = StreamConverter(kind, pcm16(rate))
    sizes = random.Random(rate)
    given, worst, memory = 0, 0.0, list[int]()

    def look(ready: bytes) -> None:
        nonlocal given, worst
        at = given + np.arange(len(ready) // 2)
        is_tone = np.abs(at % (60 * rate) - 5 * rate) < 4.75 * rate
        away = np.abs(np.frombuffer(ready, "<i2") - wave[at % rate])[is_tone]
        worst = max(worst, float(away.max(initial=0)))
        given += len(at)

    for number in range(seconds):
        sound = second if number % 60 < 10 else silence
        cut = sizes.randrange(len(sound))
        for piece in (sound[:cut], sound[cut:]):
            content = to_file.feed(piece)
            middle = sizes.randrange(len(content) + 1)
            look(from_file.feed(content[:middle]))
            look(from_file.feed(content[middle:]))
        if number >= seconds * 0.9 and tracemalloc.is_tracing():
            memory.append(tracemalloc.get_traced_memory()[0])
    look(from_file.feed(to_file.finish()))
    look(from_file.finish())
    return given, worst, memory


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("kind", CODED)
def test_every_second_is_in_its_place_without_a_click(kind: FileKind, rate: int) -> None:
    """A minute and more, into a file and out of it in pieces, is a sine wave of exact length."""
    given, worst, _ = through(kind, rate, 75)
    assert given == 75 * rate
    assert worst < CLICK


def test_an_hour_of_mp3_has_its_exact_length() -> None:
    """Nothing is lost in an hour, and nothing is added, in and out of a file."""
    given, worst, _ = through(FileKind.MP3, 8000, 3600)
    assert given == 3600 * 8000
    assert worst < CLICK


def test_an_hour_of_opus_has_its_exact_length() -> None:
    """What is skipped at the beginning and at the end of a stream is that, after an hour too."""
    writer, decoder = ogg.PageWriter(), StreamDecoder(FileKind.OPUS)
    skipped, packet = 312, b"\xf8\xff\xfe"
    head = b"OpusHead\x01\x01" + struct.pack("<HIhB", skipped, 8000, 0, 0)
    given = len(decoder.feed(writer.page((head,), 0)))
    given += len(decoder.feed(writer.page((b"OpusTags" + bytes(8),), 0)))
    end, position = 3600 * 48_000 + skipped, 0
    while position < end:
        count = min(50, -(-(end - position) // 960))
        position += count * 960
        page = writer.page((packet,) * count, min(position, end), ends=position >= end)
        given += len(decoder.feed(page[:40])) + len(decoder.feed(page[40:]))
    given += len(decoder.finish())
    assert given == 2 * 3600 * 8000


@pytest.mark.parametrize("kind", CODED)
def test_memory_does_not_grow(kind: FileKind) -> None:
    """After a minute as much is held as after ten seconds: little."""
    tracemalloc.start()
    _, _, early = through(kind, 8000, 10)
    _, _, late = through(kind, 8000, 60)
    tracemalloc.stop()
    assert max(late) < 1_000_000
    assert max(late) < max(early) + 300_000


@pytest.mark.parametrize("kind", FileKind)
def test_who_can_go_back_has_the_file_that_others_write(kind: FileKind) -> None:
    """With the beginning that is known in the end, everybody reads all of it and no more."""
    shape = AudioFormat(Encoding.PCM16, 24000, 1)
    sound = Sound(format=shape, data=noise(shape, 100_003))
    encoder = StreamEncoder(kind, shape)
    made = encoder.feed(sound.data) + encoder.finish()
    patched = encoder.beginning + made[len(encoder.beginning) :]
    assert len(patched) == len(made)
    with soundfile.SoundFile(io.BytesIO(patched)) as file:
        assert file.frames == 100_003
    assert len(read_sound(patched).data) == len(sound.data)
    assert bool(encoder.beginning) == (kind in (FileKind.WAV, FileKind.MP3, FileKind.FLAC))


def test_a_kind_alone_keeps_the_rate_and_channels_of_its_source() -> None:
    """A telephone's mu-law becomes a WAV at 8 kHz, and that any other file."""
    phone = AudioFormat(Encoding.MULAW, 8000, 1)
    sound = noise(phone, 9000)
    converter = StreamConverter(phone, FileKind.WAV)
    content = converter.feed(sound) + converter.finish()
    assert read_sound(content) == Sound(format=pcm16(8000), data=convert(sound, phone, pcm16(8000)))
    assert converter.source == phone
    assert converter.target == pcm16(8000)
    again = StreamConverter(None, FileKind.OPUS)
    assert again.source is None
    opus = again.feed(content) + again.finish()
    assert again.source == pcm16(8000)
    assert decoded(opus).format == pcm16(8000)
    assert len(decoded(opus).data) == 2 * 9000


def test_mp3_without_a_number_of_frames_is_read_to_its_end(files: dict[FileKind, bytes]) -> None:
    """A stream that somebody cut out of a broadcast has no Info frame, and loses nothing."""
    frames = mpeg.FrameReader().feed(files[FileKind.MP3])
    found = read_sound(b"".join(frames[1:]))
    assert found.format.samples(found.data) == 576 * (len(frames) - 1)
    framed = read_sound(files[FileKind.MP3])
    begin = (576 + mpeg.DECODER_DELAY) * 4
    assert found.data[begin : begin + len(framed.data)] == framed.data


def test_tags_are_no_sound(files: dict[FileKind, bytes]) -> None:
    """Pictures before it and tags behind it change nothing of MP3; nor does what follows OGG."""
    picture = b"ID3\x04\0\0\0\x08\0\0" + b"\xff\xfb\x90\0" * (1 << 15)
    tagged = picture + files[FileKind.MP3] + b"TAG" + bytes(125)
    assert decoded(tagged, pieces_of(tagged, 1)) == decoded(files[FileKind.MP3])
    longer = files[FileKind.OPUS] + b"something else"
    assert decoded(longer, pieces_of(longer, 2)) == decoded(files[FileKind.OPUS])


@pytest.mark.parametrize("kind", CODED)
def test_what_was_cut_short_gives_what_is_there(
    kind: FileKind, files: dict[FileKind, bytes]
) -> None:
    """A stream that ends anywhere behind its beginning gives the samples up to there."""
    content = files[kind]
    all_of_it = decoded(content).data
    for end in range(600, len(content), 997):
        try:
            found = decoded(content[:end]).data
        except WrongFormat:
            assert end < 6000
            continue
        assert all_of_it.startswith(found[: len(all_of_it)])


@pytest.mark.parametrize("kind", CODED)
def test_damage_is_told_and_never_a_wrong_length(
    kind: FileKind, files: dict[FileKind, bytes]
) -> None:
    """With bytes changed, lost or added, a stream is refused, or has all its samples."""
    content = files[kind]
    length = len(decoded(content).data)
    chance = random.Random(4)
    refused = 0
    for number in range(150):
        damaged = bytearray(content)
        at = chance.randrange(len(damaged))
        match number % 3:
            case 0:
                damaged[at] ^= 1 << chance.randrange(8)
            case 1:
                del damaged[at : at + chance.randrange(1, 300)]
            case _:
                damaged[at:at] = chance.randbytes(chance.randrange(1, 300))
        try:
            found = decoded(bytes(damaged), pieces_of(bytes(damaged), number))
        except WrongFormat:
            refused += 1
        else:
            assert len(found.data) <= length
    assert refused > 50


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (bytes(700), "no sound file"),
        (b'{"error": "not found"}', "JSON"),
        (b"RIFF\0\0\0\0WAVE", "inside its header"),
        (b"ID3" + bytes(3000), "where a frame should begin"),
        (b"\xff\xfb\x90\0" + bytes(100), "before its first frame"),
        (b"OggS\0\2" + bytes(22) + b"\1\x13OpusHead" + bytes(600), "checksum"),
        (b"fLaC" + bytes(3000), "collect it, and use read_sound"),
    ],
)
def test_what_is_no_sound_is_refused(content: bytes, problem: str) -> None:
    """Other things raise what they are, as soon as it is seen, and then nothing can be fed."""
    converter = StreamConverter(None, pcm16(16000))
    with pytest.raises(WrongFormat, match=problem):
        for at in range(0, len(content), 100):
            converter.feed(content[at : at + 100])
        converter.finish()
    with pytest.raises(AlreadyClosed):
        converter.feed(b"more")


def test_a_stated_kind_is_held_against_the_content(files: dict[FileKind, bytes]) -> None:
    """A file that is another one than was said raises both names."""
    for stated, kind in product(STREAMED, FileKind):
        converter = StreamConverter(stated, pcm16(8000))
        if stated is kind:
            assert converter.feed(files[kind]) + converter.finish()
            continue
        with pytest.raises(WrongFormat, match=f"said to be {stated} and is {kind}"):
            converter.feed(files[kind])
    with pytest.raises(WrongFormat, match="vorbis cannot be decoded while it arrives"):
        StreamConverter(FileKind.VORBIS, pcm16(8000))


def test_half_a_sample_is_told_at_the_end() -> None:
    """Samples may be cut anywhere but at the end."""
    converter = StreamConverter(pcm16(8000), FileFormat(kind=FileKind.MP3, shape=pcm16(16000)))
    converter.feed(b"abc")
    with pytest.raises(WrongFormat, match="cut short"):
        converter.finish()


def test_what_a_kind_cannot_hold_is_refused_at_once() -> None:
    """Rates, channels and qualities raise before anything is fed; so does no sound at all."""
    wide = AudioFormat(Encoding.PCM16, 44100, 2)
    with pytest.raises(WrongFormat, match="convert to one of 8000"):
        StreamConverter(pcm16(8000), FileFormat(kind=FileKind.OPUS, shape=wide))
    with pytest.raises(WrongFormat, match="convert to one of 8000"):
        StreamConverter(wide, FileKind.OPUS)
    with pytest.raises(Misuse, match="outside 0 to 1"):
        StreamEncoder(FileKind.MP3, wide, quality=1.5)
    with pytest.raises(WrongFormat, match="one sample or more"):
        list(converted([], pcm16(8000), FileKind.MP3))
    assert read_sound(b"".join(converted([], pcm16(8000), FileKind.WAV))).data == b""


def test_without_the_package_only_wav_is_streamed(
    monkeypatch: pytest.MonkeyPatch, files: dict[FileKind, bytes]
) -> None:
    """The others raise the line that installs it, before anything was fed if they are stated."""
    monkeypatch.setitem(sys.modules, "soundfile", None)
    for kind in CODED:
        with pytest.raises(MissingExtra, match=r"beluga-voice\[files\]"):
            StreamConverter(kind, pcm16(8000))
        with pytest.raises(MissingExtra, match=r"beluga-voice\[files\]"):
            StreamConverter(FileKind.WAV, kind)
        with pytest.raises(MissingExtra, match=r"beluga-voice\[files\]"):
            decoded(files[kind])
    assert decoded(files[FileKind.WAV]).format.channels == 2


def test_what_is_over_is_over(files: dict[FileKind, bytes]) -> None:
    """After the end, or after closing, nothing can be fed; closing again does nothing."""
    for kind in STREAMED:
        converter = StreamConverter(kind, kind)
        converter.feed(files[kind])
        converter.finish()
        for over in (converter, StreamConverter(kind, kind)):
            over.close()
            over.close()
            with pytest.raises(AlreadyClosed):
                over.feed(files[kind])
            with pytest.raises(AlreadyClosed):
                over.finish()
