"""Emulated services by the kinds and names of their providers, all started in the same way.

A service is named `stt/deepgram`: the kind, and the name of the provider that talks to it. The kind
may be left out where a name says enough: of a speech-to-speech service, and of the only one.
"""

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from beluga_voice.errors import ConfigurationError, MissingExtra, UnknownPlugin
from beluga_voice.providers.s2s.reasoned.tooling import ASK_AGENT
from beluga_voice.testing.emulators import (
    assemblyai_stt,
    cartesia_stt,
    cartesia_tts,
    deepgram,
    elevenlabs_agents,
    elevenlabs_speech,
    elevenlabs_stt,
    elevenlabs_tts,
    gemini_live,
    grok,
    nova_sonic,
    openai_live,
    openai_realtime,
    openai_stt,
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


@contextmanager
def _needing_server() -> Generator[None]:
    """What is imported meanwhile needs the package of a server."""
    try:
        yield
    except ImportError as error:
        raise MissingExtra("a server of HTTP", extra="server", op="emulate") from error


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


@asynccontextmanager
async def _deepgram(plan: Plan) -> AsyncGenerator[Emulated]:
    """It listens and speaks on one port."""
    service = deepgram.DeepgramEmulator(pace=plan.pace, faults=plan.faults)
    async with service.serving(plan.host, plan.port):
        yield Emulated(endpoint=service.url, environment={"DEEPGRAM_API_KEY": deepgram.KEY})


@asynccontextmanager
async def _cartesia_stt(plan: Plan) -> AsyncGenerator[Emulated]:
    service = cartesia_stt.CartesiaSttEmulator(pace=plan.pace, faults=plan.faults)
    async with service.serving(plan.host, plan.port):
        yield Emulated(endpoint=service.url, environment={"CARTESIA_API_KEY": cartesia_stt.KEY})


@asynccontextmanager
async def _cartesia_tts(plan: Plan) -> AsyncGenerator[Emulated]:
    service = cartesia_tts.CartesiaTtsEmulator(pace=plan.pace, faults=plan.faults)
    async with service.serving(plan.host, plan.port):
        yield Emulated(endpoint=service.url, environment={"CARTESIA_API_KEY": cartesia_tts.KEY})


@asynccontextmanager
async def _scribe(plan: Plan) -> AsyncGenerator[Emulated]:
    service = elevenlabs_stt.ScribeEmulator(pace=plan.pace, faults=plan.faults)
    async with service.serving(plan.host, plan.port):
        key = {"ELEVENLABS_API_KEY": elevenlabs_speech.KEY}
        yield Emulated(endpoint=service.url, environment=key)


@asynccontextmanager
async def _elevenlabs_tts(plan: Plan) -> AsyncGenerator[Emulated]:
    service = elevenlabs_tts.ElevenLabsTtsEmulator(pace=plan.pace, faults=plan.faults)
    async with service.serving(plan.host, plan.port):
        key = {"ELEVENLABS_API_KEY": elevenlabs_speech.KEY}
        yield Emulated(endpoint=service.url, environment=key)


@asynccontextmanager
async def _openai_stt(plan: Plan) -> AsyncGenerator[Emulated]:
    """A server of somebody else's, as the address says: it is told the model in it."""
    service = openai_stt.OpenAISttEmulator(pace=plan.pace, faults=plan.faults, is_gateway=True)
    async with service.serving(plan.host, plan.port):
        yield Emulated(endpoint=service.base, environment={"OPENAI_API_KEY": openai_stt.KEY})


@asynccontextmanager
async def _openai_http(plan: Plan) -> AsyncGenerator[Emulated]:
    """It speaks, and takes recordings that are posted."""
    with _needing_server():
        from beluga_voice.testing.emulators import openai_http
    service = openai_http.OpenAIHttpEmulator(pace=plan.pace, faults=plan.faults)
    async with service.serving(plan.host, plan.port):
        yield Emulated(endpoint=service.url, environment={"OPENAI_API_KEY": openai_http.KEY})


@asynccontextmanager
async def _deepgram_files(plan: Plan) -> AsyncGenerator[Emulated]:
    """It takes recordings that are posted."""
    with _needing_server():
        from beluga_voice.testing.emulators import deepgram_files
    service = deepgram_files.DeepgramFilesEmulator(pace=plan.pace, faults=plan.faults)
    async with service.serving(plan.host, plan.port):
        yield Emulated(endpoint=service.url, environment={"DEEPGRAM_API_KEY": deepgram.KEY})


@asynccontextmanager
async def _scribe_files(plan: Plan) -> AsyncGenerator[Emulated]:
    """It takes recordings that are posted."""
    with _needing_server():
        from beluga_voice.testing.emulators import elevenlabs_files
    service = elevenlabs_files.ScribeFilesEmulator(pace=plan.pace, faults=plan.faults)
    async with service.serving(plan.host, plan.port):
        key = {"ELEVENLABS_API_KEY": elevenlabs_speech.KEY}
        yield Emulated(endpoint=service.url, environment=key)


@asynccontextmanager
async def _assemblyai(plan: Plan) -> AsyncGenerator[Emulated]:
    service = assemblyai_stt.AssemblyAiEmulator(pace=plan.pace, faults=plan.faults)
    async with service.serving(plan.host, plan.port):
        key = {"ASSEMBLYAI_API_KEY": assemblyai_stt.KEY}
        yield Emulated(endpoint=service.url, environment=key)


EMULATORS: dict[str, dict[str, Start]] = {
    "s2s": {
        "elevenlabs": _elevenlabs,
        "gemini_live": _gemini_live,
        "grok": _grok,
        "nova_sonic": _nova_sonic,
        "openai_live": _openai_live,
        "openai_realtime": _openai_realtime,
    },
    "stt": {
        "assemblyai": _assemblyai,
        "cartesia": _cartesia_stt,
        "deepgram": _deepgram,
        "deepgram_files": _deepgram_files,
        "elevenlabs": _scribe,
        "elevenlabs_files": _scribe_files,
        "openai": _openai_stt,
    },
    "tts": {
        "cartesia": _cartesia_tts,
        "deepgram": _deepgram,
        "elevenlabs": _elevenlabs_tts,
        "openai": _openai_http,
    },
}
"""By kind, and by the names of the providers that talk to them."""


def all_names() -> tuple[str, ...]:
    """Every service there is, as `kind/name`, in order."""
    return tuple(f"{kind}/{name}" for kind, named in EMULATORS.items() for name in sorted(named))


def kind_and_name(service: str) -> tuple[str, str]:
    """What `kind/name`, or a name that says enough, stands for.

    Raises `UnknownPlugin` for what there is not, and `ConfigurationError` for a name of several.
    """
    kind, slash, name = service.rpartition("/")
    if slash:
        if name in EMULATORS.get(kind, {}):
            return kind, name
        raise UnknownPlugin("emulator", service, all_names())
    kinds = [kind for kind, named in EMULATORS.items() if service in named]
    if not kinds:
        raise UnknownPlugin("emulator", service, all_names())
    if len(kinds) > 1 and kinds[0] != "s2s":
        several = " or ".join(f"{kind}/{service}" for kind in kinds)
        raise ConfigurationError(f"{service!r} is several services: say {several}", op="emulate")
    return kinds[0], service


def emulated(service: str, plan: Plan | None = None) -> AbstractAsyncContextManager[Emulated]:
    """Run that service while the context is open; raises as `kind_and_name` does."""
    kind, name = kind_and_name(service)
    return EMULATORS[kind][name](plan or Plan())


def all_with(faults: Faults, connections: int = 1000) -> Sequence[Faults]:
    """The same faults for every connection."""
    return () if faults == NO_FAULTS else (faults,) * connections
