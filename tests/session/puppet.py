"""A whole conversation whose strings a test holds: it goes on only as far as the test lets it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from beluga_voice.audio.formats import FRAME_MILLISECONDS, to_samples
from beluga_voice.engine.deadlines import DeadAirSettings
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.interruptions import InterruptionPolicy, InterruptionSettings
from beluga_voice.engine.patience import PatienceSettings
from beluga_voice.engine.turns import Floor, TurnSettings
from beluga_voice.errors import ToolFailed
from beluga_voice.events import (
    FunctionAnswered,
    FunctionCalled,
    HistoryItem,
    Occasion,
    S2sCommand,
    S2sEvent,
    SessionState,
    ToolCallId,
    ToolSpec,
)
from beluga_voice.interfaces import AgentTurn, S2sLink, S2sOptions, SpeechToSpeech, Tool
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.session.saying import Saying
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import Leftovers, SimulatedLoop
from beluga_voice.testing.scenarios.model import Service
from beluga_voice.testing.scenarios.services import FindsTurns
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad
from beluga_voice.testing.trace import Trace, trace

type Answer = Literal["words", "slowly", "nothing", "fails", "hangs", "tool", "two tools"]
type Final = Literal["in time", "late", "missing", "twice", "other", "empty"]
type ToolWay = Literal["at once", "slowly", "to its end", "raises", "open", "unknown"]

OVER = (SessionState.DISCONNECTED, SessionState.ERROR)
REST_SECONDS = 60.0
"""By so long after the last thing that happened outside, all is at rest."""
LEAVE_SECONDS = 3.0
"""So long leaving may take: what closes a link has two."""
HANG_SECONDS = 9.0
"""So long an agent hangs that hangs."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a conversation is like."""

    stage: Literal["cascade", "service"] = "cascade"
    final_ms: float = 50
    has_interims: bool = False
    first_sound_ms: float = 30
    making_ms: float = 0
    has_word_times: bool = True
    lead_ms: int = 20
    prepares: bool = False
    policy: InterruptionPolicy = field(default_factory=InterruptionPolicy)
    greeting: str = ""
    idle_ms: float | None = None
    goodbye: str = ""
    history_limit: int = 200
    ends_abruptly: bool = False
    """Whether it is left in whatever state it is."""


class Tapped:
    """A provider whose present link can be made to tell anything."""

    def __init__(self, provider: SpeechToSpeech) -> None:
        self.name = provider.name
        self.capabilities = provider.capabilities
        self._provider = provider
        self._deliver: Callable[[S2sEvent], None] | None = None

    @asynccontextmanager
    async def connect(self, options: S2sOptions, /) -> "AsyncGenerator[_TappedLink]":
        """A link of the provider's."""
        async with self._provider.connect(options) as link:
            made = _TappedLink(link, self)
            try:
                yield made
            finally:
                if self._deliver is made.deliver:
                    self._deliver = None

    def use(self, deliver: Callable[[S2sEvent], None]) -> None:
        """That is where the present link tells what happens."""
        self._deliver = deliver

    def tell(self, event: S2sEvent) -> None:
        """Tell it, if there is a link."""
        if self._deliver is not None:
            self._deliver(event)


class _TappedLink:
    """See `Tapped`."""

    def __init__(self, link: S2sLink, provider: Tapped) -> None:
        self._link = link
        self._provider = provider
        self.deliver: Callable[[S2sEvent], None] | None = None
        self._early: list[S2sCommand] = []
        """What is sent before anybody listens: a service would answer it later, too."""

    def send(self, command: S2sCommand, /) -> None:
        if self.deliver is None:
            self._early.append(command)
        else:
            self._link.send(command)

    def attach(self, deliver: Callable[[S2sEvent], None], /) -> None:
        self.deliver = deliver
        self._provider.use(deliver)
        self._link.attach(deliver)
        for command in self._early:
            self._link.send(command)

    def __aiter__(self) -> AsyncIterator[S2sEvent]:
        return aiter(self._link)


