"""The whole suite for voice activity detectors."""

from collections.abc import Callable, Collection
from functools import partial
from statistics import mean

from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import pcm16
from beluga_voice.interfaces import VoiceActivityDetector
from beluga_voice.testing.conformance.ears import EarCheck, EarRule, check_ears, expect_probability
from beluga_voice.testing.conformance.framed import (
    SPEECH_RATE,
    Framed,
    expect_usable,
    framed_checks,
    memory_checks,
    scene,
    through,
)
from beluga_voice.testing.conformance.report import (
    ConformanceFailure,
    Report,
)
from beluga_voice.testing.conformance.sounds import ROOM_LEVEL, noise, sounds, voice
from beluga_voice.testing.speech import silence

type Make = Callable[[], VoiceActivityDetector]


def check_voice_activity(
    make_detector: Make,
    *,
    speech: bytes | None = None,
    minutes: int = 1,
    only: Collection[EarRule] | None = None,
) -> Report:
    """Hold a voice activity detector against everything that a session relies on.

    * `make_detector`: gives a new detector each time, as for one more session. What it raises at
      the first time comes through as it is.
    * `speech`: mono 16-bit PCM at 16 kHz in which somebody speaks; without it, a voice made by a
      formula does.
    * `minutes`: of sound, after a first one, over which memory is watched.
    * `only`: the rules to check; without it, all.

    Raises `ConformanceFailure` for the first rule that is broken, and `Misuse` for a recording
    that is too short or minutes that are none. How well it tells speech from noise is no rule;
    `./dev bench detection` measures it.
    """
    expect_usable(speech, minutes)
    checks: list[EarCheck[VoiceActivityDetector]] = [
        *framed_checks(EarCheck(EarRule.PROBABILITY, _probabilities)),
        *(
            EarCheck[VoiceActivityDetector](
                EarRule.HEARS_SPEECH, partial(_hears_speech, speech=speech, level=level), place
            )
            for place, level in (("in silence", 0.0), ("in a quiet room", ROOM_LEVEL))
        ),
        EarCheck(EarRule.RESET, _resets),
        *memory_checks(minutes),
    ]
    return check_ears(checks, make_detector, only)


def _probabilities(make: Callable[[], Framed[object]]) -> None:
    for name, sound in sounds(make().rate).items():
        for answer in through(make(), sound):
            expect_probability(name, answer)


def _hears_speech(make: Make, *, speech: bytes | None, level: float) -> None:
    detector = make()
    rate = detector.rate
    spoken = voice(rate) if speech is None else convert(speech, pcm16(SPEECH_RATE), pcm16(rate))
    room = noise(rate, 2.0, level=level)
    before = through(detector, room)
    during = mean(through(detector, spoken))
    after = through(detector, room)
    for when, quiet in (("before", before), ("after", after)):
        second = mean(quiet[len(quiet) // 2 :])
        if during <= second:
            seen = f"{during:.3f} for the voice, {second:.3f} for the silence {when} it"
            raise ConformanceFailure(EarRule.HEARS_SPEECH, seen)


def _resets(make: Make) -> None:
    rate = make().rate
    expected = through(make(), scene(rate))
    for name, sound in (
        ("nothing", b""),
        ("silence", silence(3000, rate=rate)),
        ("a voice", voice(rate)),
        ("noise", noise(rate, 3.0)),
    ):
        used = make()
        through(used, sound)
        used.reset()
        if through(used, scene(rate)) != expected:
            raise ConformanceFailure(EarRule.RESET, f"other answers after {name} and reset")
