"""A recorded call as a test: it fails for what the person suffered, and for nothing else."""

import asyncio
import subprocess
import sys

import pytest

from beluga_voice.engine.deadlines import DeadAirSettings
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.errors import ConfigurationError, Misuse
from beluga_voice.events import AgentResponseAudio
from beluga_voice.testing.faults import (
    Brownout,
    Close,
    Delay,
    Duplicate,
    Hang,
    Phase,
    Refusal,
    Refused,
    Reset,
    Slicer,
    When,
)
from beluga_voice.testing.recording.as_test import write_test
from beluga_voice.testing.recording.call import play
from beluga_voice.testing.recording.verdict import problems
from recording.taped import TEN, record

SOON = When(connections=1)


async def interrupted(caller, _):
    """The person takes the floor in the middle of the answer, then is answered."""
    await caller.say("what time is it")
    await asyncio.sleep(1.5)
    await caller.say("stop that please")
    await asyncio.sleep(6)


async def coughed(caller, _):
    """The person coughs in the middle of the answer, which pauses and goes on."""
    await caller.say("what time is it")
    await asyncio.sleep(1.5)
    await caller.noise(500)
    await asyncio.sleep(6)


async def asked_twice(caller, _):
    """The same question twice, and so the same answer."""
    await caller.say("what time is it")
    await asyncio.sleep(5)
    await caller.say("what time is it")
    await asyncio.sleep(5)


def judged(path, *faults, silence_ms=3000.0, settings=None, **call):
    """What is wrong with a recorded call."""
    record(path, *faults, **call)
    return problems(play(path, settings=settings), silence_ms=silence_ms)


@pytest.mark.parametrize(
    ("faults", "call"),
    [
        ((), {}),
        ((), {"scene": interrupted}),
        ((), {"scene": coughed}),
        ((Delay(ms=1500),), {}),
        ((Slicer(smallest=40, largest=200),), {}),
        ((Reset(when=When(phase=Phase.HEARING, connections=1)),), {}),
        ((Reset(when=When(phase=Phase.ANSWERED, after_ms=2500)),), {}),
    ],
    ids=[
        "plain",
        "interrupted",
        "coughed",
        "slow",
        "sliced",
        "lost while hearing",
        "lost while quiet",
    ],
)
def test_a_call_that_went_well_is_a_test_that_passes(tmp_path, faults, call):
    """The person waited no longer than allowed, and heard all of it once."""
    assert judged(tmp_path / "call.jsonl", *faults, **call) == []


@pytest.mark.parametrize(
    ("faults", "seen"),
    [
        ((Delay(ms=3500),), "3580 ms of silence from 1380 ms on"),
        ((Brownout(slow_ms=5000, when=SOON),), "ms of silence"),
        ((Hang(when=When(phase=Phase.AWAITED)),), "ms of silence"),
        ((Duplicate(share=0.1),), "are heard twice in a row"),
        ((Reset(when=When(phase=Phase.ANSWERING, after_events=30)),), "failed after 560 ms"),
        ((Close(code=1011, when=When(phase=Phase.ANSWERING, after_events=30)),), "failed after"),
        (
            (
                Reset(when=When(phase=Phase.AWAITED, connections=1)),
                Refusal(
                    why=Refused.DENIED,
                    when=When(phase=Phase.CONNECTING, every=2),
                ),
            ),
            "the session failed",
        ),
    ],
    ids=["slow", "brownout", "hang", "duplicate", "reset", "close", "denied"],
)
def test_a_faulty_call_is_a_test_that_fails(tmp_path, faults, seen):
    """It names what was wrong, and where."""
    found = judged(tmp_path / "call.jsonl", *faults)
    assert any(seen in one for one in found), found


def test_the_bound_of_silence_is_the_tests_own(tmp_path):
    """What is too long for one is not for another."""
    path = tmp_path / "call.jsonl"
    assert judged(path, Delay(ms=1500), silence_ms=1000) == [
        "1580 ms of silence from 1380 ms on, in the agent's turn"
    ]
    assert problems(play(path), silence_ms=1580) == []


