"""What the person says: fragments of a transcript as utterances.

The service says neither when a voice begins nor when it ends; it only writes down what it hears. An
utterance begins with its first words, and ends with a silence: by the times of the next words, or
once so much sound was taken without any. The clock is the sound of the person; there is no other.

An utterance is part of the conversation from its first words on, since the model may answer, and
does, before anybody knows that it has ended.
"""

from beluga_voice.events import (
    InputCommitted,
    InputTranscript,
    S2sEvent,
    SpeechStarted,
    SpeechStopped,
    UtteranceId,
)
from beluga_voice.providers.s2s.openai_live._capabilities import GAP_MS

MAX_CHARACTERS = 20_000
"""An utterance that is longer is taken for two."""


class Utterances:
    """The utterances of one connection; `prefix` makes their ids unique over all."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._numbers = 0
        self._open: UtteranceId | None = None
        self._text = ""
        self._ended_ms: float | None = None
        self._written_at_ms = 0.0
        self.last_ms: float | None = None
        """When the last words ended, of whichever utterance."""

    @property
    def is_open(self) -> bool:
        """Whether somebody speaks, as far as is known."""
        return self._open is not None

    def words(
        self, delta: str, start_ms: float | None, end_ms: float | None, heard_ms: float
    ) -> list[S2sEvent]:
        """More words, which sounded there; `heard_ms` of sound were taken so far."""
        events: list[S2sEvent] = []
        ended = self._ended_ms
        is_apart = start_ms is not None and ended is not None and start_ms - ended > GAP_MS
        if self._open is not None and (is_apart or len(self._text) > MAX_CHARACTERS):
            events += self.finish()
        if self._open is None and not any(char.isalnum() for char in delta):
            return events  # a full stop that came after its sentence was over
        if self._open is None:
            self._numbers += 1
            self._open = UtteranceId(f"{self._prefix}u{self._numbers}")
            events.append(SpeechStarted(utterance_id=self._open))
            events.append(InputCommitted(utterance_id=self._open))
        self._text += delta
        self._ended_ms, self._written_at_ms = end_ms, heard_ms
        self.last_ms = end_ms
        events.append(self._transcript(self._open, is_final=False))
        return events

    def settle(self, heard_ms: float) -> list[S2sEvent]:
        """Time passed: what has ended by now."""
        if self._open is None or heard_ms - self._written_at_ms < GAP_MS:
            return []
        return self.finish()

    def finish(self) -> list[S2sEvent]:
        """The utterance that is open ends here."""
        if self._open is None:
            return []
        utterance = self._open
        final = self._transcript(utterance, is_final=True)
        self._open, self._text, self._ended_ms = None, "", None
        return [SpeechStopped(utterance_id=utterance), final]

    def _transcript(self, utterance: UtteranceId, *, is_final: bool) -> InputTranscript:
        text = self._text.strip()
        return InputTranscript(utterance_id=utterance, text=text, is_final=is_final)
