"""OGG pages: taken apart as they arrive, and put together.

A page (RFC 3533, read 2026-11-21) is a header of 27 bytes, a table of segment lengths, and the
segments. A segment of 255 bytes goes on in the next one, and if it is a page's last, on the next
page; a shorter one ends a packet. The *granule position* counts samples up to the last packet that
ends on the page. Every page has a checksum, so a damaged one is known as such.
"""

import io
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from beluga_voice.errors import WrongFormat

LONGEST_PACKET = 61_440
"""Bytes of a packet that are kept: more than sound needs. Of a longer one the rest is dropped."""

_HEADER = struct.Struct("<4sBBqIIIB")
_CHECKSUM_AT = 22
_CONTINUED, _BEGINS, _ENDS = 1, 2, 4
_SEGMENT = 255
_MOST_SEGMENTS = 255
_REVERSED = bytes(int(f"{each:08b}"[::-1], 2) for each in range(256))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of the stream that is read, with the packets that end on it."""

    granule: int
    """-1 if no packet ends here."""
    packets: tuple[bytes, ...]
    begins: bool
    ends: bool


class PageReader:
    """Gives the pages of the first stream in OGG that arrives in pieces of any size.

    Pages of other streams are passed over. What follows the stream's last page is `rest`.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._serial: int | None = None
        self._sequence = 0
        self._packet = bytearray()
        self._is_open = False
        """Whether a packet goes on on the next page."""
        self.has_ended = False
        self.rest = b""

    def feed(self, data: bytes) -> list[Page]:
        """The pages that are whole now. Raises `WrongFormat` where one is damaged or missing."""
        if self.has_ended:
            self.rest += data
            return []
        self._held += data
        pages: list[Page] = []
        at = 0
        while not self.has_ended and (size := self._size(at)) is not None:
            page = self._page(bytes(self._held[at : at + size]))
            at += size
            if page is not None:
                pages.append(page)
        del self._held[:at]
        if self.has_ended:
            self.rest = bytes(self._held)
            self._held.clear()
        return pages

    def _size(self, at: int) -> int | None:
        """Bytes of the page that begins there; `None` if it is not all there."""
        held = self._held
        begun = bytes(held[at : at + 5])
        if begun != b"OggS\0"[: len(begun)]:
            raise _damaged(f"where a page should begin there is {begun!r}")
        if len(held) < at + _HEADER.size:
            return None
        table = at + _HEADER.size
        count = held[table - 1]
        size = _HEADER.size + count + sum(held[table : table + count])
        # With less than the whole table the sum is too small, and the page is not whole either.
        return size if len(held) >= max(at + size, table + count) else None

    def _page(self, data: bytes) -> Page | None:
        _, _, flags, granule, serial, sequence, checksum, count = _HEADER.unpack_from(data)
        if checksum != _checksum(data):
            raise _damaged("a checksum is wrong")
        if self._serial is None:
            if not flags & _BEGINS:
                raise _damaged("its beginning is missing")
            self._serial = serial
        elif serial != self._serial:
            return None
        elif sequence != self._sequence:
            raise _damaged("a page is missing")
        self._sequence = (sequence + 1) & 0xFFFFFFFF
        if bool(flags & _CONTINUED) != self._is_open:
            raise _damaged("a packet has lost a part")
        table = data[_HEADER.size : _HEADER.size + count]
        packets: list[bytes] = []
        at = _HEADER.size + count
        for length in table:
            room = LONGEST_PACKET + 1 - len(self._packet)
            self._packet += data[at : at + min(length, max(room, 0))]
            at += length
            self._is_open = length == _SEGMENT
            if not self._is_open:
                packets.append(bytes(self._packet))
                self._packet.clear()
        self.has_ended = bool(flags & _ENDS)
        return Page(
            granule=granule,
            packets=tuple(packets),
            begins=bool(flags & _BEGINS),
            ends=self.has_ended,
        )


def begins_with(data: bytes, packet: bytes) -> bool | None:
    """Whether a stream begins there whose first packet begins so; `None` if more has to be seen."""
    head = data[: _HEADER.size]
    if not (head.startswith(b"OggS") or b"OggS".startswith(head)):
        return False
    if len(head) < _HEADER.size:
        return None
    if not head[5] & _BEGINS:
        return False
    at = _HEADER.size + head[-1]
    found = data[at : at + len(packet)]
    return found == packet if len(found) == len(packet) else None


def streams_in(file: BinaryIO) -> int:
    """How many streams follow one another in a file, which is looked at from where it stands.

    Of its pages only the headers are read. What is no page ends the search.
    """
    count, has_sound = 0, True
    while len(head := file.read(_HEADER.size)) == _HEADER.size and head.startswith(b"OggS"):
        begins = bool(head[5] & _BEGINS)
        # Those that begin together sound together.
        count += begins and has_sound
        has_sound = not begins
        table = file.read(head[-1])
        file.seek(sum(table), io.SEEK_CUR)
    return count


class PageWriter:
    """Makes pages of one stream, each of which holds whole packets."""

    def __init__(self, serial: int = 1) -> None:
        self._serial = serial
        self._sequence = 0

    def page(self, packets: tuple[bytes, ...], granule: int, *, ends: bool = False) -> bytes:
        """The next page; the first one begins the stream. Its packets fit, see `fits`."""
        table = b"".join(
            bytes([_SEGMENT]) * (len(one) // _SEGMENT) + bytes([len(one) % _SEGMENT])
            for one in packets
        )
        flags = (0 if self._sequence else _BEGINS) | (_ENDS if ends else 0)
        page = bytearray(
            _HEADER.pack(b"OggS", 0, flags, granule, self._serial, self._sequence, 0, len(table))
        )
        page += table + b"".join(packets)
        page[_CHECKSUM_AT : _CHECKSUM_AT + 4] = _checksum(bytes(page)).to_bytes(4, "little")
        self._sequence += 1
        return bytes(page)


def fits(packets: tuple[bytes, ...]) -> bool:
    """Whether one page holds those packets."""
    return sum(len(one) // _SEGMENT + 1 for one in packets) <= _MOST_SEGMENTS


def _checksum(page: bytes) -> int:
    """CRC-32 of polynomial 0x04C11DB7 with the highest bit first, the field itself counted as 0.

    That of `zlib` is the same one with the lowest bit first, begun and ended inverted.
    """
    blank = b"".join((page[:_CHECKSUM_AT], bytes(4), page[_CHECKSUM_AT + 4 :]))
    mirrored = zlib.crc32(blank.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_REVERSED), "big")


def _damaged(what: str) -> WrongFormat:
    return WrongFormat(f"this OGG stream is damaged, {what}; get it again", op="ogg")