def test_a_fault_that_is_mended_is_a_test_that_passes(tmp_path):
    """The same recording, with a session that makes a sound sooner."""
    path = tmp_path / "call.jsonl"
    hang = Hang(when=When(phase=Phase.AWAITED))
    assert judged(path, hang) != []
    soon = EngineSettings(dead_air=DeadAirSettings(answer_ms=1000, rung_ms=1000, swaps=False))
    assert problems(play(path, settings=soon)) == []


def test_the_same_answer_to_another_question_is_no_repetition(tmp_path):
    """A voice that says the same words says them alike."""
    assert judged(tmp_path / "call.jsonl", scene=asked_twice) == []


def test_an_answer_that_begins_anew_after_it_failed_is_a_repetition(tmp_path):
    """What was heard of it is heard again, on the next connection."""

    async def ask_again(caller, session):
        await caller.say("what time is it")
        await asyncio.sleep(4)
        session.say(TEN)
        await asyncio.sleep(4)

    lost = Reset(when=When(phase=Phase.ANSWERING, after_events=60, connections=1))
    found = judged(tmp_path / "call.jsonl", lost, scene=ask_again)
    assert "500 ms of response-2-1 were heard before" in found
    assert any("failed after" in one for one in found)


def test_what_a_session_would_lose_or_repeat_by_itself_is_found(tmp_path):
    """Also where the service did nothing wrong: in what the line was handed."""
    path = tmp_path / "call.jsonl"
    record(path)
    call = play(path)
    happenings = call.trace.happenings
    sounds = [one for one in happenings if isinstance(one.event, AgentResponseAudio)]
    happenings.remove(sounds[10])
    assert problems(call) == ["1 piece of response-1-1 not heard"]
    happenings += [sounds[10], *sounds[50:55]]
    assert "100 ms more of response-1-1 were heard than there are" in problems(call)


# ── the test that is written ────────────────────────────────────────────────────────────────


def pytest_run(path):
    """Run a test file; gives the exit status and what was printed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=path.parent,
    )
    return done.returncode, done.stdout


def test_a_recorded_call_becomes_a_test(tmp_path):
    """It fails for a faulty call, passes for a good one, and finds its recording by itself."""
    calls = tmp_path / "calls"
    calls.mkdir()
    record(calls / "bad-call.jsonl", Hang(when=When(phase=Phase.AWAITED)))
    record(calls / "good.jsonl")
    bad, good = tmp_path / "test_bad.py", tmp_path / "test_good.py"
    write_test(calls / "bad-call.jsonl", bad)
    write_test(calls / "good.jsonl", good, silence_ms=1000)
    status, out = pytest_run(bad)
    assert status == 1
    assert "ms of silence" in out
    assert "test_recorded_bad_call" in out
    assert pytest_run(good)[0] == 0
    assert "silence_ms=1000" in good.read_text()


def test_a_test_is_not_written_over_and_not_where_nobody_finds_it(tmp_path):
    """What is wrong is said, and nothing is written."""
    path = tmp_path / "call.jsonl"
    record(path)
    test = tmp_path / "test_call.py"
    test.write_text("mine")
    with pytest.raises(ConfigurationError, match="there already"):
        write_test(path, test)
    assert test.read_text() == "mine"
    with pytest.raises(ConfigurationError, match=r"test_SOMETHING\.py"):
        write_test(path, tmp_path / "call.py")
    with pytest.raises(ConfigurationError, match="cannot write"):
        write_test(path, tmp_path / "nowhere" / "test_call.py")
    test.unlink()
    (tmp_path / "no.jsonl").write_text("{}\n")
    with pytest.raises(Misuse, match="no recording"):
        write_test(tmp_path / "no.jsonl", test)
    assert not test.exists()
