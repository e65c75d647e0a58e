"""Turns one person's sound into words, in a worker process.

Two decoders listen at once when phrases are expected: one knows general English, the other only
the phrases. Each finds the words that explain the sound best by its own lights, and the one whose
explanation is likelier wins: on a phrase that is the second, because it was not surprised by the
words; on anything else the first, because forcing strange sound into the phrases fits badly. So
expected phrases are recognised as well as with a model of nothing else, and the rest stays what
it was. The choice is made for an utterance as a whole.
"""

import math
import re
import tempfile
from collections.abc import Iterable, Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Protocol, cast

from beluga_voice.providers.stt.pocketsphinx._phrases import arpa, guessed_pronunciation, words_of
from beluga_voice.providers.stt.worker_wire import Finished, Word

LANGUAGE = "en"
RATE = 16000
_SAMPLES_PER_FRAME = RATE // 100
_VARIANT = re.compile(r"\(\d+\)$")
_FIRST_MEANS = "45.4,-0.1,2.6,10.8,-6.9,1.0,-3.1,-4.4,-1.7,-1.8,4.4,-1.5,2.7"
"""Cepstral means to begin with: the average after five voices, one of them natural. The decoder
adapts to a voice only after an utterance, so these decide how well the first one goes."""
_PATHS = 200
"""How many ways through the words are looked at for other readings: many differ in time alone."""


class _Segment(Protocol):
    word: str
    start_frame: int
    end_frame: int
    prob: float


class _Hypothesis(Protocol):
    hypstr: str
    score: float


class Decoder(Protocol):
    """The part of `pocketsphinx.Decoder` used here; the package ships no types."""

    def start_utt(self) -> None: ...
    def end_utt(self) -> None: ...
    def process_raw(self, data: bytes, no_search: bool, full_utt: bool, /) -> int: ...
    def hyp(self) -> _Hypothesis | None: ...
    def seg(self) -> Iterable[_Segment] | None: ...
    def nbest(self) -> Iterable[_Hypothesis | None] | None: ...
    def lookup_word(self, word: str, /) -> str | None: ...
    def n_frames(self) -> int: ...


def make_decoder(**settings: str | float | bool) -> Decoder:
    """A decoder for 16 kHz sound, silent on standard error."""
    module = import_module("pocketsphinx")
    # A cast, because the package is untyped. The second of its three passes costs most of the
    # wait after the last word, for a few hundredths of word errors.
    return cast(Decoder, module.Decoder(samprate=RATE, loglevel="FATAL", fwdflat=False, **settings))


def decoder_for(
    phrases: Sequence[str], general: Decoder, settings: dict[str, float]
) -> tuple[Decoder | None, tuple[str, ...]]:
    """A decoder that knows only the phrases, or none, and words it had to guess the sound of."""
    entries: list[str] = []
    guessed: list[str] = []
    unsayable: set[str] = set()
    sentences = [words for phrase in phrases if (words := words_of(phrase))]
    for word in sorted({word for words in sentences for word in words}):
        names = [word, *(f"{word}({n})" for n in range(2, 6))]
        known = [(name, sound) for name in names if (sound := general.lookup_word(name))]
        if not known:
            guess = guessed_pronunciation(word)
            if guess is None:
                unsayable.add(word)
                continue
            guessed.append(word)
            known = [(word, guess)]
        entries += [f"{name} {sound}" for name, sound in known]
    sentences = [words for words in sentences if not unsayable.intersection(words)]
    if not sentences:
        return None, tuple(guessed)
    with tempfile.TemporaryDirectory(prefix="beluga-voice-") as folder:
        model, dictionary = Path(folder, "phrases.arpa"), Path(folder, "phrases.dict")
        model.write_text(arpa(sentences), encoding="utf-8")
        dictionary.write_text("\n".join([*entries, ""]), encoding="utf-8")
        decoder = make_decoder(**settings, lm=str(model), dict=str(dictionary))
    return decoder, tuple(guessed)


