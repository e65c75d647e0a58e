"""What a session does with services that are lost, late, wrong, or that own the turns."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from beluga_voice.audio.formats import pcm16
from beluga_voice.audio.tone import TONE_MS
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.link import ReconnectSettings
from beluga_voice.errors import (
    AlreadyClosed,
    Denied,
    Misuse,
    ToolFailed,
    Unreachable,
    Unsupported,
    WrongFormat,
)
from beluga_voice.events import (
    AgentResponseAudio,
    AgentResponseEnded,
    BargedIn,
    ErrorCategory,
    ErrorOccurred,
    FunctionAnswered,
    FunctionCalled,
    Interrupt,
    Interrupted,
    LinkClosed,
    Reconnected,
    Reconnecting,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOutcome,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    ServiceFailed,
    SessionEnded,
    SessionState,
    SpeechStarted,
    SpeechStopped,
    StateChanged,
    Transcription,
    TurnMeasured,
)
from beluga_voice.interfaces import AgentTurn, Capabilities, TurnOwner
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.scripted import ScriptedProvider, ScriptedStt, ScriptedTts, ScriptedVad
from beluga_voice.testing.speech import pcm_of, speech
from beluga_voice.testing.trace import trace
from session.stage import LONG, play, stage

# ── a lost service ──────────────────────────────────────────────────────────────────────────


def test_a_recogniser_lost_in_mid_utterance_loses_no_word():
    """What the person had said is given to the next connection, and answered."""

    async def scene():
        async with stage() as on:
            on.caller.begin("one two three four five six")
            await asyncio.sleep(0.7)
            on.stt.links[0].lose()
            await asyncio.sleep(6)
            again = on.trace.of(Reconnected)
            return on.user_words(), on.caller.heard, len(on.stt.links), len(again)

    assert play(scene) == (["one two three four five six"], LONG, 2, 1)


def test_a_recogniser_lost_after_the_turn_loses_no_word():
    """An utterance that ended and was not transcribed yet is transcribed by the next connection."""

    async def scene():
        async with stage(stt=ScriptedStt(delay_ms=500)) as on:
            await on.caller.say("what time is it")
            await asyncio.sleep(0.8)
            assert on.session.state is SessionState.PROCESSING
            on.stt.links[0].lose()
            await asyncio.sleep(6)
            return on.user_words(), on.caller.heard

    assert play(scene) == (["what time is it"], LONG)


def test_a_voice_lost_before_its_first_sound_is_asked_again():
    """A response that failed before it sounded is made again on the next connection."""

    async def scene():
        async with stage(tts=ScriptedTts(delay_ms=400)) as on:
            await on.caller.say("hello")
            await asyncio.sleep(0.8)
            on.tts.links[0].lose()
            await asyncio.sleep(6)
            return on.caller.heard, on.user_words(), on.session.state

    assert play(scene) == (LONG, ["hello"], SessionState.IDLE)


def test_the_next_connection_knows_what_was_said():
    """A new connection is given the history as it was heard."""
    histories = []

    async def agent(turn: AgentTurn) -> str:
        histories.append([item.text for item in turn.history])
        return "yes"

    async def scene():
        async with stage(agent) as on:
            await on.caller.say("first")
            await asyncio.sleep(3)
            on.stt.links[0].lose()
            await asyncio.sleep(1)
            await on.caller.say("second")
            await asyncio.sleep(3)

    play(scene)
    assert histories == [["first"], ["first", "yes", "second"]]


def test_a_service_that_stays_away_ends_the_session_with_its_reason():
    """After the last attempt the session fails, and says so; the delays are the configured ones."""

    class Gone:
        name = "gone"
        capabilities = Capabilities()

        def __init__(self):
            self.tries = []

        @asynccontextmanager
        async def connect(self, options):
            self.tries.append(round(asyncio.get_running_loop().time() * 1000, 3))
            raise Unreachable("connection refused", op="connect")
            yield

    gone = Gone()

    async def scene():
        reconnect = ReconnectSettings(attempts=3, first_delay_ms=100, factor=2)
        session = Session(
            gone, detector=ScriptedVad(), settings=EngineSettings(reconnect=reconnect)
        )
        seen = trace(session)
        with pytest.raises(Unreachable, match="connection refused"):
            async with session:
                pass
        delays = [one.delay_ms for one in seen.of(Reconnecting)]
        return delays, seen.of(SessionEnded)[0].reason, session.state

    assert play(scene) == ([100, 200, 400], "failed", SessionState.ERROR)
    assert gone.tries == [0, 100, 300, 700]


def test_wrong_credentials_are_not_tried_again():
    """An error that would come again ends the attempt at once."""

    class Guarded:
        name = "guarded"
        capabilities = Capabilities()
        tries = 0

        @asynccontextmanager
        async def connect(self, options):
            self.tries += 1
            raise Denied("wrong key", op="connect")
            yield

    guarded = Guarded()

    async def scene():
        with pytest.raises(Denied, match="wrong key"):
            async with Session(guarded, detector=ScriptedVad()):
                pass

    play(scene)
    assert guarded.tries == 1


def test_a_service_that_never_answers_is_given_up():
    """A connection that does not come about within the limit is an error that says so."""

    class Mute:
        name = "mute"
        capabilities = Capabilities()

        @asynccontextmanager
        async def connect(self, options):
            await asyncio.Event().wait()
            yield

    async def scene():
        settings = EngineSettings(reconnect=ReconnectSettings(attempts=0))
        with pytest.raises(Unreachable, match="did not answer within 10 s"):
            async with Session(Mute(), detector=ScriptedVad(), settings=settings):
                pass
        return asyncio.get_running_loop().time()

    assert play(scene) == 10


def test_entering_can_be_cancelled():
    """A cancelled connect leaves nothing behind."""

    class Mute:
        name = "mute"
        capabilities = Capabilities()

        @asynccontextmanager
        async def connect(self, options):
            await asyncio.Event().wait()
            yield

    async def scene():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                async with Session(Mute(), detector=ScriptedVad()):
                    pass
        return asyncio.get_running_loop().time()

    assert play(scene) == 1


# ── a silent or failing answer ──────────────────────────────────────────────────────────────


def test_an_agent_that_hangs_is_nudged_and_then_heard_as_a_tone():
    """A hung agent is asked again within the bound, and then the caller hears a tone."""
    asked = []

    async def stuck(text: str) -> str:
        asked.append(round(asyncio.get_running_loop().time() * 1000, 3))
        await asyncio.Event().wait()
        return ""

    async def scene():
        async with stage(stuck) as on:
            await on.caller.say("hello")
            await asyncio.sleep(12)
            errors = [one.message for one in on.trace.of(ErrorOccurred)]
            return on.caller.first_sound_ms, errors

    first_sound, errors = play(scene)
    assert asked == [830, 780 + 6000]
    assert first_sound == 780 + 6000 + 3000
    assert errors == ["scripted_stt+scripted_tts gave no answer in time"]


def test_an_agent_that_hangs_once_is_heard_the_second_time():
    """The nudge brings an answer from an agent that hung only once."""
    tries = 0

    async def hangs_once(text: str) -> str:
        nonlocal tries
        tries += 1
        if tries == 1:
            await asyncio.Event().wait()
        return f"sorry you said {text}"

    async def scene():
        async with stage(hangs_once) as on:
            await on.caller.say("hello")
            await asyncio.sleep(10)
            return on.caller.heard, on.session.state

    assert play(scene) == ("sorry you said hello", SessionState.IDLE)


@pytest.mark.parametrize("inside", ["agent", "tool"])
def test_a_cancellation_from_inside_is_a_failure(inside):
    """Work that is cancelled by itself, not by us, fails loudly instead of vanishing."""

    async def broken() -> str:
        """Is cancelled from inside."""
        raise asyncio.CancelledError

    async def agent(turn: AgentTurn) -> str:
        if inside == "agent":
            raise asyncio.CancelledError
        try:
            return await turn.call_tool("broken", "{}")
        except ToolFailed:
            return "the tool failed"

    async def scene():
        async with stage(agent, tools=[broken]) as on:
            await on.caller.say("hello")
            await asyncio.sleep(3)
            return on.caller.heard, [one.message for one in on.trace.of(ErrorOccurred)]

    heard, errors = play(scene)
    if inside == "tool":
        assert heard == "the tool failed"
    else:
        assert errors == ["the agent was cancelled from inside"]


def test_a_voice_that_makes_no_sound_has_failed():
    """Words without any sound were not heard: an error, a tone, and nothing in the history."""

    class Mute(ScriptedTts):
        def __init__(self):
            super().__init__(word_ms=20)

    tts = Mute()

    async def scene():
        async with stage(tts=tts) as on:
            tts.links[0]._speak = lambda context_id, text: None  # succeeds without sound
            await on.caller.say("hello")
            await asyncio.sleep(1)
            (ended,) = on.trace.of(AgentResponseEnded)
            return ended.outcome, on.agent_words(), on.caller.first_sound_ms is not None

    assert play(scene) == (ResponseOutcome.FAILED, [], True)


def test_a_service_that_accepts_and_hangs_up_is_given_up():
    """Connections that bring nothing count as failed attempts, and the session ends."""

    async def slam(service):
        service.emit(LinkClosed(is_clean=False, reason="go away"))

    provider = ScriptedProvider(*[slam] * 4, capabilities=SERVER_TURNS)

    async def scene():
        reconnect = ReconnectSettings(attempts=3, first_delay_ms=100)
        session = Session(provider, settings=EngineSettings(reconnect=reconnect))
        async with session:
            await session.wait_closed()
        return session.state, len(provider.links)

    assert play(scene) == (SessionState.ERROR, 4)


def test_a_fatal_refusal_in_mid_call_is_not_tried_again():
    """An error that would come again on every connection ends the session with its reason."""

    async def refuse(service):
        service.emit(
            ServiceFailed(category=ErrorCategory.AUTH, message="key revoked", is_fatal=True),
            LinkClosed(is_clean=False, reason="key revoked"),
        )

    provider = ScriptedProvider(refuse, capabilities=SERVER_TURNS)

    async def scene():
        session = Session(provider)
        seen = trace(session)
        async with session:
            await session.wait_closed()
        return seen.of(SessionEnded)[0]

    ended = play(scene)
    assert (ended.reason, ended.message) == ("failed", "key revoked")


def test_a_line_that_fails_ends_its_call():
    """An exception of the line is the end of the call, not of the program."""

    class Broken(ScriptedCaller):
        def send(self, command, /):
            raise OSError("secret words")

    async def scene():
        caller = Broken()
        async with stage(caller=caller) as on:
            await on.caller.say("hello")
            await on.session.wait_closed()
            return on.trace.of(SessionEnded)[0]

    ended = play(scene)
    assert (ended.reason, ended.message) == ("hung_up", "the line failed")


def test_an_agent_that_raises_is_reported_and_the_session_goes_on():
    """A failed response is an event, a tone, and nothing worse."""
    calls = 0

    async def flaky(text: str) -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ValueError("secret words")
        return "fine now"

    async def scene():
        async with stage(flaky) as on:
            await on.caller.say("hello")
            await asyncio.sleep(2)
            sounded = on.caller.first_sound_ms is not None
            await on.caller.say("again")
            await asyncio.sleep(3)
            return sounded, on.caller.heard, [one.message for one in on.trace.of(ErrorOccurred)]

    sounded, heard, errors = play(scene)
    assert sounded
    assert heard == "fine now"
    assert errors == ["the agent failed: ValueError"]


# ── tools ───────────────────────────────────────────────────────────────────────────────────


def test_a_tool_runs_for_the_agent():
    """The agent gets the tool's result, and the application sees the call and its time."""

    async def weather(city: str, days: int = 1) -> dict[str, object]:
        """The weather."""
        await asyncio.sleep(0.3)
        return {"city": city, "days": days}

    async def agent(turn: AgentTurn) -> str:
        return await turn.call_tool("weather", '{"city": "Oslo"}')

    async def scene():
        async with stage(agent, tools=[weather]) as on:
            await on.caller.say("hello")
            await asyncio.sleep(3)
            return on.trace.of(FunctionCalled), on.trace.of(FunctionAnswered), on.caller.heard

    called, answered, heard = play(scene)
    assert [one.name for one in called] == ["weather"]
    assert answered[0].output == '{"city":"Oslo","days":1}'
    assert answered[0].duration_ms == 300
    assert heard == '{"city":"Oslo","days":1}'


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("weather", '{"city": 5}', "wrong arguments for 'weather'"),
        ("weather", '{"nonsense": 5}', "wrong arguments for 'weather'"),
        ("weather", "not json", "the tool 'weather' failed"),
        ("other", "{}", "there is no tool named 'other'"),
        ("huge", "{}", "gave 5000000 characters"),
        ("raises", "{}", "the tool 'raises' failed: KeyError"),
    ],
)
def test_a_tool_that_fails_is_answered_as_an_error(name, arguments, problem):
    """Whatever goes wrong with a tool reaches the agent as a failure, exactly once."""

    def weather(city: str) -> str:
        """The weather."""
        return city

    def huge() -> str:
        """Too much."""
        return "x" * 5_000_000

    def raises() -> str:
        """Never works."""
        raise KeyError("a secret")

    async def agent(turn: AgentTurn) -> str:
        try:
            return await turn.call_tool(name, arguments)
        except Exception:
            return "it failed"

    async def scene():
        async with stage(agent, tools=[weather, huge, raises]) as on:
            await on.caller.say("hello")
            await asyncio.sleep(3)
            return on.trace.of(FunctionAnswered), on.caller.heard

    (answered,), heard = play(scene)
    assert answered.is_error
    assert problem in answered.output
    assert "secret" not in answered.output
    assert heard == "it failed"


