"""One context: what is known of its text, and what came of its sound."""

import re
from dataclasses import dataclass, field

from beluga_voice.audio.formats import AudioFormat
from beluga_voice.events import (
    ContextId,
    ErrorCategory,
    ServiceFailed,
    SpeechAudio,
    SpeechWords,
    TtsEvent,
)
from beluga_voice.providers.mute import NOTHING_SPOKEN, is_mute
from beluga_voice.providers.true_rate import other_rate_of
from beluga_voice.providers.tts.elevenlabs._wire import Alignment
from beluga_voice.providers.tts.elevenlabs._words import WordTimes

_CONTAINERS = {b"RIFF": "a WAV file", b"ID3": "an MP3 file", b"OggS": "an Ogg file"}
_SPEAKABLE = re.compile(r"\w")


class WrongSound(Exception):
    """What came is not sound of the format that was asked for; says what it is."""


@dataclass(slots=True)
class Context:
    """A context of ours. On the wire it has a name of its own, which is never used again."""

    id: ContextId
    wire_id: str
    format: AudioFormat
    words: WordTimes
    waiting: list[str] = field(default_factory=list[str])
    """Text that waits for the context to be opened."""
    is_open: bool = False
    is_finished: bool = False
    is_cancelled: bool = False
    has_text: bool = False
    """Whether there is anything in it that can be spoken."""
    samples: int = 0
    is_mute: bool = True
    """There was nothing to hear in it so far."""
    awaits_since: float | None = None
    """Since when sound, or the end, is waited for."""
    last_input: float = 0.0
    is_unspoken: bool = False
    """The service has text that it may gather more to before it speaks."""
    _half: bytes = b""

    def write(self, text: str) -> None:
        """Note that it was given text."""
        self.has_text = self.has_text or _SPEAKABLE.search(text) is not None

    def sound(self, sound: bytes, alignment: Alignment | None) -> list[TtsEvent]:
        """A piece of sound with the times of its characters; raises `WrongSound`."""
        if not self.samples:
            for mark, what in _CONTAINERS.items():
                if sound.startswith(mark):
                    raise WrongSound(what)
        events: list[TtsEvent] = []
        before = self.samples
        size = self.format.block_bytes
        whole = self._half + sound
        end = len(whole) - len(whole) % size
        whole, self._half = whole[:end], whole[end:]
        if whole:
            self.samples += len(whole) // size
            self.is_mute = self.is_mute and is_mute(whole, self.format.encoding)
            events.append(SpeechAudio(context_id=self.id, pcm=whole))
        if alignment is not None:
            self.words.add(alignment.times, samples_before=before, samples=self.samples - before)
        if words := self.words.sounded(self.samples):
            events.append(SpeechWords(context_id=self.id, words=words))
        return events

    def end(self) -> list[TtsEvent]:
        """What is left at the end, and what was wrong with all of it."""
        events: list[TtsEvent] = []
        if words := self.words.rest(self.samples):
            events.append(SpeechWords(context_id=self.id, words=words))
        if wrong := self._wrong():
            events.append(ServiceFailed(category=ErrorCategory.RETRYABLE, message=wrong))
        return events

    def _wrong(self) -> str:
        if self.has_text and not self.samples:
            return "the service spoke a text without any sound; check the account, text and voice"
        if self.has_text and self.is_mute:
            return NOTHING_SPOKEN
        if self._half:
            return "the sound of the service ended inside a sample"
        return other_rate_of(self.samples, self.format.rate, spoken_ms=self.words.aligned_ms)
