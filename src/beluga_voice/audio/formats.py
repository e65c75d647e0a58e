"""What shape a piece of sound has.

Inside a session all sound is *mono, signed 16-bit little-endian PCM* at a stated rate: `bytes`,
two to a sample. Other shapes exist only at the edges, where `beluga_voice.audio.convert` meets
them. A position in sound is a count of samples at a stated rate, never seconds.
"""

from dataclasses import dataclass
from enum import StrEnum

from beluga_voice.errors import WrongFormat

FRAME_MILLISECONDS = 20
"""The length of one frame on every line, unless a protocol says otherwise."""

RATES = (8000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Sample rates that are met in practice, in hertz."""


class Encoding(StrEnum):
    """How one sample is written. PCM is little-endian; the G.711 laws are one byte a sample."""

    PCM16 = "pcm16"
    PCM32 = "pcm32"
    FLOAT32 = "float32"
    MULAW = "mulaw"
    ALAW = "alaw"


_SAMPLE_BYTES = {
    Encoding.PCM16: 2,
    Encoding.PCM32: 4,
    Encoding.FLOAT32: 4,
    Encoding.MULAW: 1,
    Encoding.ALAW: 1,
}


_SILENT = {Encoding.MULAW: b"\xff\x7f", Encoding.ALAW: b"\xd5\x55"}
"""Where silence is not zero."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """An encoding, a rate in hertz and a number of interleaved channels.

    Raises `WrongFormat` for a rate outside 4000 to 192000 or channels outside 1 to 8.
    """

    encoding: Encoding = Encoding.PCM16
    rate: int = 16000
    channels: int = 1

    def __post_init__(self) -> None:
        if not 4000 <= self.rate <= 192000:
            raise WrongFormat(f"a rate of {self.rate} Hz is outside 4000 to 192000", op="audio")
        if not 1 <= self.channels <= 8:
            raise WrongFormat(f"{self.channels} channels are outside 1 to 8", op="audio")

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample of one channel."""
        return _SAMPLE_BYTES[self.encoding]

    @property
    def block_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.sample_bytes * self.channels

    def samples(self, data: bytes) -> int:
        """Samples of each channel in `data`; raises `WrongFormat` if it ends inside one."""
        count, rest = divmod(len(data), self.block_bytes)
        if rest:
            raise WrongFormat(
                f"{len(data)} bytes are not a whole number of {self.block_bytes}-byte samples",
                op="audio",
            )
        return count


def pcm16(rate: int) -> AudioFormat:
    """Mono 16-bit PCM at `rate`: what a session carries inside."""
    return AudioFormat(Encoding.PCM16, rate, 1)


def to_milliseconds(samples: int, rate: int) -> float:
    """The length of `samples` at `rate`, for people and timers."""
    return samples * 1000 / rate


def to_samples(milliseconds: float, rate: int) -> int:
    """How many whole samples at `rate` fit into `milliseconds`."""
    return int(milliseconds * rate / 1000)


def is_digital_silence(sound: bytes, encoding: Encoding = Encoding.PCM16) -> bool:
    """Whether nothing but digital silence is in it, as that encoding has it, or nothing at all.

    A voice has noise: what is silent to the last bit was not spoken.
    """
    return not sound.strip(_SILENT.get(encoding, b"\0"))
