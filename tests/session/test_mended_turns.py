"""Interruptions at awkward moments, silence, and work that will not stop: each was wrong once."""

import asyncio

import pytest

from beluga_voice.audio.tone import TONE_MS
from beluga_voice.engine.deadlines import DeadAirSettings
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.interruptions import InterruptionPolicy
from beluga_voice.engine.turns import TurnSettings
from beluga_voice.engine.voice import VoiceSettings
from beluga_voice.events import (
    AgentResponseAudio,
    AgentResponseEnded,
    AnswerTool,
    BargedIn,
    DeadAir,
    ErrorOccurred,
    FunctionAnswered,
    FunctionCalled,
    InputTranscript,
    Interrupt,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOutcome,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    Say,
    SessionState,
    SpeechStarted,
    SpeechStopped,
    StateChanged,
    ToolCalled,
    ToolCallId,
    ToolCallWithdrawn,
    ToolResult,
    UserSpeechEnded,
    UtteranceId,
)
from beluga_voice.interfaces import AgentTurn, Capabilities, Faithfulness, TurnOwner
from beluga_voice.session.session import Session
from beluga_voice.session.tools import tool
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.scripted import ScriptedProvider, ScriptedStt, ScriptedTts
from beluga_voice.testing.speech import speech
from beluga_voice.testing.trace import trace
from session.stage import LONG, play, stage

SERVER_TURNS = Capabilities(
    turn_owners=(TurnOwner.PROVIDER,),
    has_speech_events=True,
    has_tools=True,
    can_cancel=True,
    say=Faithfulness.EXACT,
)
FRAME = VoiceSettings(start_ms=20, stop_ms=20, preroll_ms=20)
"""One frame of sound is a voice, and one of silence its end."""


def now_ms():
    """The time of the loop, in milliseconds."""
    return round(asyncio.get_running_loop().time() * 1000, 3)


async def until_ms(moment):
    """Wait for a moment of the loop's time."""
    await asyncio.sleep(moment / 1000 - asyncio.get_running_loop().time())


def times_ms(seen, kind):
    """When events of that kind happened."""
    return [round(one.at * 1000, 3) for one in seen.happenings if isinstance(one.event, kind)]


def respond(service, name, words, *, done=True):
    """A response as a service sends it: faster than real time, with word times."""
    response_id = ResponseId(name)
    service.emit(ResponseStarted(response_id=response_id))
    position = 0
    for word in speech(words, rate=24000):
        pcm = b"".join(word.frames)
        end = position + len(pcm) // 2
        service.emit(
            ResponseAudio(response_id=response_id, pcm=pcm),
            ResponseText(response_id=response_id, delta=f"{word.text} ", start=position, end=end),
        )
        position = end
    if done:
        service.emit(ResponseDone(response_id=response_id, status=ResponseStatus.COMPLETED))


# ── interruptions ───────────────────────────────────────────────────────────────────────────


def test_two_voices_within_100_ms_cut_two_responses():
    """A response that answers one interruption is cut by the next, and the third is heard whole."""

    async def scene():
        turns = TurnSettings(end_silence_ms=20, adapts=False)
        at_once = InterruptionPolicy(min_ms=0, resumes=False)
        caller = ScriptedCaller(word_ms=20)
        stt, tts = ScriptedStt(), ScriptedTts(word_ms=20)
        async with stage(
            stt=stt, tts=tts, caller=caller, turns=turns, interruptions=at_once, voice=FRAME
        ) as on:
            await on.caller.say("hello")
            await until_ms(150)
            await on.caller.say("no")  # its frame comes at 160, and it is answered at 180
            await until_ms(230)
            await on.caller.say("stop")
            await asyncio.sleep(1)
            heard = [one.heard_ms for one in on.trace.of(AgentResponseEnded)]
            return times_ms(on.trace, BargedIn), heard, on.caller.heard, on

    barged, heard_ms, heard, on = play(scene)
    assert barged == [160, 240]
    assert heard_ms == [140, 60, 200]
    assert on.agent_words() == ["one two three four five six seven", "one two three", LONG]
    assert " ".join(on.agent_words()) == heard
    assert on.user_words() == ["hello", "no", "stop"]
    assert states(on)[-2:] == [SessionState.IDLE, SessionState.DISCONNECTED]


def states(on):
    """What the session was doing, in order."""
    return [one.state for one in on.trace.of(StateChanged)]


