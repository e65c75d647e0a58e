"""What a person had of a call, measured from the line and the history; times in milliseconds.

*Recovery* is counted from the moment at which the person would have been answered without the
fault, to the first sound of speech. A hole in the middle of an answer counts from its beginning.
*Silence* is the longest stretch in which a person who waits for an answer, or for the rest of one,
hears nothing at all, tones included, from the end of their own voice on.
"""

import math
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise

from msgspec import Struct

from beluga_voice.engine.deadlines import DeadAirSettings
from beluga_voice.testing.faults import Phase
from beluga_voice.testing.matrix.call import NO_FAULT, Cell, Played, play
from beluga_voice.testing.matrix.people import ANSWERS, QUESTIONS, Sound, Turn

MARGIN_MS = 1000.0
"""What may come on top of the settings: the silence that ends a turn (600), and the way there."""
BOUND_MS = DeadAirSettings().answer_ms + DeadAirSettings().rung_ms + MARGIN_MS
"""A person who waits and hears nothing for longer was left in silence."""
HOLE_MS = 100.0
"""Between two stretches of one answer; what is shorter is no hole."""

_HAS_OWN_COURSE = (Phase.TOOL, Phase.INTERRUPTED)
"""Phases for which calls take another course, and so have another latency without a fault."""


class Measured(Struct, frozen=True, kw_only=True):
    """Of one call."""

    struck: bool
    """Whether the fault struck at all."""
    recovery_ms: float
    """The longest of the call; infinite if nothing more was heard."""
    silence_ms: float
    lost: tuple[str, ...] = ()
    """Words of the person that nobody ever got."""
    repeated: tuple[str, ...] = ()
    """Words of the agent that were heard more than once."""
    unheard: tuple[str, ...] = ()
    """Words of answers that were never heard, though the person let the agent speak."""
    failure: str = ""
    """With what the call ended clearly, before its time."""
    defect: str = ""
    left: tuple[str, ...] = ()
    never_ended: bool = False

    @property
    def is_silent(self) -> bool:
        """Whether the person was left in silence."""
        return self.silence_ms > BOUND_MS


def measure(played: Played) -> Measured:
    """Everything that is measured of a call."""
    has_ended = bool(played.failure) or played.reason == "failed"
    usual = usual_ms(played.cell.stage, _course(played.cell.phase))
    known = set(played.known.split())
    asked = [QUESTIONS[turn.number].split() for turn in played.turns if turn.until]
    heard = played.heard.split()
    due = [ANSWERS[one.number].split() for one in played.turns if not one.was_interrupted]
    return Measured(
        struck=bool(played.struck_ms),
        recovery_ms=_recovery_ms(played, usual),
        silence_ms=_silence_ms(played),
        lost=() if has_ended else tuple(_missing(asked, known)),
        repeated=tuple(dict.fromkeys(one for one in heard if heard.count(one) > 1)),
        unheard=tuple(_missing(due, set(heard))),
        failure=played.failure or ("the session failed" if has_ended else ""),
        defect=played.defect,
        left=played.left,
        never_ended=played.never_ended,
    )


@cache
def usual_ms(stage: str, phase: str) -> tuple[float, ...]:
    """From the end of each question to its answer, where nothing fails."""
    played = play(Cell(NO_FAULT, phase, stage, seed=1))
    if played.defect or played.failure or played.left:
        raise AssertionError(f"{stage} does not work without a fault: {played.defect}")
    return tuple(_first_voice(played, turn).begin - turn.end for turn in played.turns)


def _course(phase: str) -> str:
    return phase if phase in _HAS_OWN_COURSE else str(Phase.ANSWERED)


def _missing(wanted: Iterable[Sequence[str]], found: set[str]) -> list[str]:
    return [word for words in wanted for word in words if word not in found]


def _voices(played: Played) -> list[Sound]:
    return [one for one in played.sounds if not one.is_tone]


_NEVER = Sound(math.inf, math.inf)


def _first_voice(played: Played, turn: Turn) -> Sound:
    """The first speech that begins after a question; or what goes on after its end."""
    after = [one for one in _voices(played) if one.begin >= turn.end]
    return after[0] if after else _NEVER


def _recovery_ms(played: Played, usual: tuple[float, ...]) -> float:
    found = [played.began_ms or 0.0]
    for turn in played.turns:
        if not turn.until:
            continue  # the call was over before anybody could answer
        first = _first_voice(played, turn)
        found.append(first.begin - turn.end - usual[turn.number])
        within = [one for one in _voices(played) if turn.end <= one.begin <= turn.until]
        found += [
            following.begin - one.end
            for one, following in pairwise(within)
            if following.begin - one.end > HOLE_MS
        ]
    return round(max(found), 3)


def _silence_ms(played: Played) -> float:
    longest = 0.0
    for turn in played.turns:
        if turn.end <= turn.begin:
            continue
        until = turn.until or played.ended_ms
        at = turn.end
        for sound in sorted(played.sounds, key=_begin):
            if sound.end > at and sound.begin < until:
                longest = max(longest, sound.begin - at)
                at = sound.end
        longest = max(longest, until - at)
    return round(longest, 3)


def _begin(sound: Sound) -> float:
    return sound.begin
