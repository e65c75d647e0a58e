"""WAV files, read and written.

A WAV file is a RIFF container: "RIFF", a size, "WAVE", then chunks of a four-letter name, a size
and that many bytes, padded to an even number. "fmt " says how sound is coded, "data" holds it, and
others ("LIST", "fact", ...) are passed over. We parse it ourselves because the standard library's
reader knows integers only. Codec numbers are those of Microsoft's `mmreg.h`.

Sizes in the wild are often wrong: a program that writes to a pipe cannot go back to fill them in
and leaves 0 or 0xFFFFFFFF, and a download may stop short. So a size is a limit, not a promise.

RF64 and BW64 are the same for sizes over 4 GiB: where 0xFFFFFFFF stands, the size is in a chunk
"ds64" before it, in 8 bytes; 0 there is not known either (as FFmpeg 5.1 writes, 2026-11-21).
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16, to_milliseconds
from beluga_voice.errors import AlreadyClosed, WrongFormat

_PCM, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE

_CODEC_NAMES = {
    2: "Microsoft ADPCM",
    0x11: "IMA ADPCM",
    0x31: "GSM 6.10",
    0x50: "MPEG",
    0x55: "MP3",
    0xFF: "AAC",
}

# The codec and the bytes of one sample decide how it is kept.
_ENCODINGS = {
    (_PCM, 1): Encoding.PCM16,
    (_PCM, 2): Encoding.PCM16,
    (_PCM, 3): Encoding.PCM32,
    (_PCM, 4): Encoding.PCM32,
    (_FLOAT, 4): Encoding.FLOAT32,
    (_FLOAT, 8): Encoding.FLOAT32,
    (_MULAW, 1): Encoding.MULAW,
    (_ALAW, 1): Encoding.ALAW,
}

# The last 14 bytes of a WAVE_FORMAT_EXTENSIBLE sub-format whose first two are a codec number.
_CODEC_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_UNKNOWN_SIZE = 0xFFFFFFFF
CONTAINERS = (b"RIFF", b"RF64", b"BW64")
_LARGEST_DATA = _UNKNOWN_SIZE - _HEADER.size

_ADVICE = "give a WAV file, for instance from: ffmpeg -i <file> sound.wav"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """A piece of sound with its format; `data` is a whole number of interleaved samples."""

    format: AudioFormat
    data: bytes

    @property
    def duration_ms(self) -> float:
        """How long it lasts, in milliseconds."""
        return to_milliseconds(self.format.samples(self.data), self.format.rate)

    def to_pcm16(self, rate: int) -> bytes:
        """The sound as mono 16-bit PCM at `rate`; channels become one by their mean."""
        return convert(self.data, self.format, pcm16(rate))


def read_wav(data: bytes | Path) -> Sound:
    """The sound in a WAV file, given as its bytes or its path.

    Reads PCM of 8, 16, 24 and 32 bits, float of 32 and 64, mu-law and A-law, up to 8 channels.
    PCM of 8 bits is kept as 16 and of 24 as 32, float of 64 bits as 32. A file that was cut short
    gives the whole samples that are there. Raises `WrongFormat` for anything else, and `OSError`
    if the path cannot be read.
    """
    content = data.read_bytes() if isinstance(data, Path) else data
    name = f"{data.name} " if isinstance(data, Path) else "this "
    if not content:
        raise _refusal(f"{name}is empty; {_ADVICE}")
    if not is_wav(content):
        raise _refusal(f"{name}is not a WAV file, it begins with {content[:12]!r}; {_ADVICE}")
    layout, sound = _find_chunks(content)
    if layout is None:
        raise _refusal(f"{name}is a WAV file without a usable fmt chunk; {_ADVICE}")
    if sound is None:
        raise _refusal(f"{name}is a WAV file without a data chunk: it holds no sound; record again")
    return _sound(_Layout.parse(layout), sound)


def is_wav(head: bytes) -> bool:
    """Whether that begins a WAV file; 12 bytes tell."""
    return len(head) >= 12 and head[:4] in CONTAINERS and head[8:12] == b"WAVE"


def large_size_of(chunk: bytes) -> int | None:
    """How many bytes of sound there are by the content of a chunk "ds64", if it says."""
    return int.from_bytes(chunk[8:16], "little") or None


def _find_chunks(content: bytes) -> tuple[bytes | None, bytes | None]:
    """The contents of the first "fmt " and "data" chunks."""
    layout = sound = None
    riff_end = 8 + int.from_bytes(content[4:8], "little")
    large_size: int | None = None
    at = 12
    while at + 8 <= len(content) and (layout is None or sound is None):
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        at += 8
        if name == b"fmt " and layout is None and size >= 16 and at + 16 <= len(content):
            layout = content[at : at + size]
        elif name == b"ds64":
            large_size = large_size_of(content[at : at + size])
        elif name == b"data" and sound is None:
            if size == _UNKNOWN_SIZE and large_size is not None:
                size = large_size
            # Size 0 is true if the container goes on after it, and a writer's blank otherwise.
            is_blank = size == 0 and (riff_end <= at or riff_end == 8 + _UNKNOWN_SIZE)
            sound = content[at:] if is_blank else content[at : at + size]
            size = len(sound)
        at += size + size % 2
    return layout, sound


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """What a "fmt " chunk says."""

    codec: int
    channels: int
    rate: int
    sample_bytes: int

    @classmethod
    def parse(cls, chunk: bytes) -> Self:
        codec, channels, rate, _, block_bytes, bits = struct.unpack_from("<HHIIHH", chunk)
        if codec == _EXTENSIBLE:
            if len(chunk) < 40 or chunk[26:40] != _CODEC_GUID_TAIL:
                raise _refusal(f"an extensible WAV file of an unknown sub-format; {_ADVICE}")
            codec = int.from_bytes(chunk[24:26], "little")
        sample_bytes = (bits + 7) // 8
        # Samples of, say, 12 bits stand in wider containers: the block is what counts.
        if channels and block_bytes and block_bytes % channels == 0:
            sample_bytes = block_bytes // channels
        return cls(codec=codec, channels=channels, rate=rate, sample_bytes=sample_bytes)


def _sound(layout: _Layout, data: bytes) -> Sound:
    encoding = _ENCODINGS.get((layout.codec, layout.sample_bytes))
    if encoding is None:
        codec = _CODEC_NAMES.get(
            layout.codec,
            {_PCM: "PCM", _FLOAT: "float", _ALAW: "A-law", _MULAW: "mu-law"}.get(
                layout.codec, f"codec 0x{layout.codec:04x}"
            ),
        )
        # What is coded in blocks has no samples of so many bits.
        is_coded = layout.codec in _CODEC_NAMES
        bits = "" if is_coded else f" in samples of {8 * layout.sample_bytes} bits"
        raise _refusal(
            f"a WAV file of {codec}{bits} is not supported; "
            "convert it, for instance with: ffmpeg -i <file> -c:a pcm_s16le sound.wav"
        )
    shape = AudioFormat(encoding, layout.rate, layout.channels)
    block_bytes = layout.sample_bytes * layout.channels
    whole = data[: len(data) - len(data) % block_bytes]
    return Sound(format=shape, data=_widened(whole, layout.codec, layout.sample_bytes))


def _widened(data: bytes, codec: int, sample_bytes: int) -> bytes:
    match codec, sample_bytes:
        case (1, 1):
            # Of all PCM only this one is unsigned, silent at 128.
            return ((np.frombuffer(data, np.uint8).astype("<i2") - 128) << 8).tobytes()
        case (1, 3):
            wide = np.zeros((len(data) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            return wide.tobytes()
        case (3, 8):
            with np.errstate(over="ignore"):
                return np.frombuffer(data, "<f8").astype("<f4").tobytes()
        case _:
            return data


def write_wav(path: Path | None, pcm: bytes, rate: int, channels: int = 1) -> bytes:
    """A WAV file of interleaved 16-bit PCM, written to `path` unless that is `None`, and returned.

    Raises `WrongFormat` if `pcm` ends inside a sample or is over 4 GiB.
    """
    shape = AudioFormat(Encoding.PCM16, rate, channels)
    shape.samples(pcm)
    content = _header(shape, len(pcm)) + pcm
    if path is not None:
        path.write_bytes(content)
    return content


class WavWriter:
    """Writes 16-bit PCM to a WAV file as it comes, for instance a recording of a call.

    The sizes in the header are filled in at `close`. Until then they read "unknown", so that what
    a crash leaves behind can still be played. Writing blocks on the disk.
    """

    def __init__(self, path: Path, rate: int, channels: int = 1) -> None:
        self._shape = AudioFormat(Encoding.PCM16, rate, channels)
        self._written = 0
        self._file: BinaryIO | None = path.open("wb")
        self._file.write(_header(self._shape, None))

    @property
    def samples(self) -> int:
        """Samples of each channel written so far."""
        return self._written // self._shape.block_bytes

    def write(self, pcm: bytes) -> None:
        """Append whole samples of all channels.

        Raises `WrongFormat` if `pcm` ends inside a sample or the file would pass 4 GiB, and
        `AlreadyClosed` after `close`; nothing was written then.
        """
        if self._file is None:
            raise AlreadyClosed("this WAV file is closed; open another", op="wav")
        self._shape.samples(pcm)
        _check_size(self._written + len(pcm))
        self._file.write(pcm)
        self._written += len(pcm)

    def close(self) -> None:
        """Fill in the header and close the file; closing again does nothing."""
        if self._file is None:
            return
        file, self._file = self._file, None
        with file:
            file.seek(0)
            file.write(_header(self._shape, self._written))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _header(shape: AudioFormat, data_bytes: int | None) -> bytes:
    """Everything before the samples; `None` for a length that is not known yet."""
    if data_bytes is not None:
        _check_size(data_bytes)
    return _HEADER.pack(
        b"RIFF",
        _UNKNOWN_SIZE if data_bytes is None else _HEADER.size - 8 + data_bytes,
        b"WAVE",
        b"fmt ",
        16,
        _PCM,
        shape.channels,
        shape.rate,
        shape.rate * shape.block_bytes,
        shape.block_bytes,
        8 * shape.sample_bytes,
        b"data",
        _UNKNOWN_SIZE if data_bytes is None else data_bytes,
    )


def _check_size(data_bytes: int) -> None:
    if data_bytes > _LARGEST_DATA:
        raise _refusal(f"{data_bytes} bytes do not fit a WAV file of 4 GiB; begin another")


def _refusal(message: str) -> WrongFormat:
    return WrongFormat(message, op="wav")
