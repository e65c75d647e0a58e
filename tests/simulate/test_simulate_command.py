"""`beluga-voice simulate turns`: what it prints, writes and returns."""

import json
import xml.etree.ElementTree as ET

import pytest

from beluga_voice.cli.main import main

MINE = """\
title: A turn
group: turns
shows: >
  The caller is answered.
stages: [cascade]
script:
  - {at: 1000, says: hello there}
until: 5000
"""


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    return path


def simulated(capsys, *arguments):
    """The status of the command, and the lines it printed."""
    status = main(["simulate", "turns", *map(str, arguments)])
    return status, capsys.readouterr().out.splitlines()


def test_a_scenario_of_the_library_is_as_expected(capsys):
    """The table has a line for each stage, and the last line is the summary."""
    status, lines = simulated(capsys, "a-turn")
    assert status == 0
    assert [line.split()[2:4] for line in lines[1:3]] == [["cascade", "680"], ["service", "580"]]
    assert lines[-1] == "1 scenario: 1 as expected, 0 broken"


def test_two_scenarios_are_told_in_one_table(capsys):
    """Names are played in the order given, and told by their groups."""
    status, lines = simulated(capsys, "one-word", "barge-in")
    assert status == 0
    assert lines[1].startswith("interruptions")
    assert lines[-1] == "2 scenarios: 2 as expected, 0 broken"


def test_a_scenario_that_comes_otherwise_is_broken(capsys, mine):
    """The status is 1, and the lines that differ are shown."""
    mine.write_text(MINE + "expected:\n  cascade: |2\n          0  state idle\n")
    status, lines = simulated(capsys, mine)
    assert status == 1
    assert "+   2080  # the agent sounds" in lines
    assert lines[-1] == "1 scenario: 0 as expected, 1 broken"


def test_a_broken_bound_is_broken(capsys, mine):
    """A scenario whose trace is as expected may still be too slow."""
    simulated(capsys, mine, "--update")
    head, _, expected = mine.read_text().partition("expected:")
    mine.write_text(f"{head}bounds: {{response_ms: 600}}\nexpected:{expected}")
    status, lines = simulated(capsys, mine)
    assert status == 1
    assert "mine, cascade: response_ms is 680, and should be 600 at most" in lines


def test_update_writes_what_comes(capsys, mine):
    """What changes is shown; afterwards all is as expected, and nothing changes any more."""
    status, lines = simulated(capsys, mine, "--update")
    assert status == 0
    assert "+   2080  # the agent sounds" in lines
    before = mine.read_text()
    status, lines = simulated(capsys, mine, "--update")
    assert (status, mine.read_text()) == (0, before)
    assert not any(line.startswith("+") for line in lines)


def test_update_does_not_mend_a_bound(capsys, mine):
    """A bound is a promise, and is not written anew."""
    mine.write_text(MINE + "bounds: {response_ms: 600}\n")
    status, _ = simulated(capsys, mine, "--update")
    assert status == 1


def test_json_holds_everything(capsys):
    """Traces, values and measures, for each stage."""
    status, lines = simulated(capsys, "barge-in", "--json")
    told = json.loads("\n".join(lines))
    assert status == 0
    (scenario,) = told["scenarios"]
    assert scenario["stages"]["cascade"]["yield_ms"] == [300]
    assert scenario["stages"]["service"]["yield_ms"] == [60]
    assert told["measures"]["cascade"]["yield_median_ms"] == 300
    assert (told["count"], told["as_expected"], told["problems"]) == (1, 1, [])


def test_a_picture_is_drawn(capsys, tmp_path):
    """It is well-formed SVG with a row for each stage, and hatches what was not heard."""
    path = tmp_path / "turns.svg"
    status, _ = simulated(capsys, "barge-in", "a-tool", "hang-up-in-mid-answer", "--plot", path)
    assert status == 0
    text = path.read_text()
    texts = [one.text for one in ET.fromstring(text).iter() if one.tag.endswith("text")]
    assert texts.count("barge-in") == 2
    assert "cascade, 7 s" in texts
    assert 'fill="url(#unheard)"' in text


def test_a_picture_that_cannot_be_written_is_said(capsys, tmp_path):
    """The status is that of a wrong request."""
    assert main(["simulate", "turns", "a-turn", "--plot", str(tmp_path)]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_a_name_that_is_none_is_said(capsys):
    """The message lists what is like it."""
    assert main(["simulate", "turns", "barge-in-during"]) == 2
    assert "barge-in-during-a-tool" in capsys.readouterr().err


def test_nothing_is_simulated_without_saying_what(capsys):
    """`simulate` alone is a wrong request."""
    with pytest.raises(SystemExit) as exit_info:
        main(["simulate"])
    assert exit_info.value.code == 2
    assert "KIND" in capsys.readouterr().err
