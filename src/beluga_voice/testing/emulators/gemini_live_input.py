"""What an emulated Gemini Live hears of the person.

How it works. Sound goes through the ears, unless the client marks the turns itself. Words are told
piece by piece, as soon as they are whole. A voice interrupts once it has lasted `sure_ms`.
"""

from dataclasses import dataclass

from beluga_voice.audio.formats import to_samples
from beluga_voice.testing.emulators.speech import HearingVad, VoiceBegan, transcript_of
from beluga_voice.testing.speech import words_in


@dataclass(frozen=True, slots=True)
class Interrupts:
    """The person speaks, for sure."""


@dataclass(frozen=True, slots=True)
class Understood:
    """More of the words."""

    text: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """The utterance is over: all its words."""

    text: str


@dataclass(frozen=True, slots=True)
class NothingSaid:
    """The client has closed a turn of which nothing was understood."""


type Heard = Interrupts | Understood | Spoken | NothingSaid


class GeminiLiveInput:
    """The person's side of one connection."""

    def __init__(
        self, *, finds_turns: bool, silence_ms: float, sure_ms: float, tells_at_once: bool
    ) -> None:
        self._finds_turns = finds_turns
        self._silence_ms = silence_ms
        self._sure_ms = sure_ms
        self._tells_at_once = tells_at_once
        self._vad: HearingVad | None = None
        self._utterance = bytearray()
        self._rate = 0
        self._told = 0
        self._sure_at: int | None = None
        self.is_active = False
        """Whether the client has opened a turn."""
        self.seconds = 0.0
        """How much was heard in all."""

    def hear(self, pcm: bytes, rate: int) -> list[Heard]:
        """What becomes known through this sound."""
        self.seconds += len(pcm) / 2 / rate
        self._rate = rate
        if not self._finds_turns:
            if self.is_active:
                self._utterance += pcm
            return []
        if self._vad is None or self._vad.rate != rate:
            self._vad = HearingVad(rate=rate, silence_ms=self._silence_ms)
        vad, heard = self._vad, list[Heard]()
        self._utterance += pcm
        for change in vad.hear(pcm):
            if isinstance(change, VoiceBegan):
                self._sure_at = change.at + to_samples(self._sure_ms, rate)
            else:
                self._sure_at = None
                heard += self.over()
        if self._sure_at is not None and vad.position >= self._sure_at:
            self._sure_at = None
            heard.append(Interrupts())
        if not vad.is_voice:
            del self._utterance[: max(len(self._utterance) - rate, 0)]  # half a second is kept
        elif self._tells_at_once:
            heard += self._understand(words_in(bytes(self._utterance)))
        return heard

    def begin(self) -> None:
        """The client opens a turn."""
        self.is_active = True
        self._utterance.clear()

    def over(self) -> list[Heard]:
        """The utterance ends here, whoever says so; silence is none."""
        was_active, self.is_active = self.is_active, False
        sound, told = bytes(self._utterance), self._told
        self._utterance.clear()
        if self._vad is not None:
            self._vad.reset()
        text = transcript_of(sound, self._rate) if sound else ""
        heard: list[Heard] = []
        if told:
            heard += self._understand(words_in(sound))
        elif text:
            heard.append(Understood(f" {text}"))
        self._told = 0
        if text:
            heard.append(Spoken(text))
        elif was_active and sound:
            heard.append(NothingSaid())
        return heard

    def _understand(self, words: list[str]) -> list[Heard]:
        new = words[self._told :]
        self._told = max(self._told, len(words))
        return [Understood(" " + " ".join(new))] if new else []
