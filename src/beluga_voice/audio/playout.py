"""Sound that waits to be heard.

How it works. Each response has a track of its own, and the tracks sound one after the other, in the
order of their first sound: the next begins when the one before it is complete and has left. So what
two responses say is never mixed, and what was heard of each can be counted. Sound is taken out in
pieces of the size that the line wants, and dropped in one step by `clear`.
"""

from collections import deque


class _Track:
    """The sound of one response."""

    __slots__ = ("chunks", "head", "is_complete", "samples")

    def __init__(self) -> None:
        self.chunks: deque[bytes] = deque()
        self.head = 0
        """How many bytes of the first chunk have left."""
        self.samples = 0
        self.is_complete = False

    def take(self, samples: int) -> bytes:
        """Take out up to so many samples."""
        chunks, head = self.chunks, self.head
        wanted = min(samples, self.samples) * 2
        self.samples -= wanted >> 1
        first = chunks[0]
        if not head and len(first) == wanted:
            chunks.popleft()
            return first
        pieces: list[bytes] = []
        while wanted:
            piece = chunks[0][head : head + wanted]
            pieces.append(piece)
            wanted -= len(piece)
            head += len(piece)
            if head == len(chunks[0]):
                chunks.popleft()
                head = 0
        self.head = head
        return b"".join(pieces)


class Playout[Key]:
    """Mono 16-bit sound, by the key of what it belongs to."""

    __slots__ = ("_tracks", "samples")

    def __init__(self) -> None:
        self._tracks: dict[Key, _Track] = {}
        self.samples = 0
        """How much waits in all tracks."""

    def put(self, key: Key, pcm: bytes) -> None:
        """Queue sound at the end of its track."""
        track = self._tracks.get(key)
        if track is None:
            track = self._tracks[key] = _Track()
        track.chunks.append(pcm)
        track.samples += len(pcm) >> 1
        self.samples += len(pcm) >> 1

    def finish(self, key: Key) -> None:
        """Nothing more comes on that track."""
        track = self._tracks.get(key)
        if track is not None:
            track.is_complete = True
            if not track.samples:
                del self._tracks[key]

    @property
    def first(self) -> Key | None:
        """Whose turn it is; `None` if no track is open."""
        return next(iter(self._tracks), None)

    def ready(self, samples: int) -> bool:
        """Whether the first track has so much, or what is left of it."""
        for track in self._tracks.values():
            return track.samples >= samples or (track.is_complete and track.samples > 0)
        return False

    def take(self, samples: int) -> tuple[Key, bytes] | None:
        """Take up to `samples` from the first track; `None` if there is nothing now."""
        for key, track in self._tracks.items():
            if not track.samples:
                return None
            pcm = track.take(samples)
            self.samples -= len(pcm) >> 1
            if track.is_complete and not track.samples:
                del self._tracks[key]
            return key, pcm
        return None

    def put_back(self, key: Key, pcm: bytes) -> None:
        """Let sound that was taken be the first to be taken again."""
        track = self._tracks.pop(key, None)
        if track is None:
            track = _Track()
            track.is_complete = True  # a track is over when its last sound was taken
        if track.head:
            track.chunks[0] = track.chunks[0][track.head :]
            track.head = 0
        track.chunks.appendleft(pcm)
        track.samples += len(pcm) >> 1
        self._tracks = {key: track, **self._tracks}
        self.samples += len(pcm) >> 1

    def move_back(self, key: Key) -> None:
        """Let all other tracks sound before this one goes on."""
        if key in self._tracks:
            self._tracks[key] = self._tracks.pop(key)

    def drop(self, key: Key) -> None:
        """Drop one track."""
        track = self._tracks.pop(key, None)
        if track is not None:
            self.samples -= track.samples

    def clear(self) -> None:
        """Drop everything."""
        self._tracks.clear()
        self.samples = 0
