"""Sound that waits to be heard.

How it works. Sound of responses is queued in order and taken out in order, in pieces of the size
that the line wants. A piece holds sound of one response only, so that what was heard of each can be
counted. Everything is dropped in one step by `clear`.
"""

from collections import deque


class Playout[Key]:
    """A queue of mono 16-bit sound, by the key of what it belongs to."""

    __slots__ = ("_chunks", "_head", "samples")

    def __init__(self) -> None:
        self._chunks: deque[tuple[Key, bytes]] = deque()
        self._head = 0
        self.samples = 0
        """How much waits, in samples."""

    def put(self, key: Key, pcm: bytes) -> None:
        """Queue sound behind what waits."""
        self._chunks.append((key, pcm))
        self.samples += len(pcm) >> 1

    def take(self, samples: int) -> tuple[Key, bytes] | None:
        """Take out up to `samples` of the first key that waits; `None` if nothing does."""
        chunks = self._chunks
        if not chunks:
            return None
        key, pcm = chunks[0]
        wanted = samples * 2
        left = len(pcm) - self._head
        if left == wanted and not self._head:
            chunks.popleft()
            self.samples -= samples
            return key, pcm
        if left > wanted:
            piece = pcm[self._head : self._head + wanted]
            self._head += wanted
            self.samples -= samples
            return key, piece
        pieces = [pcm[self._head :]]
        chunks.popleft()
        self._head = 0
        missing = wanted - left
        while missing and chunks and chunks[0][0] == key:
            pcm = chunks[0][1]
            pieces.append(pcm[:missing])
            if len(pcm) > missing:
                self._head = missing
                missing = 0
            else:
                chunks.popleft()
                missing -= len(pcm)
        piece = b"".join(pieces)
        self.samples -= len(piece) >> 1
        return key, piece

    def waiting(self, key: Key) -> int:
        """How many samples of `key` wait at the front."""
        total = -self._head
        for other, pcm in self._chunks:
            if other != key:
                break
            total += len(pcm)
        return max(total, 0) >> 1

    @property
    def first(self) -> Key | None:
        """The key of the sound that comes next."""
        return self._chunks[0][0] if self._chunks else None

    def clear(self) -> None:
        """Drop everything."""
        self._chunks.clear()
        self._head = 0
        self.samples = 0
