"""Holds what came of a scenario against what should have."""

import difflib
from dataclasses import dataclass, field
from pathlib import Path

from beluga_voice.testing.scenarios.measure import (
    Figures,
    Measured,
    broken_bounds,
    figures,
    measure,
    together,
)
from beluga_voice.testing.scenarios.model import Scenario, Stage
from beluga_voice.testing.scenarios.reading import read
from beluga_voice.testing.scenarios.run import Played, play

AT_MOST = Figures(
    response_median_ms=680,
    response_max_ms=830,
    yield_median_ms=300,
    yield_max_ms=300,
    pause_median_ms=550,
    false_interruption_rate=0.2,
    false_pause_rate=0.4,
    missed_interruption_rate=0.05,
    false_cut_off_rate=0.02,
    unanswered_rate=0.01,
    backchannel_selectivity=None,
    noise_selectivity=None,
    aside_selectivity=None,
)
"""What the measures of the whole library may be: as good as they are, with little room."""

AT_LEAST = {"backchannel_selectivity": 0.8, "noise_selectivity": 0.5, "aside_selectivity": 0.2}
"""What the others should be."""


@dataclass(slots=True, kw_only=True)
class Judged:
    """One scenario: what came of it on each stage, and what is wrong with that."""

    name: str
    path: Path
    scenario: Scenario
    played: dict[Stage, Played] = field(default_factory=dict["Stage", Played])
    measured: dict[Stage, Measured] = field(default_factory=dict["Stage", Measured])
    problems: list[str] = field(default_factory=list[str])
    """Expectations and bounds that do not hold; each may have several lines."""

    @property
    def is_as_expected(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def judge(path: Path) -> Judged:
    """Play a scenario on all its stages. Raises `ConfigurationError` for a file that is wrong."""
    scenario = read(path)
    judged = Judged(name=path.stem, path=path, scenario=scenario)
    for stage in scenario.stages:
        try:
            played = play(scenario, stage)
        except Exception as error:
            cause = _first(error)
            judged.problems.append(f"{stage}: it came to no end: {type(cause).__name__}: {cause}")
            continue
        judged.played[stage] = played
        judged.measured[stage] = measure(played)
        judged.problems += [f"{stage}: {one}" for one in _problems(scenario, stage, judged)]
    return judged


def _first(error: BaseException) -> BaseException:
    """The first exception of a group of groups, or the exception itself."""
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return _first(inner[0]) if inner else error


def _problems(scenario: Scenario, stage: Stage, judged: Judged) -> list[str]:
    played = judged.played[stage]
    found = broken_bounds(judged.measured[stage], scenario.bounds)
    if scenario.tts.has_word_times and played.heard != played.remembered:
        found.append("what is remembered of the agent is not what was heard")
    if stage not in scenario.expected:
        found.append("it expects nothing yet: write its trace with --update, and read it")
    elif changed := difference(scenario, stage, played):
        found.append("\n".join(["the trace is another one:", *changed]))
    return found


def difference(scenario: Scenario, stage: Stage, played: Played) -> list[str]:
    """How the trace differs from the expected one, as lines with - and +; empty if not at all."""
    expected = scenario.expected.get(stage, "").rstrip("\n").split("\n")
    if expected == played.lines:
        return []
    lines = difflib.unified_diff(expected, played.lines, "expected", "played", lineterm="", n=1)
    return list(lines)


def measured_together(all_judged: list[Judged], stage: Stage | None = None) -> Figures:
    """The measures of many scenarios, on one stage or on all."""
    usual: list[Measured] = []
    for judged in all_judged:
        for at, measured in judged.measured.items():
            if stage in (None, at):
                one = together([measured])
                if not judged.scenario.is_typical:
                    one.responses_ms, one.yields_ms, one.pauses_ms = [], [], []
                usual.append(one)
    return figures(together(usual))


def broken_together(found: Figures) -> list[str]:
    """Every bound of the whole library that does not hold, as a sentence."""
    problems: list[str] = []
    for name in Figures.__struct_fields__:
        value, most, least = getattr(found, name), getattr(AT_MOST, name), AT_LEAST.get(name)
        if value is not None and most is not None and value > most:
            problems.append(f"{name} is {value:g}, and should be {most:g} at most")
        if value is not None and least is not None and value < least:
            problems.append(f"{name} is {value:g}, and should be {least:g} at least")
    return problems