@pytest.mark.parametrize("begins_ms", [620, 700, 760, 820])
def test_a_voice_before_the_first_sound_is_part_of_the_request(begins_ms):
    """Voice that comes while words are recognised, thought about or spoken in silence is answered.

    The turn is over at 780; its words are known at 830, the agent's at 930, its sound at 1030.
    """

    async def agent(text: str) -> str:
        await asyncio.sleep(0.1)
        return f"you said {text}"

    async def scene():
        async with stage(agent, tts=ScriptedTts(delay_ms=100)) as on:
            await on.caller.say("hello")
            await until_ms(begins_ms + 80)  # noticed 40 ms after its first frame
            await on.caller.say("my friend")
            await asyncio.sleep(5)
            return on.caller.heard, on.agent_words(), " ".join(on.user_words()), on

    heard, agent_words, user, on = play(scene)
    assert user == "hello my friend"
    assert agent_words == [heard] == ["you said hello my friend"]
    assert on.trace.of(BargedIn) == []
    assert states(on)[-2:] == [SessionState.IDLE, SessionState.DISCONNECTED]


@pytest.mark.parametrize("left_ms", [1, 10, 20, 49])
@pytest.mark.parametrize("how", ["voice", "stop", "text"])
def test_an_interruption_in_the_last_50_ms_counts_what_was_heard(how, left_ms):
    """The last word, cut short by some milliseconds, is not in the history, and all goes on."""

    async def scene():
        # The frames come every 20 ms from 0 on: the response is put where one is `left_ms` early.
        late_ms = left_ms % 20
        stt, tts = ScriptedStt(delay_ms=50), ScriptedTts(delay_ms=30 + late_ms)
        at_once = InterruptionPolicy(min_ms=0, resumes=False)
        async with stage(stt=stt, tts=tts, interruptions=at_once, voice=FRAME) as on:
            await on.caller.say("hello")
            while not on.trace.of(AgentResponseAudio):
                await asyncio.sleep(0.001)
            ends = on.trace.at_ms(AgentResponseAudio) + 2000
            if how == "voice":
                await until_ms(ends - left_ms - 1)
                await on.caller.say("one more thing")
            else:
                await until_ms(ends - left_ms)
                on.caller.press_stop() if how == "stop" else on.caller.type("one more thing")
            await asyncio.sleep(5)
            first = on.trace.of(AgentResponseEnded)[0]
            on.caller.type("still there")
            await asyncio.sleep(5)
            return first, on.caller.heard, ends, on

    first, heard, ends, on = play(scene)
    assert first.outcome is ResponseOutcome.CUT
    assert first.heard_ms == 2000 - left_ms
    assert first.heard_text == LONG.removesuffix(" ten")
    assert times_ms(on.trace, AgentResponseEnded)[0] == ends - left_ms
    answers = 1 if how == "stop" else 2
    assert on.agent_words() == [first.heard_text, *[LONG] * answers]
    assert heard == " ".join(on.agent_words())
    assert states(on)[-2:] == [SessionState.IDLE, SessionState.DISCONNECTED]


@pytest.mark.parametrize("is_speaking", [False, True])
def test_a_response_cancelled_before_its_first_sound_leaves_the_floor_where_it_was(is_speaking):
    """Who waits goes on waiting, who speaks goes on speaking, and the next response is heard."""

    async def script(service):
        response = ResponseId("a")
        service.emit(SpeechStarted())
        await asyncio.sleep(1)
        service.emit(SpeechStopped(), ResponseStarted(response_id=response))
        await asyncio.sleep(0.5)
        if is_speaking:
            service.emit(SpeechStarted())
            await service.expect(Interrupt, response_id=response, heard_samples=0)
        service.emit(ResponseDone(response_id=response, status=ResponseStatus.CANCELLED))
        if not is_speaking:
            await service.expect(Interrupt, response_id=response, heard_samples=0)
        await asyncio.sleep(0.5)
        service.emit(SpeechStopped())
        respond(service, "b", "here it is")

    provider = ScriptedProvider(script, capabilities=SERVER_TURNS)

    async def scene():
        caller = ScriptedCaller()
        session = Session(provider, line=caller)
        seen = trace(session)
        async with session, caller.on(session):
            await until_ms(1900)
            cancelled = session.state
            await until_ms(4000)
            return cancelled, session.state, caller.heard, caller.first_sound_ms, seen

    cancelled, state, heard, first_sound, seen = play(scene)
    provider.finish()
    assert cancelled is (SessionState.SPEAKING if is_speaking else SessionState.PROCESSING)
    assert (state, heard, first_sound) == (SessionState.IDLE, "here it is", 2000)
    cut, whole = seen.of(AgentResponseEnded)
    assert (cut.outcome, cut.heard_ms) == (ResponseOutcome.CUT, 0)
    assert whole.outcome is ResponseOutcome.HEARD
    assert seen.of(ErrorOccurred) == seen.of(BargedIn) == []


