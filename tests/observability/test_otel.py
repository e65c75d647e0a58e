"""What OpenTelemetry is told of a session, exported in memory."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.link import ReconnectSettings
from beluga_voice.errors import Unreachable
from beluga_voice.events import (
    AgentResponseResumed,
    DeadAir,
    ErrorOccurred,
    ResponseId,
    Rung,
    ServiceSwitched,
)
from beluga_voice.observability.otel import OpenTelemetryObserver
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.scripted import ScriptedProvider, ScriptedVad
from session.stage import LONG, play, stage

BEGAN_NS = 1_700_000_000_000_000_000
PROVIDER = "scripted_stt+scripted_tts"
PERSON = "my number is one two three"


@dataclass
class Telemetry:
    """An OpenTelemetry of this test's own."""

    reader: InMemoryMetricReader
    meters: MeterProvider
    exporter: InMemorySpanExporter
    tracers: TracerProvider

    def observer(self) -> OpenTelemetryObserver:
        return OpenTelemetryObserver(
            meter_provider=self.meters, tracer_provider=self.tracers, clock=lambda: BEGAN_NS
        )

    def points(self, name: str) -> list[tuple[dict[str, object], float]]:
        """The labels of a metric and its values; of a histogram, the sum."""
        found = []
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == f"beluga.voice.{name}":
                        for point in metric.data.data_points:
                            value = point.value if hasattr(point, "value") else point.sum
                            found.append((dict(point.attributes), round(value, 9)))
        return found

    def spans(self, name: str) -> list[ReadableSpan]:
        return [
            span
            for span in self.exporter.get_finished_spans()
            if span.name == f"beluga.voice.{name}"
        ]

    def everything(self) -> str:
        """All that was exported, as text."""
        spans = [span.to_json() for span in self.exporter.get_finished_spans()]
        data = self.reader.get_metrics_data()
        return "\n".join([*spans, data.to_json() if data else ""])


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """A meter and a tracer that export to memory."""
    reader = InMemoryMetricReader()
    exporter = InMemorySpanExporter()
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    meters = MeterProvider([reader], shutdown_on_exit=False)
    yield Telemetry(reader, meters, exporter, tracers)
    meters.shutdown()
    tracers.shutdown()


def talk(telemetry: Telemetry, *, interrupts: bool = False, session_id: str = "s-42") -> None:
    """A call of one turn, whose response is heard, or interrupted after a while."""

    async def scene():
        async with stage(observers=[telemetry.observer()], session_id=session_id) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1.5 if interrupts else 4)
            if interrupts:
                await on.caller.say(PERSON)
                await asyncio.sleep(5)

    play(scene)


def test_a_turn_is_measured(telemetry):
    """The latency and its parts are recorded in seconds, labelled with the provider alone."""
    talk(telemetry)
    labels = {"provider": PROVIDER}
    assert telemetry.points("turn.latency") == [(labels, 0.68)]
    assert telemetry.points("turn.endpointing") == [(labels, 0.6)]
    assert telemetry.points("turn.transcription") == [(labels, 0.05)]
    assert telemetry.points("turn.thinking") == [(labels, 0)]
    assert telemetry.points("turn.synthesis") == [(labels, 0.03)]
    assert telemetry.points("turn.delivery") == [(labels, 0)]
    assert telemetry.points("responses") == [({"provider": PROVIDER, "outcome": "heard"}, 1)]
    assert telemetry.points("interruptions") == []
    assert telemetry.points("errors") == []


def test_open_sessions_are_counted(telemetry):
    """While a session is open it counts, and afterwards no more."""
    counts = []

    async def scene():
        async with stage(observers=[telemetry.observer()]):
            async with stage(observers=[telemetry.observer()]):
                counts.append(telemetry.points("sessions.active"))
            counts.append(telemetry.points("sessions.active"))
        counts.append(telemetry.points("sessions.active"))

    play(scene)
    assert [values for ((_, values),) in counts] == [2, 1, 0]


def test_an_interruption_is_counted(telemetry):
    """A barge-in, and the response it cut, each have their count."""
    talk(telemetry, interrupts=True)
    assert telemetry.points("interruptions") == [({"provider": PROVIDER}, 1)]
    outcomes = {labels["outcome"]: value for labels, value in telemetry.points("responses")}
    assert outcomes == {"cut": 1, "heard": 1}


