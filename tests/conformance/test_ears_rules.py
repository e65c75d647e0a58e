"""Ears that break a rule are found out, each with the rule that it breaks."""

import asyncio
import mmap
import random
from itertools import count

import numpy as np
import pytest

from beluga_voice.errors import ConfigurationError, Misuse, WrongFormat
from beluga_voice.providers.noise.webrtc import WebRtcNoise
from beluga_voice.providers.vad.energy import EnergyVad
from beluga_voice.testing.conformance import (
    ConformanceFailure,
    EarRule,
    check_listening_turn_detector,
    check_noise_reducer,
    check_turn_detector,
    check_voice_activity,
)
from beluga_voice.testing.conformance.turn_detection import SENTENCES


class Vad:
    """A good detector, which passes everything on."""

    def __init__(self):
        self.inner = EnergyVad()
        self.rate, self.frame_samples = self.inner.rate, self.inner.frame_samples

    def process(self, frame, /):
        return self.inner.process(frame)

    def reset(self):
        self.inner.reset()


class FramesOfNothing(Vad):
    """Counts its frames in seconds."""

    def __init__(self):
        super().__init__()
        self.frame_samples = 0.02


class ChangesItsFrames(Vad):
    """Wants longer frames once it has heard some."""

    heard = 0

    def process(self, frame, /):
        self.heard += 1
        if self.heard > 50:
            self.frame_samples = 640
        return super().process(frame)


class InPercent(Vad):
    """Answers up to 100."""

    def process(self, frame, /):
        return 100 * super().process(frame)


class NoNumber(Vad):
    """Divides by the loudness, which silence has none of."""

    def process(self, frame, /):
        heard = super().process(frame)
        return heard if any(frame) else float("nan")


class Overflows(Vad):
    """Cannot stand what is as loud as can be."""

    def process(self, frame, /):
        if b"\xff\x7f" in frame:
            raise OverflowError("too loud")
        return super().process(frame)


class TakesAnyLength(Vad):
    """Makes the best of what it gets."""

    def process(self, frame, /):
        size = 2 * self.frame_samples
        return super().process(frame[:size].ljust(size, b"\x00"))


class AnotherError(Vad):
    """Refuses a wrong length with what Python has."""

    def process(self, frame, /):
        if len(frame) != 2 * self.frame_samples:
            raise ValueError(f"{2 * self.frame_samples} bytes are due")
        return super().process(frame)


class Mumbles(Vad):
    """Does not say what would be right."""

    def process(self, frame, /):
        if len(frame) != 2 * self.frame_samples:
            raise Misuse("wrong frame", op="vad")
        return super().process(frame)


class LearnsFromTheRefused(Vad):
    """Lets what it refuses disturb it."""

    def process(self, frame, /):
        if len(frame) != 2 * self.frame_samples:
            self.inner.reset()
        return super().process(frame)


class Guesses(Vad):
    """Adds a little of its own."""

    def process(self, frame, /):
        return 0.9 * super().process(frame) + 0.1 * random.random()


class OneForAll(Vad):
    """Has one memory for all lines, which each new line clears."""

    shared = EnergyVad()

    def __init__(self):
        super().__init__()
        self.inner = self.shared
        self.shared.reset()


class Deaf(Vad):
    """Says the same of everything."""

    def process(self, frame, /):
        super().process(frame)
        return 0.5


class NeverLetsGo(Vad):
    """Hears speech for ever, once it heard some."""

    highest = 0.0

    def process(self, frame, /):
        self.highest = max(self.highest, super().process(frame))
        return self.highest

    def reset(self):
        super().reset()
        self.highest = 0.0


class NeverForgets(Vad):
    """Has nothing to reset."""

    def reset(self):
        pass


class KeepsAll(Vad):
    """Keeps every frame."""

    def __init__(self):
        super().__init__()
        self.frames = []

    def process(self, frame, /):
        self.frames.append(frame)
        return super().process(frame)


class OwnModel(Vad):
    """Loads what it learned for each line."""

    def __init__(self):
        super().__init__()
        self.model = np.ones(300_000)


class OwnModelInALibrary(Vad):
    """Loads it where Python does not count."""

    def __init__(self):
        super().__init__()
        self.model = mmap.mmap(-1, 2_000_000)
        self.model.write(bytes(2_000_000))


