"""`record` and `replay`, with the speech services of this package and with an emulated one."""

import pytest

from beluga_voice.audio.wav import write_wav
from beluga_voice.cli.main import main
from beluga_voice.testing.faults import Hang, Phase, When
from beluga_voice.testing.recording.reading import read
from cli.cliside import RATE, pause, run, spoken
from recording.taped import record


@pytest.fixture(scope="module")
def question(tmp_path_factory):
    """A WAV file with one question."""
    path = tmp_path_factory.mktemp("speech") / "question.wav"
    (sound,) = spoken("what time is it")
    write_wav(path, pause(0.4) + sound + pause(0.3), RATE)
    return path


def command(capfd, *arguments):
    """Run a command in this process: its status, and what it printed."""
    status = main([str(one) for one in arguments])
    out, err = capfd.readouterr()
    return status, out, err


def test_a_conversation_is_recorded_and_replayed(question, tmp_path, capfd):
    """The recording holds the call and none of its words; its replay tells the same story."""
    path = tmp_path / "call.jsonl"
    status, out, err = command(capfd, "record", question, "--to", path)
    assert status == 0
    assert "you  what time is it" in out
    assert f"recorded to {path}" in err
    recording = read(path)
    assert recording.provider == "pocketsphinx+espeak"
    assert recording.ears is not None
    assert not recording.missing
    _, _, text = path.read_text().partition("\n")
    assert "what" not in text
    status, out, err = command(capfd, "replay", path)
    assert (status, err) == (0, "")
    names = [line.split()[1] for line in out.splitlines()]
    assert names[0] == "session_started"
    assert names[-1] == "session_ended"
    assert names.count("agent_response_ended") == 1


def test_a_file_that_is_there_is_kept(question, tmp_path, capfd):
    """Recording to it is refused, with what to do."""
    path = tmp_path / "call.jsonl"
    path.write_text("mine")
    status, _, err = command(capfd, "record", question, "--to", path)
    assert status == 2
    assert "record to another file" in err
    assert path.read_text() == "mine"


def test_what_was_not_well_is_told_and_what_differs_is_a_failure(tmp_path, capfd):
    """A call with a long silence is replayed as it was; one that was changed is not."""
    path = tmp_path / "call.jsonl"
    record(path, Hang(when=When(phase=Phase.AWAITED)))
    status, _, err = command(capfd, "replay", path, "--verbose")
    assert status == 0
    assert "not well: " in err
    assert "ms of silence" in err
    changed = tmp_path / "changed.jsonl"
    changed.write_text(path.read_text().replace('"respond":true', '"respond":false'))
    status, _, err = command(capfd, "replay", changed)
    assert status == 1
    assert "otherwise than recorded: at 1380 ms on connection 1: end_user_turn has another" in err


def test_a_recording_becomes_a_test_with_one_command(tmp_path, capfd):
    """The test is there, and says how to run it."""
    path, test = tmp_path / "call.jsonl", tmp_path / "test_call.py"
    record(path)
    status, _, err = command(capfd, "replay", path, "--as-test", test, "--silence-ms", "2000")
    assert (status, err) == (0, f"wrote {test}: pytest {test}\n")
    assert "silence_ms=2000" in test.read_text()
    assert command(capfd, "replay", path, "--as-test", test)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["replay", "nothing.jsonl"], 2), (["replay", "x", "--silence-ms", "0"], 2)],
)
def test_what_cannot_be_replayed_is_said(arguments, status, capfd):
    """In a line, with the exit status of a setting to correct."""
    found, out, err = command(capfd, *arguments)
    assert (found, out) == (status, "")
    assert err.startswith("beluga-voice: replay") or err.startswith("beluga-voice: recording")


def test_recording_needs_to_know_where_to(question):
    """Asked for before anything is done."""
    ran = run("record", question)
    assert ran.status == 2
    assert "--to" in ran.err
