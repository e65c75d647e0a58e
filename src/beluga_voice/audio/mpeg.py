"""Frames of MPEG layer III (MP3), found as they arrive.

A frame is a header of 4 bytes, which gives its length, and a body; it stands for 1152 samples, or
576 at 24 kHz and below (ISO/IEC 11172-3 and 13818-3). Coders put silence before the sound and after
it. How much, the *Info frame* says: a first frame without sound that has "Xing" or "Info" in it,
the number of frames, and behind that LAME's two counts of 12 bits (Mp3 Info Tag rev 1, gabriel.mp3-
tech.org, read 2026-11-21). It can only be written when all is known. What is written without going
back has the same numbers at its end, in an ID3v2.4 tag with the comment "iTunSMPB", as iTunes
writes them: what is added before and after, and the samples of the sound, in hexadecimal.
"""

import re
from dataclasses import dataclass
from typing import Self

from beluga_voice.errors import WrongFormat

DECODER_DELAY = 529
"""Samples by which every decoder is late; LAME does not count them."""

_RATES = (44100, 48000, 32000)
_BITRATES = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_HEADER_BYTES = 4
_ID3_HEADER_BYTES = 10
_ID3V1_BYTES = 128
_LONGEST_TAG = 4096
"""Bytes of a tag that are looked at; longer ones hold pictures."""
_LONGEST_JUNK = 65536
_DELAYS_AT = 21
"""Where in LAME's part of an Info frame its two counts stand."""
_SMPB = re.compile(rb"iTunSMPB\0 [0-9A-F]{8} ([0-9A-F]{8}) ([0-9A-F]{8}) ([0-9A-F]{16})")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameHeader:
    """What the first 4 bytes of a frame say."""

    rate: int
    channels: int
    is_half: bool
    """One of 576 samples: MPEG 2 and 2.5."""
    has_checksum: bool
    size: int
    """Bytes of the whole frame."""

    @classmethod
    def of(cls, head: bytes | bytearray) -> Self | None:
        """The header that these bytes begin with; `None` if they do not."""
        if len(head) < _HEADER_BYTES or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
            return None
        version, bitrate, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
        if version == 1 or bitrate in (0, 15) or rate == 3:
            return None
        hertz = _RATES[rate] >> (2, 0, 1, 0)[version]
        is_half = version != 3
        bits = _BITRATES[is_half][bitrate] * 1000
        return cls(
            rate=hertz,
            channels=1 if head[3] >> 6 == 3 else 2,
            is_half=is_half,
            has_checksum=not head[1] & 1,
            size=(72 if is_half else 144) * bits // hertz + (head[2] >> 1 & 1),
        )

    @property
    def samples(self) -> int:
        """Samples of each channel that a frame stands for."""
        return 576 if self.is_half else 1152

    @property
    def info_at(self) -> int:
        """Where the name of an Info frame stands, which has no checksum, whatever its header says.

        LAME leaves no room for one (3.100, tried 2026-11-21).
        """
        side = (
            (17 if self.channels == 2 else 9) if self.is_half else 32 if self.channels == 2 else 17
        )
        return _HEADER_BYTES + side

    def is_like(self, other: Self) -> bool:
        """Whether both can be of one stream."""
        return (self.rate, self.channels, self.is_half) == (
            other.rate,
            other.channels,
            other.is_half,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Where in all that is decoded the sound is, in samples of each channel."""

    begin: int = 0
    length: int | None = None
    """`None` if it is not known, and all that follows counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What an Info frame says; `None` is what it does not say."""

    frames: int | None = None
    delay: int | None = None
    """Samples that the coder added before the sound."""
    padding: int = 0
    """Samples that it added behind it."""

    @classmethod
    def of(cls, frame: bytes | bytearray) -> Self | None:
        """What that frame says; `None` for one that is sound."""
        header = FrameHeader.of(frame)
        assert header is not None
        if frame[36:40] == b"VBRI":
            return cls()
        places = (header.info_at, header.info_at + 2 * header.has_checksum)
        at = next((one for one in places if frame[one : one + 4] in (b"Xing", b"Info")), None)
        if at is None:
            return None
        flags = int.from_bytes(frame[at + 4 : at + 8], "big")
        frames = int.from_bytes(frame[at + 8 : at + 12], "big") if flags & 1 else None
        # A number of frames, one of bytes, a table of 100 bytes and a quality, each if it is there.
        lame_at = at + 8 + 4 * (flags & 1) + 2 * (flags & 2) + 25 * (flags & 4) + (flags & 8) // 2
        lame = frame[lame_at : lame_at + _DELAYS_AT + 3]
        if len(lame) < _DELAYS_AT + 3 or not lame[0]:
            return cls(frames=frames)
        delays = int.from_bytes(lame[_DELAYS_AT:], "big")
        return cls(frames=frames, delay=delays >> 12, padding=delays & 0xFFF)

    def extent(self, frame_samples: int) -> Extent:
        """Where the sound is, if frames have so many samples."""
        if self.delay is None:
            return Extent()
        begin = self.delay + DECODER_DELAY
        if self.frames is None:
            return Extent(begin=begin)
        length = self.frames * frame_samples - self.delay - self.padding
        return Extent(begin=begin, length=max(length, 0))


class FrameReader:
    """Gives the frames of MP3 that arrives in pieces of any size.

    Tags are passed over, and so is what follows the last frame. Raises `WrongFormat` where
    something else is between frames, or the frames are of two kinds.
    """

    def __init__(self) -> None:
        self.header: FrameHeader | None = None
        """That of the first frame."""
        self.told: Extent | None = None
        """What a tag behind the sound says of it."""
        self._held = bytearray()
        self._skip = 0
        self._junk = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are whole now."""
        self._held += data
        frames: list[bytes] = []
        at = 0
        while True:
            begun = at
            skipped = min(self._skip, len(self._held) - at)
            self._skip -= skipped
            at += skipped
            if self._skip or len(self._held) - at < _ID3_HEADER_BYTES:
                break
            at = self._take(at, frames)
            if at == begun and not self._skip:
                break
        del self._held[:at]
        return frames

    def _take(self, at: int, frames: list[bytes]) -> int:
        """Take what begins there, if it is all there; where the next begins."""
        held = self._held
        if held.startswith(b"ID3", at):
            size = _id3_size(held[at : at + _ID3_HEADER_BYTES])
            if size <= _LONGEST_TAG:
                if len(held) - at < size:
                    return at
                self._read_tag(bytes(held[at : at + size]))
            self._skip = size
            return at
        if self.header is not None and held.startswith(b"TAG", at):
            self._skip = _ID3V1_BYTES
            return at
        header = FrameHeader.of(held[at : at + _HEADER_BYTES])
        if header is not None and self._junk:
            follows = at + header.size
            if len(held) < follows + _HEADER_BYTES:
                return at
            # Two in a row are none by chance.
            if FrameHeader.of(held[follows : follows + _HEADER_BYTES]) is not None:
                raise _damaged(f"{self._junk} bytes between two frames are none")
            header = None
        if header is None:
            self._junk += 1
            if self.header is None or self._junk > _LONGEST_JUNK:
                raise _damaged("something else is where a frame should begin")
            return at + 1
        if self.header is None:
            self.header = header
        elif not header.is_like(self.header):
            raise _damaged(
                f"it changes from {self.header.rate} Hz and {self.header.channels} channels to "
                f"{header.rate} Hz and {header.channels}"
            )
        if len(held) - at < header.size:
            return at
        frames.append(bytes(held[at : at + header.size]))
        return at + header.size

    def _read_tag(self, tag: bytes) -> None:
        found = _SMPB.search(tag)
        if found and self.header is not None:
            delay, _, length = (int(one, 16) for one in found.groups())
            self.told = Extent(begin=delay + DECODER_DELAY, length=length)


def _id3_size(head: bytes | bytearray) -> int:
    """Bytes of the ID3v2 tag with that header, and of its footer."""
    size = 0
    for part in head[6:10]:
        size = size << 7 | part & 0x7F
    return _ID3_HEADER_BYTES + size + (_ID3_HEADER_BYTES if head[5] & 0x10 else 0)


def info_frame(header: bytes, *, frames: int | None, delay: int = 0, padding: int = 0) -> bytes:
    """An Info frame for a stream whose frames begin with that header, of the same length.

    It has no number of frames where that is `None`.
    """
    shape = FrameHeader.of(header)
    assert shape is not None
    frame = bytearray(shape.size)
    frame[:_HEADER_BYTES] = header[:_HEADER_BYTES]
    counted = b"" if frames is None else frames.to_bytes(4, "big")
    delays = (delay << 12 | padding).to_bytes(3, "big")
    lame = b"LAME3.100" + bytes(_DELAYS_AT - 9) + delays if delay or padding else b""
    content = b"Info" + (0 if frames is None else 1).to_bytes(4, "big") + counted + lame
    frame[shape.info_at : shape.info_at + len(content)] = content
    return bytes(frame)


def roomy(header: bytes) -> bytes:
    """That header, with a bit rate whose frames have room for what an Info frame says."""
    shape = FrameHeader.of(header)
    assert shape is not None
    bitrate = 8 if shape.is_half else 9
    return bytes((header[0], header[1] | 1, bitrate << 4 | header[2] & 0x0D, header[3]))


def extent_tag(delay: int, padding: int, length: int) -> bytes:
    """What is written behind the sound where the Info frame cannot say it."""
    numbers = f" 00000000 {delay:08X} {padding:08X} {length:016X}" + 8 * " 00000000"
    comment = b"\0eng" + b"iTunSMPB\0" + numbers.encode()
    frame = b"COMM" + _synchsafe(len(comment)) + bytes(2) + comment
    rest = b"\x04\0\x10" + _synchsafe(len(frame))
    return b"ID3" + rest + frame + b"3DI" + rest


def _synchsafe(size: int) -> bytes:
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))


def _damaged(what: str) -> WrongFormat:
    return WrongFormat(f"this MP3 stream is damaged: {what}; get it again", op="mpeg")