def test_a_tool_that_never_returns_is_stopped():
    """A tool has a time limit, and the session outlives it."""
    from beluga_voice.session.tools import tool

    async def forever() -> str:
        """Never returns."""
        await asyncio.Event().wait()
        return ""

    async def agent(turn: AgentTurn) -> str:
        try:
            return await turn.call_tool("forever", "{}")
        except Exception:
            return "gave up"

    async def scene():
        async with stage(agent, tools=[tool(forever, timeout_seconds=2)]) as on:
            await on.caller.say("hello")
            await asyncio.sleep(5)
            return on.caller.heard, on.trace.of(FunctionAnswered)[0].duration_ms

    assert play(scene) == ("gave up", 2000)


# ── services that own the turns ─────────────────────────────────────────────────────────────

SERVER_TURNS = Capabilities(
    turn_owners=(TurnOwner.PROVIDER,), has_speech_events=True, has_tools=True, can_cancel=True
)


def _response(service, name, words, *, done=True):
    """A response as a service sends it: faster than real time, with word times."""
    response_id = ResponseId(name)
    service.emit(ResponseStarted(response_id=response_id))
    position = 0
    for word in speech(words, rate=24000):
        pcm = b"".join(word.frames)
        service.emit(
            ResponseAudio(response_id=response_id, pcm=pcm),
            ResponseText(
                response_id=response_id,
                delta=f"{word.text} ",
                start=position,
                end=position + len(pcm) // 2,
            ),
        )
        position += len(pcm) // 2
    if done:
        service.emit(ResponseDone(response_id=response_id, status=ResponseStatus.COMPLETED))
    return response_id


