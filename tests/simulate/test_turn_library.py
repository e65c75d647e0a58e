"""Every scenario of the library comes as it should, and one that does not is found."""

import re
from pathlib import Path

import msgspec
import pytest

from beluga_voice.testing.scenarios.judge import broken_together, judge, measured_together
from beluga_voice.testing.scenarios.model import STAGES
from beluga_voice.testing.scenarios.reading import LIBRARY, find, names, read
from beluga_voice.testing.scenarios.report import measures
from beluga_voice.testing.scenarios.run import play

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "simulate-turns.md"

FEWEST = 60


@pytest.mark.parametrize("name", names())
def test_a_scenario_comes_as_it_should(name):
    """Every line of its trace is as written, on each stage, and no bound is broken."""
    assert judge(find(name)).problems == []


@pytest.fixture(scope="module")
def library():
    return [judge(find(name)) for name in names()]


def test_the_library_as_a_whole_keeps_its_bounds(library):
    """Latencies, interruptions, cut-offs and selectivity over all scenarios are within bounds."""
    assert broken_together(measured_together(library)) == []
    assert len(library) >= FEWEST


@pytest.mark.parametrize("name", names())
def test_a_scenario_is_one_a_reader_can_use(name):
    """It says what it shows, in sentences, and its file is named in small words."""
    scenario = read(find(name))
    assert scenario.title[0].isupper()
    assert scenario.shows.strip().endswith(".")
    assert name == name.lower()
    assert " " not in name


def test_titles_tell_scenarios_apart():
    """No two scenarios have the same title."""
    titles = [read(path).title for path in LIBRARY.glob("*.yaml")]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("stage", STAGES)
def test_a_scenario_played_twice_gives_the_same_lines(stage):
    """Time is simulated, and nothing is left to chance."""
    scenario = read(find("barge-in"))
    assert play(scenario, stage).lines == play(scenario, stage).lines


def test_another_behaviour_is_found():
    """A session that lets nobody interrupt is not the one whose trace is written down."""
    scenario = read(find("barge-in"))
    other = {"interruptions": {"normal": {"is_allowed": False}}}
    changed = type(scenario)(
        **{name: getattr(scenario, name) for name in scenario.__struct_fields__}
        | {"settings": other}
    )
    lines = play(changed, "cascade").lines
    assert lines != scenario.expected["cascade"].rstrip("\n").split("\n")
    assert not any("barged_in" in line for line in lines)


def block(name):
    """The text of a page between its marks."""
    return re.search(rf"<!-- {name} -->\n\n```text\n(.*?)\n```", PAGE.read_text(), re.DOTALL)[1]


def test_the_page_tells_what_is_measured(library):
    """The measures and the trace in the guide are those of the library."""
    assert block("measures").split("\n") == measures(library)
    expected = read(find("a-laugh")).expected["cascade"].rstrip("\n")
    assert block("trace: a-laugh") == expected


def test_a_measure_of_the_library_that_gets_worse_is_found(library):
    """A library in which more is missed than is allowed is told of, with value and bound."""
    figures = msgspec.structs.replace(
        measured_together(library), missed_interruption_rate=0.5, noise_selectivity=0.1
    )
    assert [problem.split(",")[0] for problem in broken_together(figures)] == [
        "missed_interruption_rate is 0.5",
        "noise_selectivity is 0.1",
    ]
