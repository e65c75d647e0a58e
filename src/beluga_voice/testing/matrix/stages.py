"""Where faults are let strike: a cascade, or a service over its own wire; alone, or followed.

Services are emulated on the simulated network, and think for themselves. What follows a part of
the cascade is another of its kind; what follows a service is the cascade.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from beluga_voice.agents.fallback import FallbackAgent
from beluga_voice.events import ToolSpec
from beluga_voice.interfaces import Agent, Capabilities, SpeechToSpeech, Tool
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.providers.s2s.elevenlabs import ElevenLabsAgents
from beluga_voice.providers.s2s.gemini_live import GeminiLive
from beluga_voice.providers.s2s.grok import Grok
from beluga_voice.providers.s2s.nova_sonic import NovaSonic
from beluga_voice.providers.s2s.openai_live import OpenAILive
from beluga_voice.providers.s2s.openai_realtime import OpenAIRealtime
from beluga_voice.resilience.afresh import afresh
from beluga_voice.resilience.fallback import Fallback
from beluga_voice.testing.emulators import (
    elevenlabs_agents,
    gemini_live,
    grok,
    nova_sonic,
    openai_live,
    openai_realtime,
)
from beluga_voice.testing.emulators.speech import Brain, Faults, Pace
from beluga_voice.testing.faults import Fault, Faulty, Kind, Phase, Struck
from beluga_voice.testing.faults.catalogue import cases
from beluga_voice.testing.matrix.people import TOOL, Mind, TroubledAgent
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts

STT_MS, TTS_MS = 50, 30
"""How long the parts of the cascade take."""
PACE = Pace(thinking_ms=400, word_ms=60)
MAKING_MS = 190
"""From one word of the cascade's voice to the next, which sounds for 200."""
HOST, PORT = "voice.example.com", 80

LOOK_UP = ToolSpec(
    name=TOOL, description="looks it up", parameters='{"type":"object","properties":{}}'
)


async def _looked_up() -> str:
    return "found"


TOOLS = (Tool(spec=LOOK_UP, function=_looked_up),)


@dataclass(slots=True, kw_only=True)
class Setting:
    """What a call is held over."""

    s2s: list[SpeechToSpeech]
    """One service, or one and what stands in for it."""
    struck: list[Struck]
    """When the fault struck; filled while the call goes on."""

    @property
    def input_rate(self) -> int:
        """A rate of the person's sound that all of them take as it is: test speech needs that."""
        return _shared_rate([one.capabilities for one in self.s2s], "input_formats")

    @property
    def output_rate(self) -> int:
        """The same of the agent's sound."""
        return _shared_rate([one.capabilities for one in self.s2s], "output_formats")


def _shared_rate(able: list[Capabilities], formats: str) -> int:
    first, *others = (getattr(one, formats) for one in able)
    rate: int = next(one.rate for one in first if all(one in other for other in others))
    return rate


type Served = Callable[[Brain, Sequence[Faults]], AbstractAsyncContextManager[SpeechToSpeech]]
"""A service with that mind, whose connections have these faults of their own."""


@asynccontextmanager
async def _openai_realtime(
    brain: Brain, faults: Sequence[Faults]
) -> AsyncGenerator[SpeechToSpeech]:
    service = openai_realtime.OpenAIRealtimeEmulator(brain, pace=PACE, faults=faults)
    async with service.serving(HOST, PORT):
        yield OpenAIRealtime(api_key=openai_realtime.KEY, endpoint=service.url)


@asynccontextmanager
async def _gemini_live(brain: Brain, faults: Sequence[Faults]) -> AsyncGenerator[SpeechToSpeech]:
    service = gemini_live.GeminiLiveEmulator(brain, pace=PACE, faults=faults)
    async with service.serving() as endpoint:
        yield GeminiLive(api_key=gemini_live.API_KEY, endpoint=endpoint)


