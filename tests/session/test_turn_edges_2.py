"""What is said at awkward moments: goodbyes, notices, and other words of the application."""

import asyncio
from collections.abc import Sequence

import pytest

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.interruptions import InterruptionPolicy, InterruptionSettings
from beluga_voice.engine.patience import PatienceSettings
from beluga_voice.errors import Misuse
from beluga_voice.events import (
    AgentResponseStarted,
    HistoryItem,
    KeyPressed,
    Message,
    Occasion,
    Reconnecting,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseOutcome,
    ResponseStarted,
    ResponseStatus,
    Role,
    S2sCommand,
    S2sEvent,
    Say,
    SessionEnded,
    SessionState,
    UserIdle,
)
from beluga_voice.interfaces import AgentTurn, Capabilities, Faithfulness, TurnOwner
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.scripted import ScriptedLink, ScriptedProvider, ScriptedStt, ScriptedTts
from beluga_voice.testing.trace import trace
from session.stage import LONG, Stage, play, stage

GOODBYE = "thank you and good bye"
ONE_WORD = EngineSettings(
    interruptions=InterruptionSettings(normal=InterruptionPolicy(min_words=1))
)
"""The agent speaks on until one word is understood."""


async def at(milliseconds: float):
    """Wait until so long after the beginning."""
    now = asyncio.get_running_loop().time()
    await asyncio.sleep(max(0.0, milliseconds / 1000 - now))


def times(on: Stage, kind: type[object]) -> list[float]:
    """When the events of that kind happened, in ms."""
    return [on.trace.at_ms(kind, index) for index in range(len(on.trace.of(kind)))]


def texts(items: Sequence[HistoryItem]) -> list[str]:
    """The words of a history."""
    return [item.text for item in items if isinstance(item, Message)]


# ── a goodbye, and what else may not be interrupted ─────────────────────────────────────────────


def test_a_goodbye_outlives_the_interruption_of_the_answer_before_it():
    """The words over the answer are answered, then the goodbye is heard."""

    async def scene():
        async with stage() as on:
            await on.caller.say("hello")
            await at(1200)
            leaving = asyncio.create_task(on.session.leave(GOODBYE))
            await at(1500)
            await on.caller.say("wait one more question")
            await leaving
            return on.caller.heard, on.user_words(), times(on, SessionEnded)

    heard, words, ended = play(scene)
    assert heard == f"one two three four {LONG} {GOODBYE}"
    assert words == ["hello", "wait one more question"]
    assert ended == [5910]


def test_a_notice_outlives_the_interruption_of_the_answer_before_it():
    """Nothing interrupts it, and the words over the answer are answered behind it."""

    async def scene():
        async with stage() as on:
            await on.caller.say("hello")
            await at(1200)
            notice = on.session.say("this call is recorded", occasion=Occasion.NOTICE)
            await at(1500)
            await on.caller.say("wait one more question")
            await at(12_000)
            return notice.outcome, on.caller.heard

    outcome, heard = play(scene)
    assert outcome is ResponseOutcome.HEARD
    assert heard == f"one two three four this call is recorded {LONG}"


def test_noise_before_the_first_sound_of_a_notice_does_not_cut_it():
    """It is heard, though there was a sound while it was being made."""

    async def scene():
        async with stage(tts=ScriptedTts(delay_ms=300)) as on:
            await at(100)
            notice = on.session.say("this call is recorded", occasion=Occasion.NOTICE)
            await at(150)
            await on.caller.noise(100)
            await at(9000)
            return notice.outcome, on.caller.heard

    assert play(scene) == (ResponseOutcome.HEARD, "this call is recorded")


def test_a_goodbye_outlives_words_that_are_not_known_yet():
    """The agent speaks on while they are recognised; they are answered, then it says goodbye."""

    async def scene():
        async with stage(settings=ONE_WORD) as on:
            await on.caller.say("hello")
            await at(1500)
            on.caller.begin("wait please")
            await at(1700)
            await on.session.leave(GOODBYE)
            return on.caller.heard, times(on, SessionEnded)

    heard, ended = play(scene)
    assert heard == f"one two three four five six {LONG} {GOODBYE}"
    assert ended == [5510]


@pytest.mark.parametrize("keys", ["", "1#"])
def test_what_is_typed_into_a_goodbye_does_not_clip_it(keys):
    """It is heard whole, and what was typed is not left in the history unanswered."""

    async def scene():
        async with stage() as on:
            await at(100)
            leaving = asyncio.create_task(on.session.leave(GOODBYE))
            await at(400)
            for key in keys:
                on.session.receive(KeyPressed(key=key))
            if not keys:
                on.caller.type("thanks")
            await leaving
            return on.caller.heard, on.user_words(), times(on, SessionEnded)

    assert play(scene) == (GOODBYE, [], [1130])


