"""Faults of a stream: pieces that are lost, doubled, out of order, or cut."""

from collections.abc import Sequence
from dataclasses import dataclass

from beluga_voice.audio.formats import to_samples
from beluga_voice.errors import ConfigurationError
from beluga_voice.events import (
    ClearInput,
    DropUtterance,
    EndUserTurn,
    FinishUtterance,
    ResponseAudio,
    SendAudio,
    SpeechAudio,
    StartUserTurn,
)
from beluga_voice.testing.faults.fault import (
    Effect,
    Fault,
    Place,
    check_positive,
    check_share,
)
from beluga_voice.testing.faults.pieces import (
    Matter,
    Sound,
    answer_of,
    done_early,
    is_of,
    with_pcm,
)

UTTERANCE = "utterance"
"""Whose the person's sound is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss(Fault):
    """Pieces of sound, or words, go missing. What opens or ends something never does."""

    name = "loss"
    share: float = 0.2
    of: Matter = Matter.SOUND

    def check(self) -> None:
        check_share(self.share)

    def begin(self, place: Place) -> Effect:
        return _Copied(place, self.share, self.of, copies=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate(Fault):
    """Pieces of sound, or words, come twice in a row."""

    name = "duplicate"
    share: float = 0.2
    of: Matter = Matter.SOUND

    def check(self) -> None:
        check_share(self.share)

    def begin(self, place: Place) -> Effect:
        return _Copied(place, self.share, self.of, copies=2)


class _Copied(Effect):
    def __init__(self, place: Place, share: float, of: Matter, *, copies: int) -> None:
        self._chance = place.chance
        self._share = share
        self._of = of
        self._copies = copies

    def alter(self, item: object) -> Sequence[object]:
        is_hit = is_of(item, self._of) and self._chance.random() < self._share
        return (item,) * self._copies if is_hit else (item,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reorder(Fault):
    """A piece of sound comes after the one that follows it.

    The last piece before anything that is no sound stays where it is, so that nothing comes after
    the end of what it belongs to. No network does this to a link over TCP: services do, and so do
    transports over UDP.
    """

    name = "reorder"
    share: float = 0.2

    def check(self) -> None:
        check_share(self.share)

    def begin(self, place: Place) -> Effect:
        return _Swapped(place, self.share)


class _Swapped(Effect):
    def __init__(self, place: Place, share: float) -> None:
        self._chance = place.chance
        self._share = share
        self._held: Sound | None = None

    def alter(self, item: object) -> Sequence[object]:
        is_free = self._held is None
        if not isinstance(item, SendAudio | ResponseAudio | SpeechAudio):
            return self.spare(item)
        if is_free and self._chance.random() < self._share:
            self._held = item
            return ()
        return self._released(item, is_swapped=True)

    def spare(self, item: object) -> Sequence[object]:
        return self._released(item, is_swapped=False)

    def _released(self, item: object, *, is_swapped: bool) -> Sequence[object]:
        held, self._held = self._held, None
        if held is None:
            return (item,)
        is_alike = answer_of(held) == answer_of(item)
        return (item, held) if is_swapped and is_alike else (held, item)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slicer(Fault):
    """Sound comes in odd small pieces, of `smallest` to `largest` whole samples each."""

    name = "slicer"
    smallest: int = 1
    largest: int = 37

    def check(self) -> None:
        if not 1 <= self.smallest <= self.largest:
            raise ConfigurationError("smallest is at least 1 and at most largest", op="faults")

    def begin(self, place: Place) -> Effect:
        return _Sliced(place, self.smallest, self.largest)


class _Sliced(Effect):
    def __init__(self, place: Place, smallest: int, largest: int) -> None:
        self._chance = place.chance
        self._block = place.shape.block_bytes
        self._smallest = smallest
        self._largest = largest

    def alter(self, item: object) -> Sequence[object]:
        if not isinstance(item, SendAudio | ResponseAudio | SpeechAudio):
            return (item,)
        pieces: list[object] = []
        start, pcm = 0, item.pcm
        while start < len(pcm):
            end = start + self._chance.randint(self._smallest, self._largest) * self._block
            pieces.append(with_pcm(item, pcm[start:end]))
            start = end
        return pieces


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncate(Fault):
    """An answer ends after `keep_ms` of its sound, as if it had been all.

    The rest of it never comes, its true end included. On the way up, the service gets only the
    first `keep_ms` of each utterance.
    """

    name = "truncate"
    keep_ms: float = 400.0

    def check(self) -> None:
        check_positive(keep_ms=self.keep_ms)

    def begin(self, place: Place) -> Effect:
        return _Truncated(place, self.keep_ms)


class _Truncated(Effect):
    def __init__(self, place: Place, keep_ms: float) -> None:
        self._keep = to_samples(keep_ms, place.shape.rate) * place.shape.block_bytes
        self._passed: dict[str, int] = {}
        """Bytes of each answer that came."""
        self._cut: set[str] = set()

    def alter(self, item: object) -> Sequence[object]:
        if isinstance(item, SendAudio | ResponseAudio | SpeechAudio):
            return self._sound(item)
        return self.spare(item)

    def spare(self, item: object) -> Sequence[object]:
        match item:
            case StartUserTurn() | EndUserTurn() | ClearInput():
                self._passed.pop(UTTERANCE, None)
            case FinishUtterance() | DropUtterance():
                self._passed.pop(UTTERANCE, None)
            case _:
                pass
        return () if answer_of(item) in self._cut else (item,)

    def _sound(self, item: Sound) -> Sequence[object]:
        whose = answer_of(item) or UTTERANCE
        if whose in self._cut:
            return ()
        passed = self._passed.get(whose, 0)
        room = self._keep - passed
        self._passed[whose] = passed + len(item.pcm)
        if len(item.pcm) < room:
            return (item,)
        kept = (with_pcm(item, item.pcm[:room]),) if room > 0 else ()
        done = done_early(item)
        if done is None:
            return kept
        self._cut.add(whose)
        return (*kept, done)