class Puppet:
    """A session, its people and services. Nothing happens but within `go`."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.answer: Answer = "words"
        self.final: Final = "in time"
        self.tool: ToolWay = "at once"
        self.sayings: list[Saying] = []
        self.told: tuple[HistoryItem, ...] = ()
        """The history that the agent was given last."""
        self.words = 0
        """How many words the person has said so far, of which each is another."""
        self._runner = asyncio.Runner(loop_factory=lambda: SimulatedLoop(seed=0))
        loop = self._runner.get_loop()
        assert isinstance(loop, SimulatedLoop)
        self._loop = loop
        self._lost: list[BaseException] = []
        loop.set_exception_handler(lambda _, context: self._lose(context))
        self._deeds: list[asyncio.Task[Any]] = []
        self._runner.run(self._begin())

    # ── the conversation ────────────────────────────────────────────────────────────────────

    async def _begin(self) -> None:
        ready = asyncio.Event()
        self._left = asyncio.Event()
        self._host = asyncio.create_task(self._live(ready), name="host")
        waiting = asyncio.create_task(ready.wait(), name="ready")
        await asyncio.wait([waiting, self._host], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._host.done():
            self._host.result()

    async def _live(self, ready: asyncio.Event) -> None:
        setting = self.setting
        self.stt = ScriptedStt(
            delay_ms=setting.final_ms, interim=setting.has_interims, finals=self._finals
        )
        self.tts = ScriptedTts(
            delay_ms=setting.first_sound_ms,
            making_ms=setting.making_ms,
            has_word_times=setting.has_word_times,
        )
        cascade = Cascade(self.stt, self, self.tts)
        is_ours = setting.stage == "cascade"
        self.service = Tapped(cascade if is_ours else FindsTurns(cascade, Service()))
        self.caller = ScriptedCaller(lead_ms=setting.lead_ms)
        patience = PatienceSettings(
            idle_ms=setting.idle_ms,
            prompts=("are you there",) if setting.idle_ms else (),
            goodbye=setting.goodbye,
        )
        self.session = Session(
            self.service,
            line=self.caller,
            detector=ScriptedVad() if is_ours else None,
            settings=EngineSettings(
                turns=TurnSettings(prepares=setting.prepares),
                interruptions=InterruptionSettings(normal=setting.policy),
                dead_air=DeadAirSettings(end_ms=20_000),
                patience=patience,
                history_limit=setting.history_limit,
            ),
            tools=self._tools(),
            greeting=setting.greeting,
            session_id="puppet",
        )
        self.trace: Trace = trace(self.session)
        async with self.session, self.caller.on(self.session):
            ready.set()
            await self._left.wait()

    def _lose(self, context: dict[str, Any]) -> None:
        self._lost.append(context.get("exception") or RuntimeError(context["message"]))

    # ── what the services do ────────────────────────────────────────────────────────────────

    async def respond(self, turn: AgentTurn, /) -> AsyncIterator[str]:
        """Answer as the agent was told to."""
        self.told = tuple(turn.history)
        match self.answer:
            case "words":
                yield f"you said {turn.text or 'nothing'}. that is all"
            case "slowly":
                yield "well. "
                await asyncio.sleep(0.9)
                yield "here it is"
            case "nothing":
                return
            case "fails":
                yield "i will. "
                raise RuntimeError("the agent was told to fail")
            case "hangs":
                await asyncio.sleep(HANG_SECONDS)
                yield "at last"
            case "tool" | "two tools":
                yield "one moment. "
                for _ in range(2 if self.answer == "two tools" else 1):
                    name = "unknown" if self.tool == "unknown" else "look"
                    try:
                        yield await turn.call_tool(name, "{}") + ". "
                    except ToolFailed:
                        yield "that failed. "

    async def _look(self) -> str:
        match self.tool:
            case "slowly" | "to its end":
                await asyncio.sleep(3.8)
            case "raises":
                raise RuntimeError("the tool was told to fail")
            case _:
                pass
        return "found it"

    def _tools(self) -> list[Tool]:
        def spec(name: str) -> ToolSpec:
            parameters = '{"type":"object","properties":{}}'
            return ToolSpec(name=name, description=name, parameters=parameters)

        if self.tool == "open":
            return [Tool(spec=spec("look"), timeout_seconds=4.0)]
        runs_to_end = self.tool == "to its end"
        look = Tool(
            spec=spec("look"), function=self._look, timeout_seconds=4.0, runs_to_end=runs_to_end
        )
        return [look]

    def _finals(self, number: int, words: str) -> list[tuple[float, str]]:
        delay_ms = self.setting.final_ms
        match self.final:
            case "in time":
                return [(delay_ms, words)]
            case "late":
                return [(1900, words)]
            case "missing":
                return []
            case "twice":
                return [(delay_ms, words), (delay_ms + 120, words)]
            case "other":
                return [(delay_ms, f"other {number}")]
            case "empty":
                return [(delay_ms, "")]

    # ── what a test does ────────────────────────────────────────────────────────────────────

    @property
    def is_over(self) -> bool:
        """Whether the session has ended."""
        return self.session.state in OVER

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self._loop.time()

    def go(self, seconds: float) -> None:
        """Let so much time pass."""
        self._runner.run(asyncio.sleep(seconds))
        self._check_lost()

    def do[T](self, deed: Callable[[], T]) -> T:
        """Do something at this moment, within the loop."""

        async def now() -> T:
            return deed()

        return self._runner.run(now())

    def begin(self, deed: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Begin something that takes its time."""

        async def now() -> None:
            self._deeds.append(asyncio.create_task(deed(), name="deed"))

        self._runner.run(now())

    def say(self, words: int) -> None:
        """The person begins to say so many words."""
        text = " ".join(f"w{self.words + n}" for n in range(words))
        self.words += words
        self.do(lambda: self.caller.begin(text))

    def noise(self, milliseconds: int) -> None:
        """The person begins to make a sound."""
        frame = b"\x00\x10" * to_samples(FRAME_MILLISECONDS, self.caller.options.input_rate)
        self.do(lambda: self.caller.mix([frame] * (milliseconds // FRAME_MILLISECONDS)))

    def app_says(self, text: str, occasion: Occasion) -> None:
        """The application wants something said."""
        self.do(lambda: self.sayings.append(self.session.say(text, occasion=occasion)))

    def heard(self) -> list[str]:
        """The words that sounded whole on the person's line."""
        return self.do(lambda: self.caller.heard).split()

    def open_calls(self) -> list[ToolCallId]:
        """The calls of tools that are not over, as the application knows them."""
        called = [one.call_id for one in self.trace.of(FunctionCalled)]
        answered = {one.call_id for one in self.trace.of(FunctionAnswered)}
        return [one for one in called if one not in answered]

    def update_tools(self, way: ToolWay) -> None:
        """From now on tools behave so."""
        self.tool = way
        if not self.is_over:
            self.do(lambda: self.session.update(tools=self._tools()))

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing sounds, runs or is awaited."""
        if self.is_over:
            return True
        engine = self.session._engine
        return self.session.state is SessionState.IDLE and engine.floor is Floor.QUIET

    def rest(self) -> bool:
        """Let it come to rest; whether it did, in time."""
        until = self.now + REST_SECONDS
        while self.now < until:
            self.go(2.0)
            if self.is_at_rest:
                self.go(4.0)  # and stays so
                if self.is_at_rest:
                    return True
        return False

    def leave(self) -> None:
        """End everything. Raises what the session raises, and `Leftovers` for what it left."""
        self._left.set()

        async def ended() -> None:
            await asyncio.wait([self._host, *self._deeds])

        began = self.now
        try:
            self._runner.run(ended())
            self._loop.settle()
            assert self.now - began <= LEAVE_SECONDS, "leaving takes too long"
            self._host.result()
            for deed in self._deeds:
                deed.result()
            self._check_lost()
            if leftovers := self._loop.leftovers():
                raise Leftovers(leftovers)
        finally:
            self._runner.close()

    def drop(self) -> None:
        """End it in whatever state it is."""
        self._runner.close()

    def _check_lost(self) -> None:
        if self._lost:
            raise self._lost[0]
