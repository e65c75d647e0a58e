"""What is known of what the person says now, or said last."""

from dataclasses import dataclass, field

from beluga_voice.engine.latency import Marks
from beluga_voice.events import UtteranceId

MOST_AWAITED = 8
"""Of so many utterances the words are awaited; those of older ones will not come."""


@dataclass(slots=True)
class Utterance:
    """The present utterance. Times are seconds of the clock that the engine is given."""

    is_voice: bool = False
    """Whether the person's voice is heard."""
    began: float = 0.0
    """When the voice began."""
    ended: float = 0.0
    """When a voice ended last."""
    text: str = ""
    """What was understood of it so far."""
    unsure: tuple[UtteranceId, str] | None = None
    """The words that are not final yet, of the utterance that was heard last."""
    is_understood: bool = False
    """Whether there was something to understand."""
    has_words: bool = False
    """Whether its final words are there."""
    is_forgotten: bool = False
    """Whether its sound is not kept any more, as it is being answered."""
    marks: Marks | None = None
    """The latency of the present turn, until the first sound of its answer."""
    awaited: list[UtteranceId] = field(default_factory=list[UtteranceId])
    """Utterances that are over, and whose final words are not there yet."""
    earlier: frozenset[UtteranceId] = frozenset()
    """Those of them that were over when the present one began."""
    owed: set[UtteranceId] = field(default_factory=set[UtteranceId])
    """Those of them that are to be answered with what the person went on to say."""

    def begin(self, began: float) -> None:
        """A voice is heard, which began then: nothing is known of what it says."""
        self.is_voice = True
        self.began = began
        self.text = ""
        self.is_understood = self.has_words = self.is_forgotten = False
        self.earlier = frozenset(self.awaited)

    def is_over(self, utterance_id: UtteranceId) -> None:
        """The service has taken an utterance for itself: its final words are to come."""
        if utterance_id not in self.awaited:
            self.awaited.append(utterance_id)
            del self.awaited[:-MOST_AWAITED]

    def goes_on(self) -> None:
        """A turn begins, before there was an answer to what is not known yet."""
        self.owed.update(self.awaited)

    def is_answered(self) -> None:
        """What was said has an answer, or is to have none. Words known later come with the next."""
        self.owed.clear()

    def has_come(self, utterance_id: UtteranceId) -> bool:
        """The final words of an utterance are there; whether it is an earlier one than this."""
        if utterance_id in self.awaited:
            self.awaited.remove(utterance_id)
        return utterance_id in self.earlier

    def lose(self) -> None:
        """No words will come of what the service was given."""
        self.awaited.clear()
        self.owed.clear()
        self.earlier = frozenset()
