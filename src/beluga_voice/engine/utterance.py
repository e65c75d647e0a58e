"""What is known of what the person says now, or said last."""

from dataclasses import dataclass

from beluga_voice.engine.latency import Marks
from beluga_voice.events import UtteranceId


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

    def begin(self, began: float) -> None:
        """A voice is heard, which began then: nothing is known of what it says."""
        self.is_voice = True
        self.began = began
        self.text = ""
        self.is_understood = self.has_words = self.is_forgotten = False
