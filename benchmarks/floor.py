"""The least code that holds the same conversation: what no framework could be faster than.

Bare asyncio: a frame is looked at by a plain call, an answer is one task, and nothing is kept that
the next turn does not need. It has no pacing, no history by what was heard, no errors, no timers.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

from benchmarks.fakes import OUTPUT_RATE, WORDS, Marks

_FRAME_BYTES = OUTPUT_RATE // 50 * 2


class FloorSession:
    """A conversation with the same instant services, called directly."""

    def __init__(
        self, marks: Marks, answer: Callable[[str], AsyncIterator[str]], *, frames: int
    ) -> None:
        self._marks = marks
        self._answer = answer
        self._frames = frames
        self._hears_voice = False
        self._task: asyncio.Task[None] | None = None
        self.sent = 0
        """Frames of the answer that were handed to the line."""

    def send_audio(self, pcm: bytes) -> None:
        """Take a frame of the person."""
        is_voice = pcm[1] != 0
        if is_voice and not self._hears_voice and self._task is not None:
            self._task.cancel()
            self._task = None
            self._marks.reach("silenced")
        elif self._hears_voice and not is_voice:
            self._marks.reach("words")
            self._task = asyncio.create_task(self._respond(WORDS))
        self._hears_voice = is_voice

    async def _respond(self, words: str) -> None:
        answer = "".join([piece async for piece in self._answer(words)])
        self._marks.reach("voice")
        if answer:
            await asyncio.sleep(0)  # the voice's one trip of the loop
            self._marks.reach("sound")
        for _ in range(self._frames):
            self._line(bytes(_FRAME_BYTES))
        # The answer sounds from now on: voice that comes is an interruption.
        await asyncio.get_running_loop().create_future()

    def _line(self, pcm: bytes) -> None:
        self._marks.reach("line")
        self.sent += len(pcm) // _FRAME_BYTES

    def rest(self) -> None:
        """The answer has sounded."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