def test_after_a_cancelled_response_the_person_does_not_wait_in_silence_for_ever():
    """If nothing follows a response that was cancelled without a sound, a tone says so in time."""

    async def script(service):
        service.emit(SpeechStarted(), SpeechStopped(), ResponseStarted(response_id=ResponseId("a")))
        await asyncio.sleep(1)
        service.emit(ResponseDone(response_id=ResponseId("a"), status=ResponseStatus.CANCELLED))
        await service.expect(Interrupt)

    provider = ScriptedProvider(script, capabilities=SERVER_TURNS)

    async def scene():
        caller = ScriptedCaller()
        async with Session(provider, line=caller) as session, caller.on(session):
            await asyncio.sleep(8)
            return caller.first_sound_ms

    assert play(scene) == 1000 + 6000
    provider.finish()


# ── dead air ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("announces", [False, True])
def test_while_a_tool_of_the_service_runs_the_person_hears_a_tone(announces):
    """The wait for a tool is silence like any other, counted from the last word, and by settings.

    The ladder begins anew when the service has the result.
    """

    async def look() -> str:
        """Takes long."""
        await asyncio.sleep(5.5)
        return "found"

    async def script(service):
        service.emit(SpeechStarted())
        await asyncio.sleep(1)
        service.emit(
            SpeechStopped(),
            InputTranscript(utterance_id=UtteranceId("u"), text="look for it", is_final=True),
            ToolCalled(call_id=ToolCallId("c"), name="look", arguments="{}"),
        )
        respond(service, "a", "one moment" if announces else "")
        await service.expect(AnswerTool, output="found")
        await asyncio.sleep(2.5)
        respond(service, "b", "here it is")

    provider = ScriptedProvider(script, capabilities=SERVER_TURNS)
    dead_air = DeadAirSettings(answer_ms=2000, rung_ms=1000)

    async def scene():
        caller = ScriptedCaller()
        settings = EngineSettings(dead_air=dead_air)
        session = Session(provider, line=caller, tools=[look], settings=settings)
        seen = trace(session)
        async with session, caller.on(session):
            await asyncio.sleep(12)
            return seen, caller.heard, caller.sounds_ms, session.state

    seen, heard, sounds, state = play(scene)
    provider.finish()
    waits_from = 1000 + 400 * announces
    assert times_ms(seen, FunctionCalled) == [1000]
    assert times_ms(seen, FunctionAnswered) == [6500]
    tones = [*range(waits_from + 2000, 6500, 1000), 8500]
    assert sounds == [
        *[(1000, 1400)] * announces,
        *[(at, at + TONE_MS) for at in tones],
        (9000, 9600),
    ]
    assert times_ms(seen, DeadAir) == tones
    assert times_ms(seen, ErrorOccurred) == [8500]  # while a tool runs nobody is to blame
    assert heard == "one moment " * announces + "here it is"
    assert state is SessionState.IDLE


@pytest.mark.parametrize("say_ms", [300, 2000, 6500])
def test_a_stalled_response_is_given_up_whatever_the_application_says_meanwhile(say_ms):
    """Words of the application do not hide that a response broke off, and can be said after it."""

    async def script(service):
        respond(service, "a", "one two three", done=False)
        await service.expect(Say)
        respond(service, "b", "are you there")
        await service.expect(Interrupt, response_id="a", heard_text="one two three")
        while getattr(await service.expect(object), "text", "") != "hello again":
            pass
        respond(service, "c", "hello again")

    provider = ScriptedProvider(script, capabilities=SERVER_TURNS)

    async def scene():
        caller = ScriptedCaller()
        session = Session(provider, line=caller)
        seen = trace(session)
        async with session, caller.on(session):
            await until_ms(say_ms)
            session.say("are you there")
            await until_ms(8000)
            session.say("hello again")
            await until_ms(10000)
            return times_ms(seen, ErrorOccurred), caller.heard, caller.sounds_ms[-1], session.state

    errors, heard, last, state = play(scene)
    provider.finish()
    assert errors == [600 + 6000]
    assert heard.startswith("one two three")
    assert heard.endswith("hello again")
    assert last == (8000, 8400)
    assert state is SessionState.IDLE


