"""One call of the matrix: a fault, the moment at which it strikes, a stage, and a seed."""

import random
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from beluga_voice.app import VoiceSession
from beluga_voice.errors import BelugaError
from beluga_voice.events import Message, Role, SessionEnded
from beluga_voice.testing.emulators.speech import Faults
from beluga_voice.testing.faults import Fault, Phase
from beluga_voice.testing.faults.catalogue import recipe
from beluga_voice.testing.loop import Leftovers, OutOfTime, SimulationError, simulate
from beluga_voice.testing.matrix.people import Mind, Over, Person, Sound, Turn
from beluga_voice.testing.matrix.stages import AGENT, STAGES, TOOLS, Setting, Stage
from beluga_voice.testing.scripted import ScriptedVad
from beluga_voice.testing.trace import Trace

NO_FAULT = "none"
UNTIL_SECONDS = 600.0
"""A call that is not over by then never ends."""


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """What is tried in one call."""

    fault: str
    """The name of a recipe, or `none`."""
    phase: str
    stage: str
    seed: int = 0

    @property
    def key(self) -> str:
        """As it is given on the command line."""
        return f"{self.fault}/{self.phase}/{self.stage}"

    def declared(self) -> Fault | None:
        """The fault. By the seed, it strikes at the phase, a little later, or the next time."""
        if self.fault == NO_FAULT or STAGES[self.stage].kind is None:
            return None
        fault = recipe(self.fault).at(Phase(self.phase), connections=1)
        if self.seed == 0 or self.phase == Phase.CONNECTING:
            return fault
        chance = random.Random(f"{self.key}/{self.seed}")
        after_ms = float(chance.randrange(0, 600, 20))
        when = replace(fault.when, occurrence=self.occurrence, after_ms=after_ms)
        return replace(fault, when=when)

    @property
    def occurrence(self) -> int:
        """The first or the second time that the phase comes."""
        once = self.phase in (Phase.CONNECTING, Phase.OPEN, Phase.TOOL, Phase.INTERRUPTED)
        return 1 if once or self.stage.startswith(AGENT) else 1 + self.seed % 2

    @property
    def questions(self) -> int:
        """How many the person has: there is one after the turn in which the fault strikes."""
        return 1 + self.occurrence


@dataclass(slots=True, kw_only=True)
class Played:
    """What came of a call; times in milliseconds."""

    cell: Cell
    turns: list[Turn] = field(default_factory=list[Turn])
    sounds: list[Sound] = field(default_factory=list[Sound])
    heard: str = ""
    """The agent's words that sounded whole."""
    known: str = ""
    """The person's words that came into the history, or to the agent."""
    began_ms: float | None = None
    """When there was somebody at the other end."""
    ended_ms: float = 0.0
    reason: str = ""
    """Why the session ended."""
    failure: str = ""
    """What it raised, which is a clear failure."""
    defect: str = ""
    """What it raised, which is none."""
    left: tuple[str, ...] = ()
    """Tasks, timers and connections that were left behind."""
    never_ended: bool = False
    struck_ms: list[float] = field(default_factory=list[float])
    lines: list[str] = field(default_factory=list[str])
    """Every event, if they were wanted."""


def play(cell: Cell, *, with_trace: bool = False) -> Played:
    """Hold that call; whatever it raises is told, not raised."""
    return _played(_Call(cell), UNTIL_SECONDS, with_trace=with_trace)


def play_to_the_limit(
    stage: str, seconds: float, *, asks_at_ms: Sequence[float] = (), with_trace: bool = False
) -> Played:
    """A call over a service whose every connection ends after so long, whatever is being said.

    The first question comes at once, and the others at these times.
    """
    call = _LongCall(Cell(NO_FAULT, Phase.ANSWERED, stage), seconds, asks_at_ms)
    return _played(call, 4 * seconds + UNTIL_SECONDS, with_trace=with_trace)


def _played(call: "_Call", until: float, *, with_trace: bool) -> Played:
    played, trace = call.played, call.trace
    try:
        simulate(call.run, seed=played.cell.seed, until=until)
    except OutOfTime as error:
        played.never_ended = True
        played.defect = str(error)
    except Leftovers as error:
        played.left = error.what
    except (SimulationError, BaseExceptionGroup) as error:
        played.defect = f"{type(error).__name__}: {error}"
    except BelugaError as error:
        played.failure = f"{type(error).__name__}: {error}"
    except Exception as error:
        played.defect = f"{type(error).__name__}: {error}"
    if with_trace:
        played.lines = trace.lines()
    return played


class _Call:
    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self.played = Played(cell=cell)
        self.trace = Trace()
        self._has_tool = cell.phase == Phase.TOOL

    async def run(self) -> None:
        mind = Mind(calls_tool=self._has_tool)
        stage = STAGES[self._cell.stage]
        async with self._setting(stage, mind) as setting:
            person = Person(input_rate=setting.input_rate, output_rate=setting.output_rate)
            try:
                await self._talk(setting, person)
            finally:
                played = self.played
                played.ended_ms = person.now_ms
                played.turns = person.turns
                played.sounds = person.heard_sounds
                played.heard = person.heard
                played.known = " ".join([played.known, *mind.asked])
                played.struck_ms = [one.at_ms for one in setting.struck]
                ended = self.trace.of(SessionEnded)
                played.reason = ended[-1].reason if ended else ""

    def _setting(self, stage: Stage, mind: Mind) -> AbstractAsyncContextManager[Setting]:
        cell = self._cell
        if stage.kind is None:
            return stage.troubled(mind, "" if cell.fault == NO_FAULT else cell.fault, cell.phase)
        return stage.setting(mind, cell.declared(), cell.seed)

    async def _talk(self, setting: Setting, person: Person) -> None:
        is_over = Over()
        rate = setting.input_rate
        able = setting.s2s[0].capabilities
        takes_tools = self._has_tool and able.has_tools
        more: dict[str, Any] = {"tools": TOOLS} if takes_tools else {}
        session = VoiceSession(
            s2s=setting.s2s,
            line=person,
            vad=lambda: ScriptedVad(rate=rate),
            observers=[self.trace],
            ready_words=None,
            session_id="matrix",
            **more,
        )
        session.on(SessionEnded, lambda _: setattr(is_over, "is_set", True))
        try:
            async with session, person.on(session):
                self.played.began_ms = person.now_ms
                await self._converse(person, is_over, hears_silence=able.needs_continuous_input)
        finally:
            self.played.known = " ".join(
                one.text
                for one in session.history
                if isinstance(one, Message) and one.role is Role.USER
            )

    async def _converse(self, person: Person, is_over: Over, *, hears_silence: bool) -> None:
        interrupts = self._cell.phase == Phase.INTERRUPTED
        await person.converse(is_over, questions=self._cell.questions, interrupts=interrupts)


class _LongCall(_Call):
    """One whose service ends its connections by itself."""

    def __init__(self, cell: Cell, seconds: float, asks_at_ms: Sequence[float]) -> None:
        super().__init__(cell)
        self._seconds = seconds
        self._asks_at_ms = asks_at_ms

    def _setting(self, stage: Stage, mind: Mind) -> AbstractAsyncContextManager[Setting]:
        return stage.expiring(mind, Faults(expire_after_ms=self._seconds * 1000))

    async def _converse(self, person: Person, is_over: Over, *, hears_silence: bool) -> None:
        """A microphone that is off costs less time to simulate than one that hears nothing."""
        await person.ask(0, is_over)
        for number, at_ms in enumerate(self._asks_at_ms, start=1):
            await person.wait(at_ms, is_muted=not hears_silence)
            await person.ask(number, is_over)
