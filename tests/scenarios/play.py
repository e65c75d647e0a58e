"""A conversation over any provider, told as lines that are the same for all who can the same."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.interruptions import InterruptionPolicy, InterruptionSettings
from beluga_voice.events import (
    AgentResponseAudio,
    AgentResponseEnded,
    AgentResponseStarted,
    AgentResponseText,
    BargedIn,
    DeadAir,
    ErrorOccurred,
    FunctionAnswered,
    FunctionCalled,
    Message,
    Reconnected,
    Reconnecting,
    ResponseId,
    SessionEnded,
    SessionEvent,
    SessionStarted,
    StateChanged,
    Transcription,
    TurnMeasured,
    UserSpeechEnded,
    UserSpeechStarted,
)
from beluga_voice.interfaces import Capabilities, S2sOptions, SpeechToSpeech, Tool, TurnOwner
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.conformance import Maker, Peer
from beluga_voice.testing.scripted import ScriptedVad
from beluga_voice.testing.trace import Trace, trace

AT_ONCE = EngineSettings(
    interruptions=InterruptionSettings(normal=InterruptionPolicy(min_ms=0, resumes=False))
)
"""A voice interrupts as soon as it is heard, as it does where the service decides."""


@dataclass
class Play:
    """What a scene has to do with."""

    session: Session
    caller: ScriptedCaller
    trace: Trace

    async def hears(self, words: int) -> None:
        """Wait until the person has heard so many words in all."""
        while len(self.caller.heard.split()) < words:
            await asyncio.sleep(0.02)

    async def is_done(self, responses: int) -> None:
        """Wait until so many responses have sounded, or were cut while they did."""
        while len([one for one in self.trace.of(AgentResponseEnded) if one.heard_ms]) < responses:
            await asyncio.sleep(0.02)
        await asyncio.sleep(1)


@dataclass(frozen=True)
class Can:
    """What may make one story differ from another, and how it does."""

    capabilities: Capabilities
    owner: TurnOwner

    def turn(self, words: str, *meanwhile: str) -> list[str]:
        """The person takes a turn; `meanwhile` is what follows from the words."""
        spoken = [f"user: {words}"] if self.capabilities.has_input_transcript else []
        return ["user speaks", "user is done", *spoken, *meanwhile]

    def answer(self, words: str, *, outcome: str = "heard") -> list[str]:
        """The agent answers a turn."""
        return ["turn measured", "agent speaks", f"agent {outcome}: {words}"]

    def barge_in(self, heard: str, words: str, *, meanwhile: str = "") -> list[str]:
        """The person takes the floor after those words of an answer were heard.

        A duplex model that tells of no voices stops when it pleases, and says more `meanwhile`.
        """
        speaks, *rest = self.turn(words)
        stops_unseen = self.owner is TurnOwner.DUPLEX and not self.capabilities.has_speech_events
        return [
            "turn measured",
            "agent speaks",
            speaks,
            f"agent heard: {heard} {meanwhile}" if stops_unseen else f"agent cut: {heard}",
            "user barged in",
            *rest,
        ]

    def comparable(self, lines: list[str]) -> list[str]:
        """What of a story has to be the same for everybody.

        Where the service finds the turns without telling of voices, our ears notice the end of a
        voice before or after its words: how often they do is compared, not when. A duplex model
        knows no turns: of it, each party's words are compared.
        """
        if self.owner is TurnOwner.DUPLEX:
            told = [line for line in lines if line.startswith(("user: ", "agent "))]
            return sorted(filter(lambda line: ": " in line, told), key=lambda line: line[:5])
        if self.owner is TurnOwner.PROVIDER and not self.capabilities.has_speech_events:
            end = "user is done"
            return [line for line in lines if line != end] + [end] * lines.count(end)
        return lines


@dataclass(frozen=True)
class Scene:
    """What the service is like, what people do, and what comes of it."""

    name: str
    peer: Callable[[], Peer]
    act: Callable[[Play], Awaitable[None]]
    expected: Callable[[Can], list[str]]
    """The story without its first and last line."""
    ended: str = "closed"
    tools: tuple[Tool, ...] = ()
    greeting: str = ""
    needs: Callable[[Capabilities], bool] = lambda _: True

    def story(self, can: Can) -> list[str]:
        """The whole of it."""
        return ["session started", *self.expected(can), f"session ended: {self.ended}"]


@dataclass
class Told:
    """What became of a scene."""

    can: Can
    lines: list[str] = field(default_factory=list[str])
    heard: str = ""
    history: list[str] = field(default_factory=list[str])


@asynccontextmanager
async def playing(provider: SpeechToSpeech, scene: Scene, owner: TurnOwner) -> AsyncGenerator[Play]:
    """The session of a scene, with a person on its line."""
    capabilities = provider.capabilities
    input_rate = capabilities.input_formats[0].rate
    # Test words do not survive another rate.
    caller = ScriptedCaller(input_rate=input_rate, output_rate=capabilities.output_formats[0].rate)
    session = Session(
        provider,
        line=caller,
        options=S2sOptions(turn_owner=owner, instructions="Be brief."),
        detector=ScriptedVad(rate=input_rate),
        tools=scene.tools,
        greeting=scene.greeting,
        settings=AT_ONCE,
        session_id="scene",
    )
    seen = trace(session)
    async with session, caller.on(session):
        yield Play(session, caller, seen)


async def play(make: Maker[SpeechToSpeech], scene: Scene, owner: TurnOwner) -> Told:
    """Play a scene, and tell it."""
    async with make(scene.peer()) as provider:
        told = Told(Can(provider.capabilities, owner))
        async with playing(provider, scene, owner) as on:
            await scene.act(on)
        told.lines = story(one.event for one in on.trace.happenings)
        told.heard = on.caller.heard
        told.history = [
            f"{one.role}{'…' if one.is_cut else ''}: {one.text}"
            for one in on.session.history
            if isinstance(one, Message)
        ]
    return told


def story(events: Iterable[SessionEvent]) -> list[str]:
    """Kinds, words and outcomes: no ids, no times, nothing that is not final.

    A response is told from its first sound on: some services announce one long before, others do
    not, and who hears nothing cannot tell. Of one that was cut, only the words that were heard are
    told: how many more were made is a matter of pace.
    """
    lines: list[str] = []
    sounding: set[ResponseId] = set()
    for event in events:
        match event:
            case AgentResponseAudio():
                if event.response_id not in sounding:
                    sounding.add(event.response_id)
                    lines.append("agent speaks")
            case AgentResponseEnded() if event.response_id in sounding:
                lines.append(f"agent {event.outcome}: {event.heard_text}")
            case Transcription() if event.is_final:
                lines.append(f"user: {event.text}")
            case (
                AgentResponseStarted()
                | AgentResponseText()
                | AgentResponseEnded()
                | StateChanged()
                | Transcription()
            ):
                pass
            case _:
                lines.append(_line(event))
    return lines


def _line(event: SessionEvent) -> str:
    match event:
        case SessionStarted():
            return "session started"
        case UserSpeechStarted():
            return "user speaks"
        case UserSpeechEnded():
            return "user was ignored" if event.was_ignored else "user is done"
        case FunctionCalled():
            return f"tool {event.name}{event.arguments}"
        case FunctionAnswered():
            return f"tool {'failed' if event.is_error else 'gave'}: {event.output}"
        case BargedIn():
            return "user barged in"
        case DeadAir():
            return f"dead air: {event.rung}"
        case ErrorOccurred():
            return f"error {event.code}{' fatal' if event.is_fatal else ''}"
        case Reconnecting():
            return "reconnecting"
        case Reconnected():
            return "reconnected"
        case SessionEnded():
            return f"session ended: {event.reason}"
        case TurnMeasured():
            return "turn measured"
        case _:
            raise AssertionError(f"no line for {event!r}")
