"""What detectors of voice and reducers of noise keep alike: both take frames of one length."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

from beluga_voice.errors import Misuse, WrongFormat
from beluga_voice.testing.conformance.ears import EarCheck, EarRule, shares_model, stays_small
from beluga_voice.testing.conformance.report import (
    ConformanceFailure,
)
from beluga_voice.testing.conformance.sounds import ROOM_LEVEL, noise, sounds, voice
from beluga_voice.testing.speech import silence

SPEECH_RATE = 16000
"""Of recordings that are given, in hertz."""
RATES = range(8000, 48001)
FRAME_MILLISECONDS = (5, 100)
_USED_FRAMES = 20


class Framed[R](Protocol):
    """Takes frames of `frame_samples` at `rate`."""

    @property
    def rate(self) -> int: ...

    @property
    def frame_samples(self) -> int: ...

    def process(self, frame: bytes, /) -> R: ...


def expect_usable(speech: bytes | None, minutes: int) -> None:
    """Raise `Misuse` for a recording or a time with which nothing could be checked."""
    if minutes < 1:
        raise Misuse(f"minutes {minutes} should be 1 or more", op="conformance")
    if speech is not None and (len(speech) % 2 or len(speech) < SPEECH_RATE):
        raise WrongFormat(
            f"speech of {len(speech)} bytes; give half a second or more of whole 16-bit samples",
            op="conformance",
        )


def framed_checks(answers: EarCheck[Framed[object]]) -> list[EarCheck[Framed[object]]]:
    """What is tried with any of them, after what is tried with each frame's answer."""
    return [
        EarCheck(EarRule.FRAME_SHAPE, _is_sane),
        answers,
        EarCheck(EarRule.FRAME_SHAPE, _keeps_shape, "while hearing"),
        EarCheck(EarRule.DETERMINISTIC, _deterministic),
        EarCheck(EarRule.WRONG_LENGTH, _wrong_length),
        EarCheck(EarRule.INSTANCES_APART, _instances_apart),
    ]


def memory_checks(minutes: int) -> list[EarCheck[Framed[object]]]:
    """What is tried last; growth is watched over so many minutes of sound, after a first one."""
    return [
        EarCheck(EarRule.SHARED_MODEL, _shares_model),
        EarCheck(EarRule.STAYS_SMALL, partial(_stays_small, minutes=minutes)),
    ]


def frames_of(framed: Framed[object], sound: bytes) -> Iterator[bytes]:
    """The whole frames of a sound, each an object of its own."""
    size = 2 * framed.frame_samples
    for at in range(0, len(sound) - size + 1, size):
        yield sound[at : at + size]


def through[R](framed: Framed[R], sound: bytes) -> list[R]:
    """What it makes of each frame of a sound."""
    return [framed.process(frame) for frame in frames_of(framed, sound)]


def scene(rate: int) -> bytes:
    """A quiet room in which somebody speaks, and falls silent."""
    room = noise(rate, 1.0, level=ROOM_LEVEL)
    return room + voice(rate) + room + silence(500, rate=rate)


def _is_sane(make: Callable[[], Framed[object]]) -> None:
    framed = make()
    rate: object = framed.rate
    samples: object = framed.frame_samples
    _expect_sane(rate, samples)


def _expect_sane(rate: object, samples: object) -> None:
    if not isinstance(rate, int) or rate not in RATES:
        raise ConformanceFailure(
            EarRule.FRAME_SHAPE, f"a rate of {rate!r}; sane are 8,000 to 48,000"
        )
    shortest, longest = FRAME_MILLISECONDS
    if not isinstance(samples, int) or not shortest * rate <= 1000 * samples <= longest * rate:
        seen = f"frames of {samples!r} samples at {rate} Hz; sane are {shortest} to {longest} ms"
        raise ConformanceFailure(EarRule.FRAME_SHAPE, seen)


def _keeps_shape(make: Callable[[], Framed[object]]) -> None:
    framed = make()
    before = framed.rate, framed.frame_samples
    through(framed, scene(framed.rate))
    after = framed.rate, framed.frame_samples
    if after != before:
        raise ConformanceFailure(
            EarRule.FRAME_SHAPE, f"{before} before hearing, {after} afterwards"
        )


def _wrong_length(make: Callable[[], Framed[object]]) -> None:
    alone = make()
    size = 2 * alone.frame_samples
    heard = scene(alone.rate)
    expected = through(alone, heard)
    disturbed = make()
    found: list[object] = []
    wrong = (0, 1, size - 2, size - 1, size + 1, size + 2, 2 * size)
    for at, frame in enumerate(frames_of(disturbed, heard)):
        _refuses(disturbed, (frame + frame)[: wrong[at % len(wrong)]])
        found.append(disturbed.process(frame))
    if found != expected:
        raise ConformanceFailure(
            EarRule.WRONG_LENGTH, "other answers after frames that were refused"
        )


def _refuses(framed: Framed[object], frame: bytes) -> None:
    samples = framed.frame_samples
    given = f"{len(frame)} bytes where {2 * samples} are due"
    try:
        framed.process(frame)
    except Misuse as error:
        if str(2 * samples) not in str(error) and str(samples) not in str(error):
            seen = f"{str(error)!r} for {given}, which does not say so"
            raise ConformanceFailure(EarRule.WRONG_LENGTH, seen) from error
    except Exception as error:
        seen = f"{type(error).__name__} for {given}"
        raise ConformanceFailure(EarRule.WRONG_LENGTH, seen) from error
    else:
        raise ConformanceFailure(EarRule.WRONG_LENGTH, f"no error for {given}")


def _deterministic(make: Callable[[], Framed[object]]) -> None:
    rate = make().rate
    heard = b"".join([*sounds(rate).values(), scene(rate)])
    # One after the other is made: whether two that live at once are apart is another question.
    once, again = through(make(), heard), through(make(), heard)
    different = sum(one != other for one, other in zip(once, again, strict=True))
    if different:
        seen = f"{different} of {len(once)} frames had another answer the second time"
        raise ConformanceFailure(EarRule.DETERMINISTIC, seen)


def _instances_apart(make: Callable[[], Framed[object]]) -> None:
    alone = make()
    heard = scene(alone.rate)
    expected = through(alone, heard)
    one, other = make(), make()
    loud = noise(other.rate, len(heard) / 2 / other.rate, level=8000)
    found: list[object] = []
    for frame, noisy in zip(frames_of(one, heard), frames_of(other, loud), strict=True):
        other.process(noisy)
        found.append(one.process(frame))
    if found != expected:
        raise ConformanceFailure(
            EarRule.INSTANCES_APART, "other answers while another instance hears noise"
        )


def _shares_model(make: Callable[[], Framed[object]]) -> None:
    def use(framed: Framed[object]) -> None:
        seconds = _USED_FRAMES * framed.frame_samples / framed.rate
        through(framed, noise(framed.rate, seconds))

    shares_model(make, use)


def _stays_small(make: Callable[[], Framed[object]], *, minutes: int) -> None:
    framed = make()
    parts = 10 * (scene(framed.rate) + noise(framed.rate, 1.5))

    def minute() -> int:
        count = 0
        for frame in frames_of(framed, parts):
            framed.process(frame)
            count += 1
        return count

    stays_small(minute, times=minutes)
