"""A call that nobody here can go on with is given to somebody else."""

import asyncio

import pytest

from beluga_voice.engine.deadlines import DeadAirSettings
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.errors import Denied, Unreachable, Unsupported
from beluga_voice.events import (
    DeadAir,
    ErrorCategory,
    ErrorOccurred,
    LinkClosed,
    Rung,
    ServiceFailed,
    SessionEnded,
    SessionState,
)
from beluga_voice.interfaces import AgentTurn, Tool, ToolSpec
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.scripted import ScriptedProvider, ScriptedVad
from beluga_voice.testing.trace import trace
from session.stage import play, stage

SOON = EngineSettings(dead_air=DeadAirSettings(transfer_ms=12_000, end_ms=24_000))
OWED = 780
"""When an answer to "hello" is owed."""


async def never(text: str):
    """Think for ever."""
    await asyncio.Event().wait()
    yield "never"


class Colleague:
    """Takes a call after a while, or does not."""

    def __init__(self, seconds=0.0, failure=None):
        self._seconds = seconds
        self._failure = failure
        self.asked_ms = []
        self.was_cancelled = False

    async def __call__(self):
        self.asked_ms.append(round(asyncio.get_running_loop().time() * 1000))
        try:
            await asyncio.sleep(self._seconds)
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        if self._failure is not None:
            raise self._failure


def rungs(seen):
    """When which rung was climbed, since the answer was owed."""
    return [
        (round(one.at * 1000) - OWED, one.event.rung)
        for one in seen.happenings
        if isinstance(one.event, DeadAir)
    ]


def end_of(seen):
    """How the session ended, and when since the answer was owed."""
    (ended,) = seen.of(SessionEnded)
    return round(seen.at_ms(SessionEnded)) - OWED, ended.reason, ended.message


def wait_for_an_answer(transfer, *, sounds=None, seconds=40):
    """The trace, the caller and the metrics of a call in which nobody answers.

    When something began to sound, since the answer was owed, goes to `sounds`.
    """
    sounds = [] if sounds is None else sounds

    async def scene():
        caller = ScriptedCaller(can_transfer=True)
        async with stage(never, caller=caller, settings=SOON, transfer=transfer) as on:
            await caller.say("hello")
            await asyncio.sleep(seconds)
            sounds.extend(round(start) - OWED for start, _ in caller.sounds_ms)
            return on.trace, caller, on.session.metrics(), on.session.state

    return play(scene)


def test_the_line_is_told_to_whom_the_call_goes():
    """It is the rung before the end, after a tone, and the session is over with it."""
    seen, caller, metrics, state = wait_for_an_answer("+49 30 123456")
    assert rungs(seen) == [(6000, Rung.NUDGE), (9000, Rung.SOUND), (12_000, Rung.TRANSFER)]
    assert end_of(seen) == (12_000, "transferred", "")
    assert caller.transferred_to == "+49 30 123456"
    assert (metrics.nudges, metrics.sounds, metrics.transfers, metrics.ends) == (1, 1, 1, 0)
    assert state is SessionState.DISCONNECTED


def test_a_function_gives_the_call_to_somebody_else():
    """While it does, the person hears that the line lives; then the session is over."""
    colleague = Colleague(seconds=4)
    sounds = []
    seen, caller, _, _ = wait_for_an_answer(colleague, sounds=sounds)
    assert colleague.asked_ms == [OWED + 12_000]
    assert rungs(seen)[2:] == [(12_000, Rung.TRANSFER), (15_000, Rung.SOUND)]
    assert sounds == [9000, 12_000, 15_000]
    assert end_of(seen) == (16_000, "transferred", "")
    assert caller.transferred_to is None


@pytest.mark.parametrize(
    ("colleague", "at_ms", "failure"),
    [
        (Colleague(seconds=1, failure=ConnectionError("busy")), 13_000, "ConnectionError"),
        (Colleague(seconds=60), 22_000, "TimeoutError"),
    ],
)
def test_somebody_who_does_not_take_the_call_is_asked_once(colleague, at_ms, failure):
    """That is an error, the person goes on waiting, and the session ends in its time."""
    seen, _, metrics, state = wait_for_an_answer(colleague)
    errors = [
        (round(one.at * 1000) - OWED, one.event.message)
        for one in seen.happenings
        if isinstance(one.event, ErrorOccurred)
    ]
    assert errors[-1] == (at_ms, f"the call was not transferred: {failure}")
    assert len(colleague.asked_ms) == 1
    assert [rung for _, rung in rungs(seen)].count(Rung.TRANSFER) == 1
    assert rungs(seen)[-1] == (24_000, Rung.END)
    assert end_of(seen) == (24_000, "failed", "nobody gave an answer")
    assert (metrics.transfers, metrics.ends) == (1, 1)
    assert state is SessionState.ERROR


def test_who_is_to_end_sooner_is_transferred_then():
    """`end_ms` is no reason to end a call that somebody else may take."""
    both = EngineSettings(dead_air=DeadAirSettings(transfer_ms=30_000, end_ms=12_000))

    async def scene():
        caller = ScriptedCaller(can_transfer=True)
        async with stage(never, caller=caller, settings=both, transfer="desk") as on:
            await caller.say("hello")
            await asyncio.sleep(20)
            return on.trace

    assert end_of(play(scene)) == (12_000, "transferred", "")


