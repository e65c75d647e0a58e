"""Emulated services by the names of their providers, all started in the same way."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from beluga_voice.errors import UnknownPlugin
from beluga_voice.testing.emulators import gemini_live, openai_realtime
from beluga_voice.testing.emulators.speech import NO_FAULTS, Brain, Faults, Pace, echo


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulated:
    """A service that runs."""

    endpoint: str
    """What a provider takes as its `endpoint`."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """What a client needs in its environment: the credentials that are taken."""


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


EMULATORS: dict[str, Start] = {
    "gemini_live": _gemini_live,
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