def test_a_service_that_owns_the_turns_is_obeyed():
    """Server turn detection drives the same events, and a barge-in reports what was heard."""

    async def script(service):
        await asyncio.sleep(1)
        service.emit(SpeechStarted())
        await asyncio.sleep(1)
        service.emit(SpeechStopped())
        await asyncio.sleep(0.3)
        response = _response(service, "a", LONG)
        await asyncio.sleep(0.65)
        service.emit(SpeechStarted(), Interrupted(response_id=response))
        cut = await service.expect(Interrupt, response_id=response)
        assert cut.heard_samples == 24000 * 65 // 100
        assert cut.heard_text == "one two three"

    provider = ScriptedProvider(script, capabilities=SERVER_TURNS)

    async def scene():
        caller = ScriptedCaller()
        session = Session(provider, line=caller)
        seen = trace(session)
        async with session, caller.on(session):
            await asyncio.sleep(4)
            state = session.state
        return seen, caller.heard, caller.last_sound_ms, state

    seen, heard, last_sound, state = play(scene)
    provider.finish()
    assert heard == "one two three"
    assert last_sound == seen.at_ms(BargedIn) == 2950
    assert seen.of(TurnMeasured)[0].total_ms == 300
    assert seen.of(AgentResponseEnded)[0].heard_text == "one two three"
    assert state is SessionState.SPEAKING


