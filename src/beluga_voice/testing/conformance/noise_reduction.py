"""The whole suite for noise reducers."""

from collections.abc import Callable, Collection
from functools import partial

import numpy as np

from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import pcm16
from beluga_voice.interfaces import NoiseReducer
from beluga_voice.testing.conformance.ears import EarCheck, EarRule, check_ears
from beluga_voice.testing.conformance.framed import (
    SPEECH_RATE,
    Framed,
    expect_usable,
    framed_checks,
    frames_of,
    memory_checks,
    through,
)
from beluga_voice.testing.conformance.report import (
    ConformanceFailure,
    Report,
)
from beluga_voice.testing.conformance.sounds import (
    line_of,
    mixed,
    noise,
    power_of,
    sounds,
    voice,
)
from beluga_voice.testing.speech import silence

NOISE_LEVEL = 300.0
"""Of the noise around a voice: 20 dB below it, if it is ours."""
LEAST_GAIN_DB = 3.0
"""By how much the ratio of voice to noise has to rise."""
MOST_CHANGE_DB = 3.0
"""By how much the voice may become louder or softer."""
LATEST_SECONDS = 0.1
"""How late sound may come out; around a change of sound, so much is not looked at."""
SILENT_PEAK = 3
"""What is still silence: 80 dB below full scale."""

type Make = Callable[[], NoiseReducer]


def check_noise_reducer(
    make_reducer: Make,
    *,
    speech: bytes | None = None,
    minutes: int = 1,
    only: Collection[EarRule] | None = None,
) -> Report:
    """Hold a noise reducer against everything that a session relies on.

    * `make_reducer`: gives a new reducer each time, as for one more session. What it raises at the
      first time comes through as it is.
    * `speech`: mono 16-bit PCM at 16 kHz in which somebody speaks without long pauses; without it,
      a voice made by a formula does.
    * `minutes`: of sound in which the lengths are counted, and memory is watched.
    * `only`: the rules to check; without it, all.

    Raises `ConformanceFailure` for the first rule that is broken, and `Misuse` for a recording
    that is too short or minutes that are none.
    """
    expect_usable(speech, minutes)
    checks: list[EarCheck[NoiseReducer]] = [
        *framed_checks(EarCheck(EarRule.SAME_LENGTH, partial(_same_length, minutes=minutes))),
        EarCheck(EarRule.SILENCE_STAYS, _silence_stays),
        EarCheck(EarRule.NOISE_GOES, partial(_noise_goes, speech=speech)),
        EarCheck(EarRule.SPEECH_STAYS, partial(_speech_stays, speech=speech)),
        *memory_checks(minutes),
    ]
    return check_ears(checks, make_reducer, only)


def _same_length(make: Callable[[], Framed[object]], *, minutes: int) -> None:
    reducer = make()
    every = sounds(reducer.rate)
    given = 0
    while given < 60 * minutes * reducer.rate:
        for name, sound in every.items():
            for frame in frames_of(reducer, sound):
                found = _length(reducer.process(frame))
                if found != (due := f"{len(frame)} bytes"):
                    seen = f"{found} for {due} of {name}, after {given / reducer.rate:g} s"
                    raise ConformanceFailure(EarRule.SAME_LENGTH, seen)
                given += reducer.frame_samples


def _length(made: object) -> str:
    return f"{len(made)} bytes" if isinstance(made, bytes) else type(made).__name__


def _silence_stays(make: Make) -> None:
    reducer = make()
    nothing = silence(2000, rate=reducer.rate)
    for when in ("at first", "after a voice"):
        left = line_of(b"".join(through(reducer, nothing)))
        peak = np.abs(left[len(left) // 2 :]).max()
        if peak > SILENT_PEAK:
            raise ConformanceFailure(
                EarRule.SILENCE_STAYS, f"samples up to {peak:g} of silence {when}"
            )
        through(reducer, voice(reducer.rate))


def _noise_goes(make: Make, *, speech: bytes | None) -> None:
    reducer = make()
    clean, rate = _spoken(reducer, speech), reducer.rate
    noisy = mixed(clean, _around(clean, rate))
    before = _clearness(noisy, rate)
    after = _clearness(b"".join(through(reducer, noisy)), rate)
    if after < before + LEAST_GAIN_DB:
        seen = f"the voice {before:.1f} dB above the noise before, {after:.1f} dB after"
        raise ConformanceFailure(EarRule.NOISE_GOES, seen)


def _speech_stays(make: Make, *, speech: bytes | None) -> None:
    reducer = make()
    clean, rate = _spoken(reducer, speech), reducer.rate
    _, before = _parts(clean, rate)
    _, after = _parts(b"".join(through(reducer, mixed(clean, _around(clean, rate)))), rate)
    change = _decibels(after) - _decibels(before)
    if abs(change) > MOST_CHANGE_DB:
        raise ConformanceFailure(
            EarRule.SPEECH_STAYS, f"the voice in noise changed by {change:+.1f} dB"
        )


def _spoken(reducer: NoiseReducer, speech: bytes | None) -> bytes:
    """Two seconds without a voice, then one."""
    rate = reducer.rate
    spoken = voice(rate) if speech is None else convert(speech, pcm16(SPEECH_RATE), pcm16(rate))
    return silence(2000, rate=rate) + spoken


def _around(clean: bytes, rate: int) -> bytes:
    """Noise for as long, as loud in each hertz at every rate."""
    seconds = len(clean) / 2 / rate
    return noise(rate, seconds, level=NOISE_LEVEL * (rate / SPEECH_RATE) ** 0.5)


def _parts(sound: bytes, rate: int) -> tuple[float, float]:
    """The power of the second before the voice, and that of the voice."""
    line, late = line_of(sound), round(LATEST_SECONDS * rate)
    return power_of(line[rate : 2 * rate - late]), power_of(line[2 * rate + late :])


def _clearness(sound: bytes, rate: int) -> float:
    """How far the voice stands above what is there without it, in dB."""
    quiet, loud = _parts(sound, rate)
    return _decibels(loud) - _decibels(quiet)


def _decibels(power: float) -> float:
    return 10 * float(np.log10(power + 0.1))
