"""Every benchmark runs, in a tiny size, and leaves a result that says what it is."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.results import Number, Result, Table, as_markdown, as_text, percentile, read

ROOT = Path(__file__).parents[2]
TINY = {
    "latency": ("--turns", "2", "--loop", "asyncio"),
    "barge_in": ("--trials", "2", "--loop", "asyncio"),
    "density": ("--sessions", "2", "--seconds", "0.5", "--settle", "6"),
    "memory": ("--sessions", "3"),
    "imports": ("--processes", "1"),
}
DRIVE = """
import json, os, pathlib, sys
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
results = pathlib.Path(__file__).parent.parent / "results"
results.mkdir(exist_ok=True)
for at, who in enumerate(options["--only"].split(",")):
    assert os.environ[f"PY_{who.partition('/')[0].upper()}"]
    line = {"who": who, "adapter": who.partition("/")[0], "version": "1", "loop": options["--loop"],
            "told_to_stop_ms": {"p50": 0.5 + at, "p99": 2.0}}
    with open(results / f"{options['--bench']}.jsonl", "a") as file:
        file.write(json.dumps(line) + "\\n")
"""
"""Stands in for a harness's driver: notes one line for each contestant."""


def bench(name: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a benchmark as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", name, "--results", str(folder), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def result_of(name: str, folder: Path) -> dict[str, Any]:
    """The JSON that it wrote."""
    form: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return form


@pytest.mark.parametrize("name", TINY)
def test_a_benchmark_leaves_a_result_and_a_picture(name: str, tmp_path: Path) -> None:
    """It prints its tables, and its JSON says what was measured where, each number with a unit."""
    done = bench(name, tmp_path, *TINY[name])
    assert done.returncode == 0, done.stderr
    form = result_of(name, tmp_path)
    assert form["name"] == name
    assert form["what"]
    assert form["command"].startswith(f"python -m benchmarks {name}")
    assert form["date"]
    assert form["python"].startswith("3.")
    assert form["cpu_count"] >= 1
    assert len(form["load_average"]) == 3
    assert form["numbers"]
    for number in form["numbers"].values():
        assert set(number) == {"value", "unit"}
        assert number["unit"]
    assert all(table["title"] in done.stdout for table in form["tables"])
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_session_adds_time_that_the_floor_does_not(tmp_path: Path) -> None:
    """Both are measured in each turn, and ours is more than nothing."""
    assert bench("latency", tmp_path, *TINY["latency"]).returncode == 0
    series = result_of("latency", tmp_path)["series"]
    assert len(series["beluga_ms"]) == len(series["floor_ms"]) == 2
    assert min(series["beluga_ms"]) > 0
    assert min(series["floor_ms"]) > 0


def test_no_sound_follows_the_order_to_be_silent(tmp_path: Path) -> None:
    """A line that was told to be silent is handed no more of the answer."""
    assert bench("barge_in", tmp_path, *TINY["barge_in"]).returncode == 0
    numbers = result_of("barge_in", tmp_path)["numbers"]
    assert numbers["at_once_late"]["value"] == 0
    assert numbers["as_shipped_late"]["value"] == 0


def test_calls_over_websockets_are_answered(tmp_path: Path) -> None:
    """The callers speak, the detector hears where they stop, and no call is lost or cut short."""
    done = bench("density", tmp_path, "--sessions", "2", "--seconds", "9", "--settle", "0")
    assert done.returncode == 0, done.stderr
    (stretch,) = result_of("density", tmp_path)["series"]["stretches"]
    assert stretch["calls"] == 2
    assert stretch["client"]["answers"] >= 2
    assert stretch["client"]["messages"] > 100
    assert stretch["client"]["lost"] == 0
    assert stretch["client"]["clears"] == 0


def test_a_session_holds_one_task(tmp_path: Path) -> None:
    """What is counted is tasks for each session, idle and active."""
    assert bench("memory", tmp_path, *TINY["memory"]).returncode == 0
    numbers = result_of("memory", tmp_path)["numbers"]
    assert numbers["idle_tasks"]["value"] == 1
    assert numbers["active_tasks"]["value"] >= 1


def test_importing_the_package_loads_nothing_heavy(tmp_path: Path) -> None:
    """Neither numpy nor pydantic nor opentelemetry is loaded by `import beluga_voice`."""
    assert bench("imports", tmp_path, *TINY["imports"]).returncode == 0
    assert result_of("imports", tmp_path)["numbers"]["unwanted"]["value"] == 0


def test_a_comparison_reads_what_the_harness_measured(tmp_path: Path) -> None:
    """Our adapter is copied into the harness, and each contestant that is there has a column."""
    harness = tmp_path / "harness"
    (harness / "common").mkdir(parents=True)
    (harness / "common" / "drive.py").write_text(DRIVE)
    done = bench(
        "compare", tmp_path, "--harness", str(harness), "--bench", "b3", "--rounds", "1"
    )
    assert done.returncode == 0, done.stderr
    ours = (ROOT / "benchmarks" / "harness" / "adapter.py").read_text()
    assert (harness / "beluga" / "adapter.py").read_text() == ours
    form = result_of("compare", tmp_path)
    assert form["series"]["names"] == ["floor", "beluga"]
    assert form["numbers"]["floor: barge-in, p50"] == {"value": 0.5, "unit": "ms"}
    assert form["numbers"]["beluga: barge-in, p50"] == {"value": 1.5, "unit": "ms"}
    assert "pipecat is left out" in done.stderr


def test_a_comparison_without_a_harness_is_refused(tmp_path: Path) -> None:
    """It says what is to be given."""
    done = bench("compare", tmp_path, "--harness", str(tmp_path))
    assert done.returncode == 1
    assert "common/drive.py" in done.stderr


def result() -> Result:
    """A result by hand."""
    table = Table(title="Things", columns=["", "ms"], rows=[["a", 1.2345], ["b", None]])
    return Result(
        name="latency", what="a thing", numbers={"a": Number(value=1.5, unit="ms")}, tables=[table]
    )


def test_a_result_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """Reading gives what was written."""
    written = result()
    assert read(written.write(tmp_path)) == written


def test_tables_show_what_is_missing() -> None:
    """A number is rounded, and one that is not there is a dash, in text and in Markdown."""
    (table,) = result().tables
    assert as_text(table).splitlines() == ["Things", "     ms", "-  ----", "a  1.23", "b     –"]
    assert as_markdown(table).splitlines()[2:] == [
        "|  | ms |",
        "| --- | ---: |",
        "| a | 1.23 |",
        "| b | – |",
    ]


def test_the_report_goes_between_the_marks_of_a_page(tmp_path: Path) -> None:
    """What stood there is replaced, and the rest of the page is kept."""
    result().write(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- results: begin -->\nold\n<!-- results: end -->\nafter\n")
    done = bench("report", tmp_path, "--into", str(page))
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "| a | 1.23 |" in text
    assert "old" not in text


def test_a_report_of_nothing_is_refused(tmp_path: Path) -> None:
    """Without a result there is nothing to print."""
    done = bench("report", tmp_path)
    assert done.returncode == 1
    assert "run a benchmark first" in done.stderr


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([], 50, None), ([3.0], 99, 3.0), ([1.0, 2.0, 3.0, 4.0], 50, 3.0), (range(100), 99, 99)],
)
def test_percentiles(values: list[float], percent: float, expected: float | None) -> None:
    """The value below which so many percent of the others are."""
    assert percentile(values, percent) == expected