def test_late_sound_of_a_cut_response_never_sounds():
    """What a service still sends after an interruption is dropped by its id."""

    async def script(service):
        response = _response(service, "a", "one two three", done=False)
        await asyncio.sleep(0.3)
        service.emit(SpeechStarted())
        await service.expect(Interrupt)
        for word in speech("late words", rate=24000):
            service.emit(ResponseAudio(response_id=response, pcm=b"".join(word.frames)))
        service.emit(ResponseDone(response_id=response, status=ResponseStatus.CANCELLED))
        service.emit(SpeechStopped())
        _response(service, "b", "fresh words")

    provider = ScriptedProvider(script, capabilities=SERVER_TURNS)

    async def scene():
        caller = ScriptedCaller()
        async with Session(provider, line=caller) as session, caller.on(session):
            await asyncio.sleep(4)
        return caller.heard

    heard = play(scene)
    provider.finish()
    assert heard == "one fresh words"


def test_all_sound_goes_to_a_service_that_owns_the_turns():
    """The service gets every frame, silence included, and loses none when it reconnects."""

    async def first(service):
        await asyncio.sleep(1)
        service.emit(LinkClosed(is_clean=False, reason="reset"))

    async def second(service):
        await asyncio.sleep(0)

    provider = ScriptedProvider(first, second, capabilities=SERVER_TURNS)

    async def scene():
        caller = ScriptedCaller()
        async with Session(provider, line=caller) as session, caller.on(session):
            await asyncio.sleep(0.5)
            await caller.say("one two three four five six seven")
            await asyncio.sleep(1)
        return [link.sound for link in provider.links]

    sounds = play(scene)
    provider.finish()
    spoken = pcm_of(speech("one two three four five six seven"))
    assert spoken in sounds[1]


