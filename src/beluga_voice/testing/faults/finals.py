"""Faults of transcripts: never a final one, the same one again, or the one of the last turn."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from beluga_voice.errors import ConfigurationError
from beluga_voice.events import InputTranscript, Transcript
from beluga_voice.testing.faults.fault import DOWN, Effect, Fault, Kind, Place
from beluga_voice.testing.faults.pieces import Final
from beluga_voice.testing.faults.when import Phase

LISTENERS = frozenset({Kind.S2S, Kind.STT})


@dataclass(frozen=True, slots=True, kw_only=True)
class NoFinal(Fault):
    """No transcript is ever final. What would have been is told as one that is not."""

    name = "no_final"
    kinds = LISTENERS
    directions = frozenset({DOWN})

    def begin(self, place: Place) -> Effect:
        return _Unfinished()


class _Unfinished(Effect):
    def alter(self, item: object) -> Sequence[object]:
        match item:
            case Transcript(is_final=True):
                return (replace(item, is_final=False, utterance_id=None, alternatives=()),)
            case InputTranscript(is_final=True):
                return (replace(item, is_final=False),)
            case _:
                return (item,)


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateFinals(Fault):
    """Every final transcript comes `copies` times more."""

    name = "duplicate_finals"
    kinds = LISTENERS
    directions = frozenset({DOWN})
    copies: int = 1

    def check(self) -> None:
        if self.copies < 1:
            raise ConfigurationError("copies is at least 1", op="faults")

    def begin(self, place: Place) -> Effect:
        return _Doubled(self.copies)


class _Doubled(Effect):
    def __init__(self, copies: int) -> None:
        self._copies = copies

    def alter(self, item: object) -> Sequence[object]:
        is_final = isinstance(item, Transcript | InputTranscript) and item.is_final
        return (item,) * (self._copies + 1) if is_final else (item,)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleFinal(Fault):
    """When the person speaks again, the final transcript of the last turn comes once more."""

    name = "stale_final"
    kinds = LISTENERS
    directions = frozenset({DOWN})

    def begin(self, place: Place) -> Effect:
        return _Stale(place)


class _Stale(Effect):
    def __init__(self, place: Place) -> None:
        self._wire = place.wire
        self._last: Final | None = None

    def reached(self, phase: Phase) -> None:
        if phase is Phase.HEARING and self._last is not None:
            self._wire.tell(self._last)

    def alter(self, item: object) -> Sequence[object]:
        if isinstance(item, Transcript | InputTranscript) and item.is_final:
            self._last = item
        return (item,)
