"""`beluga-voice talk`: one conversation, from a file or with the microphone."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

from beluga_voice.app import VoiceSession
from beluga_voice.audio.formats import FRAME_MILLISECONDS, to_samples
from beluga_voice.audio.level import dbfs
from beluga_voice.audio.wav import read_wav, write_wav
from beluga_voice.cli.fast import FastLoop
from beluga_voice.cli.parts import session_maker
from beluga_voice.cli.report import Report
from beluga_voice.errors import ConfigurationError, WrongFormat
from beluga_voice.events import CallCommand, ClearPlayback, PlayAudio, SessionEnded, SessionState
from beluga_voice.interfaces import Line, LineOptions
from beluga_voice.providers import workers
from beluga_voice.session.jsonform import encode

INPUT_RATE = 16000
OUTPUT_RATE = 24000
QUIET_DBFS = -45.0
"""A frame below this is a pause in the file."""
SETTLE_SECONDS = 1.5
"""How long nothing happens after the last word before the call is over."""
LIMIT_SECONDS = 600.0
"""The longest a call goes on after the file has ended."""


def talk(options: argparse.Namespace, *, make: Callable[[Line], VoiceSession] | None = None) -> int:
    """Hold the conversation, and say how it went. With `make`, that makes its session."""
    if options.question is None:
        from beluga_voice.cli.microphone import converse

        return converse(make or session_maker(options), as_json=options.json)
    for path in filter(None, (options.out, options.mix)):
        _check_writable(path)
    speech = _read(options.question)
    make = make or session_maker(options)
    line = RecordingLine()
    session = make(line)
    is_fast = session.provider.capabilities.is_local and not options.realtime
    if not is_fast and not options.realtime:
        print("a service outside this machine is used: in real time", file=sys.stderr)
    loop_factory = (lambda: FastLoop(workers.busy)) if is_fast else None
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        status = runner.run(_converse(session, line, speech, options))
    if options.out:
        _write(options.out, line.agent, channels=1)
    if options.mix:
        _write(options.mix, line.mix(), channels=2)
    return status


def _read(path: str) -> bytes:
    try:
        sound = read_wav(Path(path))
    except FileNotFoundError as error:
        raise ConfigurationError(f"there is no file {path!r}", op="talk") from error
    except OSError as error:
        raise ConfigurationError(f"cannot read {path!r}: {error.strerror}", op="talk") from error
    except WrongFormat as error:
        is_named = error.message.startswith(Path(path).name)
        message = error.message if is_named else f"{path}: {error.message}"
        raise WrongFormat(message, op="talk") from error
    speech = sound.to_pcm16(INPUT_RATE)
    if not speech:
        raise WrongFormat(f"{path} holds no sound: give a WAV file with speech", op="talk")
    return speech


def _check_writable(path: str) -> None:
    """Find out before the call, not after it, whether there is a place for its recording."""
    folder = Path(path).parent
    if Path(path).is_dir():
        problem = "it is a directory"
    elif not folder.is_dir():
        problem = f"there is no directory {str(folder)!r}"
    elif not os.access(path if Path(path).exists() else folder, os.W_OK):
        problem = "this user may not"
    else:
        return
    raise ConfigurationError(f"cannot write {path!r}: {problem}", op="talk")


def _write(path: str, pcm: bytes, *, channels: int) -> None:
    try:
        write_wav(Path(path), pcm, OUTPUT_RATE, channels)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path!r}: {error.strerror}", op="talk") from error


class RecordingLine:
    """A line that keeps both sides of the call on one time axis."""

    def __init__(self) -> None:
        self.options = LineOptions(input_rate=INPUT_RATE, output_rate=OUTPUT_RATE)
        self._began: float | None = None
        self._played: list[tuple[int, bytes]] = []
        self._busy_until = 0
        self._said: list[bytes] = []

    def send(self, command: CallCommand, /) -> None:
        """Take what the session sends."""
        now = self._now()
        match command:
            case PlayAudio():
                start = max(self._busy_until, now)
                self._played.append((start, command.pcm))
                self._busy_until = start + len(command.pcm) // 2
            case ClearPlayback():
                self._drop_after(now)
            case _:
                pass

    def said(self, pcm: bytes) -> None:
        """What the person said next."""
        self._now()
        self._said.append(pcm)

    @property
    def agent(self) -> bytes:
        """What the agent said, without the silence between its responses."""
        return b"".join(pcm for _, pcm in self._played)

    def mix(self) -> bytes:
        """The call in stereo: the person left, the agent right."""
        import numpy as np

        from beluga_voice.audio.resample import Resampler

        resampler = Resampler(INPUT_RATE, OUTPUT_RATE)
        left = resampler.feed(b"".join(self._said)) + resampler.flush()
        length = max(len(left) // 2, self._busy_until)
        sound = np.zeros((length, 2), dtype="<i2")
        sound[: len(left) // 2, 0] = np.frombuffer(left, dtype="<i2")
        for start, pcm in self._played:
            samples = np.frombuffer(pcm, dtype="<i2")
            sound[start : start + len(samples), 1] = samples
        return sound.tobytes()

    def _drop_after(self, now: int) -> None:
        kept: list[tuple[int, bytes]] = []
        for start, pcm in self._played:
            left = now - start
            if left > 0:
                kept.append((start, pcm[: left * 2]))
        self._played = kept
        self._busy_until = min(self._busy_until, now)

    def _now(self) -> int:
        """The present sample of the call."""
        time = asyncio.get_running_loop().time()
        if self._began is None:
            self._began = time
        return to_samples((time - self._began) * 1000, OUTPUT_RATE)


async def _converse(
    session: VoiceSession, line: RecordingLine, speech: bytes, options: argparse.Namespace
) -> int:
    report = Report(sys.stdout)
    async with session:
        caller = asyncio.create_task(
            _speak(session, line, speech, waits=not options.barge_in), name="caller"
        )
        failed = False
        async for happening in session.events():
            if options.json:
                print(encode(happening, with_audio=True), flush=options.realtime)
            else:
                report.tell(happening)
            if isinstance(happening.event, SessionEnded):
                failed = happening.event.reason == "failed"
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
    if not options.json:
        report.summary(session.metrics())
    return int(failed)


async def _speak(session: VoiceSession, line: RecordingLine, speech: bytes, *, waits: bool) -> None:
    """Be the person: say what is in the file, frame by frame, and hang up when all is said.

    A polite person waits in a pause while the agent thinks or speaks.
    """
    loop = asyncio.get_running_loop()
    size = to_samples(FRAME_MILLISECONDS, INPUT_RATE) * 2
    frames = [speech[at : at + size].ljust(size, b"\0") for at in range(0, len(speech), size)]
    pause = bytes(size)
    began = loop.time()
    position = count = quiet = 0
    settled_at: float | None = None
    while True:
        is_busy = session.state not in (SessionState.IDLE, SessionState.CONNECTED)
        frame = pause
        if position < len(frames):
            is_pause = quiet >= 5
            starts = dbfs(frames[position]) > QUIET_DBFS
            agent_has_floor = session.state in (SessionState.PROCESSING, SessionState.RESPONDING)
            if not (waits and is_pause and starts and agent_has_floor):
                frame = frames[position]
                position += 1
                quiet = 0 if starts else quiet + 1
        elif is_busy:
            settled_at = None
        elif settled_at is None:
            settled_at = loop.time()
        elif loop.time() - settled_at >= SETTLE_SECONDS:
            break
        if loop.time() - began > LIMIT_SECONDS + len(frames) * FRAME_MILLISECONDS / 1000:
            break
        line.said(frame)
        session.send_audio(frame)
        count += 1
        await asyncio.sleep(began + count * FRAME_MILLISECONDS / 1000 - loop.time())
    await session.close("hung_up")