def test_sound_that_is_not_16_bit_is_refused_by_name():
    """Half a sample from a service is an error that names the service, and nothing sounds."""

    async def script(service):
        service.emit(ResponseStarted(response_id=ResponseId("a")))
        service.emit(ResponseAudio(response_id=ResponseId("a"), pcm=b"abc"))
        service.emit(ResponseDone(response_id=ResponseId("a"), status=ResponseStatus.COMPLETED))

    provider = ScriptedProvider(script, capabilities=SERVER_TURNS)

    async def scene():
        caller = ScriptedCaller()
        session = Session(provider, line=caller)
        seen = trace(session)
        async with session, caller.on(session):
            await asyncio.sleep(1)
        return [one.message for one in seen.of(ErrorOccurred)], caller.first_sound_ms

    assert play(scene) == (["scripted sent 3 bytes of sound, which is not 16-bit PCM"], None)


def test_a_response_that_breaks_off_is_failed_after_what_sounded():
    """When the link dies in mid-response, what came of it sounds, and the rest is failed."""

    async def script(service):
        _response(service, "a", "one two three", done=False)
        await asyncio.sleep(0.1)
        service.emit(LinkClosed(is_clean=False, reason="reset"))

    async def again(service):
        await asyncio.sleep(0)

    provider = ScriptedProvider(script, again, capabilities=SERVER_TURNS)

    async def scene():
        caller = ScriptedCaller()
        session = Session(provider, line=caller)
        seen = trace(session)
        async with session, caller.on(session):
            await asyncio.sleep(2)
        return caller.heard, seen.of(AgentResponseEnded)[0].outcome

    assert play(scene) == ("one two three", ResponseOutcome.FAILED)
    provider.finish()