BROKEN_VADS = [
    (EarRule.FRAME_SHAPE, FramesOfNothing),
    (EarRule.FRAME_SHAPE, ChangesItsFrames),
    (EarRule.PROBABILITY, InPercent),
    (EarRule.PROBABILITY, NoNumber),
    (EarRule.PROBABILITY, Overflows),
    (EarRule.WRONG_LENGTH, TakesAnyLength),
    (EarRule.WRONG_LENGTH, AnotherError),
    (EarRule.WRONG_LENGTH, Mumbles),
    (EarRule.WRONG_LENGTH, LearnsFromTheRefused),
    (EarRule.DETERMINISTIC, Guesses),
    (EarRule.INSTANCES_APART, OneForAll),
    (EarRule.HEARS_SPEECH, Deaf),
    (EarRule.HEARS_SPEECH, NeverLetsGo),
    (EarRule.RESET, NeverForgets),
    (EarRule.STAYS_SMALL, KeepsAll),
    (EarRule.SHARED_MODEL, OwnModel),
    (EarRule.SHARED_MODEL, OwnModelInALibrary),
]


class Reducer(Vad):
    """A good reducer, which passes everything on."""

    def __init__(self):
        self.inner = WebRtcNoise()
        self.rate, self.frame_samples = self.inner.rate, self.inner.frame_samples


class Nothing(Reducer):
    """Leaves everything as it is."""

    def process(self, frame, /):
        super().process(frame)
        return frame


class Mutes(Reducer):
    """Takes the voice with the noise."""

    def process(self, frame, /):
        return bytes(len(super().process(frame)))


