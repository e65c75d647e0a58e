"""`beluga-voice talk`: one conversation, from a file or with the microphone."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from beluga_voice.app import VoiceSession
from beluga_voice.audio.formats import FRAME_MILLISECONDS, to_milliseconds, to_samples
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
"""How long nothing happens after the last answer before the call is over."""
ANSWER_SECONDS = 8.0
"""The same after words that were not answered: some services take two seconds for the end of a
turn, say nothing meanwhile, and then have to think."""
GAP_MS = 400
"""Between words, the agent falls silent for less."""
LIMIT_SECONDS = 600.0
"""The longest a call goes on after the file has ended."""
PAUSE_FRAMES = 5
"""A silence in the file of so many frames is a place to wait for the agent."""
LONG_PAUSE_FRAMES = 25
"""The same for a person who interrupts: within a sentence nobody waits for anything."""
PATIENCE_SECONDS = 20.0
"""How long a person who interrupts waits for something to interrupt."""


def talk(options: argparse.Namespace, *, make: Callable[[Line], VoiceSession] | None = None) -> int:
    """Hold the conversation, and say how it went. With `make`, that makes its session."""
    if options.question is None:
        from beluga_voice.cli.microphone import converse

        _check_microphone(options)
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
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            status = runner.run(_converse(session, line, speech, options))
    except KeyboardInterrupt:
        _keep(line, options)
        raise
    _keep(line, options)
    return status


def _keep(line: "RecordingLine", options: argparse.Namespace) -> None:
    """Write what was said so far, where that is wanted."""
    if options.out:
        _write(options.out, line.agent, channels=1)
    if options.mix:
        _write(options.mix, line.mix(), channels=2)


def _check_microphone(options: argparse.Namespace) -> None:
    """Refuse what is for a file only, instead of passing over it."""
    for name in ("out", "mix", "barge_in", "interrupt_after"):
        if getattr(options, name, None):
            option = name.replace("_", "-")
            message = f"--{option} is for a conversation from a file: give QUESTION.wav"
            raise ConfigurationError(message, op="talk")


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
        self._sounds_since = self._sounds_until = 0
        self._said: list[bytes] = []
        self._spoke_until = 0

    def send(self, command: CallCommand, /) -> None:
        """Take what the session sends."""
        now = self._now()
        match command:
            case PlayAudio():
                start = max(self._busy_until, now)
                self._played.append((start, command.pcm))
                self._busy_until = start + len(command.pcm) // 2
                if dbfs(command.pcm) > QUIET_DBFS:
                    if start - self._sounds_until > to_samples(GAP_MS, OUTPUT_RATE):
                        self._sounds_since = start
                    self._sounds_until = self._busy_until
            case ClearPlayback():
                self._drop_after(now)
            case _:
                pass

    def said(self, pcm: bytes) -> None:
        """What the person said next."""
        now = self._now()
        self._said.append(pcm)
        if dbfs(pcm) > QUIET_DBFS:
            self._spoke_until = now

    @property
    def sounding_ms(self) -> float:
        """For how long the agent has sounded without a pause; 0 while it is silent."""
        now = self._now()
        if now >= self._sounds_until:
            return 0.0
        return max(to_milliseconds(now - self._sounds_since, OUTPUT_RATE), 0.0)

    @property
    def is_answered(self) -> bool:
        """Whether the agent has begun to say something since the person fell silent."""
        return self._sounds_since > self._spoke_until

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
        self._sounds_until = min(self._sounds_until, now)

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
        after_ms = getattr(options, "interrupt_after", None)
        manners: Manners = _Polite(session)
        if after_ms is not None:
            manners = _Impatient(line, after_ms)
        elif options.barge_in:
            manners = _RunsOn()
        caller = asyncio.create_task(_speak(session, line, speech, manners), name="caller")
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


class Manners(Protocol):
    """When a person waits for the agent."""

    def waits(self, quiet: int, has_spoken: bool, now: float) -> bool:
        """Whether to wait before the next words, after so many frames of silence in the file.

        `has_spoken` is whether there were words before.
        """
        ...


class _RunsOn:
    """Lets the file run, whatever the agent does."""

    def waits(self, quiet: int, has_spoken: bool, now: float) -> bool:
        return False


class _Polite:
    """Waits in a pause while the agent thinks or speaks."""

    def __init__(self, session: VoiceSession) -> None:
        self._session = session

    def waits(self, quiet: int, has_spoken: bool, now: float) -> bool:
        agents = (SessionState.PROCESSING, SessionState.RESPONDING)
        return quiet >= PAUSE_FRAMES and self._session.state in agents


class _Impatient:
    """Waits for each answer, and interrupts it when it has sounded for so long."""

    def __init__(self, line: RecordingLine, after_ms: float) -> None:
        self._line = line
        self._after_ms = after_ms
        self._since: float | None = None

    def waits(self, quiet: int, has_spoken: bool, now: float) -> bool:
        if not has_spoken or quiet < LONG_PAUSE_FRAMES:
            return False
        if self._since is None:
            self._since = now
        if self._line.sounding_ms < self._after_ms and now - self._since < PATIENCE_SECONDS:
            return True
        self._since = None
        return False


async def _speak(
    session: VoiceSession, line: RecordingLine, speech: bytes, manners: Manners
) -> None:
    """Be the person: say what is in the file, frame by frame, and hang up when all is said."""
    loop = asyncio.get_running_loop()
    size = to_samples(FRAME_MILLISECONDS, INPUT_RATE) * 2
    frames = [speech[at : at + size].ljust(size, b"\0") for at in range(0, len(speech), size)]
    pause = bytes(size)
    began = loop.time()
    position = count = quiet = 0
    has_spoken = False
    settled_at: float | None = None
    while True:
        is_busy = session.state not in (SessionState.IDLE, SessionState.CONNECTED)
        frame = pause
        if position < len(frames):
            starts = dbfs(frames[position]) > QUIET_DBFS
            if not (starts and manners.waits(quiet, has_spoken, loop.time())):
                frame = frames[position]
                position += 1
                quiet = 0 if starts else quiet + 1
                has_spoken = has_spoken or starts
        elif is_busy:
            settled_at = None
        elif settled_at is None:
            settled_at = loop.time()
        elif loop.time() - settled_at >= (SETTLE_SECONDS if line.is_answered else ANSWER_SECONDS):
            break
        if loop.time() - began > LIMIT_SECONDS + len(frames) * FRAME_MILLISECONDS / 1000:
            break
        line.said(frame)
        session.send_audio(frame)
        count += 1
        await asyncio.sleep(began + count * FRAME_MILLISECONDS / 1000 - loop.time())
    await session.close("hung_up")
