"""`beluga-voice simulate`: conversations in simulated time, against what should come of them."""

import argparse
import json
import sys
from pathlib import Path

from beluga_voice.errors import ConfigurationError
from beluga_voice.testing.scenarios import report
from beluga_voice.testing.scenarios.judge import (
    Judged,
    broken_together,
    difference,
    judge,
    measured_together,
)
from beluga_voice.testing.scenarios.picture import draw
from beluga_voice.testing.scenarios.reading import find, names, write_expected


def simulate(options: argparse.Namespace) -> int:
    """Play them, and tell; gives 1 if an expectation or a bound is broken."""
    if options.simulation == "faults":
        from beluga_voice.cli.simulate_faults import simulate_faults

        return simulate_faults(options)
    return _simulate_turns(options)


def _simulate_turns(options: argparse.Namespace) -> int:
    if options.compare:
        from beluga_voice.testing.scenarios.peers import compared

        print(*compared().lines, sep="\n")
        return 0
    paths = [find(name) for name in options.name or names()]
    judged = [_judged(path, number, len(paths)) for number, path in enumerate(paths, 1)]
    if options.update:
        judged = [_updated(one) for one in judged]
    is_whole = not options.name
    problems = broken_together(measured_together(judged)) if is_whole else []
    if options.plot is not None:
        write_text(Path(options.plot), draw(judged))
    if options.json:
        print(json.dumps(report.as_data(judged, problems), indent=1))
    else:
        _tell(judged, problems)
    sys.stdout.flush()
    print(report.summary(judged), file=sys.stderr if options.json else sys.stdout)
    return 1 if problems or not all(one.is_as_expected for one in judged) else 0


def _judged(path: Path, number: int, count: int) -> Judged:
    judged = judge(path)
    state = "as expected" if judged.is_as_expected else "BROKEN"
    print(f"[{number}/{count}] {judged.name}: {state}", file=sys.stderr)
    return judged


def _updated(one: Judged) -> Judged:
    """The scenario with what came of it as what should; what changes is printed."""
    scenario = one.scenario
    changes = {stage: difference(scenario, stage, played) for stage, played in one.played.items()}
    if set(one.played) != set(scenario.stages):
        return one
    if any(changes.values()):
        for stage, lines in changes.items():
            if lines:
                print(f"{one.path} {stage}", *lines, sep="\n")
        write_expected(one.path, {stage: played.lines for stage, played in one.played.items()})
    return judge(one.path)


def _tell(judged: list[Judged], problems: list[str]) -> None:
    print(*report.table(judged), "", *report.measures(judged), "", sep="\n")
    for one in judged:
        for problem in one.problems:
            print(f"{one.name}, {problem}")
    for problem in problems:
        print(f"the whole library: {problem}")


def write_text(path: Path, text: str) -> None:
    """Raises `ConfigurationError` where that cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}", op="simulate") from error
