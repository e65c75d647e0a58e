"""Emulated services by the names of their providers, all started in the same way."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from beluga_voice.errors import UnknownPlugin
from beluga_voice.providers.s2s.reasoned.tooling import ASK_AGENT
from beluga_voice.testing.emulators import (
    elevenlabs_agents,
    gemini_live,
    grok,
    nova_sonic,
    openai_live,
    openai_realtime,
)
from beluga_voice.testing.emulators.speech import NO_FAULTS, Brain, Faults, Pace, echo


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulated:
    """A service that runs."""

    endpoint: str
    """What a provider takes as its `endpoint`."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """What a client needs in its environment: the credentials that are taken."""
    model: str = ""
    """What to ask for, where a provider asks for nothing by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a service behaves."""

    brain: Brain = echo
    pace: Pace = field(default_factory=Pace)
    faults: Sequence[Faults] = ()
    host: str = "127.0.0.1"
    port: int = 0


type Start = Callable[[Plan], AbstractAsyncContextManager[Emulated]]


@asynccontextmanager
async def _openai_realtime(plan: Plan) -> AsyncGenerator[Emulated]:
    service = openai_realtime.OpenAIRealtimeEmulator(plan.brain, pace=plan.pace, faults=plan.faults)
    async with service.serving(plan.host, plan.port):
        yield Emulated(endpoint=service.url, environment={"OPENAI_API_KEY": openai_realtime.KEY})


@asynccontextmanager
async def _gemini_live(plan: Plan) -> AsyncGenerator[Emulated]:
    service = gemini_live.GeminiLiveEmulator(plan.brain, pace=plan.pace, faults=plan.faults)
    async with service.serving(plan.host, plan.port) as address:
        yield Emulated(endpoint=address, environment={"GEMINI_API_KEY": gemini_live.API_KEY})


@asynccontextmanager
async def _grok(plan: Plan) -> AsyncGenerator[Emulated]:
    service = grok.GrokEmulator(plan.brain, pace=plan.pace, faults=plan.faults)
    async with service.serving(plan.host, plan.port):
        yield Emulated(endpoint=service.url, environment={"XAI_API_KEY": grok.KEY})


@asynccontextmanager
async def _openai_live(plan: Plan) -> AsyncGenerator[Emulated]:
    service = openai_live.OpenAILiveEmulator(plan.brain, pace=plan.pace, faults=plan.faults)
    async with service.serving(plan.host, plan.port):
        yield Emulated(endpoint=service.url, environment={"OPENAI_API_KEY": openai_live.KEY})


@asynccontextmanager
async def _elevenlabs(plan: Plan) -> AsyncGenerator[Emulated]:
    """Tools are set up at the agent: it has the one by which it can ask an agent of ours."""
    agent = elevenlabs_agents.EmulatedAgent(tools=(ASK_AGENT,))
    service = elevenlabs_agents.ElevenLabsAgentsEmulator(
        plan.brain,
        pace=plan.pace,
        faults=plan.faults,
        agents={elevenlabs_agents.AGENT: agent},
    )
    async with service.serving(plan.host, plan.port):
        key = {"ELEVENLABS_API_KEY": elevenlabs_agents.KEY}
        yield Emulated(endpoint=service.url, environment=key, model=elevenlabs_agents.AGENT)


@asynccontextmanager
async def _nova_sonic(plan: Plan) -> AsyncGenerator[Emulated]:
    """There is no Bedrock without TLS: a certificate is made, which clients have to trust."""
    context, authority = nova_sonic.certificate(plan.host)
    service = nova_sonic.NovaSonicEmulator(plan.brain, pace=plan.pace, faults=plan.faults)
    with TemporaryDirectory(prefix="beluga-voice-") as folder:
        trusted = Path(folder) / "authority.pem"
        trusted.write_bytes(authority)
        async with service.serving(plan.host, plan.port, ssl=context):
            environment = {
                "AWS_ACCESS_KEY_ID": nova_sonic.ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": nova_sonic.SECRET_KEY,
                "AWS_REGION": "us-east-1",
                "SSL_CERT_FILE": str(trusted),
            }
            yield Emulated(endpoint=service.url, environment=environment)


EMULATORS: dict[str, Start] = {
    "elevenlabs": _elevenlabs,
    "gemini_live": _gemini_live,
    "grok": _grok,
    "nova_sonic": _nova_sonic,
    "openai_live": _openai_live,
    "openai_realtime": _openai_realtime,
}
"""By the names of the providers that talk to them."""


def emulated(name: str, plan: Plan | None = None) -> AbstractAsyncContextManager[Emulated]:
    """Run the service of that name while the context is open. Raises `UnknownPlugin`."""
    if name not in EMULATORS:
        raise UnknownPlugin("emulator", name, tuple(sorted(EMULATORS)))
    return EMULATORS[name](plan or Plan())


def all_with(faults: Faults, connections: int = 1000) -> Sequence[Faults]:
    """The same faults for every connection."""
    return () if faults == NO_FAULTS else (faults,) * connections
