"""The command line as a process of its own, and speech to give it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
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


def start(*arguments, cwd=None, env=None):
    """Start a command in a session of its own, as a terminal does."""
    return subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        start_new_session=True,
        env={**os.environ, **(env or {})},
    )


def finish(process):
    """Wait for its end."""
    out, err = process.communicate(timeout=30)
    return Ran(process.returncode, out, err)


def press_ctrl_c(process):
    """What a terminal does: SIGINT to the whole group in the foreground."""
    os.killpg(process.pid, signal.SIGINT)


def survivors(session):
    """The processes of a terminal session that are alive, by what they run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(stat[3]) == session and stat[0] != "Z":
                    found.append((entry / "cmdline").read_text().replace("\0", " "))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def nobody_is_left(session, *, within_seconds=5):
    """Whether all processes of the session end in time."""
    ends = time.monotonic() + within_seconds
    while survivors(session) and time.monotonic() < ends:
        os.sched_yield()
    return not survivors(session)