# ── misuse ──────────────────────────────────────────────────────────────────────────────────


def test_half_a_sample_from_the_line_is_refused():
    """An odd number of bytes is an error for the one who sent it, and the session lives."""

    async def scene():
        async with stage() as on:
            with pytest.raises(WrongFormat, match="end inside a 16-bit sample"):
                on.session.send_audio(b"abc")
            await on.caller.say("hello")
            await asyncio.sleep(4)
            return on.caller.heard

    assert play(scene) == LONG


def test_a_closed_session_says_so():
    """After the end, sound is ignored, and orders are refused."""

    async def scene():
        async with stage() as on:
            await on.session.close()
            on.session.send_audio(bytes(640))
            with pytest.raises(AlreadyClosed):
                on.session.say("hello")
            with pytest.raises(AlreadyClosed):
                on.session.send_text("hello")

    play(scene)


def test_a_session_is_entered_once():
    """Entering again is a misuse."""

    async def scene():
        async with stage() as on:
            with pytest.raises(Misuse, match="entered once"):
                await on.session.__aenter__()

    play(scene)


def test_what_a_provider_cannot_do_is_refused_before_connecting():
    """A greeting, a tool or a turn owner that the provider lacks is an error at once."""
    provider = ScriptedProvider(capabilities=Capabilities())

    def clock() -> str:
        """The time."""
        return "noon"

    with pytest.raises(Unsupported, match="cannot speak a greeting"):
        Session(provider, detector=ScriptedVad(), greeting="hello")
    with pytest.raises(Unsupported, match="has_tools"):
        Session(provider, detector=ScriptedVad(), tools=[clock])


def test_a_defect_ends_its_session_and_is_raised():
    """An exception inside the engine ends this session with an event, and is not swallowed."""

    class Broken:
        """A detector with a defect that shows after a while."""

        rate = 16000
        frame_samples = 320

    async def scene():
        async with stage() as on:
            on.session._engine._history = None  # a defect, by force
            await on.caller.say("hello")
            await on.session.wait_closed()
            return on.trace

    with pytest.raises(AttributeError):
        play(scene)


def test_the_line_may_have_another_rate_than_the_voice():
    """The voice's sound is converted to the line's rate, and the ledger stays exact."""

    async def scene():
        caller = ScriptedCaller(output_rate=24000)
        tts = ScriptedTts(rate=16000)
        tts.capabilities = Capabilities(
            output_formats=(pcm16(16000),), is_local=True, has_word_times=True
        )
        async with stage(tts=tts, caller=caller) as on:
            await on.caller.say("hello")
            await asyncio.sleep(4)
            return on.trace.of(AgentResponseEnded)[0], on.caller.last_sound_ms

    ended, last_sound = play(scene)
    assert ended.heard_ms == ended.generated_ms == 2000
    assert 0 <= last_sound - (180 + 650 + 2000) <= 2


def test_interim_words_are_told_as_they_come():
    """A recogniser's interim results are events before the final one."""

    async def scene():
        async with stage(stt=ScriptedStt(interim=True)) as on:
            await on.caller.say("one two")
            await asyncio.sleep(2)
            return [(one.text, one.is_final) for one in on.trace.of(Transcription)]

    assert play(scene) == [("one", False), ("one two", False), ("one two", True)]


