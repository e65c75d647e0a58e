"""libsndfile, as sound files and streams use it.

It comes with LAME, mpg123, libopus and libFLAC inside, in the wheel of the package `soundfile`
(1.3 MB): `beluga-voice[files]`. Rates are those that libsndfile 1.2.2 takes (tried 2026-11-21).
"""

from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from beluga_voice.audio.convert import convert
from beluga_voice.audio.file_kind import FileKind, refusal
from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.errors import MissingExtra, WrongFormat

PIECE_SAMPLES = 8192
"""The coders answer for a piece, and not for the memory that an hour at once takes."""

_SMALLEST = 0.999
"""The most compression that all coders take: LAME refuses 1."""

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


class BinaryFile(Protocol):
    """What libsndfile reads from and writes to."""

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def tell(self) -> int: ...


def library() -> Any:
    """The package; raises `MissingExtra` without it."""
    try:
        return import_module("soundfile")
    except ImportError as error:
        raise MissingExtra("MP3, FLAC and OGG", extra="files", op="files") from error


def reading(source: BinaryFile, kind: FileKind) -> Any:
    """The package's file, to be read from its beginning to its end.

    Raises `WrongFormat` for what the library refuses.
    """
    package = library()
    try:
        file: Any = package.SoundFile(source, "r")
    except package.LibsndfileError as error:
        raise damaged(kind) from error
    # The package would seek after each piece; of MP3 that decodes frames twice, and the first of
    # them without those that it leans on.
    file.seekable = lambda: False
    return file


def check_shape(kind: FileKind, shape: AudioFormat) -> None:
    """Raise `WrongFormat` for a rate or a number of channels that the kind does not have."""
    rates = _RATES.get(kind)
    if rates and shape.rate not in rates:
        known = ", ".join(map(str, rates))
        raise refusal(f"{kind} has no rate of {shape.rate} Hz; convert to one of {known}")
    most = _MOST_CHANNELS.get(kind)
    if most and shape.channels > most:
        raise refusal(f"{kind} has no {shape.channels} channels; convert to {most} or fewer")


def writing(target: BinaryFile, kind: FileKind, shape: AudioFormat, quality: float | None) -> Any:
    """The package's file, to be written; `quality` is from 0, the smallest, to 1, the best."""
    container, coding = _SNDFILE[kind]
    if kind is FileKind.FLAC and not _has_16_bits(shape.encoding):
        coding = "PCM_24"
    return library().SoundFile(
        target,
        "w",
        samplerate=shape.rate,
        channels=shape.channels,
        format=container,
        subtype=coding,
        compression_level=None if quality is None else min(1 - quality, _SMALLEST),
    )


def as_samples(data: bytes, kind: FileKind, shape: AudioFormat) -> NDArray[Any]:
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


def damaged(kind: FileKind) -> WrongFormat:
    """A file that its decoder refuses."""
    return refusal(f"this {kind} file is damaged or was cut short; get it again")