def test_a_tool_may_await_a_goodbye():
    """It is heard at once, before the tool returns."""
    sessions: list[Session] = []

    async def hang_up() -> str:
        """Hang up."""
        await sessions[0].leave(GOODBYE)
        return "done"

    async def agent(turn: AgentTurn):
        yield "one moment. "
        yield await turn.call_tool("hang_up", "{}")

    async def scene():
        async with stage(agent, tools=[hang_up]) as on:
            sessions.append(on.session)
            await on.caller.say("bye now")
            await at(6000)
            return on.caller.heard, on.caller.last_sound_ms

    assert play(scene) == (f"one moment. {GOODBYE}", 2960)


# ── the end of a call ───────────────────────────────────────────────────────────────────────────


def test_an_utterance_that_was_not_understood_does_not_keep_the_call():
    """The person is asked whether they are there, then told goodbye."""

    async def scene():
        stt = ScriptedStt(finals=lambda number, words: [] if number == 1 else [(50, words)])
        patience = PatienceSettings(idle_ms=3000, prompts=("there?",), goodbye="bye")
        async with stage(stt=stt, settings=EngineSettings(patience=patience)) as on:
            await on.caller.say("hello")
            await at(60_000)
            (ended,) = on.trace.of(SessionEnded)
            return on.caller.heard, times(on, UserIdle), times(on, SessionEnded), ended.reason

    heard, idle, ended, reason = play(scene)
    assert heard == f"{LONG} there? bye"
    assert idle == [29_880, 33_110]
    assert ended == [33_340]
    assert reason == "timeout"


def test_who_speaks_long_past_the_time_is_let_finish():
    """Fourteen seconds of words are answered, then it is said that the time is up."""

    async def scene():
        patience = PatienceSettings(max_duration_ms=1000, goodbye="our time is up")
        async with stage(settings=EngineSettings(patience=patience)) as on:
            await on.caller.say(" ".join(["word"] * 70))
            await at(30_000)
            return on.caller.heard, on.user_words(), times(on, SessionEnded)

    heard, words, ended = play(scene)
    assert heard == f"{LONG} our time is up"
    assert words == [" ".join(["word"] * 70)]
    assert ended == [17_460]


def test_a_pause_late_in_a_farewell_does_not_clip_it():
    """Ten seconds into a long last answer a cough delays it, and the goodbye comes behind it."""
    words = " ".join(f"w{number}" for number in range(70))

    async def long(text: str):
        yield words

    async def scene():
        async with stage(long) as on:
            await on.caller.say("hello")
            await at(1000)
            leaving = asyncio.create_task(on.session.leave(GOODBYE))
            await at(10_500)
            await on.caller.noise(700)
            await leaving
            return on.caller.heard, times(on, SessionEnded)

    assert play(scene) == (f"{words} {GOODBYE}", [16_730])


def test_an_agent_that_thinks_long_is_waited_for_before_a_goodbye():
    """An answer that takes eleven seconds is heard, and then the goodbye."""

    async def slow(text: str):
        await asyncio.sleep(11)
        yield "the answer"

    async def scene():
        async with stage(slow) as on:
            await on.caller.say("hello")
            await at(1000)
            await on.session.leave("good bye now")
            return on.caller.heard, times(on, SessionEnded)

    heard, ended = play(scene)
    assert heard == "the answer good bye now"
    assert ended == [18_810]


def test_a_link_lost_in_the_last_words_of_the_person_is_replaced():
    """What they said is answered by the next link, and the goodbye follows."""

    async def scene():
        async with stage() as on:
            on.caller.begin("hello there my friend")
            await at(300)
            leaving = asyncio.create_task(on.session.leave(GOODBYE))
            await at(400)
            on.stt.links[-1].lose()
            await leaving
            return on.caller.heard, on.user_words(), times(on, SessionEnded)

    heard, words, ended = play(scene)
    assert heard == f"{LONG} {GOODBYE}"
    assert words == ["hello there my friend"]
    assert ended == [4460]


def test_a_new_link_right_after_the_goodbye_was_asked_for_says_it():
    """What had made no sound on the old link is said on the new one."""

    async def scene():
        async with stage() as on:
            await at(100)
            leaving = asyncio.create_task(on.session.leave("one two three"))
            await at(110)
            on.session.reconnect()
            await leaving
            return on.caller.heard, times(on, Reconnecting), times(on, SessionEnded)

    assert play(scene) == ("one two three", [110], [840])


# ── words of the application ────────────────────────────────────────────────────────────────────


def test_taking_words_back_leaves_those_before_them_alone():
    """The first are heard to their end, and the second not at all."""

    async def scene():
        async with stage() as on:
            first = on.session.say("one two three four five")
            second = on.session.say("six seven")
            await at(400)
            second.cancel()
            await at(5000)
            return first.outcome, first.heard_text, second.outcome, on.caller.heard

    outcome, heard_text, other, heard = play(scene)
    assert (outcome, heard_text) == (ResponseOutcome.HEARD, "one two three four five")
    assert other is ResponseOutcome.CUT
    assert heard == "one two three four five"


