"""A stage for Nova Sonic: a caller, the emulated service, and a trace, in simulated time."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from beluga_voice.interfaces import S2sOptions, VoiceActivityDetector
from beluga_voice.providers.s2s.nova_sonic import NovaSonic
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.nova_sonic import MODELS, NovaSonicEmulator, plain
from beluga_voice.testing.loop import running_simulation
from beluga_voice.testing.network import Conditions
from beluga_voice.testing.scripted import ScriptedVad
from beluga_voice.testing.trace import Trace, trace

HOST, PORT = "bedrock.example.com", 8765
URL = f"ws://{HOST}:{PORT}"


@dataclass
class Stage:
    """Everything a test looks at."""

    session: Session
    caller: ScriptedCaller
    trace: Trace
    service: NovaSonicEmulator

    def sent(self, name: str, stream: int = -1) -> list[dict[str, Any]]:
        """The events of one kind that our provider sent."""
        return [one[name] for one in self.service.sessions[stream].received if name in one]


def provider(model: str = MODELS[0], **settings: Any) -> NovaSonic:
    """A provider for the emulated service on its plain wire."""
    return NovaSonic(model, open_channel=plain(URL, model), **settings)


@asynccontextmanager
async def stage(
    service: NovaSonicEmulator,
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
    async with service.serving(HOST, PORT):
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
