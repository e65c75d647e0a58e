"""Metrics and traces of a session, for OpenTelemetry.

Metrics, with labels of few values (never a session, a person or a word):

    beluga.voice.sessions.active            sessions             provider
    beluga.voice.turn.latency               seconds, histogram   provider
    beluga.voice.turn.endpointing, .transcription, .thinking, .synthesis, .delivery    likewise
    beluga.voice.responses                  responses            provider, outcome
    beluga.voice.interruptions              barge-ins            provider
    beluga.voice.interruptions.false        voices that only made the agent pause    provider
    beluga.voice.dead_air                   rungs of the ladder climbed              provider, rung
    beluga.voice.switches                   other services that took over            provider
    beluga.voice.errors                     errors               provider, code

Traces: a span for the session, from its first event to its last, and in it one for each turn, from
the end of the person's speech to the last sound of the response. The parts of the turn's latency
are attributes, in milliseconds, as in `TurnMeasured`. The id of the session is an attribute of its
span alone. Nothing that was said is in any of it, and no message of an error.
"""

import time
from collections.abc import Callable

from beluga_voice.errors import ErrorCode, MissingExtra
from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseResumed,
    BargedIn,
    DeadAir,
    ErrorOccurred,
    ResponseId,
    ServiceSwitched,
    SessionEnded,
    SessionEvent,
    SessionStarted,
    TurnMeasured,
)

try:
    from opentelemetry import metrics, trace
except ImportError as missing:
    raise MissingExtra("OpenTelemetry", extra="otel", op="observability") from missing

SCOPE = "beluga_voice"
STAGES = ("endpointing", "transcription", "thinking", "synthesis", "delivery", "playout")
_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
_UNKNOWN = "unknown"
_CODES = frozenset(str(code) for code in ErrorCode)


