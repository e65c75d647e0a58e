"""Turns the results so far into Markdown."""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results import Result, as_markdown, read

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def report(folder: Path, page: Path | None, names: Sequence[str]) -> int:
    """Print it, or put it between the marks of a page; gives the exit status."""
    paths = [folder / f"{name}.json" for name in names]
    results = [read(path) for path in paths if path.exists()]
    if not results:
        print(f"there are no results in {folder}: run a benchmark first", file=sys.stderr)
        return 1
    text = "\n\n".join(map(_section, results))
    if page is None:
        print(text)
        return 0
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        print(f"{page} has no lines {BEGIN} and {END}", file=sys.stderr)
        return 1
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
    return 0


def _section(result: Result) -> str:
    load = ", ".join(f"{load:g}" for load in result.load_average)
    where = (
        f"`{result.command}`, {result.date[:10]}, Python {result.python}, "
        f"{result.cpu_count} × {result.cpu}, load average {load} at the end."
    )
    parts = [f"### {result.name}", f"{result.what.capitalize()}.", *map(as_markdown, result.tables)]
    return "\n\n".join([*parts, *result.notes, where])