@asynccontextmanager
async def _grok(brain: Brain, faults: Sequence[Faults]) -> AsyncGenerator[SpeechToSpeech]:
    service = grok.GrokEmulator(brain, pace=PACE, faults=faults)
    async with service.serving(HOST, PORT):
        yield Grok(api_key=grok.KEY, endpoint=service.url)


@asynccontextmanager
async def _nova_sonic(brain: Brain, faults: Sequence[Faults]) -> AsyncGenerator[SpeechToSpeech]:
    service = nova_sonic.NovaSonicEmulator(
        brain, pace=PACE, faults=faults, silence_ms=500, ends_completions=True
    )
    async with service.serving(HOST, PORT):
        yield NovaSonic(open_channel=nova_sonic.plain(service.url))


@asynccontextmanager
async def _openai_live(brain: Brain, faults: Sequence[Faults]) -> AsyncGenerator[SpeechToSpeech]:
    service = openai_live.OpenAILiveEmulator(brain, pace=PACE, faults=faults)
    async with service.serving(HOST, PORT):
        yield OpenAILive(api_key=openai_live.KEY, endpoint=service.url)


@asynccontextmanager
async def _elevenlabs(brain: Brain, faults: Sequence[Faults]) -> AsyncGenerator[SpeechToSpeech]:
    """Its tools are set up at the agent."""
    agent = elevenlabs_agents.EmulatedAgent(tools=(LOOK_UP,))
    service = elevenlabs_agents.ElevenLabsAgentsEmulator(
        brain, pace=PACE, faults=faults, agents={elevenlabs_agents.AGENT: agent}
    )
    async with service.serving(HOST, PORT):
        yield ElevenLabsAgents(
            elevenlabs_agents.AGENT, api_key=elevenlabs_agents.KEY, endpoint=service.url
        )


SERVICES: dict[str, Served] = {
    "elevenlabs": _elevenlabs,
    "gemini_live": _gemini_live,
    "grok": _grok,
    "nova_sonic": _nova_sonic,
    "openai_live": _openai_live,
    "openai_realtime": _openai_realtime,
}
AGENT = "agent"
AGENT_CASES = (
    ("hang", "awaited"),
    ("hang", "answering"),
    ("reset", "awaited"),
    ("reset", "answering"),
    ("empty_answer", "awaited"),
)
"""Agents are programs of the application: these are the ways in which they let people wait."""
_FINDS_TURNS = frozenset({Phase.HEARING, Phase.AWAITED})
UNREACHED: dict[str, frozenset[Phase]] = {
    "elevenlabs": _FINDS_TURNS,
    "gemini_live": _FINDS_TURNS,
    "nova_sonic": _FINDS_TURNS,
    "openai_live": frozenset({Phase.TOOL}),
}
"""Phases that links of these services never get to: they do not tell when a person speaks."""
NEVER_HERE = frozenset({"flapping"})
"""Needs three connections of one provider to strike."""
STANDS_IN = "+"
"""At the end of the name of a stage: something stands in for what fails."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A part that faults strike, and what it is a part of."""

    name: str

    @property
    def has_stand_in(self) -> bool:
        """Whether something takes over."""
        return self.name.endswith(STANDS_IN)

    @property
    def base(self) -> str:
        """The part, or the service, that faults strike."""
        return self.name.removesuffix(STANDS_IN)

    @property
    def kind(self) -> Kind | None:
        """The kind of provider that faults strike; an agent is none."""
        if self.base == AGENT:
            return None
        return Kind.S2S if self.base in SERVICES else Kind(self.base)

    def cases(self) -> Iterator[tuple[str, str]]:
        """The faults and the phases at which they strike here."""
        if self.kind is None:
            yield from AGENT_CASES
            return
        unreached = UNREACHED.get(self.base, frozenset())
        for recipe, phase in cases(self.kind):
            if phase not in unreached and recipe.name not in NEVER_HERE:
                yield recipe.name, str(phase)

    def setting(
        self, mind: Mind, fault: Fault | None, seed: int
    ) -> AbstractAsyncContextManager[Setting]:
        """What a call on it is held over, with that fault of a provider."""
        faults = () if fault is None else (fault,)
        if self.base in SERVICES:
            return _service(SERVICES[self.base], mind, faults, seed, is_followed=self.has_stand_in)
        return _cascade(Kind(self.base), mind, faults, seed, is_followed=self.has_stand_in)

    def expiring(self, mind: Mind, faults: Faults) -> AbstractAsyncContextManager[Setting]:
        """A service whose every connection has these faults of its own."""
        served, is_followed = SERVICES[self.base], self.has_stand_in
        return _service(served, mind, (), 0, is_followed=is_followed, own=(faults,) * 9)

    @asynccontextmanager
    async def troubled(self, mind: Mind, fault: str, phase: str) -> AsyncGenerator[Setting]:
        """The same with an agent that fails."""
        struck: list[Struck] = []

        def note() -> None:
            at_ms = round(asyncio.get_running_loop().time() * 1000, 3)
            struck.append(Struck(fault=fault, connection=1, at_ms=at_ms))

        agent: Agent = TroubledAgent(mind, fault, phase, note) if fault else mind
        if self.has_stand_in:
            agent = FallbackAgent(agent, mind)
        cascade = Cascade(ScriptedStt(delay_ms=STT_MS), agent, _voice())
        yield Setting(s2s=[cascade], struck=struck)


