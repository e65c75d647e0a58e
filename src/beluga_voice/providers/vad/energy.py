"""Hears speech by its loudness above the room's: needs nothing installed.

The level of each frame is compared with a noise floor, the quietest frame of the last seconds:
even fluent speech has a gap in them, so the floor is the room's. What stands out of it by
`threshold_db` is speech with probability a half. It cannot tell speech from other sudden sound,
nor find much of it in a noisy room; `silero` can do both.
"""

import math
from collections import deque

from beluga_voice.errors import WrongFormat
from beluga_voice.providers.vad.loudness import level_db

_BLOCKS = 6


class EnergyVad:
    """Voice activity from loudness alone.

    * `rate`: of the sound, in hertz.
    * `frame_milliseconds`: length of a frame.
    * `threshold_db`: how far above the noise floor a frame is as likely speech as not.
    * `slope_db`: how many dB more change the odds by a factor e.
    * `quietest_db`: below full scale; what is quieter is never speech.
    * `memory_milliseconds`: how long the quietest frame stays the floor: longer than people speak
      without a pause, and how long a room that became louder is taken for speech.
    """

    def __init__(
        self,
        *,
        rate: int = 16000,
        frame_milliseconds: int = 20,
        threshold_db: float = 6.0,
        slope_db: float = 1.5,
        quietest_db: float = -55.0,
        memory_milliseconds: int = 2000,
    ) -> None:
        self.rate = rate
        self.frame_samples = rate * frame_milliseconds // 1000
        self._threshold = threshold_db
        self._slope = slope_db
        self._quietest = quietest_db
        self._block_frames = max(1, memory_milliseconds // frame_milliseconds // _BLOCKS)
        self._minima: deque[float] = deque(maxlen=_BLOCKS)
        self._frames = 0

    def process(self, frame: bytes, /) -> float:
        """The probability of speech in the frame; raises `WrongFormat` for another length."""
        if len(frame) != 2 * self.frame_samples:
            raise WrongFormat(
                f"a frame of {len(frame)} bytes; {2 * self.frame_samples} are due", op="vad"
            )
        level = level_db(frame)
        if self._frames % self._block_frames == 0:
            # The first floor is a guess: who begins in mid-word must not make speech the floor.
            self._minima.append(level if self._minima else min(level, self._quietest))
        self._frames += 1
        self._minima[-1] = min(self._minima[-1], level)
        if level < self._quietest:
            return 0.0
        above = (level - min(self._minima) - self._threshold) / self._slope
        return 1 / (1 + math.exp(-max(-40.0, min(40.0, above))))

    def reset(self) -> None:
        """Forget the room."""
        self._minima.clear()
        self._frames = 0