def test_a_tone_is_sound_on_the_line_and_no_part_of_a_response():
    """A response that comes while the tone sounds begins after it, and counts its own words."""
    asked = []

    async def slow(text: str) -> str:
        asked.append(text)
        if len(asked) == 1:
            await asyncio.Event().wait()
        await asyncio.sleep(3.05)  # until 9830, and the tone sounds from 9780
        return LONG

    async def scene():
        async with stage(slow) as on:
            await on.caller.say("hello")
            await until_ms(9940 + 550)
            on.caller.press_stop()
            await asyncio.sleep(1)
            return on.caller.sounds_ms, on.caller.heard, on.trace.of(AgentResponseEnded)[-1], on

    sounds, heard, ended, on = play(scene)
    assert asked == ["hello", "hello"]
    assert sounds == [(9780, 9780 + TONE_MS + 550)]
    assert times_ms(on.trace, AgentResponseAudio)[0] == 9780 + TONE_MS
    assert on.agent_words() == [heard] == [ended.heard_text] == ["one two"]
    assert ended.heard_ms == 550
    assert on.session.metrics().heard_ms == 550


# ── work that will not stop ─────────────────────────────────────────────────────────────────


def test_an_agent_that_swallows_its_cancellation_says_nothing_more():
    """Its later words are neither spoken nor remembered, and nobody waits for it to end."""
    histories = []

    async def agent(turn: AgentTurn):
        histories.append([one.text for one in turn.history])
        if len(histories) > 1:
            yield "fine"
            return
        yield "one two three four five. "
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(0.3)
        yield "but let me finish. "
        yield "I insist."

    async def scene():
        async with stage(agent) as on:
            await on.caller.say("hello")
            await until_ms(1500)
            on.caller.press_stop()
            await asyncio.sleep(1)
            await on.caller.say("again")
            await asyncio.sleep(3)
            heard, left_ms = on.caller.heard, now_ms()
        return heard, now_ms() - left_ms, on

    heard, leaving_ms, on = play(scene)
    cut = "one two three"
    assert on.agent_words() == [cut, "fine"]
    assert heard == f"{cut} fine"
    assert histories == [["hello"], ["hello", cut, "again"]]
    assert on.tts.links[0].texts == ["one two three four five.", "fine"]
    assert leaving_ms == 0


def test_an_agent_that_swallows_its_cancellation_does_not_keep_the_session_open():
    """A call that ends in mid-response is left as soon as the agent is back."""

    async def agent(text: str):
        yield "one two three four five. "
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(0.3)
        yield "but let me finish. "
        await asyncio.sleep(100)

    async def scene():
        async with stage(agent) as on:
            await on.caller.say("hello")
            await until_ms(1500)
            on.caller.hang_up()
        return now_ms(), on.tts.links[0].texts, on.agent_words()

    assert play(scene) == (1500 + 300, ["one two three four five."], ["one two three"])


def slow_to_stop(ended):
    """A tool that runs for a minute, and takes half a second to clean up when it is stopped."""

    async def search() -> str:
        """Takes long."""
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.5)
            ended.append(now_ms())
        return "found"

    return search


def test_a_tool_that_is_slow_to_stop_is_answered_for_once_it_has():
    """At its limit it is stopped, its clean-up is waited for, and the agent is told it failed."""
    ended = []

    async def agent(turn: AgentTurn) -> str:
        try:
            return await turn.call_tool("search", "{}")
        except Exception:
            return "it took too long"

    async def scene():
        search = tool(slow_to_stop(ended), timeout_seconds=1)
        async with stage(agent, tools=[search]) as on:
            await on.caller.say("hello")
            await asyncio.sleep(4)
            return on.trace.of(FunctionAnswered), on.caller.heard, on.session.state

    (answered,), heard, state = play(scene)
    assert ended == [830 + 1000 + 500]
    assert (answered.is_error, answered.duration_ms) == (True, 1500)
    assert (heard, state) == ("it took too long", SessionState.IDLE)


def test_leaving_waits_for_a_tool_that_is_slow_to_stop():
    """The end of a call stops its tool, and the clean-up runs to its end before all is over."""
    ended = []

    async def agent(turn: AgentTurn) -> str:
        return await turn.call_tool("search", "{}")

    async def scene():
        async with stage(agent, tools=[slow_to_stop(ended)]) as on:
            await on.caller.say("hello")
            await until_ms(1500)
            on.caller.hang_up()
            await on.session.wait_closed()
            over_ms = now_ms()
        return over_ms, now_ms(), on.trace.of(FunctionAnswered)

    assert play(scene) == (1500, 2000, [])
    assert ended == [2000]


