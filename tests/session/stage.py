"""A stage for session tests: a caller, scripted services, and a trace, in simulated time."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from beluga_voice.agents.functions import agent_of
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.interruptions import InterruptionPolicy, InterruptionSettings
from beluga_voice.engine.turns import TurnSettings
from beluga_voice.events import Message, Role
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad
from beluga_voice.testing.trace import Trace, trace

LONG = "one two three four five six seven eight nine ten"


async def long_agent(text: str) -> str:
    """Answer with ten words, two seconds of speech."""
    return LONG


@dataclass
class Stage:
    """Everything a test looks at."""

    session: Session
    caller: ScriptedCaller
    trace: Trace
    stt: ScriptedStt
    tts: ScriptedTts

    def agent_words(self) -> list[str]:
        """What the agent said, by the history."""
        return [
            item.text
            for item in self.session.history
            if isinstance(item, Message) and item.role is Role.AGENT
        ]

    def user_words(self) -> list[str]:
        """What the person said, by the history."""
        return [
            item.text
            for item in self.session.history
            if isinstance(item, Message) and item.role is Role.USER
        ]


@asynccontextmanager
async def stage(
    agent: Callable[..., Any] = long_agent,
    *,
    stt: ScriptedStt | None = None,
    tts: ScriptedTts | None = None,
    caller: ScriptedCaller | None = None,
    turns: TurnSettings | None = None,
    interruptions: InterruptionPolicy | None = None,
    detectors: Sequence[Any] = (),
    **session: Any,
) -> AsyncIterator[Stage]:
    """A conversation between a scripted caller and an agent, over the cascade."""
    stt = stt or ScriptedStt(delay_ms=50)
    tts = tts or ScriptedTts(delay_ms=30)
    caller = caller or ScriptedCaller()
    session.setdefault("session_id", "stage")
    policies = InterruptionSettings(normal=interruptions or InterruptionPolicy())
    session.setdefault(
        "settings", EngineSettings(turns=turns or TurnSettings(), interruptions=policies)
    )
    made = Session(
        Cascade(stt, agent_of(agent), tts),
        line=caller,
        detector=ScriptedVad(),
        turns=detectors,
        **session,
    )
    seen = trace(made)
    async with made, caller.on(made):
        yield Stage(made, caller, seen, stt, tts)


def play[T](scene: Callable[[], Awaitable[T]]) -> T:
    """Run a scene in simulated time; nothing may be left over."""
    return simulate(scene)  # type: ignore[arg-type]