class Recogniser:
    """One person's utterances, one after the other.

    `bias` is how much likelier the phrases must be than the general explanation, in natural
    logarithms of the decoders' scaled score for each second of sound; negative favours phrases.
    After `longest_samples` the decoders start afresh within the utterance, to bound memory and
    the final work; what they found is kept. Of the `other_readings` that are wanted, those differ
    in what was said since.
    """

    def __init__(
        self,
        general: Decoder,
        phrases: Decoder | None,
        *,
        bias: float,
        longest_samples: int,
        other_readings: int = 0,
    ) -> None:
        self._decoders = (general,) if phrases is None else (general, phrases)
        self._bias = bias
        self._longest_samples = longest_samples
        self._other_readings = other_readings
        self._carried: list[Word] = []
        self._carried_samples = 0
        self._samples = 0
        self._is_open = False

    def hear(self, pcm: bytes) -> None:
        """Add sound to the utterance; the first sound begins it."""
        if self._samples >= self._longest_samples:
            self._carried += self._finished()
            self._carried_samples += self._samples
            self._samples = 0
        if not self._is_open:
            for decoder in self._decoders:
                decoder.start_utt()
            self._is_open = True
        for decoder in self._decoders:
            decoder.process_raw(pcm, False, False)
        self._samples += len(pcm) // 2

    def text(self) -> str:
        """The words so far."""
        words = [*self._carried, *(self._words() if self._is_open else ())]
        return " ".join(word.text for word in words)

    def finish(self, utterance_id: str) -> Finished:
        """End the utterance; all its words."""
        is_heard = self._is_open
        last = self._finished()
        words = (*self._carried, *last)
        alternatives = self._others(last) if is_heard and last else ()
        self._forget()
        return Finished(
            utterance_id=utterance_id,
            text=" ".join(word.text for word in words),
            alternatives=alternatives,
            words=words,
            confidence=sum(word.confidence for word in words) / len(words) if words else None,
            language=LANGUAGE,
        )

    def drop(self) -> None:
        """Forget the utterance."""
        self._finished()
        self._forget()

    def _forget(self) -> None:
        self._carried = []
        self._carried_samples = self._samples = 0

    def _finished(self) -> list[Word]:
        if not self._is_open:
            return []
        for decoder in self._decoders:
            decoder.end_utt()
        self._is_open = False
        return self._words()

    def _others(self, last: Sequence[Word]) -> tuple[str, ...]:
        """Other readings of the whole utterance, likeliest first; `last` is the best of its end."""
        if not self._other_readings:
            return ()
        best = " ".join(word.text for word in last)
        scores: dict[str, float] = {}
        for found in islice(self._best().nbest() or (), _PATHS):
            if found is None:
                break
            text = " ".join(_VARIANT.sub("", word) for word in found.hypstr.split())
            if text and text != best:
                scores[text] = max(scores.get(text, 0.0), found.score)
        likeliest = sorted(scores, key=scores.__getitem__, reverse=True)[: self._other_readings]
        before = [word.text for word in self._carried]
        return tuple(" ".join([*before, text]) for text in likeliest)

    def _words(self) -> list[Word]:
        heard = self._samples
        words: list[Word] = []
        for segment in self._best().seg() or ():
            if segment.word.startswith(("<", "[", "+")):
                continue
            start = min(segment.start_frame * _SAMPLES_PER_FRAME, heard)
            end = min((segment.end_frame + 1) * _SAMPLES_PER_FRAME, heard)
            words.append(
                Word(
                    text=_VARIANT.sub("", segment.word),
                    start=self._carried_samples + start,
                    end=self._carried_samples + end,
                    confidence=min(1.0, max(0.0, segment.prob)),
                )
            )
        return words

    def _best(self) -> Decoder:
        general, *others = self._decoders
        if not others:
            return general
        (phrases,) = others
        ahead = _log_score(phrases) - _log_score(general)
        return phrases if ahead > self._bias * self._samples / RATE else general


def _log_score(decoder: Decoder) -> float:
    found = decoder.hyp()
    return math.log(found.score) if found is not None and found.score > 0 else -math.inf
