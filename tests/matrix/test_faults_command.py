"""`beluga-voice simulate faults`: what it prints, writes and returns; and its page."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from beluga_voice.cli.main import main
from beluga_voice.testing.matrix import report, stages
from beluga_voice.testing.matrix.measure import BOUND_MS, usual_ms
from beluga_voice.testing.matrix.peers import comparison
from matrix.broken_wrappers import SpeaksTwice

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "simulate-faults.md"
FEW = ("--only", "delay/*/tts+", "--jobs", "1")


def simulated(capsys, *arguments):
    """The status of the command, and the lines it printed."""
    status = main(["simulate", "faults", *map(str, arguments)])
    return status, capsys.readouterr().out.splitlines()


def test_a_part_of_the_matrix_is_a_table_and_a_line(capsys):
    """A row for each fault and phase, and the last line counts."""
    status, lines = simulated(capsys, *FEW)
    assert status == 0
    header = lines[1].split()
    assert header[:2] == ["fault", "phase"]
    row = next(line.split() for line in lines if line.startswith("delay  awaited"))
    assert row[2] == "0.30"
    assert lines[-1] == (
        "6 calls: 0 silent beyond 10 s, 0 with words lost, 0 with words repeated, 0 left behind"
    )


def test_a_single_call_is_told_event_by_event(capsys):
    """Its trace, what was heard when, and what was measured."""
    status, lines = simulated(capsys, "--only", "reset/hearing/stt+", "--seed", 2)
    assert status == 0
    assert any("error_occurred" in line for line in lines)
    assert "recovered after 0.00 s, longest silence 0.68 s" in lines
    assert lines[-1].startswith("1 calls: 0 silent")


def test_a_broken_bound_is_the_exit_status(capsys, monkeypatch):
    """The call is named as it can be played again, with what is wrong."""
    usual_ms("tts+", "answered")
    usual_ms("tts+", "interrupted")
    monkeypatch.setattr(stages, "Fallback", SpeaksTwice)
    status, lines = simulated(capsys, *FEW)
    assert status == 1
    assert any(line.startswith("delay/open/tts+ --seed 0: heard more than") for line in lines)
    assert ", 6 with words repeated, " in lines[-1]


def test_everything_is_there_as_json_and_as_a_picture(capsys, tmp_path):
    """A recovery for every call, and a box for every cell."""
    plot, data = tmp_path / "faults.svg", tmp_path / "faults.json"
    status, _ = simulated(capsys, *FEW, "--plot", plot, "--json", data)
    assert status == 0
    calls = json.loads(data.read_text())["calls"]
    assert {one["phase"] for one in calls if one["recovery_ms"] == 300} >= {"open", "awaited"}
    titles = [one.text for one in ET.parse(plot).iter() if one.tag.endswith("title")]
    assert "delay/open/tts+: 0.30 s" in titles
    status, lines = simulated(capsys, *FEW, "--json", "-")
    assert json.loads("\n".join(lines))["bound_ms"] == BOUND_MS


def test_a_long_run_ends_with_what_it_held(capsys):
    """So many calls, and the memory of the process."""
    status, lines = simulated(capsys, *FEW, "--calls", 40)
    assert status == 0
    assert lines[-2].startswith("40 calls: ")
    assert re.fullmatch(r"process 1: 40 calls, \d+ MiB after 40, \d+ MiB at the end; .*", lines[-1])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--only", "cough/awaited/tts"), "FAULT/PHASE/STAGE"),
        (("--seeds", "0"), "--seeds is at least 1"),
        (("--calls", "0"), "--calls is at least 1"),
        (("--seed", "-1"), "--seed is 0 or more"),
        ((*FEW, "--plot", "/nowhere/faults.svg"), "cannot write /nowhere/faults.svg"),
    ],
)
def test_what_makes_no_sense_is_said(capsys, arguments, problem):
    """With what to do, and the status of a wrong command line."""
    assert main(["simulate", "faults", *arguments]) == 2
    assert problem in capsys.readouterr().err


def section(name):
    """What stands between two marks on the page."""
    found = re.search(rf"<!-- {name} -->\n+(.*?)\n*<!-- end -->", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1].splitlines()


def test_the_page_compares_with_what_is_measured_now():
    """Every number of ours on it is what the command gives."""
    assert section("comparison") == comparison()


def test_the_page_lists_what_is_known():
    """What cannot be kept, and what is not kept yet, is what the code says."""
    assert section("known") == report.listed()


def test_the_page_names_every_stage_and_the_bound():
    """And none that there is not."""
    text = PAGE.read_text()
    for name in stages.STAGES:
        assert f"`{name.removesuffix('+')}`" in text
    assert f"The bound is {BOUND_MS / 1000:g} s" in text
