"""A stage for Gemini Live: a caller, the emulated service, and a trace, in simulated time."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from beluga_voice.interfaces import S2sOptions, VoiceActivityDetector
from beluga_voice.providers.s2s.gemini_live import GeminiLive
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.gemini_live import API_KEY, HOST, PORT, GeminiLiveEmulator
from beluga_voice.testing.loop import running_simulation
from beluga_voice.testing.network import Conditions
from beluga_voice.testing.scripted import ScriptedVad
from beluga_voice.testing.trace import Trace, trace

ENDPOINT = f"ws://{HOST}:{PORT}"


@dataclass
class Stage:
    """Everything a test looks at."""

    session: Session
    caller: ScriptedCaller
    trace: Trace
    service: GeminiLiveEmulator

    def sent(self, name: str, connection: int = -1) -> list[dict[str, Any]]:
        """The frames of one kind that our provider sent, without sound."""
        frames = [
            frame[name] for frame in self.service.connections[connection].received if name in frame
        ]
        return [one for one in frames if "audio" not in one]


def provider(**settings: Any) -> GeminiLive:
    """A provider for the emulated service."""
    settings.setdefault("api_key", API_KEY)
    return GeminiLive(endpoint=ENDPOINT, **settings)


@asynccontextmanager
async def stage(
    service: GeminiLiveEmulator,
    *,
    options: S2sOptions | None = None,
    detector: VoiceActivityDetector | None = None,
    caller: ScriptedCaller | None = None,
    latency_ms: float = 0,
    settings: dict[str, Any] | None = None,
    **session: Any,
) -> AsyncGenerator[Stage]:
    """A conversation between a scripted caller and the service."""
    running_simulation().network.set_conditions(Conditions(latency_ms=latency_ms))
    caller = caller or ScriptedCaller()
    session.setdefault("session_id", "stage")
    async with service.serving():
        made = Session(
            provider(**(settings or {})),
            line=caller,
            options=options,
            detector=detector or ScriptedVad(),
            **session,
        )
        seen = trace(made)
        async with made, caller.on(made):
            yield Stage(made, caller, seen, service)
