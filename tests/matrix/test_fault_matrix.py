"""The matrix of faults: a slice of it holds, and a wrapper that breaks a promise is found."""

import pytest

from beluga_voice.errors import ConfigurationError
from beluga_voice.testing.faults import Phase
from beluga_voice.testing.matrix import stages
from beluga_voice.testing.matrix.call import Cell, play
from beluga_voice.testing.matrix.cells import Verdict, Wrong, cells, covers, judged
from beluga_voice.testing.matrix.known import KNOWN, SPOILED
from beluga_voice.testing.matrix.measure import Measured, measure, usual_ms
from beluga_voice.testing.matrix.run import result_of, run, soak
from beluga_voice.testing.matrix.stages import NEVER_HERE, SERVICES, STAGES, UNREACHED
from matrix.broken_wrappers import Broken, ForgetsSound, LeavesTasks, SpeaksTwice, StaysSilent

SLICE = (
    "*/awaited/stt+",
    "*/hearing/stt+",
    "*/awaited/tts+",
    "*/answering/tts+",
    "*/*/agent+",
    *(f"{fault}/answered/{name}" for name in SERVICES for fault in ("reset", "close_1000")),
    *(f"{fault}/answering/{name}+" for name in SERVICES for fault in ("reset", "close_1011")),
)


def without_progress(done, of):
    """Tell nobody."""


def wrong(result):
    """What is wrong with a call that is neither known nor unavoidable."""
    return {one.what for one in result.problems if one.verdict is Verdict.BROKEN}


def test_a_slice_of_the_matrix_holds():
    """With something that stands in, no call is silent too long, loses, repeats or leaves any."""
    results = run(cells(SLICE), jobs=1, progress=without_progress)
    assert [one.cell.key for one in results if wrong(one)] == []
    assert len(results) > 150


@pytest.mark.parametrize(
    ("broken", "cell", "what"),
    [
        (SpeaksTwice, Cell("delay", "awaited", "tts+"), Wrong.REPEATED),
        (ForgetsSound, Cell("delay", "hearing", "stt+"), Wrong.LOST),
        (LeavesTasks, Cell("delay", "awaited", "tts+"), Wrong.LEFT),
        (Broken, Cell("unreachable", "connecting", "tts+"), None),
    ],
)
def test_a_broken_wrapper_is_found(monkeypatch, broken, cell, what):
    """What it breaks is what is told; and one that only does nothing is not blamed."""
    usual_ms(cell.stage, Phase.ANSWERED)
    assert wrong(result_of(cell)) == set()
    monkeypatch.setattr(stages, "Fallback", broken)
    assert wrong(result_of(cell)) == ({what} if what else set())


def test_silence_is_found(monkeypatch):
    """A voice that keeps its speech to itself leaves the person to the tones, and too late."""
    cell = Cell("delay", "awaited", "tts+")
    usual_ms(cell.stage, Phase.ANSWERED)
    monkeypatch.setattr(stages, "Fallback", StaysSilent)
    measured = measure(play(cell))
    assert measured.recovery_ms == float("inf")
    assert not measured.is_silent
    # A bound below the first tone, and the same call breaks it.
    monkeypatch.setattr("beluga_voice.testing.matrix.measure.BOUND_MS", 9000)
    assert wrong(judged(cell, measured)) == {Wrong.SILENT}


def test_recovery_is_what_the_fault_costs():
    """A delay of 300 ms costs 300 ms, and a stand-in for a hanging voice comes after 3 s."""
    assert result_of(Cell("delay", "awaited", "tts")).measured.recovery_ms == 300
    assert result_of(Cell("hang", "awaited", "tts+")).measured.recovery_ms == 3000


def test_calls_are_the_same_every_time():
    """By cell and seed, whatever was played before; another seed strikes elsewhere."""
    cell = Cell("reset", "answering", "grok+", 3)
    assert result_of(cell) == result_of(cell)
    struck = {play(Cell("reset", "hearing", "stt", seed)).struck_ms[0] for seed in range(4)}
    assert len(struck) > 2


@pytest.mark.parametrize("name", [name for name in STAGES if not name.endswith("+")])
def test_every_stage_gets_to_its_phases(name):
    """Whatever is tried at a phase can strike there, and what is left out cannot."""
    stage = STAGES[name]
    if stage.kind is None:
        return
    tried = {phase for _, phase in stage.cases()}
    for phase in sorted(tried - {Phase.CONNECTING}):
        assert play(Cell("delay", phase, name)).struck_ms, phase
    for phase in sorted(UNREACHED.get(stage.base, ())):
        assert not play(Cell("delay", phase, name)).struck_ms, phase
    assert not any(fault in NEVER_HERE for fault, _ in stage.cases())


def test_what_is_known_is_of_the_matrix():
    """Everything in it names calls that there are, and says why they are wrong in a sentence."""
    every = cells()
    faults = {one.fault for one in every}
    for known in KNOWN:
        assert any(covers(known, one) for one in every), known
        assert known.faults <= faults
        assert known.stages <= set(STAGES)
        assert Wrong(known.what)
        assert len(known.why.split()) > 3
    for spoiled in SPOILED:
        assert spoiled.faults <= faults
        assert Wrong(spoiled.what)


def test_a_fault_that_strikes_in_an_utterance_spoils_it():
    """With a seed it may come in the middle of one; at its beginning, all words can be kept."""
    lost = Measured(struck=True, recovery_ms=0, silence_ms=0, lost=("alpha",))
    verdicts = [
        judged(Cell("hang_up", "open", "openai_live", seed), lost).problems[0].verdict
        for seed in (0, 1)
    ]
    assert verdicts == [Verdict.BROKEN, Verdict.SPOILED]


def test_a_cell_that_there_is_not_is_refused():
    """The message says how one is named."""
    with pytest.raises(ConfigurationError, match="FAULT/PHASE/STAGE"):
        cells(["hang/awaited/telephone"])


def test_a_long_run_tells_what_it_holds():
    """Calls one after another in one process leave next to nothing."""
    wanted = cells(["*/awaited/stt+", "*/awaited/tts+"], seeds=range(3))
    (found,) = soak(wanted, jobs=1, progress=without_progress)
    assert len(found.results) == len(wanted)
    assert found.more_objects < 500
