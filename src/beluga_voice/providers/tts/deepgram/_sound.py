"""Sound as it should be: whole samples of what was asked for, and nothing else."""

import struct
from dataclasses import dataclass, field

from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.events import ErrorCategory, ServiceFailed
from beluga_voice.providers.mute import NOTHING_SPOKEN, is_mute

_HEADER_BYTES = 44


@dataclass(slots=True)
class Sound:
    """The sound of one context. `problems` are told once each."""

    shape: AudioFormat
    samples: int = 0
    is_mute: bool = True
    """There was nothing to hear in it so far."""
    _half: bytes = b""
    problems: list[ServiceFailed] = field(default_factory=list[ServiceFailed])

    def take(self, data: bytes) -> bytes:
        """The whole samples in it; half a sample waits for the other half."""
        if not self.samples and not self._half and data.startswith(b"RIFF"):
            data = self._without_header(data)
        data = self._half + data
        whole = len(data) - len(data) % self.shape.block_bytes
        self._half = data[whole:]
        self.samples += whole // self.shape.block_bytes
        self.is_mute = self.is_mute and is_mute(data[:whole], self.shape.encoding)
        return data[:whole]

    def end(self, *, should_sound: bool) -> list[ServiceFailed]:
        """What was wrong with it, once it is over."""
        if self._half:
            self._problem("the sound ended inside a sample; the rest of it is lost")
        if should_sound and not self.samples:
            self._problem("the service spoke without a sound; check the voice and the quota")
        elif should_sound and self.is_mute:
            self._problem(NOTHING_SPOKEN)
        self._half = b""
        return self.found()

    def found(self) -> list[ServiceFailed]:
        """What was found to be wrong since it was asked last."""
        problems, self.problems = self.problems, []
        return problems

    def _problem(self, message: str, *, is_fatal: bool = False) -> None:
        category = ErrorCategory.INVALID_REQUEST if is_fatal else ErrorCategory.RETRYABLE
        failed = ServiceFailed(category=category, message=message, is_fatal=is_fatal)
        self.problems.append(failed)

    def _without_header(self, data: bytes) -> bytes:
        """A file where raw sound was asked for: its header would be a click."""
        if len(data) >= _HEADER_BYTES and self.shape.encoding is Encoding.PCM16:
            channels, rate = struct.unpack_from("<HI", data, 22)
            if (channels, rate) != (1, self.shape.rate):
                seen = f"{rate} Hz in {channels} channels instead of {self.shape.rate} Hz"
                what = "the service sends another sound than it was asked for"
                self._problem(f"{what}: {seen}; check the endpoint", is_fatal=True)
                return b""
        self._problem("the service sends a file instead of sound; its header was left out")
        at = data.find(b"data", 12, _HEADER_BYTES * 4)
        return data[at + 8 if at >= 0 else _HEADER_BYTES :]
