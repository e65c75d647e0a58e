"""Hears from the melody and the rhythm of speech whether the person is done: Smart Turn, version 3.

The model of the Pipecat project (BSD 2-Clause) looks at the last eight seconds and gives one
number. It takes 50 to 90 milliseconds of a shared core, on a thread of its own, so it is asked once
for each pause. Of the synthetic voices that run on this machine it knows next to nothing:
`./dev bench detection` measures it.

The file is not in any package of ours, and nothing is fetched behind your back: get
`smart-turn-v3.2-cpu.onnx` (9 MB) from the model's page and say where it is, `smart_turn:PATH`.
Where `pipecat-ai` is installed, its copy is taken. All sessions share one model.

Input, output and padding are those of pipecat-ai 1.14.0, which carries the file (read 2026-11-21).
"""

import asyncio
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from beluga_voice.errors import ConfigurationError, MissingExtra, WrongFormat
from beluga_voice.providers.turns.log_mel import BANDS, HOP_SAMPLES, RATE, log_mel

FILE_NAME = "smart-turn-v3.2-cpu.onnx"
PAGE = "https://huggingface.co/pipecat-ai/smart-turn-v3"
LONGEST_SAMPLES = 8 * RATE
_INPUT = "input_features"
_SHAPE = [BANDS, LONGEST_SAMPLES // HOP_SAMPLES]
_FULL_SCALE = 32768
_LEAST_VARIANCE = 1e-7


class SmartTurn:
    """A turn detector that listens to the sound.

    `model` is the path of the model's file. Raises `MissingExtra` without the runtime, and
    `ConfigurationError` without the file, or if it is another model.
    """

    extra = "smart-turn"
    rate = RATE
    longest_samples = LONGEST_SAMPLES

    def __init__(self, *, model: str | Path | None = None) -> None:
        path = Path(model) if model is not None else _carried()
        if path is None:
            raise ConfigurationError(
                f"the Smart Turn model is not here: get {FILE_NAME} from {PAGE} "
                "and give its path, as in smart_turn:PATH",
                op="turns",
            )
        self._session: Any = _load(path.expanduser().resolve())

    async def probability(self, pcm: bytes, /) -> float:
        """How sure it is that the turn is over, on a thread; cancelling loses the answer only.

        `pcm` is mono 16-bit PCM at 16 kHz up to now, the silence included. Raises `WrongFormat` if
        it ends inside a sample.
        """
        return await asyncio.to_thread(self.judge, pcm)

    def judge(self, pcm: bytes) -> float:
        """The same at once, for those who may wait so long."""
        if len(pcm) % 2:
            raise WrongFormat(f"{len(pcm)} bytes end inside a 16-bit sample", op="turns")
        heard = np.frombuffer(pcm[-2 * LONGEST_SAMPLES :], "<i2") / _FULL_SCALE
        # Shorter sound ends where the window ends, after silence.
        sound = np.zeros(LONGEST_SAMPLES)
        sound[LONGEST_SAMPLES - len(heard) :] = heard
        sound = (sound - sound.mean()) / np.sqrt(sound.var() + _LEAST_VARIANCE)
        found = self._session.run(None, {_INPUT: log_mel(sound)[None]})
        return float(found[0][0][0])


def _carried() -> Path | None:
    """The copy in another package, which is not imported for it."""
    spec = find_spec("pipecat")
    folders = spec.submodule_search_locations if spec is not None else None
    for folder in folders or ():
        path = Path(folder) / "audio" / "turn" / "smart_turn" / "data" / FILE_NAME
        if path.exists():
            return path
    return None


@cache
def _load(path: Path) -> Any:
    """The model of that file, loaded once for the process; running it is safe on many threads."""
    try:
        runtime: Any = import_module("onnxruntime")
    except ImportError as error:
        raise MissingExtra("the Smart Turn detector", extra="smart-turn", op="turns") from error
    if not path.is_file():
        raise ConfigurationError(
            f"there is no file {path}; get {FILE_NAME} from {PAGE}", op="turns"
        )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # A thread that spins while it waits takes a core from the calls.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = runtime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the runtime has no common class for what it raises
        raise _not_smart_turn(path) from error
    shapes = {one.name: one.shape[1:] for one in session.get_inputs()}
    if shapes != {_INPUT: _SHAPE}:
        raise _not_smart_turn(path)
    return session


def _not_smart_turn(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{path.name} is not version 3 of the Smart Turn model; get {FILE_NAME} from {PAGE}",
        op="turns",
    )
