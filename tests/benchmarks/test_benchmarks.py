"""Every benchmark runs, in a tiny size, and leaves a result that says what it is."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.detection import area
from benchmarks.labelled import Voice, stretches, transcripts, truth_of, turns
from benchmarks.results import Number, Result, Table, as_markdown, as_text, percentile, read
from benchmarks.wires import WIRES, decoding

ROOT = Path(__file__).parents[2]
TINY = {
    "latency": ("--turns", "2", "--loop", "asyncio"),
    "barge_in": ("--trials", "2", "--loop", "asyncio"),
    "density": ("--sessions", "2", "--seconds", "8", "--settle", "0"),
    "memory": ("--sessions", "3"),
    "imports": ("--processes", "1"),
    "wires": ("--rounds", "2", "--messages", "20", "--processes", "1"),
    "detection": ("--sentences", "1", "--turn-model", "none.onnx"),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a benchmark left."""

    done: subprocess.CompletedProcess[str]
    form: dict[str, Any]
    picture: bytes

    def number(self, name: str) -> float:
        """One of its numbers."""
        value: float = self.form["numbers"][name]["value"]
        return value


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """Runs a benchmark in a tiny size, once for all tests that look at it."""

    @cache
    def run(name: str) -> Run:
        folder = tmp_path_factory.mktemp(name)
        done = bench(name, folder, *TINY[name])
        assert done.returncode == 0, done.stderr
        return Run(
            done=done,
            form=json.loads((folder / f"{name}.json").read_text()),
            picture=(folder / f"{name}.png").read_bytes(),
        )

    return run


@pytest.mark.parametrize("name", TINY)
def test_a_benchmark_leaves_a_result_and_a_picture(name: str, tiny: Callable[[str], Run]) -> None:
    """It prints its tables, and its JSON says what was measured where, each number with a unit."""
    run = tiny(name)
    assert run.form["name"] == name
    assert run.form["what"]
    assert run.form["command"].startswith(f"python -m benchmarks {name}")
    assert run.form["date"]
    assert run.form["python"].startswith("3.")
    assert run.form["cpu_count"] >= 1
    assert len(run.form["load_average"]) == 3
    assert run.form["numbers"]
    for number in run.form["numbers"].values():
        assert set(number) == {"value", "unit"}
        assert number["unit"]
    assert all(table["title"] in run.done.stdout for table in run.form["tables"])
    assert run.picture.startswith(b"\x89PNG")


def test_the_session_and_the_floor_are_both_measured(tiny: Callable[[str], Run]) -> None:
    """Each turn of ours has one of the floor beside it, and both take more than no time."""
    series = tiny("latency").form["series"]
    assert len(series["beluga_ms"]) == len(series["floor_ms"]) == 2
    assert min(*series["beluga_ms"], *series["floor_ms"]) > 0


def test_no_sound_follows_the_order_to_be_silent(tiny: Callable[[str], Run]) -> None:
    """A line that was told to be silent is handed no more of the answer."""
    assert tiny("barge_in").number("at_once_late") == 0
    assert tiny("barge_in").number("as_shipped_late") == 0


def test_calls_over_websockets_are_answered(tiny: Callable[[str], Run]) -> None:
    """The callers speak, the detector hears where they stop, and no call is lost or cut short."""
    (stretch,) = tiny("density").form["series"]["stretches"]
    assert stretch["calls"] == 2
    assert stretch["client"]["answers"] >= 2
    assert stretch["client"]["messages"] > 100
    assert stretch["client"]["lost"] == 0
    assert stretch["client"]["clears"] == 0


def test_a_session_holds_one_task(tiny: Callable[[str], Run]) -> None:
    """A session that listens owns the one task that holds its service open."""
    assert tiny("memory").number("idle_tasks") == 1
    assert tiny("memory").number("active_tasks") >= 1


def test_importing_the_package_loads_nothing_heavy(tiny: Callable[[str], Run]) -> None:
    """Neither numpy nor pydantic nor opentelemetry is loaded by `import beluga_voice`."""
    assert tiny("imports").number("unwanted") == 0


def test_detectors_are_compared_on_the_same_sound(tiny: Callable[[str], Run]) -> None:
    """In a quiet room all find speech, in noise only some; what lets everything pass is chance."""
    run = tiny("detection")
    for name in ("energy", "silero", "webrtc"):
        assert run.number(f"{name}, quiet room: AUC") > 0.9
        assert run.number(f"{name}, quiet room: missed") == 0
        assert run.number(f"vad {name}: CPU") > 0
    assert run.number("silero, pink, 0 dB: AUC") > run.number("webrtc, pink, 0 dB: AUC")
    assert run.number("silence, with marks: AUC of turns") == 0.5
    assert run.number("words, with marks: AUC of turns") > 0.9
    assert any("turns smart_turn is left out" in note for note in run.form["notes"])


def test_labels_come_from_the_voice_alone() -> None:
    """Speech is where the voice is, its short gaps included, and a cut turn is shorter."""
    tone = np.sin(np.arange(8000) / 5) * 3000
    rest = np.zeros(8000)
    sentence = np.concatenate([rest, tone, rest[:1600], tone, rest])
    assert stretches(truth_of(sentence)) == [(50, 160)]
    whole, cut = turns(Voice(name="a voice", sentences=[sentence], texts=["one two three four"]))
    assert (whole.is_complete, whole.text) == (True, "one two three four")
    assert (cut.is_complete, cut.text) == (False, "one two")
    assert len(whole.sound) == 16000 * 130 // 100
    assert len(cut.sound) == 16000 * 70 // 100


def test_sentences_are_cut_by_a_rule_and_spelled_in_two_ways() -> None:
    """Of each sentence there is the whole and its first half, with marks and without."""
    first = [*transcripts()][:4]
    assert [(one.spelling, one.is_complete, one.text) for one in first] == [
        ("with marks", True, "I would like a table for two near the garden."),
        ("without marks", True, "i would like a table for two near the garden"),
        ("with marks", False, "I would like a table"),
        ("without marks", False, "i would like a table"),
    ]


@pytest.mark.parametrize(
    ("higher", "lower", "expected"),
    [([2.0, 3.0], [0.0, 1.0], 1.0), ([1.0], [1.0], 0.5), ([0.0], [1.0], 0.0)],
)
def test_area_counts_what_is_in_order(
    higher: list[float], lower: list[float], expected: float
) -> None:
    """All in order is 1, all alike a half, all the wrong way round 0."""
    assert area(np.array(higher), np.array(lower)) == expected


def test_a_codec_that_makes_nothing_of_its_sound_is_not_measured() -> None:
    """What is timed is checked first: a message without the sound is no piece of a response."""
    silent = replace(WIRES["gemini_live"], sound=lambda encoded: "{}")
    with pytest.raises(RuntimeError, match="made of its sound"):
        decoding(silent)


def test_a_comparison_reads_what_the_harness_measured(tmp_path: Path) -> None:
    """Our adapter is copied into the harness, and each contestant that is there has a column."""
    harness = tmp_path / "harness"
    (harness / "common").mkdir(parents=True)
    (harness / "common" / "drive.py").write_text(DRIVE)
    done = bench("compare", tmp_path, "--harness", str(harness), "--bench", "b3", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    ours = (ROOT / "benchmarks" / "harness" / "adapter.py").read_text()
    assert (harness / "beluga" / "adapter.py").read_text() == ours
    form = json.loads((tmp_path / "compare.json").read_text())
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
