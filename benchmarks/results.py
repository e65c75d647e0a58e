"""A benchmark's result: what was measured where, as JSON, as a table and as a picture."""

import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"

type Cell = str | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A measured number and its unit."""

    value: float | None
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Numbers for people; the units are in the heads of the columns."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one benchmark found.

    `numbers` are for programs, `tables` for people, `series` for the picture. What describes the
    run is taken when the result is made.
    """

    name: str
    what: str
    numbers: dict[str, Number]
    tables: list[Table]
    series: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: list[str] = field(default_factory=list[str])
    command: str = field(
        default_factory=lambda: shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    )
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    python: str = field(default_factory=platform.python_version)
    machine: str = field(default_factory=lambda: f"{platform.system()} {platform.machine()}")
    cpu: str = field(default_factory=lambda: _cpu_model())
    cpu_count: int = field(default_factory=lambda: os.cpu_count() or 1)
    load_average: list[float] = field(
        default_factory=lambda: [round(n, 2) for n in os.getloadavg()]
    )

    def write(self, folder: Path) -> Path:
        """Put the JSON into a folder, which is made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")
        return path


def read(path: Path) -> Result:
    """What `Result.write` wrote."""
    form = json.loads(path.read_text())
    form["numbers"] = {name: Number(**number) for name, number in form["numbers"].items()}
    form["tables"] = [Table(**table) for table in form["tables"]]
    return Result(**form)


def percentile(values: Iterable[float], percent: float) -> float | None:
    """The value below which `percent` of the others are; `None` of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def rounded(value: float | None, digits: int = 3) -> float | None:
    """A number as it is written down."""
    return None if value is None else round(value, digits)


def as_text(table: Table) -> str:
    """A table for a terminal."""
    rows = [list(table.columns), *([_cell(cell) for cell in row] for row in table.rows)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(table.columns))]
    lines = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([table.title, *lines])


def as_markdown(table: Table) -> str:
    """A table for a page."""
    marks = ["---", *["---:"] * (len(table.columns) - 1)]
    rows = [table.columns, marks, *([_cell(cell) for cell in row] for row in table.rows)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"**{table.title}**", "", *lines])


def _cell(cell: Cell) -> str:
    match cell:
        case None:
            return "–"
        case str():
            return cell
        case _ if cell == int(cell) and abs(cell) >= 10:
            return f"{int(cell):,}"
        case _:
            return f"{cell:.3g}" if abs(cell) < 100 else f"{cell:,.0f}"


def _cpu_model() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        "unknown",
    )
