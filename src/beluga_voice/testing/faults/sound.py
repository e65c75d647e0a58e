"""Faults of sound: speech without any, only silence, or of another rate than was stated."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from beluga_voice.audio.formats import Encoding
from beluga_voice.audio.resample import Resampler
from beluga_voice.errors import ConfigurationError
from beluga_voice.events import ResponseAudio, ResponseText, SendAudio, SpeechAudio, SpeechWords
from beluga_voice.testing.faults.fault import DOWN, Effect, Fault, Place
from beluga_voice.testing.faults.pieces import Sound, answer_of, is_done, is_sound, with_pcm

_SILENT = {Encoding.MULAW: b"\xff", Encoding.ALAW: b"\xd5"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroAudio(Fault):
    """Success without a sound: everything comes but sound, and what says where words sound.

    With `keeps_words` false, no words come either: an empty answer.
    """

    name = "zero_audio"
    keeps_words: bool = True

    def begin(self, place: Place) -> Effect:
        return _Mute(self.keeps_words)


class _Mute(Effect):
    def __init__(self, keeps_words: bool) -> None:
        self._keeps_words = keeps_words

    def alter(self, item: object) -> Sequence[object]:
        if is_sound(item) or isinstance(item, SpeechWords):
            return ()
        if isinstance(item, ResponseText):
            return (replace(item, start=None, end=None),) if self._keeps_words else ()
        return (item,)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlySilence(Fault):
    """All sound is silence, of the same length."""

    name = "only_silence"

    def begin(self, place: Place) -> Effect:
        return _Silent(_SILENT.get(place.shape.encoding, b"\0"))


class _Silent(Effect):
    def __init__(self, silent: bytes) -> None:
        self._silent = silent

    def alter(self, item: object) -> Sequence[object]:
        if isinstance(item, SendAudio | ResponseAudio | SpeechAudio):
            return (with_pcm(item, self._silent * len(item.pcm)),)
        return (item,)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongRate(Fault):
    """Sound of another rate than the link's format says: too fast and high, or slow and deep.

    `rate` is the true one, in hertz; by default half of what was stated. Positions of words stay as
    they were, as with a service that counts in its own samples. For 16-bit PCM only.
    """

    name = "wrong_rate"
    rate: int | None = None

    def begin(self, place: Place) -> Effect:
        if place.shape.encoding is not Encoding.PCM16:
            raise ConfigurationError("a wrong rate is for links with 16-bit PCM", op="faults")
        return _Resampled(place, self.rate or place.shape.rate // 2)


class _Resampled(Effect):
    def __init__(self, place: Place, rate: int) -> None:
        self._stated = place.shape.rate
        self._rate = rate
        self._resamplers: dict[str | None, Resampler] = {}
        """One for each answer."""
        self._last: dict[str | None, Sound] = {}

    def alter(self, item: object) -> Sequence[object]:
        if not isinstance(item, SendAudio | ResponseAudio | SpeechAudio):
            return self.spare(item)
        whose = answer_of(item)
        if whose not in self._resamplers:
            self._resamplers[whose] = Resampler(self._stated, self._rate)
        self._last[whose] = item
        pcm = self._resamplers[whose].feed(item.pcm)
        return (with_pcm(item, pcm),) if pcm else ()

    def spare(self, item: object) -> Sequence[object]:
        whose = answer_of(item)
        if not is_done(item) or whose not in self._resamplers:
            return (item,)
        rest = self._resamplers.pop(whose).flush()
        last = self._last.pop(whose)
        return (with_pcm(last, rest), item) if rest else (item,)


@dataclass(frozen=True, slots=True, kw_only=True)
class WavHeader(Fault):
    """The header of a WAV file comes before the first sound of each answer, as if it were sound."""

    name = "wav_header"
    directions = frozenset({DOWN})

    def begin(self, place: Place) -> Effect:
        return _Headed(place)


class _Headed(Effect):
    def __init__(self, place: Place) -> None:
        shape = place.shape
        size = shape.block_bytes
        fields = (
            b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0",
            shape.channels.to_bytes(2, "little"),
            shape.rate.to_bytes(4, "little"),
            (shape.rate * size).to_bytes(4, "little"),
            size.to_bytes(2, "little"),
            (shape.sample_bytes * 8).to_bytes(2, "little"),
            b"data\xff\xff\xff\xff",
        )
        self._header = b"".join(fields)
        self._begun: set[str | None] = set()

    def alter(self, item: object) -> Sequence[object]:
        if not isinstance(item, ResponseAudio | SpeechAudio):
            return (item,)
        whose = answer_of(item)
        if whose in self._begun:
            return (item,)
        self._begun.add(whose)
        return (with_pcm(item, self._header + item.pcm),)
