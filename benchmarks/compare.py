"""What the framework costs beside others: one harness, the same fake services, an adapter for each.

The harness is a folder apart from this repository; its `common/drive.py` runs every contestant in a
fresh process pinned to one core, in turns. Our adapter is `benchmarks/harness/adapter.py`; it is
copied in as `beluga/adapter.py`. A contestant whose environment is not there is left out.
"""

# pyright: reportUnknownMemberType=false
# matplotlib's methods are annotated in part only.
import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.results import Cell, Number, Result, Table, rounded

WHAT = "beluga-voice beside a bare asyncio floor, pipecat and livekit-agents, in one harness"
ADAPTER = Path(__file__).parent / "harness" / "adapter.py"
BENCHES = ("b1", "b2", "b2max", "b3", "b4")
CONTESTANTS = ("floor", "beluga", "pipecat", "livekit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A number to compare: where it is in the harness's lines, and what it is called."""

    bench: str
    key: str
    title: str
    unit: str
    where: Mapping[str, object]
    """Only lines with these fields count."""


COLUMNS = (
    Column(bench="b1", key="eos_to_audio_ms.p50", title="turn overhead, p50", unit="ms", where={}),
    Column(bench="b1", key="eos_to_audio_ms.p99", title="turn overhead, p99", unit="ms", where={}),
    Column(
        bench="b2",
        key="cpu_ms_per_session_s",
        title="CPU of a session at 50",
        unit="ms per second",
        where={"n": 50, "quiet": None},
    ),
    Column(bench="b2max", key="max_n", title="sessions per core", unit="sessions", where={}),
    Column(bench="b3", key="told_to_stop_ms.p50", title="barge-in, p50", unit="ms", where={}),
    Column(bench="b3", key="told_to_stop_ms.p99", title="barge-in, p99", unit="ms", where={}),
    Column(
        bench="b4",
        key="idle_kb_per_session",
        title="memory, idle",
        unit="KiB per session",
        where={},
    ),
    Column(
        bench="b4",
        key="active_kb_per_session",
        title="memory, active",
        unit="KiB per session",
        where={},
    ),
    Column(
        bench="b4",
        key="tasks_per_session_active",
        title="tasks, active",
        unit="tasks per session",
        where={},
    ),
)
DRAWN = (0, 2, 3, 4, 6, 8)
"""The columns in the picture."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be asked."""
    parser.add_argument(
        "--harness",
        type=Path,
        default=os.environ.get("BELUGA_BENCH_HARNESS"),
        metavar="FOLDER",
        help="a copy of the harness that may be written to; default: $BELUGA_BENCH_HARNESS",
    )
    parser.add_argument(
        "--bench", default=",".join(BENCHES), help="which of the harness's; default: %(default)s"
    )
    parser.add_argument(
        "--only", default=",".join(CONTESTANTS), help="which contestants; default: %(default)s"
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="count what the harness measured before as well; with --rounds 0, nothing else",
    )


def measure(options: argparse.Namespace) -> Result:
    """Run the harness, and read what it wrote."""
    harness: Path | None = options.harness
    if harness is None or not (harness / "common" / "drive.py").exists():
        raise SystemExit(
            "give --harness a folder with common/drive.py in it, or set BELUGA_BENCH_HARNESS"
        )
    pythons = _pythons(harness.resolve(), options.only.split(","))
    (harness / "beluga").mkdir(exist_ok=True)
    shutil.copy(ADAPTER, harness / "beluga" / "adapter.py")
    results = harness / "results"
    benches = options.bench.split(",")
    if not options.keep:
        for bench in benches:
            (results / f"{bench}.jsonl").unlink(missing_ok=True)
    if options.rounds:
        _drive(harness, benches, pythons, options)
    lines = {bench: _lines(results / f"{bench}.jsonl", options.loop) for bench in benches}
    found = {name: [_value(lines, column, name) for column in COLUMNS] for name in pythons}
    return _result(options, found, _versions(lines))


def _pythons(harness: Path, wanted: list[str]) -> dict[str, str]:
    """The interpreter of each contestant that can run; ours is this one, and does for the floor."""
    found: dict[str, str] = {}
    for name in wanted:
        own = harness / f"venv-{name}" / "bin" / "python"
        python = os.environ.get(f"PY_{name.upper()}")
        if name == "beluga":
            python = python or sys.executable
        elif python is None and own.exists():
            python = str(own)
        elif python is None and name == "floor":
            python = sys.executable
        if python is None:
            print(f"{name} is left out: there is no {own}", file=sys.stderr)
        else:
            found[name] = python
    return found


def _drive(
    harness: Path, benches: list[str], pythons: dict[str, str], options: argparse.Namespace
) -> None:
    environment = {f"PY_{name.upper()}": python for name, python in pythons.items()}
    subprocess.run(
        [
            sys.executable,
            str(harness / "common" / "drive.py"),
            *("--only", ",".join(f"{name}/default" for name in pythons)),
            *("--bench", ",".join(benches)),
            *("--rounds", str(options.rounds)),
            *("--loop", options.loop),
        ],
        env={**os.environ, **environment},
        stdout=sys.stderr,
        check=True,
    )


def _lines(path: Path, loop: str) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines: list[dict[str, Any]] = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if line.get("loop") == loop]


