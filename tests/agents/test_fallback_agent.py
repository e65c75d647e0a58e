"""Agents that stand in for one another."""

import asyncio
from dataclasses import dataclass, field

import pytest

from beluga_voice import VoiceSession
from beluga_voice.agents.fallback import FallbackAgent
from beluga_voice.errors import ConfigurationError, Unreachable
from beluga_voice.events import (
    FunctionCalled,
    Message,
    Role,
    ServiceSwitched,
    ToolResult,
    ToolUse,
)
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad
from beluga_voice.testing.trace import Trace

LONG = "one two three four five six seven eight nine ten"


class Hangs:
    """What an agent does that does nothing more."""


@dataclass
class Turn:
    """What an agent is given."""

    text: str = "count"
    history: tuple = ()
    instructions: str = ""
    tools: tuple = ()
    tool_ms: float = 0

    async def call_tool(self, name, arguments, /):
        await asyncio.sleep(self.tool_ms / 1000)
        return "42"


@dataclass
class Scripted:
    """Says words, waits so many ms, hangs, raises, or calls a tool; in that order."""

    name: str
    deeds: list
    asked: list = field(default_factory=list)
    histories: list = field(default_factory=list)
    stopped_ms: list = field(default_factory=list)

    async def respond(self, turn):
        """As scripted; of each, keep what it was asked."""
        self.asked.append(turn.text)
        self.histories.append(list(turn.history))
        try:
            for deed in self.deeds:
                if isinstance(deed, str):
                    yield deed
                elif isinstance(deed, Exception):
                    raise deed
                elif deed is Hangs:
                    await asyncio.get_running_loop().create_future()
                elif callable(deed):
                    yield await deed(turn)
                else:
                    await asyncio.sleep(deed / 1000)
        except asyncio.CancelledError:
            self.stopped_ms.append(running_simulation().time_ms())
            raise


def answered(*agents, turn=None, **settings):
    """All pieces with their times, and who followed whom."""
    switches = []

    async def scene():
        agent = FallbackAgent(*agents, on_switch=switches.append, **settings)
        pieces = []
        async for piece in agent.respond(turn or Turn()):
            pieces.append((running_simulation().time_ms(), piece))
        return pieces

    return simulate(scene), switches


def test_one_that_raises_before_its_first_word_is_as_if_it_had_not_been_asked():
    """The next one is asked the same, at once."""
    first, second = Scripted("a", [100, ValueError("x")]), Scripted("b", [50, LONG])
    pieces, (switched,) = answered(first, second)
    assert pieces == [(150, "one two three four five six seven eight nine "), (150, "ten")]
    assert second.asked == first.asked == ["count"]
    assert (switched.previous, switched.following) == ("a", "b")
    assert switched.reason == "it failed: ValueError"
    assert not switched.is_mid_call


def test_one_without_a_word_in_time_is_left():
    """It is cancelled at the moment when the next one is asked."""
    first, second = Scripted("a", [Hangs]), Scripted("b", [50, "yes"])
    pieces, (switched,) = answered(first, second, first_word_ms=700)
    assert pieces == [(750, "yes")]
    assert first.stopped_ms == [700]
    assert switched.reason == "no word within 700 ms"


def test_one_that_breaks_off_is_followed_by_one_that_knows_what_was_said():
    """The word that had only begun is not said; the rest follows it with a space."""
    first = Scripted("a", ["one two ", "thr", ValueError("x")])
    second = Scripted("b", ["three four"])
    pieces, (switched,) = answered(first, second)
    assert "".join(piece for _, piece in pieces) == "one two three four"
    assert second.asked == [
        "count\n(You have answered so far: “one two”. Go on from there, and repeat nothing.)"
    ]
    assert switched.is_mid_call


def test_one_that_hangs_after_its_first_words_is_left():
    """So long after its last word."""
    first, second = Scripted("a", [100, "one two ", Hangs]), Scripted("b", ["three"])
    pieces, (switched,) = answered(first, second, progress_ms=900)
    assert pieces == [(100, "one two "), (1000, "three")]
    assert first.stopped_ms == [1000]
    assert switched.reason == "no word within 900 ms"


@pytest.mark.parametrize(
    ("again", "said"),
    [
        (["One, two, three ", "four"], "one two three four"),
        (["one ", "two"], "one two "),
        (["one more thing"], "one two one more thing"),
        (["three"], "one two three"),
        (["one two"], "one two "),
    ],
)
def test_what_was_said_already_is_left_out(again, said):
    """If the next one begins with all of it, whatever the punctuation, and in whatever pieces."""
    first, second = Scripted("a", ["one two ", ValueError("x")]), Scripted("b", again)
    pieces, _ = answered(first, second)
    assert "".join(piece for _, piece in pieces) == said


