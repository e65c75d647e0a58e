"""Sound files of the kinds that people and services send: WAV, MP3, FLAC, OGG with Opus or Vorbis.

What a file is, its first bytes say: a name or a stated type is often wrong. All kinds keep the
exact number of samples, also MP3 and Opus, whose coders add some at both ends and note it in the
file.

WAV is read by our own code. For the rest libsndfile does the work, with LAME, mpg123, libopus and
libFLAC inside, all in the wheel of the package `soundfile` (1.3 MB): `beluga-voice[files]`. Nothing
here runs ahead: an hour is read and written piece by piece with `FileReader` and `FileWriter`. They
keep the processor busy, so a server calls them on a thread.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from numpy.typing import NDArray

from beluga_voice.audio import ogg, sndfile
from beluga_voice.audio.convert import convert
from beluga_voice.audio.file_kind import HEAD_BYTES, FileKind, kind_of, refusal
from beluga_voice.audio.file_stream import StreamDecoder
from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.audio.sndfile import PIECE_SAMPLES
from beluga_voice.audio.wav import Sound
from beluga_voice.audio.wav_stream import WavEncoder, wav_header
from beluga_voice.errors import AlreadyClosed, Misuse

LONGEST_SECONDS = 4 * 3600
"""What is read at once, at most: a small file can hold years of silence."""

_BLOCK_BYTES = 16384


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
                raise refusal(
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
            self.kind = kind_of(file.read(HEAD_BYTES))
            if kind not in (None, self.kind):
                raise refusal(f"this was said to be {kind} and is {self.kind}")
            file.seek(0)
            if self.kind is FileKind.VORBIS:
                _refuse_chain(file)
            is_taken_apart = self.kind in (FileKind.WAV, FileKind.MP3, FileKind.OPUS)
            self._decoder = (_Stream if is_taken_apart else _Decoder)(file, self.kind)
        except BaseException:
            file.close()
            raise
        self.format = self._decoder.format
        self._file: BinaryIO | None = file

    def read(self) -> bytes:
        """The next piece, of some thousand samples of each channel; `b""` at the end.

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


def _refuse_chain(file: BinaryIO) -> None:
    """Of streams that follow one another, libsndfile reads the first, and says nothing."""
    count = ogg.streams_in(file)
    if count > 1:
        raise refusal(
            f"this OGG/Vorbis file holds {count} streams, one after the other; give them one by"
            " one, or as one: ffmpeg -i <file> sound.wav"
        )
    file.seek(0)


class _Decoder:
    """A file that libsndfile reads by itself."""

    def __init__(self, file: BinaryIO, kind: FileKind) -> None:
        self._library = sndfile.library()
        self._kind = kind
        self._file = sndfile.reading(file, kind)
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
            raise sndfile.damaged(self._kind) from error
        samples: NDArray[Any] = read
        data = samples.tobytes()
        if self._kind is FileKind.FLAC:
            return data
        return convert(data, self._decoded, self.format)

    def close(self) -> None:
        self._file.close()


class _Stream:
    """A file that our own code takes apart.

    Of MP3 without a number of frames, libsndfile reads as much as it guesses from the first one,
    and of Opus the first stream alone.
    """

    def __init__(self, file: BinaryIO, kind: FileKind) -> None:
        self._file = file
        self._decoder = StreamDecoder(kind)
        self._is_read = False
        self._waiting = b""
        while (shape := self._decoder.format) is None:
            self._waiting += self._next()
        self.format = shape

    def read(self) -> bytes:
        given, self._waiting = self._waiting, b""
        while not given and not self._is_read:
            given = self._next()
        return given

    def _next(self) -> bytes:
        data = self._file.read(_BLOCK_BYTES)
        self._is_read = not data
        return self._decoder.feed(data) if data else self._decoder.finish()

    def close(self) -> None:
        self._decoder.close()


def write_sound(
    sound: Sound, kind: FileKind, path: Path | None = None, *, quality: float | None = None
) -> bytes:
    """A file of that kind, written to `path` unless that is `None`, and returned.

    Takes and raises what `FileWriter` does, and `WrongFormat` for no sound at all, which only WAV
    can hold.
    """
    if not sound.data and kind is not FileKind.WAV:
        raise refusal(f"a file of {kind} holds one sample or more; write WAV, or no file")
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
        sndfile.check_shape(kind, shape)
        if quality is not None and not 0 <= quality <= 1:
            raise Misuse(f"a quality of {quality} is outside 0 to 1", op="files")
        library = None if kind is FileKind.WAV else sndfile.library()
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
                self._encoder = sndfile.writing(file, kind, shape, quality)
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
            step = PIECE_SAMPLES * self.format.block_bytes
            for at in range(0, len(data), step):
                self._encode(data[at : at + step])
        self.samples += samples

    def _encode(self, data: bytes) -> None:
        try:
            self._encoder.write(sndfile.as_samples(data, self.kind, self.format))
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
