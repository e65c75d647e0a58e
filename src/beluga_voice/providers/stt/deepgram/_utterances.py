"""Which words are of which utterance: the service knows only one stream of sound.

An utterance ends where the application says so. The service is told, and goes on with the words
of what came before; meanwhile the next utterance may have begun. So words are put to utterances by
where they sound, in samples of all the sound that went out on this connection. Sound counts when
it *passes* to the service, because sound that waits for a slow connection may be dropped.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from beluga_voice.events import TimedWord, Transcript, UtteranceId
from beluga_voice.providers.answers import readings_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Words that the service heard together; `start` puts the pieces into order."""

    start: int
    text: str
    words: tuple[TimedWord, ...] = ()
    confidence: float | None = None
    language: str | None = None
    others: tuple[str, ...] = ()
    """Other readings of it, likeliest first."""


@dataclass(slots=True, eq=False)
class Utterance:
    """The words of one utterance, so far."""

    id: UtteranceId | None = None
    """As it was finished; `None` while it goes on, and if it was dropped."""
    has_sound: bool = False
    start: int | None = None
    """Where its sound begins in the stream, once that has passed."""
    end: int | None = None
    """Where its sound ends, once it was ended and the service was told."""
    settled: dict[object, Piece] = field(default_factory=dict[object, Piece])
    """What is final, by window or turn."""
    interim: Piece | None = None
    loud_to: int = 0
    """Where the last of its sound ends that is no silence."""
    heard_to: int = 0
    """How far the service has spoken of its sound."""
    settled_to: int = 0
    """How far its words are final."""
    is_complete: bool = False

    @property
    def is_settled(self) -> bool:
        """All the words that are known of it are final."""
        return self.interim is None or not self.interim.text

    @property
    def pieces(self) -> list[Piece]:
        """All that is known, in the order in which it sounds."""
        found = [*self.settled.values(), *([self.interim] if self.interim is not None else [])]
        return sorted(found, key=lambda piece: piece.start)

    @property
    def text(self) -> str:
        """All the words that are known."""
        return " ".join(piece.text for piece in self.pieces if piece.text)

    def transcript(self, *, is_final: bool, wants_words: bool, language: str | None) -> Transcript:
        """As an event."""
        pieces = [piece for piece in self.pieces if piece.text]
        begin = self.start or 0
        words = [word for piece in pieces for word in piece.words] if wants_words else []
        sure = [one for one in pieces if one.confidence is not None]
        weight = sum(len(one.text.split()) for one in sure)
        total = sum((one.confidence or 0) * len(one.text.split()) for one in sure)
        return Transcript(
            text=self.text,
            is_final=is_final,
            utterance_id=self.id if is_final else None,
            words=tuple(
                TimedWord(
                    text=word.text,
                    start=max(word.start - begin, 0),
                    end=max(word.end - begin, 0),
                    confidence=word.confidence,
                )
                for word in words
            ),
            confidence=total / weight if weight else None,
            language=next((one.language for one in pieces if one.language), language),
            alternatives=readings_of([(one.text, one.others) for one in pieces])
            if is_final
            else (),
        )


class Utterances:
    """The present utterance, and those that were ended and wait for their words."""

    def __init__(self) -> None:
        self.present = Utterance()
        self.ended: deque[Utterance] = deque()
        self.position = 0
        """Samples that passed to the service."""
        self._settled_before = 0

    def end(self, name: UtteranceId | None) -> Utterance:
        """The present utterance is over; without a name, nobody wants its words."""
        over = self.present
        over.id = name
        self.present = Utterance()
        self.ended.append(over)
        if not over.has_sound:
            over.is_complete = True
        return over

    def sound_passed(self, samples: int, *, is_loud: bool) -> None:
        """So much more sound of whichever utterance is passing."""
        passing = next((one for one in self._passing()), self.present)
        if passing.start is None:
            passing.start = self.position
        self.position += samples
        if is_loud:
            passing.loud_to = self.position

    def silence_passed(self, samples: int) -> None:
        """So much silence of our own, which is nobody's."""
        self.position += samples

    def end_passed(self) -> Utterance | None:
        """The service was told of the end of the utterance that is passing."""
        passing = next((one for one in self._passing()), None)
        if passing is None:
            return None
        passing.end = self.position
        if passing.start is None:
            passing.start = passing.end
        return passing

    def _passing(self) -> Iterator[Utterance]:
        return (one for one in self.ended if one.has_sound and one.end is None)

    def at(self, position: int) -> Utterance | None:
        """Whose sound is there; `None` if all is told of it already."""
        if position < self._settled_before:
            return None
        for one in self.ended:
            if one.has_sound and (one.end is None or position < one.end):
                return one
        return self.present

    @property
    def unanswered(self) -> Utterance | None:
        """The first that was ended, and whose words are not all known."""
        return next((one for one in self.ended if not one.is_complete), None)

    @property
    def unanswered_count(self) -> int:
        """How many there are of those."""
        return sum(not one.is_complete for one in self.ended)

    @property
    def waiting(self) -> Utterance | None:
        """That one, if the service was told of its end."""
        first = self.unanswered
        return None if first is None or first.end is None else first

    def release(self) -> Iterator[Utterance]:
        """Those that are complete, in order, and not before those that ended before them."""
        while self.ended and self.ended[0].is_complete:
            first = self.ended.popleft()
            self._settled_before = max(self._settled_before, first.end or 0)
            yield first
