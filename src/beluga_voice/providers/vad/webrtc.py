"""Hears speech with the WebRTC detector: a few microseconds a frame, good where it is quiet.

It compares the energies of six bands with Gaussian models of speech and of noise that adapt to the
line. Its answer is yes or no, so the probability is 1 or 0. Loud noise is mostly speech to it:
`./dev bench detection` compares. The models are constants of the library, which all lines share; a
line has half a kilobyte of its own.

Rates and lengths of a frame are what `valid_rate_and_frame_length` of webrtcvad-wheels 2.0.14 takes
(tried 2026-11-21).
"""

from importlib import import_module
from typing import Any

from beluga_voice.errors import ConfigurationError, MissingExtra, WrongFormat

RATES = (8000, 16000, 32000, 48000)
FRAME_MILLISECONDS = (10, 20, 30)
MODES = (0, 1, 2, 3)


class WebRtcVad:
    """Voice activity by the WebRTC detector.

    * `rate`: of the sound, one of `RATES`, in hertz.
    * `frame_milliseconds`: length of a frame, one of `FRAME_MILLISECONDS`.
    * `mode`: from 0, which lets most through, to 3, which takes the least for speech.

    Raises `MissingExtra` without its package, and `ConfigurationError` for another setting.
    """

    extra = "webrtc-vad"

    def __init__(self, *, rate: int = 16000, frame_milliseconds: int = 20, mode: int = 2) -> None:
        for what, value, allowed in (
            ("a rate", rate, RATES),
            ("frame_milliseconds", frame_milliseconds, FRAME_MILLISECONDS),
            ("mode", mode, MODES),
        ):
            if value not in allowed:
                known = ", ".join(map(str, allowed))
                raise ConfigurationError(f"{what} of {value}; it takes {known}", op="vad")
        self.rate = rate
        self.frame_samples = rate * frame_milliseconds // 1000
        self._mode = mode
        try:
            self._library: Any = import_module("webrtcvad")
        except ImportError as error:
            what = "the WebRTC voice activity detector"
            raise MissingExtra(what, extra="webrtc-vad", op="vad") from error
        self.reset()

    def process(self, frame: bytes, /) -> float:
        """1 for speech, otherwise 0; raises `WrongFormat` for a frame of another length."""
        if len(frame) != 2 * self.frame_samples:
            raise WrongFormat(
                f"a frame of {len(frame)} bytes; {2 * self.frame_samples} are due", op="vad"
            )
        return 1.0 if self._vad.is_speech(frame, self.rate) else 0.0

    def reset(self) -> None:
        """Forget what was heard."""
        self._vad: Any = self._library.Vad(self._mode)
