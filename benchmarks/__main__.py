"""Runs one benchmark: prints its table, and writes its JSON and its picture."""

import argparse
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from benchmarks.results import FOLDER, Result, as_text

NAMES = (
    *("latency", "barge_in", "density", "memory", "imports", "wires", "detection"),
    "compare",
)
OWN_COMMANDS = ("recognition",)
"""Benchmarks that read their own options and write their own result."""


class Benchmark(Protocol):
    """What a benchmark's module has."""

    WHAT: str
    add_options: Callable[[argparse.ArgumentParser], None]
    measure: Callable[[argparse.Namespace], Result]
    draw: Callable[[Result, Path], None]
    """Imports `benchmarks.pictures` itself, because matplotlib takes time and memory to load."""


def main() -> int:
    """Do what was asked; gives the exit status."""
    if len(sys.argv) > 1 and sys.argv[1] in OWN_COMMANDS:
        import_module(f"benchmarks.{sys.argv[1]}").main(sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="What beluga-voice costs, measured here and now.",
        epilog=f"and, with options of its own: {', '.join(OWN_COMMANDS)}",
    )
    folder = argparse.ArgumentParser(add_help=False)
    folder.add_argument(
        "--results", type=Path, default=FOLDER, metavar="FOLDER", help="where the files go"
    )
    commands = parser.add_subparsers(dest="name", metavar="NAME")
    for name in NAMES:
        benchmark = _load(name)
        benchmark.add_options(
            commands.add_parser(
                name, parents=[folder], help=benchmark.WHAT, description=benchmark.WHAT
            )
        )
    report = commands.add_parser(
        "report", parents=[folder], help="the results so far as Markdown, for a page"
    )
    report.add_argument(
        "--into", type=Path, metavar="PAGE", help="put it between the marks of this page"
    )
    options = parser.parse_args()
    if options.name is None:
        parser.print_help()
        return 2
    if options.name == "report":
        from benchmarks.report import report as write_report

        return write_report(options.results, options.into, NAMES)
    result = _load(options.name).measure(options)
    for table in result.tables:
        print(as_text(table), end="\n\n")
    for note in result.notes:
        print(note)
    path = result.write(options.results)
    picture = path.with_suffix(".png")
    _load(options.name).draw(result, picture)
    print(f"written: {path} {picture}", file=sys.stderr)
    return 0


def _load(name: str) -> Benchmark:
    return cast(Benchmark, import_module(f"benchmarks.{name}"))  # a cast: loaded by name


if __name__ == "__main__":
    sys.exit(main())
