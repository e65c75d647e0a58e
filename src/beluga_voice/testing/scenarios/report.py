"""Tells what came of many scenarios: a table for people, and data for programs."""

from collections.abc import Iterable
from typing import Any

import msgspec

from beluga_voice.testing.scenarios.judge import Judged, measured_together
from beluga_voice.testing.scenarios.measure import Figures, Measured
from beluga_voice.testing.scenarios.model import STAGES

type Row = tuple[str, ...]

_HEADER: Row = ("group", "scenario", "stage", "answer ms", "yield ms", "as expected")
_LABELS = {
    "response_median_ms": "end of speech to first sound, median (ms)",
    "response_max_ms": "end of speech to first sound, most (ms)",
    "yield_median_ms": "interruption to silence, median (ms)",
    "yield_max_ms": "interruption to silence, most (ms)",
    "pause_median_ms": "pause for what was not meant, median (ms)",
    "false_interruption_rate": "silenced by what was not meant for it",
    "false_pause_rate": "paused by what was not meant for it",
    "missed_interruption_rate": "interruptions missed",
    "false_cut_off_rate": "utterances cut off",
    "unanswered_rate": "utterances unanswered",
    "backchannel_selectivity": "signs of listening let pass",
    "noise_selectivity": "noises let pass",
    "aside_selectivity": "words to somebody else let pass",
}


def table(all_judged: Iterable[Judged]) -> list[str]:
    """A line for each scenario and stage, group by group."""
    rows: list[Row] = [_HEADER]
    for one in sorted(all_judged, key=lambda judged: (judged.scenario.group, judged.name)):
        for stage in one.scenario.stages:
            broken = any(problem.startswith(f"{stage}:") for problem in one.problems)
            found = one.measured.get(stage, Measured())
            rows.append(
                (
                    one.scenario.group,
                    one.name,
                    stage,
                    _span(found.responses_ms),
                    _span(found.yields_ms),
                    "NO" if broken else "yes",
                )
            )
    return _aligned(rows)


def measures(all_judged: list[Judged]) -> list[str]:
    """The measures over all of them, for each stage and together."""
    columns = [measured_together(all_judged, stage) for stage in STAGES]
    columns.append(measured_together(all_judged))
    rows: list[Row] = [("measure", *STAGES, "both")]
    for name, label in _LABELS.items():
        rows.append((label, *(_shown(name, getattr(column, name)) for column in columns)))
    return _aligned(rows)


def as_data(all_judged: list[Judged], problems: list[str]) -> dict[str, Any]:
    """Everything, for JSON."""
    return {
        "scenarios": [_scenario(one) for one in all_judged],
        "measures": {
            **{stage: _figures(measured_together(all_judged, stage)) for stage in STAGES},
            "both": _figures(measured_together(all_judged)),
        },
        "problems": problems,
        "count": len(all_judged),
        "as_expected": sum(one.is_as_expected for one in all_judged),
    }


def summary(all_judged: list[Judged]) -> str:
    """How many there are, and how many are as expected."""
    good = sum(one.is_as_expected for one in all_judged)
    word = "scenario" if len(all_judged) == 1 else "scenarios"
    return f"{len(all_judged)} {word}: {good} as expected, {len(all_judged) - good} broken"


def _figures(figures: Figures) -> dict[str, float | None]:
    found: dict[str, float | None] = msgspec.to_builtins(figures)
    return {name: None if value is None else round(value, 4) for name, value in found.items()}


def _scenario(one: Judged) -> dict[str, Any]:
    return {
        "name": one.name,
        "title": one.scenario.title,
        "group": one.scenario.group,
        "problems": one.problems,
        "stages": {
            stage: {
                "trace": played.lines,
                "response_ms": one.measured[stage].responses_ms,
                "yield_ms": one.measured[stage].yields_ms,
                "false_interruptions": one.measured[stage].false_interruptions,
                "false_pauses": one.measured[stage].false_pauses,
                "missed_interruptions": one.measured[stage].missed,
                "false_cut_offs": one.measured[stage].cut_off,
                "unanswered": one.measured[stage].unanswered,
                "false_answers": one.measured[stage].false_answers,
            }
            for stage, played in one.played.items()
        },
    }


def _span(values: list[float]) -> str:
    if not values:
        return "-"
    least, most = min(values), max(values)
    return f"{least:g}" if least == most else f"{least:g} to {most:g}"


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if name.endswith("_ms") else f"{value:.0%}"


def _aligned(
    rows: "list[tuple[str, ...]] | list[tuple[str, str, str, str, str, str]]",
) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
