"""Where the time of a turn went.

How it works. Each thing that a turn waits for leaves a mark, the first time it happens. The time
between one mark and the next is a part of the latency. A mark that is missing, or lies before the
one it should follow, makes its part unknown, and the time belongs to the next part that is known:
so the parts always add up to the whole.
"""

from dataclasses import dataclass

from beluga_voice.events import ResponseId, TurnMeasured

ROUNDING_SECONDS = 1e-6
"""Marks that differ by less are the same moment: a timer's own time, and the clock's."""


@dataclass(slots=True)
class Marks:
    """When the parts of a turn happened, in seconds; `None` while unknown."""

    voice_ended: float
    decided: float | None = None
    words: float | None = None
    text: float | None = None
    audio: float | None = None

    def note_words(self, now: float) -> None:
        """The words of the person are known."""
        if self.words is None:
            self.words = now

    def note_text(self, now: float) -> None:
        """The first words of the response are known."""
        if self.text is None:
            self.text = now

    def note_audio(self, now: float) -> None:
        """The first sound of the response came."""
        if self.audio is None:
            self.audio = now

    def measured(
        self, response_id: ResponseId, delivered: float, audible: float | None = None
    ) -> TurnMeasured:
        """The parts, for a response whose first sound reached the line at `delivered`.

        And the person at `audible`, where that is told.
        """
        parts: list[float | None] = []
        last = self.voice_ended
        for mark in (self.decided, self.words, self.text, self.audio, delivered, audible):
            if mark is None or mark < last - ROUNDING_SECONDS:
                parts.append(None)
            else:
                mark = max(mark, last)
                parts.append(round((mark - last) * 1000, 3))
                last = mark
        endpointing, transcription, thinking, synthesis, delivery, playout = parts
        return TurnMeasured(
            response_id=response_id,
            total_ms=round((last - self.voice_ended) * 1000, 3),
            endpointing_ms=endpointing,
            transcription_ms=transcription,
            thinking_ms=thinking,
            synthesis_ms=synthesis,
            delivery_ms=delivery,
            playout_ms=playout,
        )
