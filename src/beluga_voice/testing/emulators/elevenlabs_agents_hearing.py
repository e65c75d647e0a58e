"""What an emulated agent of ElevenLabs hears of the person.

How it works. Sound goes through the ears. Words are told as soon as they are whole, all of the
utterance so far each time. A voice is a voice once it has lasted `sure_ms`; one without words has
to last twice as long to be taken for speech that could not be understood.
"""

from dataclasses import dataclass

from beluga_voice.audio.convert import Converter
from beluga_voice.audio.formats import AudioFormat, pcm16, to_samples
from beluga_voice.testing.emulators.speech import (
    UNINTELLIGIBLE,
    HearingVad,
    VoiceBegan,
    transcript_of,
)
from beluga_voice.testing.speech import words_in


@dataclass(frozen=True, slots=True)
class VoiceIsSure:
    """The person speaks, for sure."""


@dataclass(frozen=True, slots=True)
class WordsSoFar:
    """The words of the utterance so far."""

    text: str


@dataclass(frozen=True, slots=True)
class UtteranceOver:
    """The utterance is over: all its words, "" if it had none."""

    text: str


type Heard = VoiceIsSure | WordsSoFar | UtteranceOver


class AgentHearing:
    """The person's side of one conversation."""

    def __init__(self, format: AudioFormat, *, silence_ms: float, sure_ms: float) -> None:
        rate = format.rate
        self._converter = Converter(format, pcm16(rate))
        self._vad = HearingVad(rate=rate, silence_ms=silence_ms)
        self._sure = to_samples(sure_ms, rate)
        self._keep = rate  # half a second, in bytes
        self._utterance = bytearray()
        self._told = 0
        self._sure_at: int | None = None
        self._began = 0

    @property
    def is_voice(self) -> bool:
        """Whether a voice is heard now."""
        return self._vad.is_voice

    def hear(self, sound: bytes) -> list[Heard]:
        """What becomes known through this sound."""
        pcm = self._converter.feed(sound)
        heard: list[Heard] = []
        self._utterance += pcm
        for change in self._vad.hear(pcm):
            if isinstance(change, VoiceBegan):
                self._began = change.at
                self._sure_at = change.at + self._sure
            else:
                self._sure_at = None
                is_speech = change.at - self._began >= 2 * self._sure
                text = transcript_of(bytes(self._utterance), self._vad.rate)
                heard.append(UtteranceOver(text if is_speech or text != UNINTELLIGIBLE else ""))
                self._utterance.clear()
                self._told = 0
        if self._sure_at is not None and self._vad.position >= self._sure_at:
            self._sure_at = None
            heard.append(VoiceIsSure())
        if not self._vad.is_voice:
            del self._utterance[: max(len(self._utterance) - self._keep, 0)]
            return heard
        words = words_in(bytes(self._utterance))
        if len(words) > self._told:
            self._told = len(words)
            heard.append(WordsSoFar(" ".join(words)))
        return heard