def test_two_agents_leave_a_space_between_them():
    """Where neither has one."""
    first, second = Scripted("a", ["one two.", ValueError("x")]), Scripted("b", ["Three"])
    pieces, _ = answered(first, second)
    assert "".join(piece for _, piece in pieces) == "one two. Three"


def test_words_of_scripts_without_spaces_are_not_held_back():
    """There is no end of a word to wait for."""
    pieces, _ = answered(Scripted("a", ["你好", 500, "再见"]), Scripted("b", []))
    assert pieces == [(0, "你好"), (500, "再见")]


def test_one_whose_tool_runs_is_not_late():
    """Its time begins when the tool has given its result."""

    async def look(turn):
        return await turn.call_tool("look", "{}")

    first = Scripted("a", [500, look, 650, " is it"])
    pieces, switches = answered(
        first, Scripted("b", []), turn=Turn(tool_ms=5000), first_word_ms=700
    )
    assert pieces == [(6150, "42 is "), (6150, "it")]
    assert not switches


def test_one_that_hangs_behind_its_tool_is_left():
    """So long after the tool has given its result."""

    async def look(turn):
        await turn.call_tool("look", "{}")
        await asyncio.get_running_loop().create_future()

    first, second = Scripted("a", [look]), Scripted("b", ["yes"])
    pieces, _ = answered(first, second, turn=Turn(tool_ms=5000), first_word_ms=700)
    assert pieces == [(5700, "yes")]


def test_the_last_one_may_take_its_time():
    """A late answer is better than none."""
    first, second = Scripted("a", [ValueError("x")]), Scripted("b", [9000, "yes"])
    pieces, _ = answered(first, second)
    assert pieces == [(9000, "yes")]


def test_the_error_of_the_last_one_is_raised():
    """And it is told that nobody is left."""
    switches = []
    first, second = Scripted("a", [ValueError("x")]), Scripted("b", [Unreachable("gone", op="b")])

    async def scene():
        agent = FallbackAgent(first, second, on_switch=switches.append)
        with pytest.raises(Unreachable, match="gone"):
            [piece async for piece in agent.respond(Turn())]

    simulate(scene)
    assert [one.following for one in switches] == ["b", None]


def test_an_answer_without_words_is_an_answer():
    """Who has nothing to say has not failed."""
    pieces, switches = answered(Scripted("a", []), Scripted("b", ["yes"]))
    assert (pieces, switches) == ([], [])


def test_one_that_failed_rests_and_then_is_the_first_again():
    """For so long nobody waits for it; then one turn tries it."""
    first, second = Scripted("a", [Hangs]), Scripted("b", ["yes"])

    async def scene():
        agent = FallbackAgent(first, second, first_word_ms=1000, rest_seconds=30)
        loop = asyncio.get_running_loop()
        took = []
        for moment in (0.0, 10.0, 30.999, 31.0, 32.0):
            await asyncio.sleep(moment - loop.time())
            began = loop.time()
            [piece async for piece in agent.respond(Turn())]
            took.append(round((loop.time() - began) * 1000))
            first.deeds = ["yes"] if moment == 30.999 else first.deeds
        return took

    assert simulate(scene) == [1000, 0, 0, 0, 0]
    assert len(first.asked) == 3


def test_one_that_swallows_its_cancellation_keeps_nobody_waiting():
    """The next one answers meanwhile; it is waited for at the end, within a bound."""

    class Stubborn:
        name = "stubborn"

        async def respond(self, turn):
            for _ in range(2):
                try:
                    await asyncio.sleep(10)
                except asyncio.CancelledError:
                    continue
            yield ""

    pieces, _ = answered(Stubborn(), Scripted("b", ["yes"]), first_word_ms=500)
    assert pieces == [(500, "yes")]


