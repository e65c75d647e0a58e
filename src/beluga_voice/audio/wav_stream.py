"""WAV as a stream: read while it arrives, written before its length is known.

`beluga_voice.audio.wav` explains the container and reads whole files. Here nothing is kept but the
"fmt " chunk and the part of a sample that the last piece ended in, so an hour needs no more memory
than a second. A stream cannot be read backwards, so "fmt " has to come before "data", as it does in
all files we have met.
"""

import struct

from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.audio.wav import CONTAINERS, is_wav, large_size_of, read_wav
from beluga_voice.errors import WrongFormat

_UNKNOWN_SIZE = 0xFFFFFFFF
_LARGEST_LAYOUT = 1024
"""Bytes of a "fmt " chunk; 40 are in use."""

_CODECS = {
    Encoding.PCM16: 1,
    Encoding.PCM32: 1,
    Encoding.FLOAT32: 3,
    Encoding.ALAW: 6,
    Encoding.MULAW: 7,
}


class WavDecoder:
    """Gives the samples of a WAV file that arrives in pieces of any size, as `read_wav` does.

    `format` is `None` until the header is there. What follows the "data" chunk is passed over.
    """

    def __init__(self) -> None:
        self.format: AudioFormat | None = None
        self._held = b""
        self._skip = 0
        self._large_size: int | None = None
        self._riff_end: int | None = None
        self._at = 0
        self._layout: bytes | None = None
        self._prefix = b""
        self._block_bytes = 0
        self._left: int | None = None
        """Bytes of the "data" chunk that are to come; `None` for as many as there are."""

    def feed(self, data: bytes) -> bytes:
        """The samples that are whole once `data` was added, in `format`; perhaps none.

        Raises `WrongFormat` as soon as it is seen to be something else than WAV, or WAV of a codec
        that `read_wav` refuses.
        """
        self._held += data
        while self.format is None:
            if not self._read_header():
                return b""
        if self._left is not None:
            self._held = self._held[: self._left]
        whole = len(self._held) - len(self._held) % self._block_bytes
        samples, self._held = self._held[:whole], self._held[whole:]
        if self._left is not None:
            self._left -= whole
        return read_wav(self._prefix + samples).data if samples else b""

    def flush(self) -> None:
        """Nothing follows; raises `WrongFormat` if that came before the samples.

        A file that was cut short inside a sample lacks that sample, and is no error.
        """
        if self.format is None:
            begun = "is empty" if self._at == 0 and not self._held else "ends inside its header"
            raise WrongFormat(f"this WAV stream {begun}: it holds no sound", op="wav")
        self._held = b""

    def _read_header(self) -> bool:
        """Take the next part of the header; whether it was all there."""
        if self._riff_end is None:
            begun = self._held[:4]
            if len(self._held) < 12 and any(one.startswith(begun) for one in CONTAINERS):
                return False
            if not is_wav(self._held):
                read_wav(self._held[:12])
            self._riff_end = 8 + int.from_bytes(self._held[4:8], "little")
            self._take(12)
            return True
        skipped = min(self._skip, len(self._held))
        self._skip -= skipped
        self._take(skipped)
        if self._skip or len(self._held) < 8:
            return False
        name, size = self._held[:4], int.from_bytes(self._held[4:8], "little")
        if name == b"data":
            if size == _UNKNOWN_SIZE and self._large_size is not None:
                size = self._large_size
            self._begin(size)
        elif name == b"ds64" and self._large_size is None:
            if len(self._held) < 8 + 16:
                return False
            self._large_size = large_size_of(self._held[8 : 8 + 16])
            self._skip = size + size % 2
            self._take(8)
        elif name == b"fmt " and self._layout is None and size >= 16:
            if size > _LARGEST_LAYOUT:
                raise WrongFormat(f"a WAV header with a fmt chunk of {size} bytes", op="wav")
            if len(self._held) < 8 + size:
                return False
            self._layout = self._held[8 : 8 + size]
            self._skip = size % 2
            self._take(8 + size)
        else:
            self._skip = size + size % 2
            self._take(8)
        return True

    def _begin(self, size: int) -> None:
        """The "data" chunk is next."""
        self._take(8)
        if self._layout is None:
            raise WrongFormat(
                "a WAV stream whose data comes before its fmt chunk cannot be read as it arrives; "
                "collect it, and use read_wav",
                op="wav",
            )
        assert self._riff_end is not None
        is_blank = size == 0 and (self._riff_end <= self._at or self._riff_end == 8 + _UNKNOWN_SIZE)
        self._left = None if is_blank or size == _UNKNOWN_SIZE else size
        self._prefix = _container(self._layout)
        shape = read_wav(self._prefix).format
        _, channels, _, _, block_bytes, bits = struct.unpack_from("<HHIIHH", self._layout)
        is_stated = block_bytes and block_bytes % channels == 0
        self._block_bytes = block_bytes if is_stated else channels * ((bits + 7) // 8)
        self.format = shape

    def _take(self, count: int) -> None:
        self._held = self._held[count:]
        self._at += count


class WavEncoder:
    """Writes a WAV file in pieces, in any encoding; its header says "unknown" where its length is.

    Most programs read that to the end of the file. Where the length is known, give it: `samples` of
    each channel.
    """

    def __init__(self, shape: AudioFormat, *, samples: int | None = None) -> None:
        self._shape = shape
        self._header = wav_header(shape, samples)
        self._is_padded = samples is not None
        self._written = 0

    def feed(self, data: bytes) -> bytes:
        """`data`, with the header before the first; raises `WrongFormat` if it ends in a sample."""
        self._shape.samples(data)
        self._written += len(data)
        header, self._header = self._header, b""
        return header + data if header else data

    def flush(self) -> bytes:
        """The end of the file: the header, if nothing came, or a byte that makes its size even."""
        header, self._header = self._header, b""
        # Without a stated length, that byte would be taken for sound.
        return header + bytes(self._written % 2 if self._is_padded else 0)


def wav_header(shape: AudioFormat, samples: int | None) -> bytes:
    """All that comes before the samples; `None` for a length that is not known.

    Raises `WrongFormat` for more than 4 GiB.
    """
    codec = _CODECS[shape.encoding]
    size = None if samples is None else samples * shape.block_bytes
    layout = struct.pack(
        "<HHIIHH",
        codec,
        shape.channels,
        shape.rate,
        shape.rate * shape.block_bytes,
        shape.block_bytes,
        8 * shape.sample_bytes,
    )
    if codec == 1:
        chunks = _chunk(b"fmt ", layout)
    else:
        # What is no PCM has the size of an extension, here none, and its length in samples.
        count = _UNKNOWN_SIZE if samples is None else samples
        chunks = _chunk(b"fmt ", layout + bytes(2)) + _chunk(b"fact", count.to_bytes(4, "little"))
    if size is not None and size + len(chunks) + 12 >= _UNKNOWN_SIZE:
        raise WrongFormat(f"{size} bytes do not fit a WAV file of 4 GiB; begin another", op="wav")
    # A chunk of an odd number of bytes is followed by one that does not count.
    riff = _UNKNOWN_SIZE if size is None else 4 + len(chunks) + 8 + size + size % 2
    sizes = [each.to_bytes(4, "little") for each in (riff, _UNKNOWN_SIZE if size is None else size)]
    return b"".join((b"RIFF", sizes[0], b"WAVE", chunks, b"data", sizes[1]))


def _container(layout: bytes) -> bytes:
    """A WAV file of no stated length that ends where its samples begin."""
    size = _UNKNOWN_SIZE.to_bytes(4, "little")
    return b"".join((b"RIFF", size, b"WAVE", _chunk(b"fmt ", layout), b"data", size))


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)
