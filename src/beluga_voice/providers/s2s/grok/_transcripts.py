"""The person's words as the Grok Voice Agent service writes them down: always the whole so far.

How it works. The service may say more than once that an utterance is written down, each time with
more of it; what it said last holds once the answer to it begins to sound. So the words are final
only then, or when the next utterance begins, or at the end. What is written down after the answer
began is final at once.
"""

from dataclasses import dataclass

from beluga_voice.events import InputTranscript, S2sEvent, UtteranceId
from beluga_voice.providers.s2s.grok._wire import TranscriptUpdated
from beluga_voice.providers.s2s.realtime_dialect.wire import TranscriptCompleted

REMEMBERED = 64
"""Utterances whose end is remembered, so that it is told once."""
IN_PROGRESS = "in_progress"


@dataclass(slots=True)
class _Utterance:
    """What is known of one."""

    text: str | None = None
    """The words so far, as they were told."""
    is_written: bool = False
    """The service said that this is all of it, which it may say again."""
    is_committed: bool = False
    is_due: bool = False
    """Its answer has begun, or none is made: the next words that are all of it are final."""
    is_final: bool = False


class CumulativeTranscripts:
    """The utterances of one connection; `prefix` makes their ids unique over all."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._utterances: dict[str, _Utterance] = {}
        self._open: dict[str, _Utterance] = {}
        """Those that are not final."""

    def updated(self, heard: TranscriptUpdated) -> list[S2sEvent]:
        """All words so far."""
        return self._tell(heard.item_id, heard.transcript, is_written=False)

    def completed(self, heard: TranscriptCompleted) -> list[S2sEvent]:
        """All words, or so the service believes."""
        is_written = heard.status != IN_PROGRESS
        return self._tell(heard.item_id, heard.transcript, is_written=is_written)

    def committed(self, item_id: str, *, is_answered: bool) -> list[S2sEvent]:
        """An utterance is part of the conversation; an answer follows, or does not."""
        one = self._utterance(item_id)
        one.is_committed = True
        if is_answered or one.is_final:
            return []
        one.is_due = True
        return self._finish(item_id) if one.is_written else []

    def began(self, item_id: str) -> list[S2sEvent]:
        """The person speaks again: the utterances before are over."""
        return [
            event
            for other in tuple(self._open)
            if other != item_id and self._open[other].is_written
            for event in self._finish(other)
        ]

    def answered(self) -> list[S2sEvent]:
        """The answer to what was committed sounds, or is over."""
        if not self._open:
            return []
        events: list[S2sEvent] = []
        for item_id, one in tuple(self._open.items()):
            if one.is_committed:
                one.is_due = True
                events += self._finish(item_id) if one.is_written else []
        return events

    def ended(self) -> list[S2sEvent]:
        """The connection is over: of what was committed, what is known is all there will be.

        An utterance that goes on is heard again by the next connection, and written down there.
        """
        return [
            event
            for item_id, one in tuple(self._open.items())
            if one.is_committed and one.text
            for event in self._finish(item_id)
        ]

    def _tell(self, item_id: str, transcript: str, *, is_written: bool) -> list[S2sEvent]:
        one = self._utterance(item_id)
        if one.is_final:
            return []
        text = transcript.strip()
        is_news = text != one.text
        one.text = text
        one.is_written = one.is_written or is_written
        if is_written and one.is_due:
            return self._finish(item_id)
        return [self._transcript(item_id, text, is_final=False)] if is_news and text else []

    def _finish(self, item_id: str) -> list[S2sEvent]:
        one = self._open.pop(item_id)
        one.is_final = True
        return [self._transcript(item_id, one.text or "", is_final=True)]

    def _utterance(self, item_id: str) -> _Utterance:
        one = self._utterances.get(item_id)
        if one is None:
            one = self._utterances[item_id] = self._open[item_id] = _Utterance()
            while len(self._utterances) > REMEMBERED:
                oldest = next(iter(self._utterances))
                del self._utterances[oldest]
                self._open.pop(oldest, None)
        return one

    def _transcript(self, item_id: str, text: str, *, is_final: bool) -> InputTranscript:
        utterance_id = UtteranceId(self._prefix + item_id)
        return InputTranscript(utterance_id=utterance_id, text=text, is_final=is_final)
