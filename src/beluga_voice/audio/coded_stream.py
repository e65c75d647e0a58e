"""MP3 and Opus as streams: decoded while they arrive, and coded before their end is known.

libsndfile, which does the work, reads and writes files. Here it reads one that has no end and
grows: frames and pages are found by our own code, checked, and given to it behind a beginning that
says "very long"; it is never asked for more than has arrived, so it never meets an end. What coders
add before and after the sound is taken away by what the stream says of it, so the samples are those
that went in, to the last one, and those that `read_sound` gives. Nothing is kept but the frame or
page that is not whole yet, and what the decoder looks back at.

A decoder is late: MP3 by four frames (0.1 s at 44.1 kHz, 0.3 s at 8 kHz), Opus by a page, which is
up to a second from most coders. Both work on the caller's thread, and keep it busy.
"""

import io
from collections.abc import Generator
from contextlib import contextmanager
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beluga_voice.audio import mpeg, ogg, sndfile
from beluga_voice.audio.convert import convert
from beluga_voice.audio.file_kind import FileKind
from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.errors import WrongFormat

_ENDLESS = 1 << 40
"""The size of a file that is not there yet, in bytes."""
_LOOK_BACK = 1 << 17
"""Bytes already read that are kept."""
_PACKET = b"\xf8"
"""A packet of Opus: 20 ms without sound."""
_LONGEST_SAMPLES = 5760
"""Samples at 48 kHz of a packet of Opus, at the most: 120 ms."""
_TAIL = 128
"""Bytes at the end where the library looks for a tag once."""


