"""Speech for tests: sound that carries its own words.

Every 20 ms frame of it is loud, so a detector hears voice, and holds the word it is a part of. A
peer that got the sound can read the words back, and finds those only that arrived whole: a test can
tell to the word what was heard, lost or repeated, without recognising anything.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache

from beluga_voice.audio.formats import FRAME_MILLISECONDS, to_samples

WORD_MS = 200
"""How long one word sounds, unless told otherwise."""

_MARK = b"\x7e\x5a\x7e\x5a"
_END = b"\x5a\x7e"
_HEADER = struct.Struct("<4sBBBH")
"""The mark, then which frame of how many, the bytes of the word, and those of the frame."""
_FILL = b"\x00\x20"


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word as frames of sound, all of one length."""

    text: str
    frames: tuple[bytes, ...]


def speech(text: str, *, rate: int = 16000, word_ms: int = WORD_MS) -> list[SpokenWord]:
    """`text` as sound, word by word: mono 16-bit PCM at `rate`."""
    return [_spoken(word, rate, word_ms) for word in text.split()]


@lru_cache(maxsize=1024)
def _spoken(word: str, rate: int, word_ms: int) -> SpokenWord:
    """One word; the words of a test are few, and are said again and again."""
    size = to_samples(FRAME_MILLISECONDS, rate) * 2
    count = max(word_ms // FRAME_MILLISECONDS, 1)
    data = word.encode()
    if len(data) > 48 or count > 255:
        raise ValueError(f"{word!r} is too long for a test word")
    frames: list[bytes] = []
    for index in range(count):
        frame = _HEADER.pack(_MARK, index, count, len(data), size) + data
        frame += b"\x00" * (len(frame) % 2)
        frames.append(frame + _FILL * ((size - len(frame)) // 2 - 1) + _END)
    return SpokenWord(word, tuple(frames))


def pcm_of(words: list[SpokenWord]) -> bytes:
    """The sound of words in a row."""
    return b"".join(frame for word in words for frame in word.frames)


def words_in(pcm: bytes) -> list[str]:
    """The words whose every frame is in `pcm`, in order and unbroken."""
    words: list[str] = []
    expected = 0
    current = b""
    last = len(pcm) - _HEADER.size
    start = 0
    while 0 <= (start := pcm.find(_MARK, start)) <= last:
        _, index, count, length, size = _HEADER.unpack_from(pcm, start)
        end = start + size
        start += _HEADER.size
        if pcm[end - len(_END) : end] != _END:
            expected = -1  # this frame broke off
            continue
        data = pcm[start : start + length]
        if index == 0:
            current, expected = data, 0
        if index != expected or data != current:
            expected = -1
            continue
        expected += 1
        if expected == count:
            words.append(data.decode())
            expected = -1
    return words


def silence(milliseconds: float, *, rate: int = 16000) -> bytes:
    """Digital silence."""
    return bytes(to_samples(milliseconds, rate) * 2)


def is_loud(pcm: bytes) -> bool:
    """Whether there is any sound in it."""
    return pcm != bytes(len(pcm))