class Whispers(Reducer):
    """Takes half of the voice away."""

    def process(self, frame, /):
        return (np.frombuffer(super().process(frame), "<i2") // 2).tobytes()


class Hisses(Reducer):
    """Fills silence with a noise of its own."""

    def process(self, frame, /):
        return (np.frombuffer(super().process(frame), "<i2") | 8).tobytes()


class RunsDry(Reducer):
    """Comes to be a sample short within a minute."""

    heard = 0

    def process(self, frame, /):
        self.heard += 1
        made = super().process(frame)
        return made if self.heard % 5000 else made[:-2]


class AnotherKindOfBytes(Reducer):
    """Gives what may change later."""

    def process(self, frame, /):
        return bytearray(super().process(frame))


class PadsFrames(Reducer):
    """Takes a short frame."""

    def process(self, frame, /):
        return super().process(frame.ljust(320, b"\x00"))


class Dithers(Reducer):
    """Rounds by chance."""

    def process(self, frame, /):
        return (np.frombuffer(super().process(frame), "<i2") ^ random.getrandbits(1)).tobytes()


class OneReducerForAll(Reducer):
    """Has one state for all lines, which each new line clears."""

    shared = None

    def __init__(self):
        super().__init__()
        OneReducerForAll.shared = self.inner

    def process(self, frame, /):
        return self.shared.process(frame)


class KeepsAllSound(Reducer):
    """Keeps every frame."""

    def __init__(self):
        super().__init__()
        self.frames = []

    def process(self, frame, /):
        self.frames.append(frame)
        return super().process(frame)


BROKEN_REDUCERS = [
    (EarRule.SAME_LENGTH, RunsDry),
    (EarRule.SAME_LENGTH, AnotherKindOfBytes),
    (EarRule.WRONG_LENGTH, PadsFrames),
    (EarRule.DETERMINISTIC, Dithers),
    (EarRule.INSTANCES_APART, OneReducerForAll),
    (EarRule.SILENCE_STAYS, Hisses),
    (EarRule.NOISE_GOES, Nothing),
    (EarRule.NOISE_GOES, Mutes),
    (EarRule.SPEECH_STAYS, Whispers),
    (EarRule.STAYS_SMALL, KeepsAllSound),
]


class Turns:
    """A good detector: who ends with a mark is done."""

    def probability(self, transcript, /):
        return 0.9 if transcript.rstrip().endswith((".", "?", "!", "。", "？", "؟")) else 0.2


class TurnsInPercent(Turns):
    """Answers up to 100."""

    def probability(self, transcript, /):
        return 100 * super().probability(transcript)


class WantsWords(Turns):
    """Has no answer to nothing."""

    def probability(self, transcript, /):
        return super().probability(transcript.split()[-1])


class WantsLatin(Turns):
    """Has never heard of other scripts."""

    def probability(self, transcript, /):
        return super().probability(transcript.encode("latin-1").decode("latin-1"))


class Recurses(Turns):
    """Goes deeper with each word."""

    def probability(self, transcript, /):
        _, blank, rest = transcript.partition(" ")
        return self.probability(rest) if blank else super().probability(transcript)


class NeverOver(Turns):
    """Waits for ever."""

    def probability(self, transcript, /):
        return 0.0


class TheWrongWayRound(Turns):
    """Means the opposite."""

    def probability(self, transcript, /):
        return 1 - super().probability(transcript)


class GetsImpatient(Turns):
    """Is surer with each question."""

    def __init__(self):
        self.asked = count()

    def probability(self, transcript, /):
        return min(1.0, super().probability(transcript) + 0.001 * next(self.asked))


class RemembersWords(Turns):
    """Keeps every answer."""

    def __init__(self):
        self.known = {}

    def probability(self, transcript, /):
        return self.known.setdefault(transcript, super().probability(transcript))


class OwnLanguageModel(Turns):
    """Loads what it learned for each line."""

    def __init__(self):
        self.model = np.ones(300_000)


BROKEN_TURNS = [
    (EarRule.PROBABILITY, TurnsInPercent),
    (EarRule.PROBABILITY, WantsWords),
    (EarRule.PROBABILITY, WantsLatin),
    (EarRule.PROBABILITY, Recurses),
    (EarRule.DETERMINISTIC, GetsImpatient),
    (EarRule.WHOLE_OVER_CUT, NeverOver),
    (EarRule.WHOLE_OVER_CUT, TheWrongWayRound),
    (EarRule.SHARED_MODEL, OwnLanguageModel),
    (EarRule.STAYS_SMALL, RemembersWords),
]


class Listener:
    """A good listening detector: who became silent is done."""

    rate = 16000
    longest_samples = 32000

    async def probability(self, pcm, /):
        if len(pcm) % 2:
            raise WrongFormat("it ends inside a sample", op="turns")
        await asyncio.sleep(0)
        return self.judge(pcm[-2 * self.longest_samples :])

    def judge(self, pcm):
        heard = np.frombuffer(pcm, "<i2")
        end = heard[-1600:].astype(float)
        return float(1 / (1 + end.std())) if len(heard) else 1.0


class HearsTooShort(Listener):
    """Looks at less than a second."""

    longest_samples = 8000


class WantsSound(Listener):
    """Has no answer to nothing."""

    def judge(self, pcm):
        return super().judge(pcm) if np.frombuffer(pcm, "<i2").max() else 1.0


class RoundsDown(Listener):
    """Leaves the last half of a sample out."""

    async def probability(self, pcm, /):
        return await super().probability(pcm[: len(pcm) // 2 * 2])


class HearsAll(Listener):
    """Looks at the whole turn."""

    def __init__(self):
        self.longest_samples = 32000

    async def probability(self, pcm, /):
        return min(1.0, await super().probability(pcm) + len(pcm) / 1e9)


class GetsTired(Listener):
    """Is surer with each question."""

    def __init__(self):
        self.asked = count()

    def judge(self, pcm):
        return min(1.0, super().judge(pcm) + 0.001 * next(self.asked))


class OnePadForAll(Listener):
    """Writes each question over the one that is not answered yet."""

    def __init__(self):
        self.pad = b""

    async def probability(self, pcm, /):
        self.pad = pcm
        await super().probability(pcm)
        return self.judge(self.pad)


class StaysBusy(Listener):
    """Answers one after the other, and does not notice that nobody waits any more."""

    is_busy = False

    async def probability(self, pcm, /):
        for _ in range(1000):
            if not self.is_busy:
                break
            await asyncio.sleep(0)
        else:
            raise RuntimeError("busy")
        self.is_busy = True
        try:
            found = await super().probability(pcm)
        except Misuse:
            self.is_busy = False
            raise
        self.is_busy = False
        return found


class OwnSoundModel(Listener):
    """Loads what it learned for each line."""

    def __init__(self):
        self.model = np.ones(300_000)


class Contrary(Listener):
    """Means the opposite."""

    def judge(self, pcm):
        return 1 - super().judge(pcm)


BROKEN_LISTENERS = [
    (EarRule.FRAME_SHAPE, HearsTooShort),
    (EarRule.PROBABILITY, WantsSound),
    (EarRule.WRONG_LENGTH, RoundsDown),
    (EarRule.DETERMINISTIC, GetsTired),
    (EarRule.DETERMINISTIC, OnePadForAll),
    (EarRule.LOOKS_BACK, HearsAll),
    (EarRule.CANCELLING, StaysBusy),
    (EarRule.WHOLE_OVER_CUT, Contrary),
    (EarRule.SHARED_MODEL, OwnSoundModel),
]
WHOLE_AND_CUT = [(bytes(64000), np.arange(-8000, 8000, dtype="<i2").tobytes())]


def found_out(check, make, **options):
    """The rule that is named."""
    with pytest.raises(ConformanceFailure) as failure:
        check(make, **options)
    assert isinstance(failure.value.rule, EarRule)
    assert failure.value.seen
    return failure.value.rule


@pytest.mark.parametrize(("rule", "kind"), BROKEN_VADS)
def test_a_broken_detector_of_voice_is_found_out(rule, kind):
    """One fault, and the suite names the rule."""
    assert found_out(check_voice_activity, kind) is rule


@pytest.mark.parametrize(("rule", "kind"), BROKEN_REDUCERS)
def test_a_broken_reducer_is_found_out(rule, kind):
    """One fault, and the suite names the rule."""
    assert found_out(check_noise_reducer, kind) is rule


@pytest.mark.parametrize(("rule", "kind"), BROKEN_TURNS)
def test_a_broken_detector_of_turns_is_found_out(rule, kind):
    """One fault, and the suite names the rule."""
    assert found_out(check_turn_detector, kind) is rule


@pytest.mark.parametrize(("rule", "kind"), BROKEN_LISTENERS)
def test_a_broken_listening_detector_is_found_out(rule, kind):
    """One fault, and the suite names the rule."""
    assert found_out(check_listening_turn_detector, kind, recordings=WHOLE_AND_CUT) is rule


@pytest.mark.parametrize(
    ("check", "kind", "options"),
    [
        (check_voice_activity, Vad, {}),
        (check_noise_reducer, Reducer, {}),
        (check_turn_detector, Turns, {}),
        (check_listening_turn_detector, Listener, {"recordings": WHOLE_AND_CUT}),
    ],
)
def test_what_the_broken_ones_are_made_of_is_good(check, kind, options):
    """Without the fault every rule is kept, and none is left out."""
    assert check(kind, **options).not_applicable == {}


def test_only_the_rules_that_are_asked_for_are_checked():
    """A fault in another rule does not matter then."""
    report = check_voice_activity(Deaf, only={EarRule.RESET})
    assert report.kept == ("RESET",)


def test_a_failure_says_which_promise_is_broken_and_how():
    """The message names the rule, its promise and what was seen; a note says where."""
    with pytest.raises(ConformanceFailure) as failure:
        check_voice_activity(Overflows)
    assert str(failure.value) == (
        "PROBABILITY: every answer is a probability from 0 to 1, whatever is given. "
        "Seen: OverflowError: too loud"
    )
    assert failure.value.__notes__ == ["while checking PROBABILITY"]
    assert isinstance(failure.value.__cause__, OverflowError)


def test_what_cannot_be_made_is_no_broken_rule():
    """A maker's own error comes through as it is."""

    def make():
        raise ConfigurationError("no model", op="vad")

    with pytest.raises(ConfigurationError, match="no model"):
        check_voice_activity(make)


@pytest.mark.parametrize("check", [check_voice_activity, check_noise_reducer])
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"speech": b""}, "speech of 0 bytes"),
        ({"speech": bytes(32001)}, "speech of 32001 bytes"),
        ({"minutes": 0}, "minutes 0"),
    ],
)
def test_what_nothing_can_be_checked_with_is_refused(check, options, problem):
    """That is the caller's fault, and no broken rule of the ears."""
    with pytest.raises(Misuse, match=problem):
        check(Vad, **options)


def test_without_sentences_none_are_told_apart():
    """The report says why."""
    report = check_turn_detector(Turns, sentences=())
    assert report.not_applicable == {"WHOLE_OVER_CUT": "no sentences were given"}


def test_sentences_of_another_language_can_be_given():
    """A detector that knows other words is asked those."""
    german = [("Ich bin fertig.", "Ich bin"), ("Danke.", "Danke und")]
    assert "WHOLE_OVER_CUT" in check_turn_detector(Turns, sentences=german).kept
    turned = [(cut, whole) for whole, cut in SENTENCES]
    assert found_out(check_turn_detector, Turns, sentences=turned) is EarRule.WHOLE_OVER_CUT
