"""What the guide says of others and of us is what comes of the scenarios now."""

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from beluga_voice.cli.main import main
from beluga_voice.events import AgentResponseResumed
from beluga_voice.testing.scenarios.model import TEN_WORDS
from beluga_voice.testing.scenarios.peers import FAULTS, SAME, TIMES, compared
from beluga_voice.testing.scenarios.reading import find, names, read
from beluga_voice.testing.scenarios.run import play

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "simulate-turns.md"


@pytest.fixture(scope="module")
def comparison():
    return compared()


def section(name):
    """What stands between two marks on the page."""
    found = re.search(rf"<!-- {name} -->\n+(.*?)\n*<!-- end -->", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1].splitlines()


@pytest.mark.parametrize("part", ["times", "faults", "not_better"])
def test_the_page_compares_with_what_comes_now(comparison, part):
    """Every number of ours on it, every yes, and every row in which we are no better."""
    assert section(part.replace("_", " ")) == getattr(comparison, part)


def test_every_row_is_of_a_scenario_and_a_peer():
    """None is compared with nobody, or by a scenario that is not there."""
    assert {one.scenario for one in (*TIMES, *FAULTS)} <= set(names())
    assert all((one.livekit, one.pipecat) != (None, None) for one in TIMES)
    assert all(one.others for one in FAULTS)


def test_a_row_in_which_we_are_no_better_says_so(comparison):
    """Each has a line of its own below the tables, and no other row has."""
    worse = sum(line.count("**-") + line.count("**0**") for line in comparison.times)
    same = sum(f"**{SAME}**" in line for line in comparison.faults)
    assert len(comparison.not_better) == worse + same


def test_where_we_are_no_better_it_is_a_choice(comparison):
    """Each such row names a setting with which we are strictly better, as played now."""
    for line in comparison.not_better:
        less = re.search(r"; with `\w+\(\w+=\d+\)` (-?[\d.]+) ms less", line)
        assert less is not None, line
        assert float(less[1]) > 0, line


def test_what_pausing_sooner_costs():
    """A cough of 280 ms makes an agent pause for half a second that yields after 100 ms of voice.

    Nothing of what it says is lost.
    """
    cough = read(find("a-cough-of-280-ms"))
    sooner = replace(cough, settings={"interruptions": {"normal": {"min_ms": 100}}}, until=8000)
    played = play(sooner, "cascade")
    (resumed,) = [
        one.event for one in played.happenings if isinstance(one.event, AgentResponseResumed)
    ]
    assert resumed.paused_ms == 530
    assert played.heard == played.remembered == TEN_WORDS


def test_the_command_prints_the_comparison(comparison, capsys):
    """`simulate turns --compare` gives both tables, and what is no better."""
    assert main(["simulate", "turns", "--compare"]) == 0
    assert capsys.readouterr().out.splitlines() == comparison.lines