def test_rungs_switches_and_false_interruptions_are_counted(telemetry):
    """Each by kind; none of them is a label of its own."""
    observer = telemetry.observer()
    told = [
        DeadAir(rung=Rung.NUDGE, waited_ms=6000),
        DeadAir(rung=Rung.SOUND, waited_ms=9000),
        DeadAir(rung=Rung.SOUND, waited_ms=12_000),
        AgentResponseResumed(response_id=ResponseId("r"), paused_ms=500),
        ServiceSwitched(previous="a", following="b", reason="timeout", is_mid_call=True),
    ]
    for event in told:
        observer.observe(event, at=1.0)
    points = telemetry.points("dead_air")
    assert {(labels["rung"], value) for labels, value in points} == {("nudge", 1), ("sound", 2)}
    assert [value for _, value in telemetry.points("interruptions.false")] == [1]
    assert [value for _, value in telemetry.points("switches")] == [1]


def test_many_sessions_make_no_more_series(telemetry):
    """Whatever sessions there are, a metric has the same few labels."""
    for number in range(5):
        talk(telemetry, session_id=f"s-{number}")
    assert telemetry.points("turn.latency") == [({"provider": PROVIDER}, pytest.approx(3.4))]
    assert telemetry.points("sessions.active") == [({"provider": PROVIDER}, 0)]


def test_a_session_is_a_span_with_its_turns_in_it(telemetry):
    """Spans have the session's exact times, and the parts of the latency."""
    talk(telemetry)
    (session,) = telemetry.spans("session")
    (turn,) = telemetry.spans("turn")
    assert session.attributes["beluga.voice.session.id"] == "s-42"
    assert session.attributes["beluga.voice.provider"] == PROVIDER
    assert session.attributes["beluga.voice.end.reason"] == "closed"
    assert session.parent is None
    assert turn.parent.span_id == session.context.span_id
    assert "beluga.voice.session.id" not in turn.attributes
    assert dict(turn.attributes) == {
        "beluga.voice.turn.total_ms": 680,
        "beluga.voice.turn.endpointing_ms": 600,
        "beluga.voice.turn.transcription_ms": 50,
        "beluga.voice.turn.thinking_ms": 0,
        "beluga.voice.turn.synthesis_ms": 30,
        "beluga.voice.turn.delivery_ms": 0,
        "beluga.voice.turn.outcome": "heard",
        "beluga.voice.turn.heard_ms": 2000,
        "beluga.voice.turn.generated_ms": 2000,
    }
    # The last frame of "hello" reaches the session at 180 ms.
    assert session.start_time == BEGAN_NS
    assert turn.start_time == BEGAN_NS + 180 * 1_000_000
    assert turn.end_time == BEGAN_NS + (180 + 680 + 2000) * 1_000_000
    assert session.end_time == BEGAN_NS + 4180 * 1_000_000


def test_a_turn_that_still_sounds_ends_with_its_session(telemetry):
    """No span is left open when a call ends in the middle of a response."""

    async def scene():
        async with stage(observers=[telemetry.observer()]) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1)

    play(scene)
    (turn,) = telemetry.spans("turn")
    (session,) = telemetry.spans("session")
    assert turn.end_time == session.end_time == BEGAN_NS + 1180 * 1_000_000


def test_a_session_that_fails_is_told_by_its_code(telemetry):
    """An error is counted under its code, and marks the span, without its message."""

    class Gone(ScriptedProvider):
        def connect(self, options, /):
            raise Unreachable("the key is sesame", op="connect")

    async def scene():
        session = Session(
            Gone(name="gone"),
            line=ScriptedCaller(),
            detector=ScriptedVad(),
            settings=EngineSettings(reconnect=ReconnectSettings(attempts=1)),
            observers=[telemetry.observer()],
        )
        with pytest.raises(Unreachable):
            async with session:
                pass

    play(scene)
    errors = telemetry.points("errors")
    assert {labels["code"] for labels, _ in errors} == {"network_error"}
    (session,) = telemetry.spans("session")
    assert session.status.status_code is StatusCode.ERROR
    assert session.status.description is None
    assert {event.name for event in session.events} == {"beluga.voice.error"}
    assert telemetry.points("sessions.active") == []
    assert "sesame" not in telemetry.everything()


def test_a_code_nobody_knows_makes_no_series(telemetry):
    """Whatever a service calls its errors, they count as one kind."""
    observer = telemetry.observer()
    for number in range(100):
        error = ErrorOccurred(code=f"E{number}", message="?")
        observer.observe(error, at=0.0)
    assert telemetry.points("errors") == [({"provider": "unknown", "code": "other"}, 100)]


def test_no_word_leaves_the_session(telemetry):
    """Neither what the person said nor what the agent answered is in a metric or a span."""
    talk(telemetry, interrupts=True)
    told = telemetry.everything()
    assert PROVIDER in told
    for word in {*PERSON.split(), *LONG.split(), "hello"} - {"is"}:
        assert f"{word} " not in told
        assert f'"{word}' not in told