def test_a_person_who_hangs_up_is_not_transferred():
    """What was begun for them is stopped."""
    colleague = Colleague(seconds=9)

    async def scene():
        async with stage(never, settings=SOON, transfer=colleague) as on:
            await on.caller.say("hello")
            await asyncio.sleep(14)
            on.caller.hang_up()
            await asyncio.sleep(3)
            return on.trace

    assert end_of(play(scene))[1] == "hung_up"
    assert colleague.was_cancelled


def test_a_tool_that_runs_is_waited_for():
    """Somebody works on the answer: the call stays here."""

    async def uses_tool(turn: AgentTurn):
        return await turn.call_tool("wait", "{}")

    async def wait():
        await asyncio.sleep(20)
        return "done"

    tool = Tool(spec=ToolSpec(name="wait", description="", parameters="{}"), function=wait)
    colleague = Colleague()

    async def scene():
        async with stage(uses_tool, settings=SOON, transfer=colleague, tools=[tool]) as on:
            await on.caller.say("hello")
            await asyncio.sleep(26)
            return on.caller.heard

    assert play(scene) == "done"
    assert colleague.asked_ms == []


async def dies(link):
    """Be there for a second."""
    await asyncio.sleep(1)
    link.emit(LinkClosed(is_clean=False, reason="lost"))


async def is_denied(link):
    """Be there for a second, and then be it no more."""
    await asyncio.sleep(1)
    link.emit(ServiceFailed(category=ErrorCategory.AUTH, message="no credit", is_fatal=True))
    link.emit(LinkClosed(is_clean=False, reason="no credit"))


class Gone(ScriptedProvider):
    """A service that cannot be connected to when its scripts are played."""

    def __init__(self, *scripts, failure):
        super().__init__(*scripts)
        self._left = len(scripts)
        self._failure = failure

    def connect(self, options, /):
        if not self._left:
            raise self._failure
        self._left -= 1
        return super().connect(options)


@pytest.mark.parametrize("script", [dies, is_denied])
@pytest.mark.parametrize("failure", [Unreachable("no route"), Denied("wrong key")])
def test_a_service_that_is_lost_for_good_is_a_reason_too(script, failure):
    """Also when nobody waits for an answer: the person is not left with nobody."""

    async def scene():
        caller = ScriptedCaller(can_transfer=True)
        provider = Gone(script, failure=failure)
        session = Session(provider, line=caller, detector=ScriptedVad(), transfer="desk")
        seen = trace(session)
        async with session, caller.on(session):
            await session.wait_closed()
        return seen, caller.transferred_to, session.metrics()

    seen, to, metrics = play(scene)
    assert to == "desk"
    assert [one.rung for one in seen.of(DeadAir)] == [Rung.TRANSFER]
    assert [one.reason for one in seen.of(SessionEnded)] == ["transferred"]
    assert (metrics.transfers, metrics.ends) == (1, 0)


def test_who_is_lost_and_not_taken_is_told_why():
    """The session ends with what it would have ended with."""
    colleague = Colleague(seconds=2, failure=ValueError())

    async def scene():
        provider = Gone(dies, failure=Denied("wrong key"))
        session = Session(
            provider, line=ScriptedCaller(), detector=ScriptedVad(), transfer=colleague
        )
        seen = trace(session)
        async with session:
            await session.wait_closed()
        return seen

    (ended,) = play(scene).of(SessionEnded)
    assert ended.reason == "failed"
    assert "wrong key" in ended.message


def test_a_call_that_is_being_handed_over_is_not_idle():
    """Its service is gone, and its state says so until somebody has it."""

    async def scene():
        provider = Gone(is_denied, failure=Denied("wrong key"))
        session = Session(
            provider,
            line=ScriptedCaller(),
            detector=ScriptedVad(),
            transfer=Colleague(seconds=2),
        )
        async with session:
            await asyncio.sleep(2)
            meanwhile = session.state
            await session.wait_closed()
            return meanwhile, session.state

    assert play(scene) == (SessionState.RECONNECTING, SessionState.DISCONNECTED)


def test_a_call_that_cannot_begin_is_transferred():
    """Entering raises what kept it from beginning, as without anybody to transfer to."""

    async def scene():
        caller = ScriptedCaller(can_transfer=True)
        provider = Gone(failure=Denied("wrong key"))
        session = Session(provider, line=caller, detector=ScriptedVad(), transfer="desk")
        with pytest.raises(Denied):
            await session.__aenter__()
        return caller.transferred_to

    assert play(scene) == "desk"


def test_a_line_that_cannot_transfer_is_not_asked_to():
    """An address is refused when the session is made; a function needs nothing of the line."""
    with pytest.raises(Unsupported, match="give transfer as a function"):
        Session(ScriptedProvider(), line=ScriptedCaller(), detector=ScriptedVad(), transfer="desk")
