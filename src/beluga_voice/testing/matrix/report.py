"""Tells what came of the matrix: a table for people, data for programs, and one line."""

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import median_low
from typing import Any

import msgspec

from beluga_voice.testing.matrix.cells import Result, Verdict, Wrong, covers
from beluga_voice.testing.matrix.known import KNOWN, SPOILED
from beluga_voice.testing.matrix.measure import BOUND_MS
from beluga_voice.testing.matrix.run import Soak
from beluga_voice.testing.matrix.stages import SERVICES, STAGES, STANDS_IN

SHOWN_PROBLEMS = 60
MOST_OBJECTS = 2000
MOST_KIB = 20 * 1024
"""How much more a process may hold at the end of a long run than when everything was loaded."""

MOST_COLUMNS = 8
_ALL_COLUMNS: dict[str, Callable[[str], bool]] = {
    **{name: name.__eq__ for name in STAGES if name.removesuffix(STANDS_IN) not in SERVICES},
    "services": lambda stage: stage in SERVICES,
    "services+": lambda stage: stage.endswith(STANDS_IN) and stage[:-1] in SERVICES,
}


def seconds(milliseconds: float) -> str:
    """A time as it is shown: `never` where nothing more was heard."""
    return "never" if math.isinf(milliseconds) else f"{milliseconds / 1000:.2f}"


def table(results: Sequence[Result]) -> list[str]:
    """A row for each fault and phase: the median recovery and the worst, in seconds."""
    columns = _columns({one.cell.stage for one in results})
    rows = [("fault", "phase", *columns)]
    for fault, phase in sorted({(one.cell.fault, one.cell.phase) for one in results}):
        cells = [_shown(_of(results, fault, phase, belongs)) for belongs in columns.values()]
        rows.append((fault, phase, *cells))
    return aligned(rows)


def _columns(stages: set[str]) -> dict[str, Callable[[str], bool]]:
    """One for each stage if they are few; else the services together."""
    if len(stages) > MOST_COLUMNS:
        return _ALL_COLUMNS
    return {name: name.__eq__ for name in STAGES if name in stages}


def _of(
    results: Iterable[Result], fault: str, phase: str, belongs: Callable[[str], bool]
) -> list[Result]:
    return [
        one
        for one in results
        if one.cell.fault == fault and one.cell.phase == phase and belongs(one.cell.stage)
    ]


def _shown(found: Sequence[Result]) -> str:
    """The median and the worst of those that the fault struck; marked where a bound is broken."""
    times = [one.measured.recovery_ms for one in found if one.measured.struck]
    if not times:
        return "-" if found else ""
    mark = "!" if any(one.is_broken for one in found) else ""
    mark = mark or ("*" if any(one.problems for one in found) else "")
    middle, worst = seconds(median_low(times)), seconds(max(times))
    return (middle if middle == worst else f"{middle} {worst}") + mark


def problems(results: Sequence[Result]) -> list[str]:
    """Every call with something wrong that is neither known nor unavoidable."""
    lines = [
        f"{one.cell.key} --seed {one.cell.seed}: {problem.text}"
        for one in results
        for problem in one.problems
        if problem.verdict is Verdict.BROKEN
    ]
    if len(lines) > SHOWN_PROBLEMS:
        rest = len(lines) - SHOWN_PROBLEMS
        lines = [*lines[:SHOWN_PROBLEMS], f"and {rest} more: see --json"]
    return lines


def explanations(results: Sequence[Result]) -> list[str]:
    """What is known to be wrong, and what cannot be right, as far as it came about."""
    lines: list[str] = []
    for known in KNOWN:
        wrong = Wrong(known.what)
        count = sum(covers(known, one.cell) and one.has(wrong, Verdict.KNOWN) for one in results)
        if count:
            lines.append(f"known: {known.told}, {known.what} ({count} calls): {known.why}")
    for spoiled in SPOILED:
        what = Wrong(spoiled.what)
        count = sum(
            one.cell.fault in spoiled.faults and one.has(what, Verdict.SPOILED) for one in results
        )
        if count:
            names = ", ".join(sorted(spoiled.faults))
            lines.append(f"spoiled: {names}, {spoiled.what} ({count} calls): {spoiled.why}")
    return lines


def listed() -> list[str]:
    """What cannot hold and what is known not to hold, as tables in Markdown."""
    lines = ["| fault | strikes | cannot be kept | because |", "| --- | --- | --- | --- |"]
    for one in SPOILED:
        kinds = ", ".join(sorted(one.kinds))
        lines.append(f"| {one.told} | {kinds} | {one.what} | {one.why} |")
    if KNOWN:
        lines += ["", "| calls | known to be | because |", "| --- | --- | --- |"]
        lines += [f"| {one.told} | {one.what} | {one.why} |" for one in KNOWN]
    return lines


def summary(results: Sequence[Result]) -> str:
    """How many calls, and how many of them are wrong in which way."""

    def count(*wrong: Wrong) -> int:
        return sum(any(one.has(what, Verdict.BROKEN) for what in wrong) for one in results)

    line = (
        f"{len(results)} calls: {count(Wrong.SILENT)} silent beyond {BOUND_MS / 1000:g} s, "
        f"{count(Wrong.LOST)} with words lost, {count(Wrong.REPEATED)} with words repeated, "
        f"{count(Wrong.LEFT, Wrong.ENDLESS)} left behind"
    )
    if defects := count(Wrong.DEFECT):
        line += f", {defects} defects"
    known = sum(any(each.verdict is Verdict.KNOWN for each in one.problems) for one in results)
    if known:
        line += f"; {known} known to be wrong"
    return line


def as_data(results: Sequence[Result]) -> dict[str, Any]:
    """Everything, for JSON; a recovery that never came is `null`."""
    return {
        "bound_ms": BOUND_MS,
        "calls": [_call(one) for one in results],
        "known": [{"calls": one.told, "what": one.what, "why": one.why} for one in KNOWN],
        "spoiled": [
            {"faults": sorted(one.faults), "what": one.what, "why": one.why} for one in SPOILED
        ],
        "summary": summary(results),
    }


def _call(one: Result) -> dict[str, Any]:
    measured: dict[str, Any] = msgspec.to_builtins(one.measured)
    if math.isinf(one.measured.recovery_ms):
        measured["recovery_ms"] = None
    return {
        "fault": one.cell.fault,
        "phase": one.cell.phase,
        "stage": one.cell.stage,
        "seed": one.cell.seed,
        **measured,
        "problems": msgspec.to_builtins(one.problems),
    }


def memory(soaks: Sequence[Soak]) -> tuple[list[str], bool]:
    """What the processes of a long run held, and whether that is flat."""
    lines = [
        f"process {number}: {len(one.results)} calls, {one.looks[0].resident_kib // 1024} MiB "
        f"after {one.looks[0].calls}, {one.looks[-1].resident_kib // 1024} MiB at the end; "
        f"{one.more_objects:+d} objects of {one.looks[0].objects}"
        for number, one in enumerate(soaks, start=1)
    ]
    is_flat = all(one.more_objects <= MOST_OBJECTS and one.more_kib <= MOST_KIB for one in soaks)
    if not is_flat:
        lines.append(
            f"memory grows: {MOST_OBJECTS} objects and {MOST_KIB // 1024} MiB are the most"
        )
    return lines, is_flat


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
