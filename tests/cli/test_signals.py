"""Ctrl-C at any moment ends a command in order, and leaves no process behind."""

import signal
import sys
import time

import pytest
from cliside import finish, nobody_is_left, press_ctrl_c, start, survivors


def wait_for(condition, *, within_seconds=20):
    """Wait until something outside this process is so."""
    ends = time.monotonic() + within_seconds
    while not condition():
        assert time.monotonic() < ends, "it did not come to that"


def imports(process, name):
    """Whether the process has loaded a shared library of that name."""
    try:
        with open(f"/proc/{process.pid}/maps") as maps:
            return name in maps.read()
    except FileNotFoundError:
        return False


def assert_stopped(process, *, status):
    session = process.pid
    ended = finish(process)
    assert "Traceback" not in ended.err
    assert ended.status in status, ended.err
    assert nobody_is_left(session), survivors(session)
    return ended


def test_ctrl_c_while_the_program_is_imported():
    """Before anything ran, the status is 130 or that of the signal, without a traceback."""
    for library in ("libpython", "_ctypes", "multiarray"):
        process = start("talk", "none.wav")
        while process.poll() is None and not imports(process, library):
            pass
        if process.poll() is None:
            press_ctrl_c(process)
        assert_stopped(process, status=(130, -signal.SIGINT, 2))


@pytest.mark.parametrize("moment", ["loading", "conversation", "response"])
def test_ctrl_c_during_a_call(moment, question):
    """While models load, while the person speaks, or in mid-response: status 130."""
    process = start("talk", question, "--realtime", "--json")
    if moment == "loading":
        wait_for(lambda: len(survivors(process.pid)) > 1)
    else:
        wanted = "user_speech_started" if moment == "conversation" else "agent_response_audio"
        for line in process.stdout:
            if f'"type":"{wanted}"' in line:
                break
    press_ctrl_c(process)
    ended = assert_stopped(process, status=(130,))
    assert ended.err == "stopped\n"


@pytest.mark.parametrize("moment", ["loading", "serving"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_server(moment, number):
    """While models load Ctrl-C is 130; once it serves, both signals end it in order with 0."""
    process = start("serve", "--port", "0")
    for line in process.stderr:
        if ("loading" if moment == "loading" else "talk at") in line:
            break
    if moment == "loading":
        wait_for(lambda: len(survivors(process.pid)) > 1)
    if number is signal.SIGINT:
        press_ctrl_c(process)
    else:
        process.terminate()
    status = (0,) if moment == "serving" else (130, 0, -number)
    assert_stopped(process, status=status)


def test_the_check_for_survivors_finds_them():
    """A process that is left in a session is seen."""
    import subprocess

    left = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        assert survivors(left.pid)
        assert not nobody_is_left(left.pid, within_seconds=0.1)
    finally:
        left.communicate(b"\n", timeout=10)
    assert nobody_is_left(left.pid)
