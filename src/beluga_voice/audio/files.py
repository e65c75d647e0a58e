"""Sound files of the kinds that people and services send: WAV, MP3, FLAC, OGG with Opus or Vorbis.

What a file is, its first bytes say: a name or a stated type is often wrong. All kinds keep the
exact number of samples, also MP3 and Opus, whose coders add some at both ends and note it in the
file.

WAV is read by our own code. For the rest libsndfile does the work, with LAME, mpg123, libopus and
libFLAC inside, all in the wheel of the package `soundfile` (1.3 MB): `beluga-voice[files]`. Nothing
here runs ahead: an hour is read and written piece by piece with `FileReader` and `FileWriter`. They
keep the processor busy, so a server calls them on a thread.

Rates are those that libsndfile 1.2.2 takes (tried 2026-11-21).
"""

import io
from collections.abc import Iterator
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.audio.wav import Sound
from beluga_voice.audio.wav_stream import WavDecoder, WavEncoder, wav_header
from beluga_voice.errors import AlreadyClosed, MissingExtra, Misuse, WrongFormat

PIECE_SAMPLES = 8192
LONGEST_SECONDS = 4 * 3600
"""What is read at once, at most: a small file can hold years of silence."""

_WAV_PIECE = 65536
_SMALLEST = 0.999
"""The most compression that all coders take: LAME refuses 1."""
_HEAD_BYTES = 512


class FileKind(StrEnum):
    """What a file is, by its content."""

    WAV = "wav"
    MP3 = "mp3"
    FLAC = "flac"
    OPUS = "opus"
    """Opus in OGG, as browsers and telephones send it."""
    VORBIS = "vorbis"
    """Vorbis in OGG."""


