"""What ears promise, and how a check of them is run.

Ears are what hears the person before any service does: detectors of voice, detectors of the end of
a turn, and reducers of noise. They are plain objects without a link, so their checks are plain
calls, of what a maker gives: a new instance each time, as for one more session.
"""

import gc
import os
import tracemalloc
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from beluga_voice.testing.conformance.report import (
    ConformanceFailure,
    Inapplicable,
    Promise,
    Report,
)

INSTANCES = 100
MOST_BYTES = 1_000_000
"""What an instance may have of its own. The smallest models of speech take twice as much."""
_FIRST_LOOK = 20
"""Instances after which memory is looked at first: few enough to stay, if each holds a model."""


class EarRule(Promise):
    """What ears promise."""

    # ── any of them
    FRAME_SHAPE = "rate and frame_samples are sane, and never change"
    WRONG_LENGTH = (
        "sound of a wrong length is refused with Misuse, says what is due, changes nothing"
    )
    DETERMINISTIC = "the same input gives the same answers"
    INSTANCES_APART = "an instance answers as it does alone, whatever another one is given"
    STAYS_SMALL = "memory does not grow with what was heard"
    SHARED_MODEL = "what was learned is in memory once, however many instances there are"
    PROBABILITY = "every answer is a probability from 0 to 1, whatever is given"
    # ── voice activity
    HEARS_SPEECH = "a voice is likelier speech than the silence before it, and after it"
    RESET = "after reset it answers as a new one does"
    # ── noise
    SAME_LENGTH = "each frame gives a frame of its length, however long the sound is"
    SILENCE_STAYS = "silence stays silence"
    NOISE_GOES = "with steady noise, a voice comes out clearer"
    SPEECH_STAYS = "in steady noise, the voice keeps its loudness"
    # ── turns
    WHOLE_OVER_CUT = "what is whole is likelier over than the same cut off"
    LOOKS_BACK = "only the last longest_samples count"
    CANCELLING = "cancelling loses the answer, and nothing else"


@dataclass(frozen=True)  # with slots, Python 3.12 cannot make one of given types
class EarCheck[P]:
    """One thing to be tried with what a maker gives."""

    rule: EarRule
    work: Callable[[Callable[[], P]], None]
    variant: str = ""

    @property
    def name(self) -> str:
        """The rule, and in which way it is tried."""
        return f"{self.rule.name} ({self.variant})" if self.variant else self.rule.name


def check_ears[P](
    checks: Sequence[EarCheck[P]], make: Callable[[], P], only: Collection[EarRule] | None
) -> Report:
    """Make one check after the other; the first that fails raises `ConformanceFailure`."""
    make()  # what cannot be made is no matter of rules
    kept: list[str] = []
    not_applicable: dict[str, str] = {}
    for check in checks:
        if only is not None and check.rule not in only:
            continue
        try:
            check.work(make)
        except Inapplicable as reason:
            not_applicable[check.name] = str(reason)
        except ConformanceFailure as failure:
            failure.add_note(f"while checking {check.name}")
            raise
        except Exception as error:  # whatever a stranger's code raises breaks the promise
            raised = ConformanceFailure(check.rule, f"{type(error).__name__}: {error}")
            raised.add_note(f"while checking {check.name}")
            raise raised from error
        else:
            kept.append(check.name)
    return Report(tuple(kept), not_applicable)


def expect_probability(given: str, answer: object) -> None:
    """Raise for an answer that is no number from 0 to 1."""
    if not isinstance(answer, float | int) or not 0 <= answer <= 1:
        raise ConformanceFailure(EarRule.PROBABILITY, f"{answer!r} for {given}")


# ── memory ──────────────────────────────────────────────────────────────────────────────────


def shares_model[P](make: Callable[[], P], use: Callable[[P], object]) -> None:
    """A hundred instances in use take little more than one.

    Looked at is the memory of Python and numpy, and where the system tells it that of the process,
    in which libraries have theirs. A file that a library maps into memory counts once it was read.
    """
    with _traced() as traced:
        kept = [make()]
        use(kept[0])
        looks = [("of Python's memory", traced), ("of the process's memory", _resident)]
        before = [look() for _, look in looks]
        while len(kept) < INSTANCES:
            kept.append(make())
            use(kept[-1])
            if len(kept) % _FIRST_LOOK:
                continue
            for (what, look), start in zip(looks, before, strict=True):
                each = (look() - start) // (len(kept) - 1)
                if each > MOST_BYTES:
                    seen = f"{each:,} bytes {what} for each of {len(kept)} instances"
                    raise ConformanceFailure(EarRule.SHARED_MODEL, seen)


def stays_small(use: Callable[[], int], *, times: int) -> None:
    """`use`, which gives how many things were heard, takes memory the first time only.

    Looked at is the memory of Python and numpy. Half a pointer is allowed for each thing heard.
    """
    with _traced() as traced:
        use()
        before = traced()
        heard = sum(use() for _ in range(times))
        grown = traced() - before
    if grown > max(8192, 4 * heard):
        raise ConformanceFailure(EarRule.STAYS_SMALL, f"{grown:,} bytes more after {heard:,} more")


@contextmanager
def _traced() -> Generator[Callable[[], int]]:
    """Gives what tells how many bytes are in use."""
    was_on = tracemalloc.is_tracing()
    if not was_on:
        tracemalloc.start()

    def traced() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    try:
        yield traced
    finally:
        if not was_on:
            tracemalloc.stop()


def _resident() -> int:
    """Bytes of the process that are in memory; 0 where the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