def _value(lines: dict[str, list[dict[str, Any]]], column: Column, name: str) -> float | None:
    """The median over the rounds."""
    values: list[float] = []
    for line in lines.get(column.bench, []):
        if line["who"] != f"{name}/default":
            continue
        if any(line.get(key) != wanted for key, wanted in column.where.items()):
            continue
        outer, _, key = column.key.rpartition(".")
        part: dict[str, Any] = line[outer] if outer else line
        if part[key] is not None:
            values.append(part[key])
    return rounded(median(values)) if values else None


def _versions(lines: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    every = [line for some in lines.values() for line in some if "version" in line]
    return {line["adapter"]: line["version"] for line in every}


def _result(
    options: argparse.Namespace, found: dict[str, list[float | None]], versions: dict[str, str]
) -> Result:
    names = list(found)
    rows: list[list[Cell]] = []
    numbers: dict[str, Number] = {}
    for at, column in enumerate(COLUMNS):
        values = [found[name][at] for name in names]
        if any(value is not None for value in values):
            rows.append([f"{column.title}, {column.unit}", *values])
        for name, value in zip(names, values, strict=True):
            numbers[f"{name}: {column.title}"] = Number(value=value, unit=column.unit)
    labels = [f"{name} {versions.get(name, '')}".strip(" -") for name in names]
    return Result(
        name="compare",
        what=WHAT,
        numbers=numbers,
        tables=[
            Table(
                title=f"One core, {options.loop}, median of {options.rounds} rounds",
                columns=["", *labels],
                rows=rows,
            )
        ],
        series={"labels": labels, "names": names, "values": found},
    )


def draw(result: Result, path: Path) -> None:
    """A small chart for each number, the contestants side by side."""
    from benchmarks.pictures import FLOOR, FOURTH, OURS, THIRD, canvas, label_bars, save

    colours = {"floor": FLOOR, "beluga": OURS, "pipecat": THIRD, "livekit": FOURTH}
    names: list[str] = result.series["names"]
    values: dict[str, list[float | None]] = result.series["values"]
    drawn = [at for at in DRAWN if any(values[name][at] is not None for name in names)]
    rows = 1 if len(drawn) <= 3 else 2
    columns = max(1, (len(drawn) + rows - 1) // rows)
    figure, charts = canvas(columns, rows=rows, width=1 + 3.2 * columns, height=0.4 + 2.3 * rows)
    for axes in charts[len(drawn) :]:
        axes.set_axis_off()
    for axes, at in zip(charts, drawn, strict=False):
        column = COLUMNS[at]
        lengths = [values[name][at] or 0.0 for name in names]
        axes.barh(names, lengths, color=[colours.get(name, THIRD) for name in names], height=0.6)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set(xlabel=column.unit)
        axes.set_title(column.title)
        label_bars(axes, margin=0.22)
    save(figure, path, result)