_SNDFILE = {
    FileKind.MP3: ("MP3", "MPEG_LAYER_III"),
    FileKind.FLAC: ("FLAC", "PCM_16"),
    FileKind.OPUS: ("OGG", "OPUS"),
    FileKind.VORBIS: ("OGG", "VORBIS"),
}
_RATES = {
    FileKind.MP3: (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    FileKind.OPUS: (8000, 12000, 16000, 24000, 48000),
}
_MOST_CHANNELS = {FileKind.MP3: 2}

_OTHERS = {
    b"ftyp": (4, "MP4 or M4A"),
    b"\x1aE\xdf\xa3": (0, "WebM or Matroska"),
    b"FORM": (0, "AIFF"),
    b"#!AMR": (0, "AMR"),
    b"%PDF": (0, "PDF"),
    b"PK\x03\x04": (0, "ZIP"),
    b"{": (0, "JSON"),
    b"<": (0, "HTML or XML"),
}
"""What people hand in by mistake: what it begins with, and where."""

_ADVICE = "give WAV, MP3, FLAC or OGG/Opus, for instance from: ffmpeg -i <file> sound.wav"


def kind_of(head: bytes) -> FileKind:
    """What a file is whose first bytes these are; 512 are enough.

    Raises `WrongFormat` that names it where it can, for anything else.
    """
    if not head:
        raise _refusal(f"this is empty; {_ADVICE}")
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return FileKind.WAV
    if head[:4] == b"fLaC":
        return FileKind.FLAC
    if head[:4] == b"OggS":
        if b"OpusHead" in head[:_HEAD_BYTES]:
            return FileKind.OPUS
        if b"\x01vorbis" in head[:_HEAD_BYTES]:
            return FileKind.VORBIS
        raise _refusal(f"an OGG file of neither Opus nor Vorbis; {_ADVICE}")
    if head[:3] == b"ID3" or _is_mpeg_frame(head):
        return FileKind.MP3
    for mark, (at, name) in _OTHERS.items():
        if head[at : at + len(mark)] == mark:
            raise _refusal(f"this is {name}; {_ADVICE}")
    raise _refusal(f"this is no sound file, it begins with {head[:12]!r}; {_ADVICE}")


def _is_mpeg_frame(head: bytes) -> bool:
    """Whether it begins with the header of a frame of MPEG layer III."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer == 1 and bitrate not in (0, 15) and rate != 3


def read_sound(
    data: bytes | Path, *, kind: FileKind | None = None, longest_seconds: float = LONGEST_SECONDS
) -> Sound:
    """The sound in a file, given as its bytes or its path.

    MP3, Opus and Vorbis become 16-bit PCM, FLAC of more than 16 bits 32-bit PCM; WAV stays what it
    is. WAV that was cut short gives what is there, and the others what their decoder makes of it,
    or nothing. Raises `WrongFormat` for what is no sound, is damaged, is not of the `kind` that was
    stated, or is longer than `longest_seconds`; `MissingExtra` without the package; `OSError` if
    the path cannot be read.
    """
    with FileReader(data, kind=kind) as reader:
        shape = reader.format
        longest = int(longest_seconds * shape.rate) * shape.block_bytes
        pieces: list[bytes] = []
        size = 0
        for piece in reader:
            size += len(piece)
            if size > longest:
                raise _refusal(
                    f"this is longer than {longest_seconds:g} s; read it in pieces, with FileReader"
                )
            pieces.append(piece)
    return Sound(format=shape, data=b"".join(pieces))


class FileReader:
    """Reads a sound file piece by piece; iterating gives interleaved samples in `format`.

    Takes and raises what `read_sound` does. To be closed, or used with `with`.
    """

    def __init__(self, source: bytes | Path, *, kind: FileKind | None = None) -> None:
        file = source.open("rb") if isinstance(source, Path) else io.BytesIO(source)
        try:
            self.kind = kind_of(file.read(_HEAD_BYTES))
            if kind not in (None, self.kind):
                raise _refusal(f"this was said to be {kind} and is {self.kind}")
            file.seek(0)
            self._decoder = (
                _WavFile(file) if self.kind is FileKind.WAV else _Decoder(file, self.kind)
            )
        except BaseException:
            file.close()
            raise
        self.format = self._decoder.format
        self._file: BinaryIO | None = file

    def read(self) -> bytes:
        """The next piece, of about 8192 samples of each channel; `b""` at the end.

        Raises `WrongFormat` where the file is damaged, and `AlreadyClosed` after `close`.
        """
        if self._file is None:
            raise AlreadyClosed("this sound file is closed; open it again", op="files")
        return self._decoder.read()

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read():
            yield piece

    def close(self) -> None:
        """Close the file; closing again does nothing."""
        if self._file is not None:
            file, self._file = self._file, None
            self._decoder.close()
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Decoder:
    """A file that libsndfile reads."""

    def __init__(self, file: BinaryIO, kind: FileKind) -> None:
        self._library = _soundfile()
        self._kind = kind
        try:
            self._file: Any = self._library.SoundFile(file, "r")
        except self._library.LibsndfileError as error:
            raise _damaged(kind) from error
        rate, channels = self._file.samplerate, self._file.channels
        self._dtype, encoding = "float32", Encoding.PCM16
        if kind is FileKind.FLAC:
            is_wide = self._file.subtype not in ("PCM_16", "PCM_S8")
            self._dtype = "int32" if is_wide else "int16"
            encoding = Encoding.PCM32 if is_wide else Encoding.PCM16
        self.format = AudioFormat(encoding, rate, channels)
        # The other decoders overshoot; our own conversion clips, and never wraps.
        self._decoded = AudioFormat(Encoding.FLOAT32, rate, channels)

    def read(self) -> bytes:
        try:
            read = self._file.read(PIECE_SAMPLES, dtype=self._dtype, always_2d=True)
        except self._library.LibsndfileError as error:
            raise _damaged(self._kind) from error
        samples: NDArray[Any] = read
        data = samples.tobytes()
        if self._kind is FileKind.FLAC:
            return data
        return convert(data, self._decoded, self.format)

    def close(self) -> None:
        self._file.close()


class _WavFile:
    """A WAV file, read by our own code."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder = WavDecoder()
        self._waiting = b""
        while (shape := self._decoder.format) is None:
            data = file.read(_WAV_PIECE)
            if not data:
                self._decoder.flush()
            self._waiting = self._decoder.feed(data)
        self.format = shape

    def read(self) -> bytes:
        given, self._waiting = self._waiting, b""
        while not given:
            data = self._file.read(_WAV_PIECE)
            if not data:
                break
            given = self._decoder.feed(data)
        return given

    def close(self) -> None:
        """Nothing is held."""


def write_sound(
    sound: Sound, kind: FileKind, path: Path | None = None, *, quality: float | None = None
) -> bytes:
    """A file of that kind, written to `path` unless that is `None`, and returned.

    Takes and raises what `FileWriter` does, and `WrongFormat` for no sound at all, which only WAV
    can hold.
    """
    if not sound.data and kind is not FileKind.WAV:
        raise _refusal(f"a file of {kind} holds one sample or more; write WAV, or no file")
    content = io.BytesIO()
    with FileWriter(content, kind, sound.format, quality=quality) as writer:
        writer.write(sound.data)
    made = content.getvalue()
    if path is not None:
        path.write_bytes(made)
    return made


class FileWriter:
    """Writes a sound file as it comes, to a path or into memory.

    * `shape`: of what is written. FLAC keeps 16 bits of 16-bit PCM and G.711, 24 of the rest.
    * `quality`: from 0, the smallest, to 1, the best; `None` is as the coder has it. WAV has none.

    Raises `WrongFormat` for a rate or a number of channels that the kind does not have, `Misuse`
    for another quality, `MissingExtra` without the package and `OSError` if the path cannot be
    written. A WAV file's header says its length only if the file can be gone back in, as these can.
    """

    def __init__(
        self,
        target: Path | io.BytesIO,
        kind: FileKind,
        shape: AudioFormat,
        *,
        quality: float | None = None,
    ) -> None:
        _check(kind, shape)
        if quality is not None and not 0 <= quality <= 1:
            raise Misuse(f"a quality of {quality} is outside 0 to 1", op="files")
        library = None if kind is FileKind.WAV else _soundfile()
        self.kind = kind
        self.format = shape
        self.samples = 0
        """Samples of each channel written so far."""
        self._is_own = isinstance(target, Path)
        file = target.open("wb+") if isinstance(target, Path) else target
        self._begin = file.tell()
        try:
            if library is None:
                self._wav = WavEncoder(shape)
            else:
                self._encoder: Any = _encoder(library, file, kind, shape, quality)
        except BaseException:
            if self._is_own:
                file.close()
            raise
        self._library: Any = library
        self._file: BinaryIO | None = file

    def write(self, data: bytes) -> None:
        """Append whole samples of all channels.

        Raises `WrongFormat` if `data` ends inside a sample, and `AlreadyClosed` after `close`;
        nothing was written then.
        """
        if self._file is None:
            raise AlreadyClosed("this sound file is closed; open another", op="files")
        samples = self.format.samples(data)
        if self._library is None:
            self._file.write(self._wav.feed(data))
        else:
            # The coders answer for a piece, and not for the memory that an hour at once takes.
            step = PIECE_SAMPLES * self.format.block_bytes
            for at in range(0, len(data), step):
                self._encode(data[at : at + step])
        self.samples += samples

    def _encode(self, data: bytes) -> None:
        try:
            self._encoder.write(_as_array(data, self.kind, self.format))
        except self._library.LibsndfileError as error:
            raise OSError(f"the {self.kind} file cannot be written: {error}") from error

    def close(self) -> None:
        """Finish the file; closing again does nothing."""
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            if self._library is None:
                if not self.samples:
                    file.write(self._wav.flush())
                file.write(bytes(self.samples * self.format.block_bytes % 2))
                file.seek(self._begin)
                file.write(wav_header(self.format, self.samples))
                file.seek(0, io.SEEK_END)
            else:
                self._encoder.close()
        finally:
            if self._is_own:
                file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _check(kind: FileKind, shape: AudioFormat) -> None:
    rates = _RATES.get(kind)
    if rates and shape.rate not in rates:
        known = ", ".join(map(str, rates))
        raise _refusal(f"{kind} has no rate of {shape.rate} Hz; convert to one of {known}")
    most = _MOST_CHANNELS.get(kind)
    if most and shape.channels > most:
        raise _refusal(f"{kind} has no {shape.channels} channels; convert to {most} or fewer")


def _encoder(
    library: Any, file: BinaryIO, kind: FileKind, shape: AudioFormat, quality: float | None
) -> Any:
    container, coding = _SNDFILE[kind]
    if kind is FileKind.FLAC and not _has_16_bits(shape.encoding):
        coding = "PCM_24"
    return library.SoundFile(
        file,
        "w",
        samplerate=shape.rate,
        channels=shape.channels,
        format=container,
        subtype=coding,
        compression_level=None if quality is None else min(1 - quality, _SMALLEST),
    )


def _as_array(data: bytes, kind: FileKind, shape: AudioFormat) -> NDArray[Any]:
    """Samples as the coder takes them: whole numbers for FLAC, floats for the others."""
    if kind is not FileKind.FLAC:
        encoding, dtype = Encoding.FLOAT32, "<f4"
    elif _has_16_bits(shape.encoding):
        encoding, dtype = Encoding.PCM16, "<i2"
    else:
        encoding, dtype = Encoding.PCM32, "<i4"
    wanted = AudioFormat(encoding, shape.rate, shape.channels)
    return np.frombuffer(convert(data, shape, wanted), dtype).reshape(-1, shape.channels)


def _has_16_bits(encoding: Encoding) -> bool:
    return encoding not in (Encoding.PCM32, Encoding.FLOAT32)


def _soundfile() -> Any:
    try:
        return import_module("soundfile")
    except ImportError as error:
        raise MissingExtra("MP3, FLAC and OGG", extra="files", op="files") from error


def _damaged(kind: FileKind) -> WrongFormat:
    return _refusal(f"this {kind} file is damaged or was cut short; get it again")


def _refusal(message: str) -> WrongFormat:
    return WrongFormat(message, op="files")
