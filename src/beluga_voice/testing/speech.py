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
    return WordReader().read(pcm, is_all=True)


class WordReader:
    """Reads the words in sound that comes in pieces of any size, and holds a frame of it at most.

    All that it has given is what `words_in` finds in all that it was given.
    """

    def __init__(self) -> None:
        self._held = b""
        """What was not looked at: a frame that is not all there, or what may begin one."""
        self._expected = 0
        self._current = b""

    def read(self, pcm: bytes, *, is_all: bool = False) -> list[str]:
        """The words that are whole with this piece; a frame is not waited for if it `is_all`."""
        sound = self._held + pcm if self._held else pcm
        words: list[str] = []
        start = 0
        while (found := sound.find(_MARK, start)) >= 0:
            if found + _HEADER.size > len(sound):
                break
            _, index, count, length, size = _HEADER.unpack_from(sound, found)
            end = found + size
            if end > len(sound) and not is_all:
                break
            start = found + _HEADER.size
            if sound[end - len(_END) : end] != _END:
                self._expected = -1  # this frame broke off
            elif self._goes_on(index, count, sound[start : start + length]):
                words.append(self._current.decode())
        rest = max(start, len(sound) - len(_MARK) + 1) if found < 0 else found
        self._held = sound[rest:]
        return words

    def _goes_on(self, index: int, count: int, data: bytes) -> bool:
        """A frame of a word; whether the word is whole with it."""
        if index == 0:
            self._current, self._expected = data, 0
        if index != self._expected or data != self._current:
            self._expected = -1
            return False
        self._expected += 1
        if self._expected < count:
            return False
        self._expected = -1
        return True


def silence(milliseconds: float, *, rate: int = 16000) -> bytes:
    """Digital silence."""
    return bytes(to_samples(milliseconds, rate) * 2)


def is_loud(pcm: bytes) -> bool:
    """Whether there is any sound in it."""
    return pcm != bytes(len(pcm))
