"""The sound of one context as it comes: in whole samples, with the words that have sounded."""

from collections import deque

from beluga_voice.audio.formats import AudioFormat, to_milliseconds
from beluga_voice.events import TimedWord
from beluga_voice.providers.mute import is_mute
from beluga_voice.providers.true_rate import other_rate_of
from beluga_voice.providers.tts.cartesia._wire import WordTimes

_HEADER_BYTES = 36
"""RIFF, its size, WAVE, and the chunk that says of what shape the samples are."""
_SEARCHED = 4096
"""How far into a WAV file its samples may begin."""


class Sounding:
    """What came of a context. `base` is added to the places of words: the sound before them."""

    def __init__(self, output: AudioFormat) -> None:
        self._output = output
        self._rest: bytes = b""
        self._words: deque[TimedWord] = deque()
        self._last_end = 0
        """Where the last word ends, by the service."""
        self.is_mute = True
        """There was nothing to hear in it so far."""
        self.samples = 0
        """Whole samples so far."""
        self.base = 0
        self.wrong = ""
        """What is wrong with the sound, if anything is."""
        self.is_usable = True

    def feed(self, data: bytes) -> bytes:
        """Sound as far as it is whole samples; takes the header of a WAV file away."""
        if self.samples == 0 and not self._rest and data[:4] == b"RIFF":
            data = self._without_header(data)
        if not self.is_usable:
            return b""
        data = self._rest + data
        size = self._output.block_bytes
        whole = len(data) - len(data) % size
        self._rest = data[whole:]
        self.samples += whole // size
        self.is_mute = self.is_mute and is_mute(data[:whole], self._output.encoding)
        return data[:whole]

    def _without_header(self, data: bytes) -> bytes:
        start = data.find(b"data", 12, _SEARCHED)
        if len(data) < _HEADER_BYTES or data[8:12] != b"WAVE" or start < 0:
            return data
        channels = int.from_bytes(data[22:24], "little")
        rate = int.from_bytes(data[24:28], "little")
        if (channels, rate) == (self._output.channels, self._output.rate):
            self.wrong = "the sound begins with a WAV header, though raw samples were asked for"
        else:
            self.is_usable = False
            self.wrong = f"the sound is a WAV file of {channels} channels at {rate} Hz, "
            self.wrong += f"not samples at {self._output.rate} Hz; check the endpoint"
        return data[start + 8 :]

    def name(self, times: WordTimes) -> None:
        """Where words sound; they are kept until they have."""
        rate = self._output.rate
        for text, start, end in zip(times.words, times.start, times.end, strict=False):
            first = max(round(start * rate), 0) + self.base
            last = max(round(end * rate) + self.base, first)
            self._words.append(TimedWord(text=text, start=first, end=last))
            self._last_end = max(self._last_end, last)

    def sounded(self) -> tuple[TimedWord, ...]:
        """The words that have sounded since this was last asked."""
        words: list[TimedWord] = []
        while self._words and self._words[0].end <= self.samples:
            words.append(self._words.popleft())
        return tuple(words)

    def finish(self) -> tuple[TimedWord, ...]:
        """The words that are left, put where there is sound."""
        if self._rest:
            self.wrong = f"the sound ends {len(self._rest)} bytes into a sample"
            self._rest = b""
        else:
            spoken_ms = to_milliseconds(self._last_end, self._output.rate)
            wrong = other_rate_of(self.samples, self._output.rate, spoken_ms=spoken_ms)
            self.wrong = self.wrong or wrong
        end = self.samples
        left = [
            TimedWord(text=word.text, start=min(word.start, end), end=min(word.end, end))
            for word in self._words
        ]
        self._words.clear()
        return tuple(left)
