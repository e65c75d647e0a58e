"""Cuts a stream of bytes into frames of one size."""

from beluga_voice.errors import Misuse


class Framer:
    """Takes chunks of any size and gives frames of exactly `frame_bytes`, in order.

    `padding` is one byte of silence, for `flush`: zero for PCM and float, 0xFF for mu-law, 0xD5
    for A-law. Raises `Misuse` for a frame without bytes or padding that is not one byte.
    """

    __slots__ = ("_held", "_position", "frame_bytes", "padding")

    def __init__(self, frame_bytes: int, *, padding: bytes = b"\0") -> None:
        if frame_bytes < 1:
            raise Misuse(f"a frame of {frame_bytes} bytes holds nothing; ask for 1 or more")
        if len(padding) != 1:
            raise Misuse(f"padding is {len(padding)} bytes; give exactly one byte of silence")
        self.frame_bytes = frame_bytes
        self.padding = padding
        self._held = b""
        self._position = 0

    @property
    def position(self) -> int:
        """Frames given out since the start, the flushed one included; `clear` keeps it."""
        return self._position

    @property
    def held(self) -> int:
        """Bytes that wait for the rest of their frame."""
        return len(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completes, perhaps none."""
        size = self.frame_bytes
        if self._held:
            data = self._held + data
        length = len(data)
        if length < size:
            self._held = bytes(data)
            return []
        if length == size:
            # What a peer with our own frame length sends all the time: nothing is copied.
            self._held = b""
            self._position += 1
            return [data]
        end = length - length % size
        self._held = data[end:]
        self._position += end // size
        return [data[at : at + size] for at in range(0, end, size)]

    def flush(self, *, pad: bool = True) -> bytes:
        """The unfinished last frame, padded to full length unless `pad` is false.

        Empty if nothing is held, so that flushing twice adds no silence. An unpadded rest is
        shorter than a frame and does not count in `position`.
        """
        if not self._held:
            return b""
        rest, self._held = self._held, b""
        if not pad:
            return rest
        self._position += 1
        return rest + self.padding * (self.frame_bytes - len(rest))

    def clear(self) -> None:
        """Forget what is held, as when the person interrupts."""
        self._held = b""
