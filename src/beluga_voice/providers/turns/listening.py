"""What a turn detector is that listens to how something was said, not to the words."""

from typing import Protocol


class ListeningTurnDetector(Protocol):
    """Guesses from the sound whether the person is done: the probability, 0 to 1.

    It is asked at a pause. `probability` takes the turn so far as mono 16-bit PCM at `rate`, with
    the silence after it, and looks at the last `longest_samples` of it at most. It takes longer
    than an event loop may be kept, so it is awaited. Cancelling is safe: the answer is lost, and
    nothing else.
    """

    @property
    def rate(self) -> int: ...

    @property
    def longest_samples(self) -> int: ...

    async def probability(self, pcm: bytes, /) -> float: ...
