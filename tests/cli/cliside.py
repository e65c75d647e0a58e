"""The command line as a process of its own, and speech to give it."""

import asyncio
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from beluga_voice.audio.formats import pcm16
from beluga_voice.events import ContextId, FinishSpeech, SpeakText, SpeechAudio, SpeechDone
from beluga_voice.interfaces import TtsOptions
from beluga_voice.providers.tts.espeak import Espeak

RATE = 16000


def spoken(*texts):
    """Each text as speech: mono 16-bit PCM at 16 kHz."""

    async def speak():
        sounds = []
        async with Espeak().connect(TtsOptions(output_format=pcm16(RATE))) as link:
            events = aiter(link)
            for number, text in enumerate(texts):
                context_id = ContextId(str(number))
                link.send(SpeakText(context_id=context_id, text=text))
                link.send(FinishSpeech(context_id=context_id))
                sound = b""
                while not isinstance(event := await anext(events), SpeechDone):
                    if isinstance(event, SpeechAudio):
                        sound += event.pcm
                sounds.append(sound)
        return sounds

    return asyncio.run(speak())


def pause(seconds):
    """Silence."""
    return bytes(int(seconds * RATE) * 2)


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    status: int
    out: str
    err: str


def command(*arguments):
    """The command line that runs `beluga-voice` in this interpreter's environment."""
    return [sys.executable, "-m", "beluga_voice.cli", *map(str, arguments)]


def run(*arguments, cwd=None):
    """Run a command to its end."""
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=60, cwd=cwd, check=False
    )
    return Ran(done.returncode, done.stdout, done.stderr)


class Started(subprocess.Popen):
    """A process in a session of its own, as a terminal starts it.

    What it starts inherits a mark in the environment, so that it can be found wherever it went.
    """

    def __init__(self, argv, *, env=None):
        self.mark = f"CLI_TEST={uuid.uuid4().hex}"
        name, _, value = self.mark.partition("=")
        super().__init__(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **(env or {}), name: value},
        )


def start(*arguments, env=None):
    """Start a command."""
    return Started(command(*arguments), env=env)


def finish(process, *, within_seconds=30):
    """Wait for its end."""
    out, err = process.communicate(timeout=within_seconds)
    return Ran(process.returncode, out, err)


def press_ctrl_c(process):
    """What a terminal does: SIGINT to the whole group in the foreground."""
    os.killpg(process.pid, signal.SIGINT)


def survivors(process):
    """Of a process and all it started, those that are alive: what each runs, by its id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                if process.mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
    return found


def has_ended(pid, *, within_seconds):
    """Whether a process, of whomever, ends in time."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], within_seconds)[0])
    finally:
        os.close(handle)


def nobody_is_left(process, *, within_seconds=5):
    """Whether a process, and all that it started, end in time."""
    return all(has_ended(pid, within_seconds=within_seconds) for pid in survivors(process))


def wait_for_children(process, *, within_seconds=20):
    """Wait until a command has started processes of its own."""
    ends = time.monotonic() + within_seconds
    while len(survivors(process)) < 2:
        assert time.monotonic() < ends, "it started no process"
        assert not has_ended(process.pid, within_seconds=0.01), "it ended before"


@contextmanager
def command_running(*arguments):
    """A command that runs; whatever happens here, nothing of it stays behind."""
    process = start(*arguments)
    try:
        yield process
    finally:
        for pid in survivors(process):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()
