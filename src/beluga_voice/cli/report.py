"""A conversation as it goes, for people who read along."""

import os
from typing import TextIO

from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseResumed,
    BargedIn,
    DeadAir,
    ErrorOccurred,
    FunctionAnswered,
    Reconnecting,
    ResponseOutcome,
    Rung,
    ServiceSwitched,
    SessionEnded,
    SessionStarted,
    Transcription,
    TurnMeasured,
    UserIdle,
)
from beluga_voice.session.happening import Happening
from beluga_voice.session.metrics import SessionMetrics

DONE = {
    Rung.NUDGE: "the service is asked again",
    Rung.SWAP: "another service is tried",
    Rung.SOUND: "a sound says that the line lives",
    Rung.TRANSFER: "the call is given to somebody else",
    Rung.END: "the session ends",
}
PARTS = ("endpointing", "transcription", "thinking", "synthesis", "delivery", "playout")


class Report:
    """Prints what was said, and where the time of each turn went."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._colour = out.isatty() and "NO_COLOR" not in os.environ

    def tell(self, happening: Happening) -> None:
        """Print what is worth reading of it."""
        event = happening.event
        match event:
            case SessionStarted():
                self._line("", f"connected to {event.provider}", dim=True)
            case Transcription(is_final=True):
                self._line("you", event.text or "(nothing understood)")
            case AgentResponseEnded():
                self._response(event)
            case TurnMeasured():
                self._line("", _breakdown(event), dim=True)
            case BargedIn():
                self._line("", f"interrupted after {event.decision_ms:.0f} ms of voice", dim=True)
            case AgentResponseResumed():
                paused = f"no interruption: the agent goes on after {event.paused_ms:.0f} ms"
                self._line("", paused, dim=True)
            case UserIdle():
                self._line("", f"nobody has spoken for {event.idle_ms / 1000:.0f} s", dim=True)
            case DeadAir():
                waited = f"no answer for {event.waited_ms / 1000:.0f} s: {DONE[event.rung]}"
                self._line("", waited, dim=True)
            case ServiceSwitched():
                following = event.following or "nobody"
                switched = f"{event.previous} failed ({event.reason}): {following} goes on"
                self._line("", switched, dim=True)
            case FunctionAnswered():
                took = f"{event.name} took {event.duration_ms:.0f} ms"
                self._line("tool", took + (", and failed" if event.is_error else ""))
            case ErrorOccurred():
                self._line("error", event.message)
            case Reconnecting():
                self._line("", f"reconnecting, attempt {event.attempt}", dim=True)
            case SessionEnded(reason="failed"):
                self._line("error", event.message)
            case _:
                pass

    def summary(self, metrics: SessionMetrics) -> None:
        """Print the counts."""
        parts = [
            _count(metrics.utterances, "utterance"),
            _count(metrics.responses, "response"),
            _count(metrics.interruptions, "interruption"),
            f"{metrics.lost_input_ms:.0f} ms of your speech lost",
        ]
        if metrics.latency_p50_ms is not None:
            parts.append(f"median latency {metrics.latency_p50_ms:.0f} ms")
        self._line("", " · ".join(parts), dim=True)

    def _response(self, event: AgentResponseEnded) -> None:
        match event.outcome:
            case ResponseOutcome.HEARD:
                self._line("agent", event.text)
            case ResponseOutcome.CUT:
                unheard = event.text.strip().removeprefix(event.heard_text).strip()
                self._line("agent", f"{event.heard_text} — (unheard: {unheard})")
            case ResponseOutcome.FAILED:
                self._line("agent", f"{event.heard_text} (failed)")

    def _line(self, who: str, text: str, *, dim: bool = False) -> None:
        text = " ".join(text.split())
        if self._colour and dim:
            text = f"\x1b[2m{text}\x1b[0m"
        label = f"{who:>6}"
        if self._colour and who:
            label = f"\x1b[1m{label}\x1b[0m"
        print(f"{label}  {text}", file=self._out, flush=True)


def _breakdown(event: TurnMeasured) -> str:
    """The latency of a turn and its parts."""
    parts = [
        f"{name} {value:.1f}"
        for name in PARTS
        if (value := getattr(event, f"{name}_ms")) is not None
    ]
    return f"{event.total_ms:.1f} ms = {' + '.join(parts)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