def test_a_tool_that_is_slow_to_stop_does_not_delay_the_next_connection():
    """When the link dies its tool is stopped, and the next link calls and gets another result."""
    ended = []
    runs = []

    async def agent(turn: AgentTurn) -> str:
        return await turn.call_tool("search", "{}")

    async def search() -> str:
        """Takes long once."""
        runs.append(now_ms())
        return await slow_to_stop(ended)() if len(runs) == 1 else "found"

    async def scene():
        async with stage(agent, tools=[search]) as on:
            await on.caller.say("hello")
            await until_ms(1500)
            on.stt.links[0].lose()
            await asyncio.sleep(3)
            return on.trace.of(FunctionAnswered), on.caller.heard, on.session.state

    (answered,), heard, state = play(scene)
    assert runs == [830, 1500 + 100]
    assert ended == [1500 + 500]
    assert answered.output == heard == "found"
    assert state is SessionState.IDLE


def test_what_a_withdrawn_tool_gives_is_remembered():
    """A tool runs to its end; what it gives is told to nobody, and stands in the history."""

    async def search(what: str) -> str:
        """Takes a second."""
        await asyncio.sleep(1)
        return f"{what} found"

    async def script(service):
        for name, arguments in (("c", '{"what": "old"}'), ("d", '{"what": "new"}')):
            service.emit(ToolCalled(call_id=ToolCallId(name), name="search", arguments=arguments))
            if name == "c":
                await asyncio.sleep(0.2)
                service.emit(ToolCallWithdrawn(call_ids=(ToolCallId(name),)))
        await service.expect(AnswerTool, call_id="d", output="new found", is_error=False)

    provider = ScriptedProvider(script, capabilities=SERVER_TURNS)

    async def scene():
        async with Session(provider, tools=[tool(search, runs_to_end=True)]) as session:
            seen = trace(session)
            await asyncio.sleep(3)
            return times_ms(seen, FunctionAnswered), session.history

    answered, history = play(scene)
    provider.finish()
    assert answered == [1000, 1200]
    kinds = [type(one).__name__ for one in history]
    assert kinds == ["ToolUse", "ToolResult", "ToolUse", "ToolResult"]
    assert history[1] == ToolResult(call_id=ToolCallId("c"), output="old found")


def test_other_tools_are_cancelled():
    """A call that was withdrawn is stopped at once, and has no result."""

    async def look_up() -> str:
        """Takes a second."""
        await asyncio.sleep(1)
        return "found"

    async def script(service):
        call_id = ToolCallId("c")
        service.emit(ToolCalled(call_id=call_id, name="look_up", arguments="{}"))
        await asyncio.sleep(0.2)
        service.emit(ToolCallWithdrawn(call_ids=(call_id,)))

    provider = ScriptedProvider(script, capabilities=SERVER_TURNS)

    async def scene():
        async with Session(provider, tools=[look_up]) as session:
            seen = trace(session)
            await asyncio.sleep(0.3)
            running = [one.get_name() for one in asyncio.all_tasks() if "tool" in one.get_name()]
            await asyncio.sleep(3)
            return running, times_ms(seen, FunctionAnswered), session.history

    running, answered, history = play(scene)
    provider.finish()
    assert (running, answered) == ([], [])
    assert history[1] == ToolResult(call_id=ToolCallId("c"), output="withdrawn", is_error=True)
    assert next(one.output for one in history if isinstance(one, ToolResult)) == "withdrawn"


# ── a line that brings nothing ──────────────────────────────────────────────────────────────


def test_sound_without_a_sample_does_not_pass_for_sound():
    """A line that brings empty pieces has gone dead: the turn ends, and the words are answered."""

    async def scene():
        async with stage() as on:
            on.caller.begin("hello there my friend")
            await until_ms(500)
            (microphone,) = [one for one in asyncio.all_tasks() if one.get_name() == "microphone"]
            microphone.cancel()
            while now_ms() < 6000:
                on.session.send_audio(b"")
                await asyncio.sleep(0.02)
            return on.user_words(), times_ms(on.trace, UserSpeechEnded), on.caller.heard

    assert play(scene) == (["hello there"], [480 + 2000], LONG)