def test_taking_a_filler_back_leaves_the_answer_alone():
    """What the agent is thinking about is said when it is ready."""

    async def slow(text: str):
        await asyncio.sleep(1)
        yield "the answer is four"

    async def scene():
        async with stage(slow) as on:
            await on.caller.say("what is it")  # to the agent at 1230
            await at(1400)
            filler = on.session.say("one moment please wait")
            await at(1550)
            filler.cancel()
            await at(15_000)
            return filler.outcome, on.caller.heard, on.caller.sounds_ms[-1], on.session.state

    outcome, heard, sounds, state = play(scene)
    assert outcome is ResponseOutcome.CUT
    assert heard == "the answer is four"
    assert sounds == (2260, 3060)
    assert state is SessionState.IDLE


@pytest.mark.parametrize("goodbye", ["", GOODBYE])
def test_taking_waiting_words_back_in_a_pause_leaves_the_answer_alone(goodbye):
    """The answer that pauses goes on, and a goodbye follows it."""

    async def scene():
        async with stage() as on:
            await on.caller.say("hello")
            await at(1200)
            saying = on.session.say("extra words")
            leaving = asyncio.create_task(on.session.leave(goodbye)) if goodbye else None
            await at(1500)
            await on.caller.noise(500)
            await at(2050)
            saying.cancel()
            if leaving is not None:
                await leaving
            await at(20_000)
            return on.caller.heard, saying.outcome

    assert play(scene) == (f"{LONG} {goodbye}".strip(), ResponseOutcome.CUT)


def test_words_of_the_application_do_not_wait_for_a_tool():
    """While one runs they are heard at once, and its result later."""

    async def looking() -> str:
        """Look for it."""
        await asyncio.sleep(8)
        return "found it"

    async def agent(turn: AgentTurn):
        yield "one moment. "
        yield await turn.call_tool("looking", "{}")

    async def scene():
        async with stage(agent, tools=[looking]) as on:
            await on.caller.say("find it")
            await at(3000)
            on.session.say("still looking")
            await at(20_000)
            return on.caller.heard, on.caller.sounds_ms

    heard, sounds = play(scene)
    assert heard == "one moment. still looking found it"
    assert sounds == [(1060, 1460), (3030, 3430), (9060, 9460)]


@pytest.mark.parametrize("text", ["", "  ", "\n\t"])
def test_there_is_nothing_to_say_in_blanks(text):
    """Asking for that is a mistake of the application, and nobody hears of it."""
    told: list[list[tuple[Role, str]]] = []

    async def agent(turn: AgentTurn):
        told.append([(one.role, one.text) for one in turn.history if isinstance(one, Message)])
        yield "fine"

    async def scene():
        async with stage(agent) as on:
            with pytest.raises(Misuse, match="nothing to say"):
                on.session.say(text)
            await on.caller.say("hello")
            await at(5000)
            return on.caller.heard, len(on.trace.of(AgentResponseStarted))

    assert play(scene) == ("fine", 1)
    assert told == [[(Role.USER, "hello")]]


def test_words_taken_back_from_a_service_before_it_begins_do_not_sound():
    """A service that says them all the same is not listened to."""

    async def script(link: ScriptedLink[S2sCommand, S2sEvent]):
        await link.expect(Say)
        await asyncio.sleep(0.5)
        response_id = ResponseId("r1")
        link.emit(
            ResponseStarted(response_id=response_id, origin=ResponseOrigin.SAID),
            ResponseAudio(response_id=response_id, pcm=b"\x01\x10" * 24_000),
            ResponseDone(response_id=response_id, status=ResponseStatus.COMPLETED),
        )
        while True:
            link.commands.clear()
            await asyncio.sleep(1)

    capabilities = Capabilities(
        say=Faithfulness.EXACT, turn_owners=(TurnOwner.PROVIDER,), has_speech_events=True
    )

    async def scene():
        caller = ScriptedCaller()
        session = Session(ScriptedProvider(script, capabilities=capabilities), line=caller)
        seen = trace(session)
        async with session, caller.on(session):
            saying = session.say("hello")
            await at(100)
            saying.cancel()
            await at(5000)
            return saying.outcome, caller.sounds_ms, seen.of(AgentResponseStarted)

    assert play(scene) == (ResponseOutcome.CUT, [], [])


# ── memory ──────────────────────────────────────────────────────────────────────────────────────


def test_a_summary_takes_the_place_of_nothing_that_it_does_not_hold():
    """What was said while it was made stays, but for the oldest item, which makes room for it."""
    summarised: list[list[str]] = []

    async def summarise(items: Sequence[HistoryItem]) -> str:
        summarised.append(texts(items))
        await asyncio.sleep(20)
        return "summary"

    async def agent(text: str):
        yield f"ok {text}"

    async def scene():
        settings = EngineSettings(history_limit=12)
        async with stage(agent, settings=settings, summarise=summarise) as on:
            for number in range(14):
                on.caller.type(f"t{number}")
                await asyncio.sleep(1.5)
            before = after = texts(on.session.history)
            while after[0] != "summary":
                before = after
                await asyncio.sleep(0.1)
                after = texts(on.session.history)
            return before, after

    before, after = play(scene)
    assert summarised[0] == ["t0", "ok t0", "t1", "ok t1"]
    assert before[0] == "t8"
    assert after == ["summary", *before[1:]]
