"""What is tried, what has to hold, what cannot hold, and what is known not to hold yet."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase

from msgspec import Struct

from beluga_voice.errors import ConfigurationError
from beluga_voice.testing.matrix.call import Cell
from beluga_voice.testing.matrix.known import KNOWN, SPOILED, Known
from beluga_voice.testing.matrix.measure import BOUND_MS, Measured
from beluga_voice.testing.matrix.stages import AGENT, STAGES


class Wrong(StrEnum):
    """What can be wrong with a call."""

    SILENT = "silent"
    LOST = "lost"
    REPEATED = "repeated"
    LEFT = "left"
    ENDLESS = "endless"
    DEFECT = "defect"


class Verdict(StrEnum):
    """What is to be thought of it."""

    BROKEN = "broken"
    KNOWN = "known"
    """In the list of what is known to be wrong."""
    SPOILED = "spoiled"
    """Nobody could do better with a fault like that."""


class Problem(Struct, frozen=True, kw_only=True):
    """Something that is wrong with a call."""

    what: Wrong
    text: str
    verdict: Verdict


class Result(Struct, frozen=True, kw_only=True):
    """What came of a call."""

    cell: Cell
    measured: Measured
    problems: tuple[Problem, ...] = ()

    @property
    def is_broken(self) -> bool:
        """Whether something is wrong that is neither known nor unavoidable."""
        return any(one.verdict is Verdict.BROKEN for one in self.problems)

    def has(self, what: Wrong, verdict: Verdict) -> bool:
        """Whether that is wrong with it."""
        return any(one.what is what and one.verdict is verdict for one in self.problems)


def cells(only: Sequence[str] = (), *, seeds: Iterable[int] = (0,)) -> list[Cell]:
    """Every fault at every phase on every stage, or those that one of these patterns names.

    A pattern is `FAULT/PHASE/STAGE`, each of which may be `*` or end with it; what is left out at
    the end is everything. Raises `ConfigurationError` for one that names nothing.
    """
    every = list(_keys())
    wanted = every
    if only:
        patterns = [_pattern(one) for one in only]
        for given, pattern in zip(only, patterns, strict=True):
            if not any(fnmatchcase(cell.key, pattern) for cell in every):
                raise ConfigurationError(
                    f"there is no {given!r}: say FAULT/PHASE/STAGE, such as hang/awaited/tts+; "
                    f"stages are {', '.join(STAGES)}",
                    op="simulate",
                )
        wanted = [one for one in every if any(fnmatchcase(one.key, each) for each in patterns)]
    return [Cell(one.fault, one.phase, one.stage, seed) for seed in seeds for one in wanted]


def _pattern(given: str) -> str:
    parts = [part or "*" for part in given.split("/")]
    return "/".join([*parts, "*", "*"][:3])


def _keys() -> Iterator[Cell]:
    for name, stage in STAGES.items():
        for fault, phase in stage.cases():
            yield Cell(fault, phase, name)


def judged(cell: Cell, measured: Measured) -> Result:
    """What is wrong with a call, each with what is to be thought of it."""
    problems = tuple(
        Problem(what=what, text=text, verdict=_verdict(cell, what))
        for what, text in _wrong(measured)
    )
    return Result(cell=cell, measured=measured, problems=problems)


def _wrong(measured: Measured) -> Iterator[tuple[Wrong, str]]:
    if measured.is_silent:
        seconds = measured.silence_ms / 1000
        yield Wrong.SILENT, f"silent for {seconds:.2f} s, and {BOUND_MS / 1000:g} s is the most"
    if measured.lost:
        yield Wrong.LOST, f"nobody ever got the words {' '.join(measured.lost)!r}"
    if measured.repeated:
        yield Wrong.REPEATED, f"heard more than once: {' '.join(measured.repeated)!r}"
    if measured.left:
        yield Wrong.LEFT, f"left behind: {'; '.join(measured.left)}"
    if measured.never_ended:
        yield Wrong.ENDLESS, "the call never ended"
    elif measured.defect:
        yield Wrong.DEFECT, measured.defect


def _verdict(cell: Cell, what: Wrong) -> Verdict:
    kind = STAGES[cell.stage].kind or AGENT
    is_late = cell.seed > 0
    if any(
        what == one.what and one.covers(cell.fault, cell.phase, kind, is_late=is_late)
        for one in SPOILED
    ):
        return Verdict.SPOILED
    is_known = any(what == one.what and covers(one, cell) for one in KNOWN)
    return Verdict.KNOWN if is_known else Verdict.BROKEN


def covers(known: Known, cell: Cell) -> bool:
    """Whether that is about this call."""
    return known.covers(cell.fault, cell.phase, cell.stage)


def known_that_are_gone(results: Sequence[Result]) -> list[str]:
    """What is known to be wrong, and is not wrong any more, though it was tried."""
    gone: list[str] = []
    for one in KNOWN:
        tried = [each for each in results if covers(one, each.cell)]
        if tried and not any(each.has(Wrong(one.what), Verdict.KNOWN) for each in tried):
            gone.append(f"{one.told} ({one.what})")
    return gone
