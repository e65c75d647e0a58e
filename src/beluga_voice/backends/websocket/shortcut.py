"""The short way of a caller's sound: from the socket to the call, past aiohttp's queue.

Nearly every message of a call is 20 ms of sound. aiohttp puts each into a queue and wakes the task
that reads, which takes longer than all the carrier does with it: a seventh of what a call costs.
So sound that comes as one whole frame is handed on by a call, from here. aiohttp is given
everything else and keeps to the rules of RFC 6455: text, frames in pieces, messages in fragments,
pings, the end, and whatever breaks a rule.

Nothing overtakes. Sound goes the short way only between frames, and when every message that went
the long way has been read.
"""

import asyncio
from collections.abc import Callable

try:
    from websockets.speedups import apply_mask
except ImportError:  # there is no compiled one for this platform
    from websockets.utils import apply_mask

SOUND = b"\x82\xfe"
"""How a frame begins that is a whole masked binary message of 126 to 65,535 bytes."""
_HEAD = 8
"""The bytes of such a frame before its payload: those two, the length, and the mask."""


class Passed:
    """Follows the frames in what aiohttp was given, in whatever pieces it came. Pure."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head: bytes = b""
        """The beginning of a frame whose length cannot be told yet."""
        self._left: int = 0
        """How many bytes of the present frame are still to come."""

    @property
    def is_whole(self) -> bool:
        """Whether it ended with the end of a frame."""
        return not (self._left or self._head)

    def feed(self, data: bytes) -> int:
        """More of it; gives how many messages begin there."""
        data = self._head + data
        self._head = b""
        begun, at = 0, self._left
        while at < len(data):
            length = _frame_length(data[at : at + 10])
            if length is None:
                self._head = data[at:]
                at = len(data)
            else:
                begun += data[at] & 0x0F != 0  # 0 goes on with a message that began before
                at += length
        self._left = at - len(data)
        return begun


class Shortcut(asyncio.Protocol):
    """Stands before aiohttp's protocol at one connection.

    `take` is called with each message of sound that goes the short way, and must not raise. A
    program that sends before its connection was answered always goes the long way.
    """

    def __init__(
        self, below: asyncio.Protocol, *, max_bytes: int, take: Callable[[bytes], None]
    ) -> None:
        self._below = below
        self._max_bytes = max_bytes
        self._take = take
        self._passed = Passed()
        self._unread = 0
        """How many messages went the long way and were not read yet."""

    def was_read(self) -> None:
        """A message that went the long way has been dealt with."""
        self._unread -= 1

    def data_received(self, data: bytes) -> None:
        """Hand on sound; give aiohttp the rest, beginning with what is not sound."""
        at = 0
        if not self._unread and self._passed.is_whole:
            while data[at : at + 2] == SOUND:
                first = at + _HEAD
                end = first + int.from_bytes(data[at + 2 : at + 4])
                if end > len(data) or end - first > self._max_bytes:
                    break
                self._take(apply_mask(data[first:end], data[first - 4 : first]))
                at = end
        if at < len(data):
            rest = data[at:]
            self._unread += self._passed.feed(rest)
            self._below.data_received(rest)

    def eof_received(self) -> bool | None:
        """For aiohttp."""
        return self._below.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """For aiohttp."""
        self._below.connection_lost(exc)

    def pause_writing(self) -> None:
        """For aiohttp."""
        self._below.pause_writing()

    def resume_writing(self) -> None:
        """For aiohttp."""
        self._below.resume_writing()


def whole_frame(payload: bytes) -> bytes:
    """A binary message as a server sends it: one frame, without a mask."""
    size = len(payload)
    if size < 126:
        return bytes((0x82, size)) + payload
    if size < 1 << 16:
        return b"\x82\x7e" + size.to_bytes(2) + payload
    return b"\x82\x7f" + size.to_bytes(8) + payload


def _frame_length(head: bytes) -> int | None:
    """The length of the frame that begins so, its header included; `None` if that takes more."""
    if len(head) < 2:
        return None
    length, size = head[1] & 0x7F, 2
    if length > 125:
        size = 4 if length == 126 else 10
        if len(head) < size:
            return None
        length = int.from_bytes(head[2:size])
    return size + (4 if head[1] & 0x80 else 0) + length
