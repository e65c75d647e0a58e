"""A fault of content: it arrives, and is not what was sent."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from msgspec.structs import replace

from beluga_voice.errors import ConfigurationError
from beluga_voice.events import (
    InputTranscript,
    ResponseAudio,
    ResponseText,
    SendAudio,
    SpeechAudio,
    SpeechWords,
    TimedWord,
    ToolCalled,
    Transcript,
)
from beluga_voice.testing.faults.fault import UP, Effect, Fault, Place, check_share
from beluga_voice.testing.faults.pieces import with_pcm

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Corruption(StrEnum):
    """What is broken."""

    NOISE = "noise"
    """Sound is noise of full scale, of the same length."""
    HALF_SAMPLES = "half_samples"
    """A piece of sound lacks its last byte, and so ends inside a sample."""
    WORDS = "words"
    """Every letter of a transcript, or of an answer's words, is another one."""
    ARGUMENTS = "arguments"
    """The arguments of a tool call break off in the middle: they are no JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrupt(Fault):
    """So large a share of the pieces arrives broken."""

    name = "corrupt"
    how: Corruption = Corruption.NOISE
    share: float = 1.0

    def check(self) -> None:
        check_share(self.share)
        is_text = self.how in (Corruption.WORDS, Corruption.ARGUMENTS)
        if is_text and self.direction is UP:
            message = "words and arguments are corrupted on their way from the service only"
            raise ConfigurationError(message, op="faults")

    def begin(self, place: Place) -> Effect:
        return _Broken(place, self.how, self.share)


class _Broken(Effect):
    def __init__(self, place: Place, how: Corruption, share: float) -> None:
        self._chance = place.chance
        self._share = share
        self._break = _BREAKS[how]

    def alter(self, item: object) -> Sequence[object]:
        # A number is drawn for every piece, so that what a fault is about shifts no other draw.
        is_hit = self._chance.random() < self._share
        return (self._break(item, self._chance),) if is_hit else (item,)


def _noise(item: object, chance: random.Random) -> object:
    if isinstance(item, SendAudio | ResponseAudio | SpeechAudio):
        return with_pcm(item, chance.randbytes(len(item.pcm)))
    return item


def _half(item: object, _: random.Random) -> object:
    if isinstance(item, SendAudio | ResponseAudio | SpeechAudio):
        return with_pcm(item, item.pcm[:-1])
    return item


def _words(item: object, chance: random.Random) -> object:
    match item:
        case Transcript() | InputTranscript():
            garbled = tuple(_timed(word, chance) for word in item.words)
            return replace(item, text=_garbled(item.text, chance), words=garbled)
        case ResponseText():
            return replace(item, delta=_garbled(item.delta, chance))
        case SpeechWords():
            return replace(item, words=tuple(_timed(word, chance) for word in item.words))
        case _:
            return item


def _arguments(item: object, _: random.Random) -> object:
    if isinstance(item, ToolCalled):
        return replace(item, arguments=item.arguments[: len(item.arguments) // 2] or "{")
    return item


def _timed(word: TimedWord, chance: random.Random) -> TimedWord:
    return replace(word, text=_garbled(word.text, chance))


def _garbled(text: str, chance: random.Random) -> str:
    return "".join(chance.choice(_LETTERS) if one.isalpha() else one for one in text)


_BREAKS: dict[Corruption, Callable[[object, random.Random], object]] = {
    Corruption.NOISE: _noise,
    Corruption.HALF_SAMPLES: _half,
    Corruption.WORDS: _words,
    Corruption.ARGUMENTS: _arguments,
}
