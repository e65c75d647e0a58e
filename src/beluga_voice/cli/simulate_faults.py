"""`beluga-voice simulate faults`: what a person on the line has of every fault there can be."""

import argparse
import json
import random
import sys
from itertools import count, islice
from pathlib import Path

from beluga_voice.cli.simulate import write_text
from beluga_voice.errors import ConfigurationError
from beluga_voice.testing.matrix import report
from beluga_voice.testing.matrix.call import Cell, play
from beluga_voice.testing.matrix.cells import Result, cells, judged, known_that_are_gone
from beluga_voice.testing.matrix.measure import measure
from beluga_voice.testing.matrix.peers import comparison
from beluga_voice.testing.matrix.picture import draw
from beluga_voice.testing.matrix.run import run, soak


def simulate_faults(options: argparse.Namespace) -> int:
    """Play them, and tell; gives 1 if a bound is broken."""
    _check(options)
    if options.compare:
        print(*comparison(), sep="\n")
        return 0
    if options.calls is not None:
        return _soak(options)
    wanted = cells(options.only, seeds=range(options.seed, options.seed + options.seeds))
    if len(wanted) == 1:
        return _one(wanted[0])
    return _tell(options, run(wanted, jobs=options.jobs, progress=_progress))


def _check(options: argparse.Namespace) -> None:
    for name in ("seeds", "calls", "jobs"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ConfigurationError(f"--{name} is at least 1, not {value}", op="simulate")
    if options.seed < 0:
        raise ConfigurationError(f"--seed is 0 or more, not {options.seed}", op="simulate")


def _tell(options: argparse.Namespace, results: list[Result]) -> int:
    if options.plot is not None:
        write_text(Path(options.plot), draw(results))
    is_printed = options.json == "-"
    if options.json is not None:
        text = json.dumps(report.as_data(results), indent=1)
        if is_printed:
            print(text)
        else:
            write_text(Path(options.json), text + "\n")
    if not is_printed:
        print("seconds until the person heard speech again: the median, and the worst")
        print(*report.table(results), "", sep="\n")
        for line in (*report.explanations(results), *report.problems(results)):
            print(line)
        for gone in known_that_are_gone(results):
            print(f"known, and no longer so: {gone}")
    sys.stdout.flush()
    print(report.summary(results), file=sys.stderr if is_printed else sys.stdout)
    return 1 if any(one.is_broken for one in results) else 0


def _one(cell: Cell) -> int:
    """A single call, event by event."""
    played = play(cell, with_trace=True)
    result = judged(cell, measure(played))
    print(*played.lines, sep="\n")
    for at in played.struck_ms:
        print(f"the fault struck at {at:g} ms")
    for turn in played.turns:
        print(f"question {turn.number + 1} ended at {turn.end:g}, waited until {turn.until:g} ms")
    for sound in played.sounds:
        what = "a tone" if sound.is_tone else "speech"
        print(f"the person heard {what} from {sound.begin:g} to {sound.end:g} ms")
    print(f"heard: {played.heard!r}")
    measured = result.measured
    if measured.failure:
        print(f"it ended with {measured.failure}")
    print(
        f"recovered after {report.seconds(measured.recovery_ms)} s, longest silence "
        f"{report.seconds(measured.silence_ms)} s"
    )
    for problem in result.problems:
        print(f"{problem.verdict}: {problem.text}")
    print(report.summary([result]))
    return 1 if result.is_broken else 0


def _soak(options: argparse.Namespace) -> int:
    """Many calls, one seed after another, while memory is watched."""
    keys = cells(options.only)
    # Well mixed, so that a short run meets every stage, too.
    random.Random(options.seed).shuffle(keys)
    endless = (
        Cell(one.fault, one.phase, one.stage, seed) for seed in count(options.seed) for one in keys
    )
    wanted = list(islice(endless, options.calls))
    soaks = soak(wanted, jobs=options.jobs, progress=_progress)
    lines, is_flat = report.memory(soaks)
    status = _tell(options, [result for one in soaks for result in one.results])
    print(*lines, sep="\n")
    return status if is_flat else 1


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {of} calls", end="\n" if done == of else "", file=sys.stderr)
    elif done % 500 == 0 or done == of:
        print(f"{done} of {of} calls", file=sys.stderr)