STAGES: dict[str, Stage] = {
    f"{base}{end}": Stage(f"{base}{end}")
    for base in ("stt", AGENT, "tts", *SERVICES)
    for end in ("", STANDS_IN)
}
"""By name: the part of a cascade, or the service, that faults strike; `+` where one stands in."""


@asynccontextmanager
async def _cascade(
    kind: Kind, mind: Mind, faults: tuple[Fault, ...], seed: int, *, is_followed: bool
) -> AsyncGenerator[Setting]:
    ears, mouth = _named(ScriptedStt(delay_ms=STT_MS), "ears"), _named(_voice(), "mouth")
    for part in (ears, mouth):  # as if there were a network between
        part.capabilities = replace(part.capabilities, is_local=False)
    is_ears = kind is Kind.STT
    struck_part: Any = ears if is_ears else mouth
    faulty: Any = Faulty(struck_part, *faults, seed=seed)
    stt: Any = faulty if is_ears else ears
    tts: Any = mouth if is_ears else faulty
    if is_followed:
        stt = Fallback(stt, _named(ScriptedStt(delay_ms=STT_MS), "other ears"))
        tts = Fallback(tts, _named(_voice(), "other mouth"))
    else:
        stt, tts = afresh(stt), afresh(tts)
    yield Setting(s2s=[Cascade(stt, mind, tts)], struck=faulty.struck)


@asynccontextmanager
async def _service(
    served: Served,
    mind: Mind,
    faults: tuple[Fault, ...],
    seed: int,
    *,
    is_followed: bool,
    own: Sequence[Faults] = (),
) -> AsyncGenerator[Setting]:
    async with served(mind.think, own) as provider:
        faulty: Any = Faulty(provider, *faults, seed=seed)
        services: list[SpeechToSpeech] = [faulty]
        if is_followed:
            services.append(_cascade_like(provider.capabilities, mind))
        yield Setting(s2s=services, struck=faulty.struck)


def _cascade_like(able: Capabilities, mind: Mind) -> Cascade:
    """The three parts, at the rates of a service."""
    stt = ScriptedStt(delay_ms=STT_MS)
    stt.capabilities = replace(stt.capabilities, input_formats=able.input_formats[:1])
    return Cascade(stt, mind, ScriptedTts(delay_ms=TTS_MS, rate=able.output_formats[0].rate))


def _voice() -> ScriptedTts:
    return ScriptedTts(delay_ms=TTS_MS, making_ms=MAKING_MS)


def _named[P: (ScriptedStt, ScriptedTts)](part: P, name: str) -> P:
    part.name = name
    return part
