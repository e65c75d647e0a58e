"""The person's words as they are written down: from deltas to the whole, final once."""

from beluga_voice.events import (
    ErrorCategory,
    InputTranscript,
    S2sEvent,
    ServiceFailed,
    Usage,
    UsageReported,
    UtteranceId,
)
from beluga_voice.providers.s2s.realtime_dialect import wire
from beluga_voice.providers.s2s.realtime_dialect.errors import ErrorMap

REMEMBERED = 64
"""Utterances whose end is remembered, so that it is told once."""
MAX_CHARACTERS = 20_000
"""Of an utterance that is longer, nothing more is told until it is whole."""


class Transcripts:
    """The utterances of one connection; `prefix` makes their ids unique over all."""

    def __init__(self, prefix: str, errors: ErrorMap) -> None:
        self._prefix = prefix
        self._errors = errors
        self._words: dict[str, str | None] = {}

    def delta(self, heard: wire.TranscriptDelta) -> list[S2sEvent]:
        """More words."""
        before = self._words.get(heard.item_id, "")
        if before is None or len(before) > MAX_CHARACTERS:
            return []
        text = before + heard.delta
        self._write(heard.item_id, text)
        return [self._transcript(heard.item_id, text, is_final=False)]

    def completed(self, heard: wire.TranscriptCompleted) -> list[S2sEvent]:
        """All words; only the first time counts."""
        if self._words.get(heard.item_id, "") is None:
            return []
        self._write(heard.item_id, None)
        events: list[S2sEvent] = [
            self._transcript(heard.item_id, heard.transcript.strip(), is_final=True)
        ]
        if (used := heard.usage) is not None:
            usage = Usage(
                input_audio_tokens=used.input_tokens,
                output_text_tokens=used.output_tokens,
                audio_seconds=used.seconds,
            )
            events.append(UsageReported(usage=usage))
        return events

    def failed(self, heard: wire.TranscriptFailed) -> list[S2sEvent]:
        """What was written down until then is all there will be."""
        text = self._words.get(heard.item_id, "")
        if text is None:
            return []
        self._write(heard.item_id, None)
        message = f"the transcription failed: {self._errors.message_of(heard.error)}"
        failed = ServiceFailed(
            category=ErrorCategory.RETRYABLE, message=message, provider_code=heard.error.code
        )
        return [failed, self._transcript(heard.item_id, text, is_final=True)]

    def _write(self, item_id: str, text: str | None) -> None:
        """Keep an utterance's words so far; `None` once they are final."""
        self._words[item_id] = text
        while len(self._words) > REMEMBERED:
            del self._words[next(iter(self._words))]

    def _transcript(self, item_id: str, text: str, *, is_final: bool) -> InputTranscript:
        utterance_id = UtteranceId(self._prefix + item_id)
        return InputTranscript(utterance_id=utterance_id, text=text, is_final=is_final)