def test_a_response_that_breaks_off_in_silence_is_given_up():
    """A service that stops in mid-response is reported within the bound, and can be talked to."""

    async def script(service):
        response = _response(service, "a", "one two three", done=False)
        await service.expect(Interrupt, response_id=response, heard_text="one two three")

    provider = ScriptedProvider(script, capabilities=SERVER_TURNS)

    async def scene():
        caller = ScriptedCaller()
        session = Session(provider, line=caller)
        seen = trace(session)
        async with session, caller.on(session):
            await asyncio.sleep(8)
            state = session.state
        return caller.heard, seen.at_ms(ErrorOccurred), caller.last_sound_ms, state

    tone_ends = 600 + 6000 + TONE_MS
    assert play(scene) == ("one two three", 600 + 6000, tone_ends, SessionState.IDLE)
    provider.finish()


def test_two_responses_at_once_sound_one_after_the_other():
    """Words said while a response is still being made wait for its end, and are not mixed in."""

    async def slow(text: str):
        for number in range(3):
            yield f"part {number} here. "
            await asyncio.sleep(0.3)

    async def scene():
        async with stage(slow) as on:
            await on.caller.say("hello")
            await asyncio.sleep(0.8)
            on.session.say("and now this")
            await asyncio.sleep(5)
            return on.caller.heard, on.agent_words()

    heard, said = play(scene)
    assert heard == "part 0 here. part 1 here. part 2 here. and now this"
    assert " ".join(one.strip() for one in said) == heard


def test_a_cut_between_two_responses_counts_each_by_its_own_sound():
    """A barge-in into the second of two queued responses leaves the first heard whole."""

    async def scene():
        async with stage() as on:
            await on.caller.say("hello")
            await asyncio.sleep(0.8)
            on.session.say("six seven eight nine ten")
            await asyncio.sleep(2.4)
            on.session.interrupt()
            await asyncio.sleep(0.1)
            return on.caller.heard, on.agent_words()

    heard, said = play(scene)
    assert said[0] == LONG
    assert heard == f"{LONG} {said[1]}"
    assert "six seven eight nine ten".startswith(said[1])


def test_a_session_that_was_not_entered_says_so():
    """Everything before entering is a misuse with the way out."""
    session = Session(ScriptedProvider(capabilities=SERVER_TURNS))
    for misuse in (
        lambda: session.send_audio(bytes(640)),
        lambda: session.say("hello"),
        lambda: session.interrupt(),
    ):
        with pytest.raises(Misuse, match="enter the session first"):
            misuse()


def test_who_stops_reading_events_is_forgotten():
    """A reader that leaves its loop costs nothing afterwards."""

    async def scene():
        async with stage() as on:
            events = on.session.events()
            await anext(events)
            await events.aclose()
            await on.caller.say("hello")
            await asyncio.sleep(4)
            return on.session._readers, on.session._listeners

    assert play(scene) == ([], [])


def test_who_wants_no_sound_is_told_all_else():
    """A reader without sound gets each event of one with sound, but for the sound."""

    async def scene():
        async with stage() as on:
            told = [[], []]

            async def read(with_audio):
                async for happening in on.session.events(with_audio=with_audio):
                    told[with_audio].append(happening.event)

            readers = [asyncio.create_task(read(with_audio)) for with_audio in (True, False)]
            await asyncio.sleep(0)
            await on.caller.say("hello")
            await asyncio.sleep(4)
            await on.session.close()
            await asyncio.gather(*readers)
            return told

    without, everything = play(scene)
    others = [event for event in everything if not isinstance(event, AgentResponseAudio)]
    assert len(others) < len(everything)
    # The first reader is also told of what was before.
    assert others[-len(without) :] == without
    assert isinstance(without[0], StateChanged)
    assert isinstance(without[-1], SessionEnded)
