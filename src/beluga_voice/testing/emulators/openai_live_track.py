"""The sound of an emulated Live session: what it hears, and the one track it speaks on.

Both move together: for each 100 ms that are heard, 100 ms are given, of speech or of silence.
"""

from collections import deque
from dataclasses import dataclass

from beluga_voice.audio.formats import FRAME_MILLISECONDS, to_samples
from beluga_voice.audio.level import rms
from beluga_voice.testing.emulators.speech import (
    UNINTELLIGIBLE,
    HearingVad,
    VoiceEnded,
    transcript_of,
    voice,
)
from beluga_voice.testing.speech import words_in

BLOCK_MS = 100
DITHER_MS = 400
DITHER = b"\x14\x00\xec\xff"
"""A peak of 20, with which the track begins."""


@dataclass(frozen=True, slots=True)
class Written:
    """Words that were heard, and where: milliseconds of the session."""

    delta: str
    start_ms: int
    end_ms: int


class Listening:
    """Hears the person: words as they end, and the end of a turn."""

    def __init__(self, rate: int, *, silence_ms: float) -> None:
        self._rate = rate
        self._vad = HearingVad(rate=rate, silence_ms=silence_ms)
        self._pcm = b""
        self._known = 0
        self._ended_ms = 0
        self.voiced_ms = 0
        """How long the voice has been heard that is heard now."""
        self.text = ""
        """What was said in this turn."""

    @property
    def is_voice(self) -> bool:
        """Whether somebody speaks."""
        return self._vad.is_voice

    def hear(self, block: bytes, at_ms: int) -> tuple[list[Written], bool]:
        """What is understood of the next block, and whether a turn ends in it."""
        self._pcm += block
        changes = self._vad.hear(block)
        if not self._vad.is_voice:
            self.voiced_ms = 0
        elif rms(block) > self._vad.threshold:
            self.voiced_ms += BLOCK_MS
        is_over = any(isinstance(change, VoiceEnded) for change in changes)
        words = words_in(self._pcm)[self._known :]
        self._known += len(words)
        if is_over and not self._known:
            # Other speech than test speech is understood as a whole.
            words = transcript_of(self._pcm, self._rate).split() or [UNINTELLIGIBLE]
        written: list[Written] = []
        for word in words:
            end = at_ms + BLOCK_MS
            start = max(self._ended_ms, end - 200 * len(words))
            self._ended_ms = end
            written.append(Written(f" {word}" if self.text else word, start, end))
            self.text += written[-1].delta
        if not self._vad.is_voice:
            # A word may have begun in here, before it was noticed as a voice.
            self._pcm, self._known = block, 0
        return written, is_over

    def turn(self) -> str:
        """What was said; the next turn begins."""
        text, self.text = self.text, ""
        return text


class Speaking:
    """What the model is about to say, as blocks of sound with the words that begin in them."""

    def __init__(self, rate: int, word_ms: int) -> None:
        self._rate = rate
        self._word_ms = word_ms
        self._blocks: deque[tuple[bytes, list[str]]] = deque()
        self._said = 0
        self._given_ms = 0

    @property
    def is_speaking(self) -> bool:
        """Whether there is more to say."""
        return bool(self._blocks)

    def say(self, text: str) -> None:
        """Speak these words after what is being said."""
        frames: list[tuple[bytes, str]] = []
        for word in voice(text, rate=self._rate, sounding_ms=self._word_ms):
            frames += [(frame, "" if i else word.text) for i, frame in enumerate(word.frames)]
        size = BLOCK_MS // FRAME_MILLISECONDS
        for start in range(0, len(frames), size):
            part = frames[start : start + size]
            sound = b"".join(frame for frame, _ in part)
            whole = to_samples(BLOCK_MS, self._rate) * 2
            self._blocks.append((sound.ljust(whole, b"\0"), [word for _, word in part if word]))

    def stop(self) -> None:
        """Say no more."""
        self._blocks.clear()
        self._said = 0

    def block(self) -> tuple[bytes, list[str]]:
        """The next block of the track, and the words that begin in it, with their spaces."""
        at_ms, self._given_ms = self._given_ms, self._given_ms + BLOCK_MS
        size = to_samples(BLOCK_MS, self._rate) * 2
        if not self._blocks:
            self._said = 0
            return (DITHER * (size // 4) if at_ms < DITHER_MS else bytes(size)), []
        sound, words = self._blocks.popleft()
        deltas: list[str] = []
        for word in words:
            deltas.append(f" {word}" if self._said else word)
            self._said += 1
        return sound, deltas
