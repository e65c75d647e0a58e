"""A stage for agents of ElevenLabs: a caller, the emulated service, and a trace."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.events import Message, Role
from beluga_voice.interfaces import S2sOptions, VoiceActivityDetector
from beluga_voice.providers.s2s.elevenlabs import ElevenLabsAgents
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.elevenlabs_agents import (
    AGENT,
    KEY,
    AgentConversation,
    ElevenLabsAgentsEmulator,
)
from beluga_voice.testing.emulators.speech import Asked, Deed, Speaks
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.network import Conditions
from beluga_voice.testing.scripted import ScriptedVad
from beluga_voice.testing.trace import Trace, trace
from providers.elevenlabs.vendor_frames import check_client_frame, check_server_frame

HOST, PORT = "agents.example.com", 8080
ENDPOINT = f"ws://{HOST}:{PORT}"
TEN = "one two three four five six seven eight nine ten"


def ten(asked: Asked) -> Deed:
    """Answer with ten words, two seconds of speech; "fine" to one who says stop."""
    return Speaks("fine" if "stop" in asked.text else TEN)


def play[T](scene: Callable[[], Awaitable[T]]) -> T:
    """Run a scene in simulated time; nothing may be left over."""
    return simulate(scene)  # type: ignore[arg-type]


def provider(agent: str = AGENT, **settings: Any) -> ElevenLabsAgents:
    """A provider for the emulated service."""
    settings.setdefault("api_key", KEY)
    settings.setdefault("endpoint", ENDPOINT)
    return ElevenLabsAgents(agent, **settings)


def check_frames(service: ElevenLabsAgentsEmulator) -> None:
    """Every frame of both sides is one by the vendor's documents, and nobody did wrong."""
    for session in service.sessions:
        assert session.errors == []
        for frame in session.sent:
            check_server_frame(frame)
        for frame in session.received:
            check_client_frame(frame)


@dataclass
class Stage:
    """Everything a test looks at."""

    session: Session
    caller: ScriptedCaller
    trace: Trace
    service: ElevenLabsAgentsEmulator

    @property
    def remote(self) -> AgentConversation:
        """The service's side of the last connection."""
        return self.service.sessions[-1]

    def sent(self, *, connection: int = -1) -> list[dict[str, Any]]:
        """What our provider sent after the beginning, without sound and pongs."""
        frames = self.service.sessions[connection].received[1:]
        return [one for one in frames if one.get("type") not in (None, "pong")]

    def said(self) -> list[tuple[Role, str]]:
        """What was said, by the session's history."""
        return [(one.role, one.text) for one in self.session.history if isinstance(one, Message)]


@asynccontextmanager
async def stage(
    service: ElevenLabsAgentsEmulator,
    *,
    options: S2sOptions | None = None,
    detector: VoiceActivityDetector | None = None,
    caller: ScriptedCaller | None = None,
    latency_ms: float = 0,
    settings: dict[str, Any] | None = None,
    tools: Sequence[Any] = (),
    engine: EngineSettings | None = None,
    has_ears: bool = True,
    is_listening: bool = True,
    **session: Any,
) -> AsyncGenerator[Stage]:
    """A conversation between a scripted caller and an agent, whose frames are all checked.

    Without `is_listening` the caller's microphone is shut off, and gives no sound at all.
    """
    running_simulation().network.set_conditions(Conditions(latency_ms=latency_ms))
    # The rate that agents speak at unless told otherwise: words stay readable.
    caller = caller or ScriptedCaller(output_rate=16000)
    session.setdefault("session_id", "stage")
    async with service.serving(HOST, PORT):
        made = Session(
            provider(**(settings or {})),
            line=caller,
            options=options,
            detector=(detector or ScriptedVad()) if has_ears else None,
            tools=tools,
            settings=engine,
            **session,
        )
        seen = trace(made)
        async with made, caller.on(made) if is_listening else nullcontext():
            yield Stage(made, caller, seen, service)
    check_frames(service)