class OpenTelemetryObserver:
    """Tells OpenTelemetry about one session: make one for each.

        VoiceSession(..., observers=[OpenTelemetryObserver()])

    Without providers, the global ones are used. `clock` gives Unix nanoseconds; it is read once,
    and what follows is told by the session's own time.
    """

    def __init__(
        self,
        *,
        meter_provider: metrics.MeterProvider | None = None,
        tracer_provider: trace.TracerProvider | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        meter = (meter_provider or metrics.get_meter_provider()).get_meter(SCOPE)
        self._tracer = (tracer_provider or trace.get_tracer_provider()).get_tracer(SCOPE)
        self._clock = clock
        self._active = meter.create_up_down_counter(
            "beluga.voice.sessions.active", unit="{session}", description="Sessions that are open."
        )
        self._latency = _histogram(
            meter, "latency", "From the end of the person's speech to the first sound."
        )
        self._stages = {
            stage: _histogram(meter, stage, f"The {stage} part of the latency.") for stage in STAGES
        }
        self._responses = meter.create_counter(
            "beluga.voice.responses", unit="{response}", description="Responses, by how they ended."
        )
        self._interruptions = meter.create_counter(
            "beluga.voice.interruptions", unit="{interruption}", description="Barge-ins."
        )
        self._false_interruptions = meter.create_counter(
            "beluga.voice.interruptions.false",
            unit="{interruption}",
            description="Voices that only made the agent pause.",
        )
        self._dead_air = meter.create_counter(
            "beluga.voice.dead_air",
            unit="{rung}",
            description="What was done for people who waited in silence.",
        )
        self._switches = meter.create_counter(
            "beluga.voice.switches", unit="{switch}", description="Other services that took over."
        )
        self._errors = meter.create_counter(
            "beluga.voice.errors", unit="{error}", description="Errors, by their code."
        )
        self._provider = _UNKNOWN
        self._is_active = False
        self._origin_ns: int | None = None
        self._session: trace.Span | None = None
        self._turns: dict[ResponseId, trace.Span] = {}

    def observe(self, event: SessionEvent, /, *, at: float) -> None:
        """Take one event of the session; `at` is in seconds since it began."""
        now_ns = self._time_ns(at)
        if self._session is None and not isinstance(event, SessionEnded):
            self._session = self._tracer.start_span("beluga.voice.session", start_time=now_ns)
        match event:
            case SessionStarted():
                self._start(event)
            case TurnMeasured():
                self._measure(event, now_ns)
            case AgentResponseEnded():
                self._end_response(event, now_ns)
            case BargedIn():
                self._interruptions.add(1, {"provider": self._provider})
            case AgentResponseResumed():
                self._false_interruptions.add(1, {"provider": self._provider})
            case DeadAir():
                self._dead_air.add(1, {"provider": self._provider, "rung": event.rung.value})
            case ServiceSwitched():
                self._switches.add(1, {"provider": self._provider})
            case ErrorOccurred():
                self._fail(event, now_ns)
            case SessionEnded():
                self._end(event, now_ns)
            case _:
                pass

    def _time_ns(self, at: float) -> int:
        since_ns = round(at * 1e9)
        if self._origin_ns is None:
            self._origin_ns = self._clock() - since_ns
        return self._origin_ns + since_ns

    def _start(self, event: SessionStarted) -> None:
        self._provider = event.provider
        self._is_active = True
        self._active.add(1, {"provider": self._provider})
        if self._session is not None:
            self._session.set_attribute("beluga.voice.session.id", event.session_id)
            self._session.set_attribute("beluga.voice.provider", event.provider)

    def _measure(self, event: TurnMeasured, now_ns: int) -> None:
        labels = {"provider": self._provider}
        self._latency.record(event.total_ms / 1000, labels)
        attributes = {"beluga.voice.turn.total_ms": event.total_ms}
        parts = (
            event.endpointing_ms,
            event.transcription_ms,
            event.thinking_ms,
            event.synthesis_ms,
            event.delivery_ms,
            event.playout_ms,
        )
        for stage, part in zip(STAGES, parts, strict=True):
            if part is not None:
                self._stages[stage].record(part / 1000, labels)
                attributes[f"beluga.voice.turn.{stage}_ms"] = part
        if self._session is not None:
            self._turns[event.response_id] = self._tracer.start_span(
                "beluga.voice.turn",
                context=trace.set_span_in_context(self._session),
                start_time=now_ns - round(event.total_ms * 1e6),
                attributes=attributes,
            )

    def _end_response(self, event: AgentResponseEnded, now_ns: int) -> None:
        outcome = str(event.outcome)
        self._responses.add(1, {"provider": self._provider, "outcome": outcome})
        turn = self._turns.pop(event.response_id, None)
        if turn is not None:
            turn.set_attribute("beluga.voice.turn.outcome", outcome)
            turn.set_attribute("beluga.voice.turn.heard_ms", event.heard_ms)
            turn.set_attribute("beluga.voice.turn.generated_ms", event.generated_ms)
            turn.end(now_ns)

    def _fail(self, event: ErrorOccurred, now_ns: int) -> None:
        # A label with whatever a service wrote would have no end of values.
        code = event.code if event.code in _CODES else "other"
        self._errors.add(1, {"provider": self._provider, "code": code})
        if self._session is not None:
            self._session.add_event(
                "beluga.voice.error",
                {"beluga.voice.error.code": code, "beluga.voice.error.is_fatal": event.is_fatal},
                timestamp=now_ns,
            )

    def _end(self, event: SessionEnded, now_ns: int) -> None:
        if self._is_active:
            self._is_active = False
            self._active.add(-1, {"provider": self._provider})
        for turn in self._turns.values():
            turn.end(now_ns)
        self._turns.clear()
        if self._session is not None:
            self._session.set_attribute("beluga.voice.end.reason", event.reason)
            if event.reason == "failed":
                self._session.set_status(trace.StatusCode.ERROR)
            self._session.end(now_ns)


def _histogram(meter: metrics.Meter, stage: str, description: str) -> metrics.Histogram:
    return meter.create_histogram(
        f"beluga.voice.turn.{stage}",
        unit="s",
        description=description,
        explicit_bucket_boundaries_advisory=_BUCKETS,
    )
