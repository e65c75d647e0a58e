"""A call with the microphone and the speaker of this machine."""

import asyncio
import importlib
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

from beluga_voice.app import VoiceSession
from beluga_voice.cli.report import Report
from beluga_voice.errors import ConfigurationError, MissingExtra
from beluga_voice.events import CallCommand, ClearPlayback, PlayAudio
from beluga_voice.interfaces import Line, LineOptions
from beluga_voice.session.jsonform import encode

INPUT_RATE = 16000
OUTPUT_RATE = 24000
NO_SOUND = (
    "there is no {what} here. Talk from a file: beluga-voice talk QUESTION.wav --out ANSWER.wav, "
    "or in the browser: beluga-voice serve"
)


def converse(make: Callable[[Line], VoiceSession], *, as_json: bool) -> int:
    """Talk until Ctrl-C."""
    sounddevice = _sounddevice()
    session_line = SpeakerLine()
    session = make(session_line)
    with asyncio.Runner() as runner:
        return runner.run(_call(sounddevice, session, session_line, as_json=as_json))


def _sounddevice() -> Any:
    """The sound library, if it can be used and there is something to hear and to speak with."""
    try:
        sounddevice: Any = importlib.import_module("sounddevice")
    except ImportError as error:
        raise MissingExtra("the microphone", extra="microphone", op="talk") from error
    except OSError as error:
        message = NO_SOUND.format(what="sound system (PortAudio is not installed)")
        raise ConfigurationError(message, op="talk") from error
    for kind, what in (("input", "microphone"), ("output", "speaker")):
        try:
            sounddevice.query_devices(kind=kind)
        except (sounddevice.PortAudioError, ValueError) as error:
            raise ConfigurationError(NO_SOUND.format(what=what), op="talk") from error
    return sounddevice


class SpeakerLine:
    """Sound for the speaker; the sound thread takes it out. Bytes are swapped whole, so it needs
    no lock."""

    def __init__(self) -> None:
        self.options = LineOptions(input_rate=INPUT_RATE, output_rate=OUTPUT_RATE, lead_ms=100)
        self._ahead: list[bytes] = []

    def send(self, command: CallCommand, /) -> None:
        """Take what the session sends."""
        match command:
            case PlayAudio():
                self._ahead.append(command.pcm)
            case ClearPlayback():
                self._ahead.clear()
            case _:
                pass

    def fill(self, size: int) -> bytes:
        """The next `size` bytes for the speaker, silence where there are none."""
        taken = b""
        while len(taken) < size and self._ahead:
            taken += self._ahead.pop(0)
        if len(taken) > size:
            self._ahead.insert(0, taken[size:])
        return taken[:size].ljust(size, b"\0")


async def _call(
    sounddevice: Any, session: VoiceSession, line: SpeakerLine, *, as_json: bool
) -> int:
    loop = asyncio.get_running_loop()

    def hear(data: Any, _frames: int, _time: Any, _status: Any) -> None:
        loop.call_soon_threadsafe(session.send_audio, bytes(data))

    def speak(data: Any, _frames: int, _time: Any, _status: Any) -> None:
        data[:] = line.fill(len(data))

    lost = _Lost(session)
    report = Report(sys.stdout)
    async with session:
        with (
            sounddevice.RawInputStream(
                samplerate=INPUT_RATE,
                channels=1,
                dtype="int16",
                blocksize=320,
                callback=hear,
                finished_callback=lost.told_by("microphone"),
            ),
            sounddevice.RawOutputStream(
                samplerate=OUTPUT_RATE,
                channels=1,
                dtype="int16",
                blocksize=480,
                callback=speak,
                finished_callback=lost.told_by("speaker"),
            ),
            lost.watching(),
        ):
            print("speak; Ctrl-C ends the call", file=sys.stderr)
            async for happening in session.events():
                if as_json:
                    print(encode(happening), flush=True)
                else:
                    report.tell(happening)
    await lost.check()
    return 0


class _Lost:
    """Ends the call when a sound device goes away, which is told on the sound thread."""

    def __init__(self, session: VoiceSession) -> None:
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._is_watching = False
        self._devices: list[str] = []
        self._ending: list[asyncio.Task[None]] = []

    def told_by(self, device: str) -> Callable[[], None]:
        """What its stream calls at its end, of which most are in order."""

        def ended() -> None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._note, device)

        return ended

    @contextmanager
    def watching(self) -> Generator[None]:
        """A stream that ends meanwhile has lost its device."""
        self._is_watching = True
        try:
            yield
        finally:
            self._is_watching = False

    async def check(self) -> None:
        """Raise `ConfigurationError` if one was lost."""
        await asyncio.gather(*self._ending)
        if self._devices:
            message = f"the {self._devices[0]} is gone; see that it is connected, and try again"
            raise ConfigurationError(message, op="talk")

    def _note(self, device: str) -> None:
        if self._is_watching:
            self._devices.append(device)
            self._ending.append(self._loop.create_task(self._close(), name="no sound device"))

    async def _close(self) -> None:
        await self._session.close("hung_up")