class Mp3Decoder:
    """Gives the samples of MP3 that arrives in pieces of any size, as 16-bit PCM.

    `format` is `None` until the first frame is there. Without an Info frame all that is decoded is
    given, with the silence that the coder put before it. Raises `WrongFormat` for what is damaged;
    a stream that was cut short gives what is there.
    """

    _MARGIN = 4
    """Frames that are held: the decoder reads ahead by two, and silence at the end is shorter."""

    def __init__(self) -> None:
        self.format: AudioFormat | None = None
        self._reader = mpeg.FrameReader()
        self._extent = mpeg.Extent()
        self._line: _Line | None = None
        self._frames = 0

    def feed(self, data: bytes, /) -> bytes:
        """The samples that are ready once `data` was added; perhaps none."""
        for frame in self._reader.feed(data):
            self._take(frame)
        return self._give(self._frames - self._MARGIN)

    def finish(self) -> bytes:
        """All that is held; nothing follows."""
        if self._line is None:
            raise WrongFormat("this MP3 stream is empty or ends before its first frame", op="mpeg")
        if self._reader.told is not None and self._extent.length is None:
            self._extent = self._reader.told
        try:
            return self._give(self._frames)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the decoder; closing again does nothing."""
        if self._line is not None:
            self._line.close()

    def _take(self, frame: bytes) -> None:
        header = self._reader.header
        assert header is not None
        if self._line is None:
            self.format = AudioFormat(Encoding.PCM16, header.rate, header.channels)
            self._line = _Line(self.format, FileKind.MP3)
            head = mpeg.roomy(frame)
            self._line.add(mpeg.info_frame(head, frames=None))
            info = mpeg.Info.of(frame)
            if info is not None:
                self._extent = info.extent(header.samples)
                return
        self._line.add(frame)
        self._frames += 1

    def _give(self, frames: int) -> bytes:
        """The samples of all frames before that one."""
        if self._line is None or frames <= 0 or self._reader.header is None:
            return b""
        begin, length = self._extent.begin, self._extent.length
        end = frames * self._reader.header.samples
        if length is not None:
            end = min(end, begin + length)
        return self._line.read(begin, end)


class OpusDecoder:
    """Gives the samples of Opus in OGG that arrives in pieces of any size, as 16-bit PCM.

    `format` is `None` until the first page is there; its rate is the one the coder was given, or
    the next that Opus has. Streams that follow one another, as a broadcast has one for each piece,
    are one sound in the format of the first; what follows that is something else is passed over.
    Raises `WrongFormat` for what is damaged, lacks a page or goes on with other channels; a stream
    that was cut short gives the pages that are there.
    """

    def __init__(self) -> None:
        self._stream = _OpusStream()
        self._has_ended = False

    @property
    def format(self) -> AudioFormat | None:
        """The format of the samples."""
        return self._stream.format

    def feed(self, data: bytes, /) -> bytes:
        """The samples that are ready once `data` was added; perhaps none."""
        ready: list[bytes] = []
        while not self._has_ended:
            ready.append(self._stream.feed(data))
            goes_on = self._stream.is_followed
            if goes_on is None:
                break
            if not goes_on:
                self._has_ended = True
                break
            data = self._stream.rest
            ready.append(self._stream.finish())
            self._stream = _OpusStream(self._stream.format)
        return b"".join(ready)

    def finish(self) -> bytes:
        """All that is held; nothing follows."""
        return self._stream.finish()

    def close(self) -> None:
        """Let go of the decoder; closing again does nothing."""
        self._stream.close()


class _OpusStream:
    """One stream of Opus; in the format of another, if it follows that."""

    _RATE = 48000
    """Granule positions are counted at it, whatever the rate."""
    _ENDS_AT = 1 << 50
    _FAR = 1 << 14
    """Bytes before the last page, at the least: more than the decoder reads ahead."""
    _BLOCK = 2048
    _SETTLED = 5760
    """Samples behind the first ones that the decoder wants to see when it begins."""

    def __init__(self, before: AudioFormat | None = None) -> None:
        self.format: AudioFormat | None = before
        self._reader = ogg.PageReader()
        self._writer = ogg.PageWriter()
        self._headers = 0
        self._skip = 0
        self._position = 0
        """Samples in all packets so far."""
        self._offset: int | None = None
        """The granule position before the first packet."""
        self._end: int | None = None
        self._line: _Line | None = None

    @property
    def rest(self) -> bytes:
        """What follows its last page."""
        return self._reader.rest

    @property
    def is_followed(self) -> bool | None:
        """Whether another stream follows; `None` while that cannot be told."""
        if not self._reader.has_ended or not self.rest:
            return None
        return ogg.begins_with(self.rest, b"OpusHead")

    def feed(self, data: bytes, /) -> bytes:
        """The samples that are ready once `data` was added; perhaps none."""
        for page in self._reader.feed(data):
            self._take(page)
        return self._give(has_all=False)

    def finish(self) -> bytes:
        """All that is held; nothing follows."""
        if self._line is None:
            raise WrongFormat("this OGG stream is empty or ends inside its headers", op="ogg")
        try:
            return self._give(has_all=True)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the decoder; closing again does nothing."""
        if self._line is not None:
            self._line.close()

    def _take(self, page: ogg.Page) -> None:
        packets = list(page.packets)
        while packets and self._headers < 2:
            self._take_header(packets.pop(0))
        if not packets:
            self._note_end(page)
            return
        assert self._line is not None
        began = self._position
        waiting: tuple[bytes, ...] = ()
        for packet in packets:
            if not ogg.fits((*waiting, packet)):
                self._line.add(self._writer.page(waiting, self._position))
                waiting = ()
            self._position += _opus_samples(packet)
            waiting = (*waiting, packet)
        self._line.add(self._writer.page(waiting, self._position))
        if self._offset is None:
            # A part of a longer stream counts from where that began; the first page may also be
            # the last, and then counts less than it holds.
            before = page.granule - (self._position - began)
            self._offset = before if before > 0 and not page.ends else 0
        self._note_end(page)

    def _note_end(self, page: ogg.Page) -> None:
        if page.ends and page.granule >= 0:
            self._end = max(page.granule - (self._offset or 0), self._skip)

    def _take_header(self, packet: bytes) -> None:
        self._headers += 1
        if self._headers == 2:
            if packet[:8] != b"OpusTags":
                raise _damaged("its second packet is no OpusTags")
            # What is in it may be long, and nothing of it is sound.
            assert self._line is not None
            self._line.add(self._writer.page((b"OpusTags" + bytes(8),), 0))
            return
        if packet[:8] != b"OpusHead" or len(packet) < 19 or packet[8] & 0xF0:
            raise _damaged("its first packet is no OpusHead")
        self._skip = int.from_bytes(packet[10:12], "little")
        if self.format is None:
            wanted = int.from_bytes(packet[12:16], "little")
            rate = next((one for one in (8000, 12000, 16000, 24000) if wanted <= one), self._RATE)
            self.format = AudioFormat(Encoding.PCM16, rate if wanted else self._RATE, packet[9])
        elif packet[9] != self.format.channels:
            raise WrongFormat(
                f"this OGG holds a stream of {self.format.channels} channels and then one of"
                f" {packet[9]}; give them one by one, or as one: ffmpeg -i <file> sound.wav",
                op="ogg",
            )
        else:
            packet = packet[:12] + self.format.rate.to_bytes(4, "little") + packet[16:]
        self._line = _Line(self.format, FileKind.OPUS)
        self._line.add(self._writer.page((packet,), 0))

    def _give(self, *, has_all: bool) -> bytes:
        line = self._line
        if line is None or self.format is None or self._headers < 2:
            return b""
        is_settled = self._position > self._skip + self._SETTLED
        if not line.is_open:
            if not (is_settled or has_all or self._reader.has_ended) or not self._position:
                return b""
            # It looks for the last page once, to know the length. It does so in blocks, and finds
            # only one that begins well inside of a block (libsndfile 1.2.2, tried 2026-11-21).
            last = copy(self._writer).page((_PACKET,), self._ENDS_AT, ends=True)
            blank = self._FAR + (self._BLOCK // 2 - line.size) % self._BLOCK
            line.open(end=bytes(blank) + last)
        factor = self._RATE // self.format.rate
        end = self._position if self._end is None else min(self._position, self._end)
        return line.read(0, (end - self._skip) // factor)


def _opus_samples(packet: bytes) -> int:
    """Samples at 48 kHz of a packet, by its first bytes (RFC 6716, 3.1; read 2026-11-21)."""
    if not packet or len(packet) > ogg.LONGEST_PACKET:
        raise _damaged(f"a packet of {len(packet)} bytes is no Opus")
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        one = (480, 960, 1920, 2880)[config & 3]
    elif config < 16:
        one = (480, 960)[config & 1]
    else:
        one = (120, 240, 480, 960)[config & 3]
    count = (1, 2, 2, packet[1] & 0x3F if len(packet) > 1 else 0)[code]
    if not 0 < one * count <= _LONGEST_SAMPLES:
        raise _damaged(f"a packet of {one * count} samples is no Opus")
    return one * count


def _damaged(what: str) -> WrongFormat:
    return WrongFormat(f"this Opus stream is damaged, {what}; get it again", op="ogg")


class _Line:
    """A file that grows, and the library that reads it."""

    def __init__(self, shape: AudioFormat, kind: FileKind) -> None:
        self._shape = shape
        self._decoded = AudioFormat(Encoding.FLOAT32, shape.rate, shape.channels)
        self._kind = kind
        self._file = _Growing()
        self._reader: Any = None
        self._position = 0
        """Samples of each channel that were decoded."""

    @property
    def is_open(self) -> bool:
        return self._reader is not None

    @property
    def size(self) -> int:
        """Bytes that the file has so far."""
        return self._file.size

    def add(self, data: bytes) -> None:
        """Let the file grow."""
        self._file.add(data)

    def open(self, *, end: bytes = b"") -> None:
        """Begin to decode; while the library looks at the file, that is its end."""
        with self._file.ending(end):
            self._reader = sndfile.reading(self._file, self._kind)
        if (self._reader.samplerate, self._reader.channels) != (
            self._shape.rate,
            self._shape.channels,
        ):
            raise sndfile.damaged(self._kind)

    def read(self, begin: int, end: int) -> bytes:
        """The samples from `begin` on and before `end` that were not read yet."""
        ready: list[bytes] = []
        while self._position < end:
            if self._reader is None:
                self.open()
            count = min(end - self._position, sndfile.PIECE_SAMPLES)
            samples = self._decode(count)
            before = max(0, begin - self._position)
            self._position += len(samples)
            if before < len(samples):
                # The decoders overshoot; our own conversion clips, and never wraps.
                ready.append(convert(samples[before:].tobytes(), self._decoded, self._shape))
            if len(samples) < count:
                raise sndfile.damaged(self._kind)
        self._file.forget()
        return b"".join(ready)

    def _decode(self, count: int) -> NDArray[np.float32]:
        library = sndfile.library()
        try:
            samples: NDArray[np.float32] = self._reader.read(count, dtype="float32", always_2d=True)
        except library.LibsndfileError as error:
            raise sndfile.damaged(self._kind) from error
        return samples

    def close(self) -> None:
        """Let go of the library's part."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class _Growing:
    """A file without an end, as the library sees it; reading what is not there gives nothing."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._begin = 0
        """Where in the file `_data` begins."""
        self._at = 0
        self._stated = _ENDLESS

    @property
    def size(self) -> int:
        """Bytes that are there, with those that were dropped."""
        return self._begin + len(self._data)

    def add(self, data: bytes) -> None:
        self._data += data

    @contextmanager
    def ending(self, end: bytes) -> Generator[None]:
        """Meanwhile the file ends with that, if it is anything."""
        if not end:
            yield
            return
        kept = len(self._data)
        self._data += end
        self._stated = len(self._data)
        yield
        del self._data[kept:]
        self._stated = _ENDLESS

    def forget(self) -> None:
        """Drop what was read, but for the part that may be looked at again."""
        done = self._at - self._begin - _LOOK_BACK
        if done > _LOOK_BACK:
            del self._data[:done]
            self._begin += done

    def read(self, size: int = -1, /) -> bytes:
        begin = self._at - self._begin
        if begin < 0:
            return b""
        if self._at >= self._stated - _TAIL:
            given = bytes(min(max(size, 0), self._stated - self._at))
        else:
            given = bytes(self._data[begin : begin + size])
        self._at += len(given)
        return given

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._stated}[whence]
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at
