"""Takes noise away with WebRTC's noise suppression: a Wiener filter, cheap and gentle.

It works at 16 kHz, so a line of a higher rate loses what lies above 8 kHz. A frame of 10 ms takes
about 13 microseconds, and speech comes out 6 ms later. Nothing was learned that would have to be
loaded; a line has 270 kB of its own. Linux only, as its package is.
"""

import platform
from importlib import import_module
from typing import Any

from beluga_voice.errors import ConfigurationError, MissingExtra
from beluga_voice.providers.noise.rates import AtRate

OWN_RATE = 16000
LEVELS = (1, 2, 3, 4)


class WebRtcNoise:
    """Noise reduction by WebRTC, for one line of mono 16-bit PCM at `rate` hertz.

    `level` is how much is taken away: from 1, which leaves speech as it is, to 4. Raises
    `MissingExtra` without its package, and `ConfigurationError` for a rate or level that it does
    not have, or on a system for which there is no package.
    """

    extra = "webrtc-noise"

    def __init__(self, *, rate: int = 16000, level: int = 2) -> None:
        if level not in LEVELS:
            known = ", ".join(map(str, LEVELS))
            raise ConfigurationError(f"a level of {level}; it takes {known}", op="noise")
        self._stage = AtRate(self._reduce, own_rate=OWN_RATE, rate=rate)
        self._processor: Any = _library().AudioProcessor(0, level)

    @property
    def rate(self) -> int:
        """Of the line, in hertz."""
        return self._stage.rate

    @property
    def frame_samples(self) -> int:
        """10 ms."""
        return self._stage.frame_samples

    def process(self, frame: bytes, /) -> bytes:
        """The frame that is due; raises `WrongFormat` for a frame of another length."""
        return self._stage.process(frame)

    def _reduce(self, frame: bytes) -> bytes:
        cleaned: bytes = self._processor.Process10ms(frame).audio
        return cleaned


def _library() -> Any:
    try:
        return import_module("webrtc_noise_gain")
    except ImportError as error:
        system = platform.system()
        if system != "Linux":
            raise ConfigurationError(
                f"WebRTC's noise reduction has no package for {system}; use rnnoise", op="noise"
            ) from error
        raise MissingExtra("WebRTC's noise reduction", extra="webrtc-noise", op="noise") from error
