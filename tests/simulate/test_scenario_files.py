"""Files with scenarios: what is wrong in one is said with its file, line and key."""

import re
from pathlib import Path

import pytest

from beluga_voice.errors import ConfigurationError
from beluga_voice.testing.scenarios.judge import judge
from beluga_voice.testing.scenarios.reading import find, read, write_expected

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "simulate-turns.md"
NOTHING_YET = " it expects nothing yet: write its trace with --update, and read it"
GOOD = """\
title: A turn
group: turns
shows: >
  The caller is answered.
settings: {turns: {end_silence_ms: 500}}
script:
  - {at: 1000, says: hello there}
  - {at: 3000, types: goodbye}
until: 5000
"""


def written(folder, text):
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_a_file_is_read(tmp_path):
    """Steps, settings and prose are as written."""
    scenario = read(written(tmp_path, GOOD))
    assert [step.deed for step in scenario.script] == ["says", "types"]
    assert scenario.settings == {"turns": {"end_silence_ms": 500}}
    assert scenario.stages == ("cascade", "service")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("at: 1000", "at: soon", r"mine.yaml:7: script\[0\].at: expected `int`, got `str`"),
        ("says: hello there", "sings: la", r"mine.yaml:7: .*unknown field `sings`"),
        ("types: goodbye", "types: a, hangs_up: true", r"mine.yaml:8: .*one thing, and this does"),
        ("{at: 3000, types: goodbye}", "{at: 3000}", r"mine.yaml:8: .*this does nothing"),
        ("at: 1000", "at: 1010", r"mine.yaml:7: .*a multiple of 20 ms"),
        ("at: 1000", "at: -20", r"mine.yaml:7: .*at 0 or later"),
        ("at: 3000", "at: 500", r"mine.yaml:1: .*in the order of their times"),
        ("types: goodbye", "types: a, takes_floor: true", r"mine.yaml:8: .*only a sound"),
        ("types: goodbye", "types: a, occasion: notice", r"mine.yaml:8: .*has an occasion"),
        ("until: 5000", "until: 100", r"mine.yaml:1: .*before the last step"),
        ("until: 5000", "", r"mine.yaml:1: .*missing required field `until`"),
        (
            "end_silence_ms: 500",
            "end_silence: 500",
            r"mine.yaml:5: settings.turns.end_silence: no such setting; there are adapts",
        ),
        (
            "end_silence_ms: 500",
            "end_silence_ms: no",
            r"mine.yaml:5: settings.turns.end_silence_ms: expected `float`",
        ),
        ("{turns: {end", "{turns: [{end", r"mine.yaml:\d+: this is not YAML"),
        ("until: 5000", "until: 5000\nstages: []", r"mine.yaml:1: .*played on cascade, service"),
        ("until: 5000", "until: 5000\nagent: [[]]", r"mine.yaml:1: .*a list of answers"),
        ("until: 5000", "until: 5000\nagent: [[{fails: false}]]", r"mine.yaml:10: agent.*or fails"),
        ("types: goodbye", "stt_tells: {}", r"mine.yaml:8: .*a hint is one of"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, old, new, problem):
    """The message has the file, the line, the key, and what to do."""
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ConfigurationError, match=problem):
        read(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    """A path that leads nowhere and a name that is none are both refused."""
    with pytest.raises(ConfigurationError, match="there is no scenario"):
        find(str(tmp_path / "gone.yaml"))
    with pytest.raises(ConfigurationError, match="barge-in-twice"):
        find("barge-")
    with pytest.raises(ConfigurationError, match="cannot read"):
        read(tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    """A file in another encoding than UTF-8 is named."""
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"title: \xff")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read(path)


def test_what_is_expected_is_written_and_the_rest_stays(tmp_path):
    """Comments and prose survive, and what was written is read back line by line."""
    path = written(tmp_path, "# a comment\n" + GOOD)
    lines = ["      0  state idle", "         heard: 'a: b'"]
    write_expected(path, {"cascade": lines})
    write_expected(path, {"cascade": lines})
    assert path.read_text().startswith("# a comment\n" + GOOD)
    assert read(path).expected["cascade"].rstrip("\n").split("\n") == lines


def test_a_file_with_more_behind_what_is_expected_is_not_touched(tmp_path):
    """Only where it is the last key can what is expected be written anew."""
    path = written(tmp_path, GOOD + "expected: {}\nlead_ms: 20\n")
    before = path.read_text()
    with pytest.raises(ConfigurationError, match="the last key"):
        write_expected(path, {"cascade": []})
    assert path.read_text() == before


def test_a_play_that_comes_to_no_end_is_a_problem(tmp_path):
    """An exception within a play is told, and the others are played."""
    path = written(tmp_path, GOOD.replace("types: goodbye", "app_unsays: true"))
    problems = judge(path).problems
    assert len(problems) == 2
    assert all("it came to no end: AssertionError" in problem for problem in problems)


def test_the_example_in_the_guide_is_one(tmp_path):
    """It is played as it stands, keeps its bounds, and lacks only what is expected."""
    (example,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    judged = judge(written(tmp_path, example))
    assert [problem.partition(":")[2] for problem in judged.problems] == [NOTHING_YET] * 2
    write_expected(judged.path, {stage: one.lines for stage, one in judged.played.items()})
    assert judge(judged.path).problems == []
