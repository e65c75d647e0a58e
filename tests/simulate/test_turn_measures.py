"""The measures of turn taking, each on a conversation where its value is known."""

import msgspec
import pytest

from beluga_voice.testing.scenarios.measure import broken_bounds, figures, measure, together
from beluga_voice.testing.scenarios.model import Bounds, Scenario
from beluga_voice.testing.scenarios.run import play

NEVER = {"interruptions": {"normal": {"is_allowed": False}}}
AT_ONCE = {"interruptions": {"normal": {"resumes": False}}}


def measured(*script, until=8000, stage="cascade", **more):
    """What is measured of a conversation that begins with a turn at 1000 ms."""
    steps = [{"at": 1000, "says": "hello there"}, *script]
    told = {"title": "A", "group": "a", "shows": "A.", "script": steps, "until": until, **more}
    return measure(play(msgspec.convert(told, Scenario), stage))


def test_a_response_is_measured_from_the_end_of_the_voice():
    """From 1400 ms to 2080 ms on the cascade, and sooner where the service waits for less."""
    assert measured().responses_ms == [680]
    assert measured(stage="service").responses_ms == [580]


def test_a_yield_is_measured_from_the_beginning_of_the_voice():
    """An interruption silences the line after 300 ms; a service that hears for itself after 60."""
    step = {"at": 2800, "says": "please stop it"}
    assert measured(step).yields_ms == [300]
    assert measured(step, stage="service").yields_ms == [60]


def test_an_interruption_that_is_not_heeded_is_missed():
    """The agent speaks on for more than a second over somebody who means to interrupt."""
    found = measured({"at": 2500, "says": "please stop it"}, settings=NEVER)
    assert (found.interruptions, found.missed, found.yields_ms) == (1, 1, [])


def test_words_in_the_last_moments_are_neither_heeded_nor_missed():
    """An answer that ends by itself within a second leaves nothing to interrupt."""
    found = measured({"at": 4000, "says": "please stop it"}, settings=NEVER)
    assert (found.interruptions, found.missed) == (0, 0)


@pytest.mark.parametrize(
    ("sound", "kind"),
    [({"noise": 600}, "noise"), ({"backchannel": "mhm mhm mhm"}, "backchannel")],
)
def test_what_is_not_meant_and_makes_the_agent_pause_counts_as_a_pause(sound, kind):
    """The agent goes on, and was silent from 300 ms after the sound began until its words came."""
    found = measured({"at": 2500, **sound})
    assert (found.paused_by[kind], found.stopped_by[kind]) == (1, 0)
    assert found.pauses_ms == [650]
    assert found.selectivity(kind) == 0


def test_what_is_not_meant_and_silences_the_agent_is_a_false_interruption():
    """Where nothing resumes, a laugh costs the rest of the answer."""
    found = measured({"at": 2500, "noise": 600}, settings=AT_ONCE)
    assert (found.false_interruptions, found.over_agent) == (1, 1)
    assert figures(found).false_interruption_rate == 1


def test_what_the_agent_lets_pass_counts_for_its_selectivity():
    """A cough and a murmur that are too short do nothing."""
    found = measured({"at": 2300, "noise": 160}, {"at": 3000, "backchannel": "mhm"})
    assert (found.selectivity("noise"), found.selectivity("backchannel")) == (1, 1)
    assert found.selectivity("aside") is None


def test_an_aside_that_is_answered_is_a_false_answer():
    """Words to somebody else, in silence, that the agent answers."""
    found = measured({"at": 5000, "aside": "come here you"})
    assert (found.false_answers, found.false_interruptions) == (1, 0)
    assert found.selectivity("aside") == 0


def test_an_answer_within_an_utterance_is_a_cut_off():
    """The agent begins to speak in a pause of somebody who is not done."""
    found = measured({"at": 5000, "says": ["I would like", 900, "two tickets"]}, until=12000)
    assert (found.cut_off, found.utterances) == (1, 2)
    assert figures(found).false_cut_off_rate == 0.5


def test_an_utterance_that_nobody_answers_is_counted():
    """The recogniser understood nothing of it."""
    found = measured(stt={"utterances": {1: {"text": ""}}})
    assert (found.unanswered, found.responses_ms) == (1, [])


def test_a_cut_by_a_key_is_nobodys_interruption():
    """What is done at that moment is the cause, not the noise before it."""
    found = measured({"at": 2500, "noise": 100}, {"at": 2700, "presses_stop": True})
    assert found.false_interruptions == 0


def test_measures_add_up():
    """Several plays are measured as one."""
    one, other = measured(), measured({"at": 2500, "noise": 600})
    total = together([one, other])
    assert total.responses_ms == [680, 680]
    assert (total.over_agent, total.false_pauses, total.utterances) == (1, 1, 2)
    assert figures(together([])).response_median_ms is None


def test_a_broken_bound_is_told():
    """The message has the value and the bound."""
    problems = broken_bounds(measured(), Bounds(response_ms=600))
    assert problems == ["response_ms is 680, and should be 600 at most"]
    assert broken_bounds(measured(), Bounds()) == []


def test_what_happens_at_one_moment_happens_then():
    """Two voices that begin together do, and a key that is pressed with them is pressed then."""
    told = {
        "title": "A",
        "group": "a",
        "shows": "A.",
        "script": [
            {"at": 1000, "says": "one two"},
            {"at": 1000, "other_says": "a b c"},
            {"at": 1000, "presses_stop": True},
        ],
        "until": 4000,
    }
    played = play(msgspec.convert(told, Scenario), "cascade")
    assert [(one.begin, one.end) for one in played.utterances] == [(1000, 1400), (1000, 1600)]
    assert "   1000  # the caller presses stop" in played.lines
    assert any("text='one two c' is_final=True" in line for line in played.lines)
