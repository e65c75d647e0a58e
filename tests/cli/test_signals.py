"""Ctrl-C at any moment ends a command in order, and leaves no process behind."""

import signal
import subprocess
import sys
from contextlib import suppress

import pytest
from cliside import (
    Started,
    command_running,
    finish,
    has_ended,
    nobody_is_left,
    press_ctrl_c,
    survivors,
    wait_for_children,
)

from beluga_voice.audio.wav import read_wav


def imports(process, name):
    """Whether the process has loaded a shared library of that name."""
    try:
        with open(f"/proc/{process.pid}/maps") as maps:
            return name in maps.read()
    except FileNotFoundError:
        return False


def assert_stopped(process, *, status):
    ended = finish(process)
    assert "Traceback" not in ended.err
    assert ended.status in status, ended.err
    assert nobody_is_left(process), survivors(process)
    return ended


EARLY = {
    "import": """
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "argparse":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
from beluga_voice.cli import main
""",
    "arguments": """
import argparse
argparse.ArgumentParser.parse_args = lambda *_: signal.raise_signal(signal.SIGINT)
from beluga_voice.cli import main
sys.exit(main(["talk"]))
""",
}


@pytest.mark.parametrize("moment", EARLY)
def test_ctrl_c_before_the_command_is_known(moment):
    """While the command line is loaded or read, the status is 130 and one word says why."""
    done = subprocess.run(
        [sys.executable, "-c", f"import signal, sys\n{EARLY[moment]}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped\n")


@pytest.mark.parametrize("library", ["_ctypes", "multiarray"])
def test_ctrl_c_while_the_program_is_imported(library):
    """Before anything ran, the status is 130 or that of the signal, without a traceback."""
    with command_running("talk", "none.wav") as process:
        while not imports(process, library) and not has_ended(process.pid, within_seconds=0.001):
            pass
        with suppress(ProcessLookupError):
            press_ctrl_c(process)
        assert_stopped(process, status=(130, -signal.SIGINT, 2))


@pytest.mark.parametrize("moment", ["loading", "response"])
def test_ctrl_c_during_a_call(moment, question):
    """While models load or in mid-response, the status is 130 and one word says why."""
    with command_running("talk", question, "--realtime", "--json") as process:
        if moment == "loading":
            wait_for_children(process)
        else:
            for line in process.stdout:
                if '"type":"agent_response_audio"' in line:
                    break
        press_ctrl_c(process)
        ended = assert_stopped(process, status=(130,))
    assert ended.err == "stopped\n"


@pytest.mark.parametrize("moment", ["loading", "serving"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_server(moment, number):
    """While models load Ctrl-C is 130; once it serves, both signals end it in order with 0."""
    with command_running("serve", "--port", "0") as process:
        for line in process.stderr:
            if ("loading" if moment == "loading" else "talk at") in line:
                break
        if moment == "loading":
            wait_for_children(process)
        if number is signal.SIGINT:
            press_ctrl_c(process)
        else:
            process.terminate()
        loading = (130,) if number is signal.SIGINT else (-number,)
        assert_stopped(process, status=(0,) if moment == "serving" else loading)


def test_the_check_for_survivors_finds_them():
    """A process that was started by another, in a session of its own, is seen until it ends."""
    child = "import subprocess as s, sys; s.run([sys.executable, '-c', 'input()'], %s)"
    left = Started([sys.executable, "-c", child % "start_new_session=True"])
    wait_for_children(left)
    assert not nobody_is_left(left, within_seconds=0.1)
    left.communicate("\n", timeout=10)
    assert nobody_is_left(left)


def test_ctrl_c_keeps_what_was_said_so_far(question, tmp_path):
    """The recordings of a call that was broken off are there, up to that moment."""
    out, mix = tmp_path / "answer.wav", tmp_path / "call.wav"
    arguments = ("talk", question, "--json", "--realtime", "--out", out, "--mix", mix)
    with command_running(*arguments) as process:
        while "agent_response_audio" not in process.stdout.readline():
            assert process.poll() is None
        press_ctrl_c(process)
        assert_stopped(process, status={130})
    assert 0 < len(read_wav(out).data) < len(read_wav(mix).data)