@pytest.mark.parametrize("moment_ms", range(50, 1650, 100))
def test_whenever_the_answer_is_not_wanted_any_more_nobody_goes_on(moment_ms):
    """Whoever works at that moment is stopped then, and has not failed for it."""
    first = Scripted("a", [200, "one ", 200, "two ", Hangs])
    second = Scripted("b", [200, "three ", 200, "four ", Hangs])

    async def scene():
        agent = FallbackAgent(first, second, first_word_ms=500, progress_ms=500)

        async def answer():
            async for _ in agent.respond(Turn()):
                pass

        task = asyncio.create_task(answer())
        await asyncio.sleep(moment_ms / 1000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        left = [one.get_name() for one in asyncio.all_tasks()]
        return [name for name in left if name == "beluga-voice agent"]

    assert simulate(scene) == []
    assert first.stopped_ms == [min(moment_ms, 900)]
    assert second.stopped_ms == ([moment_ms] if moment_ms > 900 else [])


@pytest.mark.parametrize("settings", [{"first_word_ms": 0}, {"rest_seconds": -1}])
def test_what_makes_no_sense_is_refused(settings):
    """Before anybody is asked."""
    with pytest.raises(ConfigurationError):
        FallbackAgent(Scripted("a", []), Scripted("b", []), **settings)


def test_one_agent_is_no_fallback():
    """There is nobody to follow it."""
    with pytest.raises(ConfigurationError, match="two"):
        FallbackAgent(Scripted("a", []))


# ── in a call ───────────────────────────────────────────────────────────────────────────────


def called(agents, act, *, tools=()):
    """A call in which something is asked; gives what was heard, the history and the trace."""
    caller, trace = ScriptedCaller(), Trace()

    async def scene():
        session = VoiceSession(
            stt=ScriptedStt(delay_ms=50),
            agent=agents,
            tts=ScriptedTts(delay_ms=30),
            vad=ScriptedVad(),
            line=caller,
            tools=tools,
            observers=[trace],
        )
        async with session, caller.on(session):
            await caller.say("count please")
            await act(caller)
            return caller.heard, session.history, caller.sounds_ms

    return *simulate(scene), trace


def test_a_call_goes_on_with_the_next_agent():
    """One that hangs costs its time once: the person waits 2.5 s longer, and then no longer."""
    first = Scripted("a", [Hangs])
    second = Scripted("b", ["as you like"])

    async def act(caller):
        await asyncio.sleep(8)
        await caller.say("again please")
        await asyncio.sleep(4)

    heard, _, sounds, trace = called([first, second], act)
    assert heard == "as you like as you like"
    # From the last voiced frame: 600 ms of silence, 50 ms for the words, 30 ms for the sound.
    asked_ms = 380 + 600 + 50 + 30
    assert sounds[0][0] == asked_ms + 2500
    # The second time, it says "again please" from 8380 on: nobody waits for the first agent.
    assert sounds[1][0] == 8380 + asked_ms
    (switched,) = trace.of(ServiceSwitched)
    assert (switched.previous, switched.following) == ("a", "b")


def test_what_broke_off_in_a_call_is_gone_on_with():
    """Each word is heard once, and the history has one answer."""
    first = Scripted("a", ["one two. three four ", Hangs])
    second = Scripted("b", ["five six"])

    async def act(caller):
        await asyncio.sleep(8)

    heard, history, _, _ = called([first, second], act)
    assert heard == "one two. three four five six"
    assert [one.text for one in history if one.role is Role.AGENT] == [
        "one two. three four five six"
    ]
    told = [(one.role, one.text) for one in second.histories[0]]
    assert told == [(Role.USER, "count please"), (Role.AGENT, "one two. three four ")]


@pytest.mark.parametrize("after_ms", range(0, 5000, 200))
def test_a_person_who_goes_on_at_any_moment_is_answered_once(after_ms):
    """Whether the first agent works, the second one does, or either is heard."""
    answer = ["one", "two", "three", "four", "five", "six"]

    class Answers(Scripted):
        async def respond(self, turn):
            if "stop" in turn.text:
                yield "certainly"
                return
            async for piece in super().respond(turn):
                yield piece

    first = Answers("a", [300, "one two. three ", Hangs])
    second = Answers("b", [300, "four five six"])

    async def act(caller):
        await asyncio.sleep(after_ms / 1000)
        await caller.say("stop it now")
        await asyncio.sleep(6)

    heard, history, _, _ = called([first, second], act)
    *before, last = heard.replace(".", "").split()
    assert last == "certainly"
    assert before == answer[: len(before)]
    words = {
        role: " ".join(one.text for one in history if one.role is role)
        for role in (Role.USER, Role.AGENT)
    }
    assert words[Role.USER] == "count please stop it now"
    assert words[Role.AGENT].replace(".", "").split() == [*before, "certainly"]


def test_what_a_tool_gave_to_one_that_failed_is_known_to_the_next():
    """It is in the history, so nothing has to be done twice."""

    async def look() -> str:
        """Look."""
        return "cheese"

    async def ask(turn):
        return await turn.call_tool("look", "{}")

    async def fails(turn):
        await ask(turn)
        raise ValueError("x")

    first, second = Scripted("a", [fails]), Scripted("b", ["cheese it is"])

    async def act(caller):
        await asyncio.sleep(4)

    heard, _, _, trace = called([first, second], act, tools=[look])
    assert heard == "cheese it is"
    assert len(trace.of(FunctionCalled)) == 1
    kinds = [type(one) for one in second.histories[0]]
    assert kinds == [Message, ToolUse, ToolResult]
