"""A recording on its way to a service: in its format, and no faster than it is taken."""

import asyncio
from collections.abc import AsyncGenerator, Buffer, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from beluga_voice.audio.formats import FRAME_MILLISECONDS, AudioFormat, Encoding, pcm16, to_samples
from beluga_voice.errors import WrongFormat

if TYPE_CHECKING:
    from beluga_voice.audio.wav import Sound

PIECE_MS = 100
"""The length of one piece of sound on its way to the service."""
MAX_BACKLOG_MS = 1000
"""How much sound may wait in a link before more is given to it."""
UNKNOWN_SPEED = 4
"""How many times faster than speech sound is sent to a link that does not tell what waits."""
VOICED = 0.1
"""What is louder than this part of the loudest frame is voice: 20 dB below it."""
PAUSE_MS = 300
"""A silence from which on a service may find the end of a turn; none is known to wait less."""

_SILENT_BYTE = {Encoding.MULAW: b"\xff", Encoding.ALAW: b"\xd5"}


@runtime_checkable
class Backlogged(Protocol):
    """A link that tells how many bytes of sound wait to leave."""

    @property
    def waiting_audio_bytes(self) -> int: ...


_FILES = {b"RIFF": "WAV", b"OggS": "OGG", b"fLaC": "FLAC", b"ID3": "MP3"}
"""How files begin that are handed in as if they were nothing but sound."""
_PLAIN = frozenset({"B", "b", "c", "h"})
"""What a buffer of sound holds, by the names of `struct`: bytes, or 16-bit samples."""


def recording_of(audio: "bytes | Sound", rate: int, target: AudioFormat) -> bytes:
    """The recording in `target`; bytes are mono 16-bit PCM at `rate`.

    Raises `WrongFormat` if there is no sound in it, or half a sample, or if it is a file.
    """
    from beluga_voice.audio.convert import Converter
    from beluga_voice.audio.wav import Sound

    if isinstance(audio, Sound):
        rate = target.rate
        pcm = audio.to_pcm16(rate)
    else:
        pcm = _pcm_of(audio)
    if not pcm:
        raise WrongFormat("there is no sound: give speech", op="audio")
    if len(pcm) & 1:
        message = f"{len(pcm)} bytes end inside a 16-bit sample; give whole samples"
        raise WrongFormat(message, op="audio")
    if pcm16(rate) == target:
        return pcm
    converter = Converter(pcm16(rate), target)
    return converter.feed(pcm) + converter.flush()


def _pcm_of(audio: object) -> bytes:
    """What was handed in as plain sound; raises `WrongFormat` for what is none."""
    if not isinstance(audio, Buffer) or memoryview(audio).format not in _PLAIN:
        message = (
            f"the sound is of the type {type(audio).__name__}; give bytes of mono 16-bit PCM, or "
            "what read_wav or read_sound made of a file"
        )
        raise WrongFormat(message, op="audio")
    pcm = bytes(audio)
    kind = next((what for head, what in _FILES.items() if pcm.startswith(head)), None)
    if kind is not None:
        message = f"this is a {kind} file, and no plain PCM; give what read_sound makes of it"
        raise WrongFormat(message, op="audio")
    return pcm


def silence_of(shape: AudioFormat, milliseconds: int) -> bytes:
    """Silence, as that format has it."""
    size = shape.rate * milliseconds // 1000 * shape.block_bytes
    return _SILENT_BYTE.get(shape.encoding, b"\0") * size


@dataclass(frozen=True, slots=True, kw_only=True)
class Voiced:
    """Where in a recording there is a voice."""

    until: int
    """Bytes to the end of the piece that holds the last of it; 0 if there is none."""
    has_pauses: bool = False
    """Whether it pauses for `PAUSE_MS` or more."""


def voiced_in(recording: bytes, shape: AudioFormat) -> Voiced:
    """Where there is a voice in a recording of that format, by how loud it is."""
    import numpy as np

    from beluga_voice.audio.convert import Converter

    converter = Converter(shape, pcm16(shape.rate))
    samples = np.frombuffer(converter.feed(recording) + converter.flush(), "<i2")
    size = to_samples(FRAME_MILLISECONDS, shape.rate)
    whole = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    levels = np.sqrt((whole * whole).mean(axis=1))
    voiced = np.flatnonzero(levels > max(levels.max(initial=0.0) * VOICED, 1.0))
    if not len(voiced):
        return Voiced(until=0)
    end = (int(voiced[-1]) + 1) * size * shape.block_bytes
    piece = to_samples(PIECE_MS, shape.rate) * shape.block_bytes
    silent = np.diff(voiced).max(initial=1) - 1
    return Voiced(
        until=min(-(-end // piece) * piece, len(recording)),
        has_pauses=bool(silent * FRAME_MILLISECONDS >= PAUSE_MS),
    )


class Feeder:
    """Gives a link sound piece by piece."""

    def __init__(self, link: Any, shape: AudioFormat, *, is_paced: bool) -> None:
        self._link = link
        self._shape = shape
        self._is_paced = is_paced
        self._due = 0.0

    async def feed(self, pcm: bytes, command: Callable[..., object]) -> None:
        """Send all of it, as commands of that kind."""
        loop = asyncio.get_running_loop()
        size = max(self._shape.rate * PIECE_MS // 1000, 1) * self._shape.block_bytes
        self._due = max(self._due, loop.time())
        for start in range(0, len(pcm), size):
            self._link.send(command(pcm=pcm[start : start + size]))
            await self._pause(loop)

    async def _pause(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until the next piece may be sent."""
        if self._is_paced:
            self._due += PIECE_MS / 1000
            await asyncio.sleep(self._due - loop.time())
            return
        if not isinstance(self._link, Backlogged):
            await asyncio.sleep(PIECE_MS / 1000 / UNKNOWN_SPEED)
            return
        most = self._shape.rate * self._shape.block_bytes * MAX_BACKLOG_MS // 1000
        await asyncio.sleep(0)
        while True:
            if self._link.waiting_audio_bytes <= most:
                return
            await asyncio.sleep(PIECE_MS / 1000)

    @asynccontextmanager
    async def sending(
        self, pcm: bytes, command: Callable[..., object], *, then: Sequence[object]
    ) -> AsyncGenerator[None]:
        """Send in the background while the context is open, and those commands after it."""

        async def send() -> None:
            await self.feed(pcm, command)
            for one in then:
                self._link.send(one)

        sender = asyncio.create_task(send(), name="beluga-voice recording")
        try:
            yield
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
