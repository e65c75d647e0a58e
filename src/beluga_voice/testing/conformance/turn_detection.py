"""The whole suites for turn detectors: by the words, and by the sound."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from itertools import count, islice
from typing import Any

from beluga_voice.errors import Misuse
from beluga_voice.interfaces import ListeningTurnDetector, TurnDetector
from beluga_voice.testing.conformance.ears import (
    EarCheck,
    EarRule,
    check_ears,
    expect_probability,
    shares_model,
    stays_small,
)
from beluga_voice.testing.conformance.report import (
    ConformanceFailure,
    Inapplicable,
    Report,
)
from beluga_voice.testing.conformance.sounds import noise, sounds, voice

SENTENCES = (
    ("I would like a table for two near the garden.", "I would like a table for"),
    ("The train to London leaves at nine.", "The train to London leaves"),
    ("My daughter is learning to play the piano.", "My daughter is learning to"),
    ("We need more milk and bread from the shop.", "We need more milk and"),
    ("Please close the window before you leave the house.", "Please close the window before"),
    ("What time does the museum open tomorrow?", "What time does the"),
    ("Can you tell me how to get to the airport?", "Can you tell me how"),
    ("My number is five five five one two three four.", "My number is five five five"),
    ("I called because my internet does not work.", "I called because my"),
    ("Yes, that is right.", "Yes, that"),
    ("No, thank you.", "No, I"),
    ("She wrote a long letter to her brother.", "She wrote a long"),
    ("If it rains we will stay at home.", "If it rains"),
    ("I want to cancel my order, please.", "I want to cancel my"),
    ("The weather in the north was cold and wet.", "The weather in the north was"),
    ("He walked along the river with his old dog.", "He walked along the river with"),
    ("How much does it cost?", "How much"),
    ("I am looking for a red jacket in size ten.", "I am looking for a"),
    ("We arrived late, but the doctor still saw us.", "We arrived late, but"),
    ("Thank you, goodbye.", "Thank you, and"),
)
"""English as recognisers write it that know punctuation: whole sentences, and cut-off ones."""

TEXTS = {
    "nothing": "",
    "blanks": " \t\n",
    "one word": "yes",
    "marks alone": "...?!",
    "figures": "1234567890",
    "a very long text": "and then we went on " * 5000,
    "a very long word": "a" * 100_000,
    "German": "Könnten Sie mir bitte sagen, wie spät es ist?",
    "Chinese": "请问现在几点了？",
    "Japanese": "すみません、駅はどこですか。",
    "Arabic": "كم الساعة الآن من فضلك؟",
    "Hindi": "क्या आप मेरी मदद कर सकते हैं?",
    "Thai": "ขอโทษครับ สถานีรถไฟอยู่ที่ไหน",
    "pictures": "👍🏽 👨\u200d👩\u200d👧",
    "loose accents": "e\u0301 \u0301\u0301",
    "control characters": "a\x00b\x1b",
}
"""What a recogniser may come up with, by name."""

_ASKED = 2000
_PATIENCE_SECONDS = 60.0

type Make = Callable[[], TurnDetector]
type MakeListening = Callable[[], ListeningTurnDetector]


def check_turn_detector(
    make_detector: Make,
    *,
    sentences: Sequence[tuple[str, str]] = SENTENCES,
    only: Collection[EarRule] | None = None,
) -> Report:
    """Hold a turn detector that goes by the words against what may be relied on.

    * `make_detector`: gives a new detector each time, as for one more session. What it raises at
      the first time comes through as it is.
    * `sentences`: whole ones, each with one that is cut off; give others for other languages.
    * `only`: the rules to check; without it, all.

    Raises `ConformanceFailure` for the first rule that is broken. A detector to which all
    sentences are alike, and at least as likely over as not, leaves it to the silence, and is not
    asked to tell them apart.
    """
    checks: list[EarCheck[TurnDetector]] = [
        EarCheck(EarRule.PROBABILITY, _probabilities),
        EarCheck(EarRule.DETERMINISTIC, partial(_deterministic, sentences=sentences)),
        EarCheck(EarRule.WHOLE_OVER_CUT, partial(_whole_over_cut, sentences=sentences)),
        EarCheck(EarRule.SHARED_MODEL, _shares_model),
        EarCheck(EarRule.STAYS_SMALL, _stays_small),
    ]
    return check_ears(checks, make_detector, only)


def check_listening_turn_detector(
    make_detector: MakeListening,
    *,
    recordings: Sequence[tuple[bytes, bytes]] = (),
    only: Collection[EarRule] | None = None,
) -> Report:
    """The same for a turn detector that goes by the sound.

    `recordings` are turns in mono 16-bit PCM at the detector's rate, each with one that is cut off.
    Nothing is told apart without them: no formula makes the melody of a sentence. It runs an event
    loop of its own, in real time.
    """
    checks: list[EarCheck[ListeningTurnDetector]] = [
        EarCheck(EarRule.FRAME_SHAPE, _sane),
        EarCheck(EarRule.PROBABILITY, _heard_probabilities),
        EarCheck(EarRule.WRONG_LENGTH, _refuses_half_samples),
        EarCheck(EarRule.DETERMINISTIC, _heard_alike),
        EarCheck(EarRule.DETERMINISTIC, _many_at_once, "many at once"),
        EarCheck(EarRule.LOOKS_BACK, _looks_back),
        EarCheck(EarRule.CANCELLING, _cancelling),
        EarCheck(EarRule.WHOLE_OVER_CUT, partial(_heard_over_cut, recordings=recordings)),
        EarCheck(EarRule.SHARED_MODEL, _shares_heard_model),
    ]
    return check_ears(checks, make_detector, only)


# ── by the words ────────────────────────────────────────────────────────────────────────────


def _probabilities(make: Make) -> None:
    detector = make()
    for name, text in TEXTS.items():
        expect_probability(name, detector.probability(text))


def _deterministic(make: Make, *, sentences: Sequence[tuple[str, str]]) -> None:
    """The same words are as likely over, whatever was asked before and whichever is asked."""
    texts = [text for pair in sentences for text in pair]
    one, other = make(), make()
    first = [one.probability(text) for text in texts]
    other.probability(TEXTS["a very long text"])
    again = [other.probability(text) for text in reversed(texts)][::-1]
    different = sum(a != b for a, b in zip(first, again, strict=True))
    if different:
        seen = f"{different} of {len(texts)} sentences were answered otherwise the second time"
        raise ConformanceFailure(EarRule.DETERMINISTIC, seen)


def _whole_over_cut(make: Make, *, sentences: Sequence[tuple[str, str]]) -> None:
    if not sentences:
        raise Inapplicable("no sentences were given")
    detector = make()
    found = [(detector.probability(whole), detector.probability(cut)) for whole, cut in sentences]
    answers = {answer for pair in found for answer in pair}
    if len(answers) == 1 and min(answers) >= 0.5:
        raise Inapplicable("all sentences are alike to it, and it keeps no turn open")
    _expect_majority(found)


def _expect_majority(found: Sequence[tuple[float, float]]) -> None:
    right = sum(whole > cut for whole, cut in found)
    if 2 * right <= len(found):
        seen = f"{right} of {len(found)} are likelier over than the same cut off"
        raise ConformanceFailure(EarRule.WHOLE_OVER_CUT, seen)


def _shares_model(make: Make) -> None:
    shares_model(make, lambda detector: detector.probability(SENTENCES[0][0]))


def _stays_small(make: Make) -> None:
    detector = make()
    numbers = count()

    def use() -> int:
        for number in islice(numbers, _ASKED):
            detector.probability(f"my number is {number}")
        return _ASKED

    stays_small(use, times=1)


# ── by the sound ────────────────────────────────────────────────────────────────────────────


def _ask(detector: ListeningTurnDetector, *sounds: bytes) -> list[float]:
    """Its answers, one question after the other."""

    async def ask() -> list[float]:
        return [await detector.probability(sound) for sound in sounds]

    return _run(ask())


def _run[R](work: Coroutine[Any, Any, R]) -> R:
    """In real time, as a model on a thread takes it; raises `TimeoutError` for who hangs."""

    async def bounded() -> R:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await work

    return asyncio.run(bounded())


def _sane(make: MakeListening) -> None:
    detector = make()
    if not 8000 <= detector.rate <= 48000 or detector.longest_samples < detector.rate:
        seen = f"{detector.longest_samples!r} samples at {detector.rate!r} Hz"
        raise ConformanceFailure(
            EarRule.FRAME_SHAPE, f"{seen}; sane is a second or more at 8,000 to 48,000"
        )


def _heard_probabilities(make: MakeListening) -> None:
    detector = make()
    longer = noise(detector.rate, 1.5 * detector.longest_samples / detector.rate)
    given = {"nothing": b"", "one sample": b"\x01\x00", "noise without end": longer}
    given |= sounds(detector.rate)
    for name, answer in zip(given, _ask(detector, *given.values()), strict=True):
        expect_probability(name, answer)


def _refuses_half_samples(make: MakeListening) -> None:
    detector = make()
    for size in (1, 32001):
        try:
            _ask(detector, bytes(size))
        except Misuse:
            continue
        raise ConformanceFailure(
            EarRule.WRONG_LENGTH, f"no Misuse for {size} bytes of 16-bit samples"
        )


def _heard_alike(make: MakeListening) -> None:
    one, other = make(), make()
    spoken, disturbing = voice(one.rate), noise(one.rate)
    first, _, again = _ask(one, spoken, disturbing, spoken)
    (fresh,) = _ask(other, spoken)
    if not first == again == fresh:
        seen = f"{first} at first, {again} after another sound, {fresh} of another instance"
        raise ConformanceFailure(EarRule.DETERMINISTIC, seen)


def _many_at_once(make: MakeListening) -> None:
    detector = make()
    turns = [voice(detector.rate), *(noise(detector.rate, seed=seed) for seed in range(4))]
    one_by_one = _ask(detector, *turns)

    async def together() -> list[float]:
        return await asyncio.gather(*(detector.probability(turn) for turn in turns))

    found = _run(together())
    if found != one_by_one:
        raise ConformanceFailure(EarRule.DETERMINISTIC, f"{found} at once, {one_by_one} one by one")


def _looks_back(make: MakeListening) -> None:
    detector = make()
    last = noise(detector.rate, detector.longest_samples / detector.rate)
    alone, after = _ask(detector, last, voice(detector.rate) + last)
    if alone != after:
        raise ConformanceFailure(
            EarRule.LOOKS_BACK, f"{alone} for the last of it, {after} for all of it"
        )


def _cancelling(make: MakeListening) -> None:
    detector = make()
    spoken = voice(detector.rate)
    (expected,) = _ask(detector, spoken)

    async def cancel_and_ask() -> float:
        task = asyncio.create_task(detector.probability(noise(detector.rate)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is not None:
            raise ConformanceFailure(
                EarRule.CANCELLING, f"{task.exception()!r} for who was cancelled"
            )
        return await detector.probability(spoken)

    found = _run(cancel_and_ask())
    if found != expected:
        raise ConformanceFailure(
            EarRule.CANCELLING, f"{found} after a question was cancelled, {expected} else"
        )


def _heard_over_cut(make: MakeListening, *, recordings: Sequence[tuple[bytes, bytes]]) -> None:
    if not recordings:
        raise Inapplicable("no recordings were given")
    detector = make()
    whole = _ask(detector, *(turn for turn, _ in recordings))
    cut = _ask(detector, *(turn for _, turn in recordings))
    _expect_majority([*zip(whole, cut, strict=True)])


def _shares_heard_model(make: MakeListening) -> None:
    sound = noise(make().rate, 0.5)
    shares_model(make, lambda detector: _ask(detector, sound))
