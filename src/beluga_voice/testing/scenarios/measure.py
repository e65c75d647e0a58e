"""How well turns are taken, measured against what the scripts say was meant.

How it works. A script says of each sound whether it is meant for the agent. What sounded on the
caller's line, and when, tells what the caller got. Nothing here is taken from what the session says
of itself, but for when it began to answer.

An utterance was cut off if the agent began to speak before it was over, as it may in a pause.

Each time the agent fell silent in mid-speech has a cause: what somebody did at that moment, or else
the sound that began last. A sound that was not meant for the agent and silenced it is a false
interruption. One that was meant to take the floor, and over which the agent went on for longer than
a second, is a missed one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from msgspec import Struct

from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseResumed,
    AgentResponseStarted,
)
from beluga_voice.session.happening import Happening
from beluga_voice.testing.scenarios.model import Bounds
from beluga_voice.testing.scenarios.people import Stretch, Utterance
from beluga_voice.testing.scenarios.run import Played

MISSED_AFTER_MS = 1000
"""An agent that goes on for longer, over somebody who means to take the floor, has missed it."""

NOTICED_AFTER_MS = 60
"""So long a voice takes to be noticed; whoever begins to speak before that could not know of it."""

NOT_MEANT = ("backchannel", "noise", "aside")
"""Sounds that are not meant for the agent."""


@dataclass(slots=True, kw_only=True)
class Measured:
    """What was measured on one stage, or on several together. Times in milliseconds."""

    responses_ms: list[float] = field(default_factory=list[float])
    """From the end of each utterance to the first sound of its answer."""
    yields_ms: list[float] = field(default_factory=list[float])
    """From the beginning of each interruption to silence."""
    utterances: int = 0
    """Those that should be answered."""
    unanswered: int = 0
    cut_off: int = 0
    """Those over which the agent began to speak."""
    interruptions: int = 0
    """Sounds that should take the floor from an agent who speaks."""
    missed: int = 0
    not_meant: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NOT_MEANT, 0))
    """Sounds that are not meant for the agent, by kind."""
    over_agent: int = 0
    """Those of them that began while it spoke."""
    stopped_by: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NOT_MEANT, 0))
    """Those that silenced it for good."""
    paused_by: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NOT_MEANT, 0))
    """Those for which it paused, and went on."""
    pauses_ms: list[float] = field(default_factory=list[float])
    """How long it paused for them."""
    answered: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NOT_MEANT, 0))
    """Those that it answered."""

    @property
    def false_interruptions(self) -> int:
        """How often it was silenced by what was not meant for it."""
        return sum(self.stopped_by.values())

    @property
    def false_pauses(self) -> int:
        """How often it paused for what was not meant for it."""
        return sum(self.paused_by.values())

    @property
    def false_answers(self) -> int:
        """How often it answered what was not meant for it."""
        return sum(self.answered.values())

    def selectivity(self, kind: str) -> float | None:
        """The share of such sounds that it let pass: it did not pause, stop or answer."""
        count = self.not_meant[kind]
        reacted = max(self.stopped_by[kind] + self.paused_by[kind], self.answered[kind])
        return None if not count else 1 - reacted / count


class Figures(Struct, frozen=True, kw_only=True):
    """The measures of a library: times in milliseconds, rates from 0 to 1.

    `None` where nothing in it could be measured.
    """

    response_median_ms: float | None
    response_max_ms: float | None
    yield_median_ms: float | None
    yield_max_ms: float | None
    pause_median_ms: float | None
    false_interruption_rate: float | None
    false_pause_rate: float | None
    missed_interruption_rate: float | None
    false_cut_off_rate: float | None
    unanswered_rate: float | None
    backchannel_selectivity: float | None
    noise_selectivity: float | None
    aside_selectivity: float | None


def measure(played: Played) -> Measured:
    """What one play shows."""
    found = Measured()
    for index, uttered in enumerate(played.utterances):
        following = played.utterances[index + 1 :]
        if uttered.step.should_be_answered:
            _answer(found, played, uttered, following)
        if uttered.step.should_take_floor:
            _interruption(found, played, uttered)
        if uttered.step.deed in NOT_MEANT:
            _bystander(found, played, uttered)
    for stretch in played.stretches:
        cause = _cause(played, stretch)
        if cause is not None and cause.step.deed in NOT_MEANT and not cause.step.should_take_floor:
            _silencing(found, played, stretch, cause.step.deed)
    for at in _response_starts(played):
        cause = _last(played, at)
        if cause is not None and cause.step.deed in NOT_MEANT and not _is_awaited(played, at):
            found.answered[cause.step.deed] += 1
    return found


def _answer(
    found: Measured, played: Played, uttered: Utterance, following: Sequence[Utterance]
) -> None:
    found.utterances += 1
    since = uttered.begin + NOTICED_AFTER_MS
    found.cut_off += any(since < one.begin < uttered.end for one in played.stretches)
    nexts = [one.begin for one in following if one.step.should_be_answered]
    until = nexts[0] if nexts else float("inf")
    begins = [one.begin for one in played.stretches if uttered.end <= one.begin]
    if begins and begins[0] < until:
        found.responses_ms.append(begins[0] - uttered.end)
    elif not nexts:
        found.unanswered += 1  # else it is answered together with what follows


def _interruption(found: Measured, played: Played, uttered: Utterance) -> None:
    """A stretch that ends by itself within a second is neither cut nor missed."""
    for stretch in played.stretches:
        if stretch.begin - NOTICED_AFTER_MS <= uttered.begin < stretch.end:
            lasted = stretch.end - uttered.begin
            if stretch.is_cut and lasted <= MISSED_AFTER_MS:
                found.interruptions += 1
                found.yields_ms.append(lasted)
            elif lasted > MISSED_AFTER_MS:
                found.interruptions += 1
                found.missed += 1


def _bystander(found: Measured, played: Played, uttered: Utterance) -> None:
    found.not_meant[uttered.step.deed] += 1
    found.over_agent += any(one.begin <= uttered.begin < one.end for one in played.stretches)


def _silencing(found: Measured, played: Played, stretch: Stretch, kind: str) -> None:
    """A pause if the agent went on, or if somebody did something before it could; else an end."""
    resumed = [at for at in _resumptions(played) if at >= stretch.end]
    nexts = [one.begin for one in played.stretches if one.begin >= stretch.end]
    ended = next((at for at in _response_ends(played) if at >= stretch.end), stretch.end)
    if resumed and nexts and nexts[0] == resumed[0]:
        found.paused_by[kind] += 1
        found.pauses_ms.append(resumed[0] - stretch.end)
    elif any(stretch.end < at <= ended for at, _ in played.deeds):
        found.paused_by[kind] += 1
    else:
        found.stopped_by[kind] += 1


def _cause(played: Played, stretch: Stretch) -> Utterance | None:
    """The sound that silenced the agent, if it was one, and not the end of the session."""
    moments = {at for at, _ in played.deeds} | {_at(played.happenings[-1])}
    if not stretch.is_cut or stretch.end in moments:
        return None
    return _last(played, stretch.end)


def _last(played: Played, at: float) -> Utterance | None:
    """The sound that began last, unless something else was done since."""
    begun = [one for one in played.utterances if one.begin < at]
    last = begun[-1] if begun else None
    if last is not None and any(last.begin < when <= at for when, _ in played.deeds):
        return None
    return last


def _is_awaited(played: Played, at: float) -> bool:
    """Whether somebody waits for an answer then."""
    begins = [one.begin for one in played.stretches]
    return any(
        one.end <= at and not any(one.end <= begin < at for begin in begins)
        for one in played.utterances
        if one.step.should_be_answered
    )


def _response_starts(played: Played) -> list[float]:
    return [_at(one) for one in played.happenings if isinstance(one.event, AgentResponseStarted)]


def _response_ends(played: Played) -> list[float]:
    return [_at(one) for one in played.happenings if isinstance(one.event, AgentResponseEnded)]


def _resumptions(played: Played) -> list[float]:
    return [_at(one) for one in played.happenings if isinstance(one.event, AgentResponseResumed)]


def _at(happening: Happening) -> float:
    return round(happening.at * 1000, 3)


def together(measured: Iterable[Measured]) -> Measured:
    """The sum of several."""
    total = Measured()
    for one in measured:
        total.responses_ms += one.responses_ms
        total.yields_ms += one.yields_ms
        total.pauses_ms += one.pauses_ms
        for name in (
            "utterances",
            "unanswered",
            "cut_off",
            "interruptions",
            "missed",
            "over_agent",
        ):
            setattr(total, name, getattr(total, name) + getattr(one, name))
        for kind in NOT_MEANT:
            total.not_meant[kind] += one.not_meant[kind]
            total.stopped_by[kind] += one.stopped_by[kind]
            total.paused_by[kind] += one.paused_by[kind]
            total.answered[kind] += one.answered[kind]
    return total


def figures(total: Measured) -> Figures:
    """The measures of a sum."""
    return Figures(
        response_median_ms=median(total.responses_ms) if total.responses_ms else None,
        response_max_ms=max(total.responses_ms, default=None),
        yield_median_ms=median(total.yields_ms) if total.yields_ms else None,
        yield_max_ms=max(total.yields_ms, default=None),
        pause_median_ms=median(total.pauses_ms) if total.pauses_ms else None,
        false_interruption_rate=_rate(total.false_interruptions, total.over_agent),
        false_pause_rate=_rate(total.false_pauses, total.over_agent),
        missed_interruption_rate=_rate(total.missed, total.interruptions),
        false_cut_off_rate=_rate(total.cut_off, total.utterances),
        unanswered_rate=_rate(total.unanswered, total.utterances),
        backchannel_selectivity=total.selectivity("backchannel"),
        noise_selectivity=total.selectivity("noise"),
        aside_selectivity=total.selectivity("aside"),
    )


def _rate(count: int, of: int) -> float | None:
    return count / of if of else None


def broken_bounds(measured: Measured, bounds: Bounds) -> list[str]:
    """Every bound of a scenario that does not hold, as a sentence."""
    values = {
        "response_ms": max(measured.responses_ms, default=0),
        "yield_ms": max(measured.yields_ms, default=0),
        "false_interruptions": measured.false_interruptions,
        "false_pauses": measured.false_pauses,
        "missed_interruptions": measured.missed,
        "false_cut_offs": measured.cut_off,
        "unanswered": measured.unanswered,
        "false_answers": measured.false_answers,
    }
    return [
        f"{name} is {value:g}, and should be {getattr(bounds, name):g} at most"
        for name, value in values.items()
        if value > getattr(bounds, name)
    ]
