"""What one session counted."""

from collections import deque
from dataclasses import dataclass

from beluga_voice.events import (
    AgentResponseEnded,
    BargedIn,
    ErrorOccurred,
    FunctionAnswered,
    Reconnected,
    ResponseOutcome,
    SessionEvent,
    Transcription,
    TurnMeasured,
)

KEPT = 1000
"""Latencies that are kept; older ones are forgotten."""

COUNTED = frozenset(
    (
        AgentResponseEnded,
        BargedIn,
        ErrorOccurred,
        FunctionAnswered,
        Reconnected,
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
    failed_responses: int
    tool_calls: int
    errors: int
    reconnections: int
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
        self._failed = 0
        self._tool_calls = 0
        self._errors = 0
        self._reconnections = 0
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
                self._heard_ms += event.heard_ms
                self._unheard_ms += event.generated_ms - event.heard_ms
            case BargedIn():
                self._interruptions += 1
            case TurnMeasured():
                self._latencies.append(event.total_ms)
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
            failed_responses=self._failed,
            tool_calls=self._tool_calls,
            errors=self._errors,
            reconnections=self._reconnections,
            heard_ms=round(self._heard_ms, 3),
            unheard_ms=round(self._unheard_ms, 3),
            lost_input_ms=round(self.lost_input_ms, 3),
            latency_p50_ms=self._percentile(50),
            latency_p95_ms=self._percentile(95),
        )

    def _percentile(self, percent: int) -> float | None:
        if not self._latencies:
            return None
        ordered = sorted(self._latencies)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
