"""What one session counted."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseResumed,
    BargedIn,
    Counted,
    DeadAir,
    ErrorOccurred,
    FunctionAnswered,
    Ledger,
    Reconnected,
    ResponseOutcome,
    Rung,
    ServiceRenewed,
    ServiceSwitched,
    SessionEvent,
    Transcription,
    TurnMeasured,
)

_NONE = Counted(words=0, ms=0.0)
NOTHING = Ledger(generated=_NONE, queued=_NONE, sent=_NONE, audible=_NONE, heard=_NONE)
"""What was counted before there was a response."""

KEPT = 1000
"""Latencies that are kept; older ones are forgotten."""

COUNTED = frozenset(
    (
        AgentResponseEnded,
        AgentResponseResumed,
        BargedIn,
        DeadAir,
        ErrorOccurred,
        FunctionAnswered,
        Reconnected,
        ServiceRenewed,
        ServiceSwitched,
        Transcription,
        TurnMeasured,
    )
)
"""Kinds of events that change a count; most events do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMetrics:
    """Counts since the session began; latencies in milliseconds, `None` before the first turn."""

    utterances: int
    responses: int
    interruptions: int
    """Those that turned out to be none are not among them."""
    false_interruptions: int
    """Voices for which the agent paused, and went on."""
    paused_ms: float
    """How long the line was silent for those."""
    failed_responses: int
    tool_calls: int
    errors: int
    reconnections: int
    renewals: int
    """Connections that were replaced before they ended."""
    switches: int
    """How often another service took over."""
    nudges: int
    """How often a silent service was asked again."""
    swaps: int
    """How often one was given up for it."""
    sounds: int
    """How often the person heard a tone, or words, in place of an answer."""
    transfers: int
    """How often the call was given to somebody else, or that was tried."""
    ends: int
    """How often the session ended because nobody answered: 0 or 1."""
    longest_wait_ms: float
    """The longest that an answer was waited for: from the end of speech to its first sound, or as
    long as nobody had answered."""
    barge_in_p50_ms: float | None
    """From the first sound of an interruption to the silence of the line."""
    ledger: Ledger
    """The five counts of all responses that are over, each summed up. A sum is an estimate if a
    part of it is."""
    heard_ms: float
    """Agent speech that was heard."""
    unheard_ms: float
    """Agent speech that was made and cut."""
    lost_input_ms: float
    """Speech of the person that was dropped because no service could take it in time."""
    latency_p50_ms: float | None
    latency_p95_ms: float | None


class Meter:
    """Counts events."""

    def __init__(self) -> None:
        self._latencies: deque[float] = deque(maxlen=KEPT)
        self._utterances = 0
        self._responses = 0
        self._interruptions = 0
        self._false = 0
        self._paused_ms = 0.0
        self._barge_ins: deque[float] = deque(maxlen=KEPT)
        self._renewals = 0
        self._switches = 0
        self._rungs = dict.fromkeys(Rung, 0)
        self._longest_wait_ms = 0.0
        self._failed = 0
        self._tool_calls = 0
        self._errors = 0
        self._reconnections = 0
        self._ledger = NOTHING
        self._heard_ms = 0.0
        self._unheard_ms = 0.0
        self.lost_input_ms = 0.0

    def count(self, event: SessionEvent) -> None:
        """Take one event; those of a kind that is not in `COUNTED` change nothing."""
        match event:
            case Transcription(is_final=True, text=text) if text:
                self._utterances += 1
            case AgentResponseEnded():
                self._responses += 1
                self._failed += event.outcome is ResponseOutcome.FAILED
                if event.ledger is not None:
                    self._ledger = _added(self._ledger, event.ledger)
                self._heard_ms += event.heard_ms
                self._unheard_ms += event.generated_ms - event.heard_ms
            case BargedIn():
                self._interruptions += 1
                self._barge_ins.append(event.decision_ms)
            case AgentResponseResumed():
                self._interruptions -= 1
                if self._barge_ins:
                    self._barge_ins.pop()
                self._false += 1
                self._paused_ms += event.paused_ms
            case DeadAir():
                self._rungs[event.rung] += 1
                self._longest_wait_ms = max(self._longest_wait_ms, event.waited_ms)
            case ServiceRenewed():
                self._renewals += 1
            case ServiceSwitched():
                self._switches += 1
            case TurnMeasured():
                self._latencies.append(event.total_ms)
                self._longest_wait_ms = max(self._longest_wait_ms, event.total_ms)
            case FunctionAnswered():
                self._tool_calls += 1
            case ErrorOccurred():
                self._errors += 1
            case Reconnected():
                self._reconnections += 1
            case _:
                pass

    def metrics(self) -> SessionMetrics:
        """The counts so far."""
        return SessionMetrics(
            utterances=self._utterances,
            responses=self._responses,
            interruptions=self._interruptions,
            false_interruptions=self._false,
            paused_ms=round(self._paused_ms, 3),
            renewals=self._renewals,
            switches=self._switches,
            nudges=self._rungs[Rung.NUDGE],
            swaps=self._rungs[Rung.SWAP],
            sounds=self._rungs[Rung.SOUND],
            transfers=self._rungs[Rung.TRANSFER],
            ends=self._rungs[Rung.END],
            longest_wait_ms=round(self._longest_wait_ms, 3),
            barge_in_p50_ms=_percentile(self._barge_ins, 50),
            failed_responses=self._failed,
            tool_calls=self._tool_calls,
            errors=self._errors,
            reconnections=self._reconnections,
            ledger=self._ledger,
            heard_ms=round(self._heard_ms, 3),
            unheard_ms=round(self._unheard_ms, 3),
            lost_input_ms=round(self.lost_input_ms, 3),
            latency_p50_ms=_percentile(self._latencies, 50),
            latency_p95_ms=_percentile(self._latencies, 95),
        )


def _added(sums: Ledger, more: Ledger) -> Ledger:
    return Ledger(
        generated=_sum(sums.generated, more.generated),
        queued=_sum(sums.queued, more.queued),
        sent=_sum(sums.sent, more.sent),
        audible=_sum(sums.audible, more.audible),
        heard=_sum(sums.heard, more.heard),
    )


def _sum(one: Counted, other: Counted) -> Counted:
    return Counted(
        words=one.words + other.words,
        ms=round(one.ms + other.ms, 3),
        words_are_estimated=one.words_are_estimated or other.words_are_estimated,
        ms_is_estimated=one.ms_is_estimated or other.ms_is_estimated,
    )


def _percentile(values: Iterable[float], percent: int) -> float | None:
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
