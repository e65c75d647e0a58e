"""Takes noise away with RNNoise, a recurrent network for sound at 48 kHz.

The best of ours against steady noise, and the dearest: about half a millisecond for 10 ms of sound,
so 5% of a core for each line. Speech comes out 20 ms later, and a few milliseconds more where the
line has another rate. What the network learned is part of the library, which the process loads
once; a line has 32 kB of its own.

The library is the one in the package `pyrnnoise`, and nothing else of that package is loaded: its
Python part needs a library of pictures. Functions and types are those that pyrnnoise 0.4.5 declares
(read 2026-11-21). The interpreter's lock is free while it works.
"""

import ctypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from weakref import finalize

import numpy as np

from beluga_voice.errors import ConfigurationError, MissingExtra
from beluga_voice.providers.noise.rates import AtRate

OWN_RATE = 48000
FRAME_SAMPLES = 480
_LIBRARIES = ("librnnoise.so", "librnnoise.dylib", "rnnoise.dll")
_PCM16 = np.dtype("<i2")


class Rnnoise:
    """Noise reduction by RNNoise, for one line of mono 16-bit PCM at `rate` hertz.

    Raises `MissingExtra` without its package, and `ConfigurationError` for a rate at which 10 ms
    are no whole number of samples.
    """

    extra = "rnnoise"

    def __init__(self, *, rate: int = 16000) -> None:
        self._stage = AtRate(self._reduce, own_rate=OWN_RATE, rate=rate)
        self._library = _library()
        self._state = ctypes.c_void_p(self._library.rnnoise_create(None))
        finalize(self, self._library.rnnoise_destroy, self._state)
        self._floats = (ctypes.c_float * FRAME_SAMPLES)()
        self._samples = np.frombuffer(self._floats, np.float32)

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
        self._samples[:] = np.frombuffer(frame, _PCM16)
        self._library.rnnoise_process_frame(self._state, self._floats, self._floats)
        return np.rint(self._samples).clip(-32768, 32767).astype(_PCM16).tobytes()


@cache
def _library() -> ctypes.CDLL:
    """The library with the network, loaded once for the process."""
    spec = find_spec("pyrnnoise")
    if spec is None or spec.origin is None:
        raise MissingExtra("RNNoise", extra="rnnoise", op="noise")
    folder = Path(spec.origin).parent
    path = next((folder / name for name in _LIBRARIES if (folder / name).exists()), None)
    if path is None:
        raise ConfigurationError(
            f"the package pyrnnoise holds none of {', '.join(_LIBRARIES)}; "
            "there is no build of it for this system: use another reducer",
            op="noise",
        )
    library = ctypes.CDLL(str(path))
    state, floats = ctypes.c_void_p, ctypes.POINTER(ctypes.c_float)
    library.rnnoise_create.argtypes = [state]
    library.rnnoise_create.restype = state
    library.rnnoise_destroy.argtypes = [state]
    library.rnnoise_destroy.restype = None
    library.rnnoise_process_frame.argtypes = [state, floats, floats]
    library.rnnoise_process_frame.restype = ctypes.c_float
    frame_samples = library.rnnoise_get_frame_size()
    if frame_samples != FRAME_SAMPLES:
        raise ConfigurationError(
            f"this RNNoise takes frames of {frame_samples} samples instead of {FRAME_SAMPLES}; "
            "install the version of pyrnnoise that this package asks for",
            op="noise",
        )
    return library
