"""Our agent decides the words, whichever way the service leaves them to us."""

import asyncio

import pytest

from beluga_voice.agents.functions import agent_of
from beluga_voice.app import VoiceSession
from beluga_voice.errors import Unsupported
from beluga_voice.events import (
    AgentResponseEnded,
    AnswerDelegation,
    AnswerTool,
    BargedIn,
    DeadAir,
    DelegationId,
    DelegationRequested,
    ErrorOccurred,
    FunctionAnswered,
    LinkReady,
    Message,
    Reconnecting,
    ResponseDone,
    ResponseId,
    ResponseOutcome,
    ResponseStarted,
    ResponseStatus,
    Role,
    Rung,
    SessionState,
    ToolCalled,
    ToolCallId,
)
from beluga_voice.interfaces import AgentTurn, Capabilities, TurnOwner
from beluga_voice.providers.s2s.elevenlabs import ElevenLabsAgents
from beluga_voice.providers.s2s.gemini_live import GeminiLive
from beluga_voice.providers.s2s.grok import Grok
from beluga_voice.providers.s2s.nova_sonic import NovaSonic
from beluga_voice.providers.s2s.openai_live import OpenAILive, ResponsesDelegation
from beluga_voice.providers.s2s.openai_realtime import OpenAIRealtime
from beluga_voice.providers.s2s.reasoned import Reasoned, Way
from beluga_voice.testing.emulators.speech import Calls, Faults, Pace, Speaks, obey
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedProvider, ScriptedVad
from providers.reasoned.stages import DUPLEX, EVERYWAY, person, saying, talking, tooling, voice

LONG = "one two three four five six seven eight nine ten"


@EVERYWAY
def test_the_agents_words_are_spoken(stage):
    """What the person said reaches the agent, and its answer is heard; how well is told."""
    asked = []

    async def agent(text: str) -> str:
        asked.append(text)
        return "you said " + text

    async def scene():
        async with stage(agent) as on:
            await on.caller.say("hello there")
            await asyncio.sleep(4)
            await on.caller.say("and again")
            await asyncio.sleep(4)
            return on.caller.heard, on.words(Role.USER), on.words(Role.AGENT), on.trace

    heard, user, said, seen = simulate(scene)
    assert asked == ["hello there", "and again"]
    assert heard == "you said hello there you said and again"
    assert user == ["hello there", "and again"]
    assert said == ["you said hello there", "you said and again"]
    ended = seen.of(AgentResponseEnded)
    assert [one.asked_text for one in ended] == said
    assert [one.faithfulness for one in ended] == [1.0, 1.0]
    assert seen.of(ErrorOccurred) == []


@EVERYWAY
def test_other_words_than_were_asked_for_are_told(stage):
    """A service that speaks in its own words is found out: how much agrees is a number."""

    async def agent(text: str) -> str:
        return "your balance is ten"

    def paraphrases(asked):
        deed = obey(asked)
        return Speaks("you have ten") if isinstance(deed, Speaks) else deed

    async def scene():
        async with stage(agent, brain=paraphrases) as on:
            await on.caller.say("my balance")
            await asyncio.sleep(4)
            return on.trace.of(AgentResponseEnded), on.words(Role.AGENT)

    (ended,), said = simulate(scene)
    assert (ended.asked_text, ended.text) == ("your balance is ten", "you have ten")
    assert ended.faithfulness == round(2 / 7, 3)
    assert said == ["you have ten"]


@EVERYWAY
def test_the_agents_tools_are_run(stage):
    """A tool is called by our agent, not by the service, and its result is spoken."""

    async def weather(city: str) -> str:
        """Tell the weather."""
        await asyncio.sleep(0.3)
        return f"cold in {city}"

    async def agent(turn: AgentTurn) -> str:
        return await turn.call_tool("weather", '{"city":"Oslo"}')

    async def scene():
        async with stage(agent, tools=[weather]) as on:
            await on.caller.say("how is it")
            await asyncio.sleep(5)
            answered = on.trace.of(FunctionAnswered)
            return on.caller.heard, [(one.name, one.output) for one in answered]

    heard, answered = simulate(scene)
    assert heard == "cold in Oslo"
    assert answered == [("weather", "cold in Oslo")]


@EVERYWAY
def test_an_interruption_leaves_what_was_heard(stage):
    """After a barge-in, session and agent know the words heard and no more."""
    histories = []

    async def agent(turn: AgentTurn) -> str:
        histories.append([one.text for one in turn.history if isinstance(one, Message)])
        return LONG if len(histories) == 1 else "all right"

    async def scene():
        async with stage(agent, pace=Pace(word_ms=150)) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1.6)
            await on.caller.say("stop it now")
            await asyncio.sleep(5)
            return on.caller.heard, on.words(Role.AGENT), on.trace, on.capabilities

    heard, said, seen, able = simulate(scene)
    stops_by_itself = TurnOwner.DUPLEX in able.turn_owners
    cut = seen.of(AgentResponseEnded)[0]
    assert cut.outcome is (ResponseOutcome.HEARD if stops_by_itself else ResponseOutcome.CUT)
    assert 0 < len(cut.heard_text) < len(LONG)
    assert said == [cut.heard_text, "all right"]
    assert heard.endswith("all right")
    assert histories[1] == ["hello", cut.heard_text, "stop it now"]
    assert len(seen.of(BargedIn)) == (0 if stops_by_itself else 1)


@EVERYWAY
def test_the_agent_knows_what_was_said_before(stage):
    """Each word of both is in its history, and once."""
    histories = []

    async def agent(turn: AgentTurn) -> str:
        histories.append([one.text for one in turn.history if isinstance(one, Message)])
        return "so you say"

    async def scene():
        async with stage(agent) as on:
            await on.caller.say("hello there")
            await asyncio.sleep(4)
            await on.caller.say("and again")
            await asyncio.sleep(4)

    simulate(scene)
    assert histories == [["hello there"], ["hello there", "so you say", "and again"]]


@EVERYWAY
def test_an_agent_that_fails_is_not_silence(stage):
    """A failing agent is an error or an apology, and the next turn is answered."""

    async def agent(text: str) -> str:
        if text == "hello":
            raise RuntimeError("no")
        return "here I am"

    async def scene():
        async with stage(agent) as on:
            await on.caller.say("hello")
            await asyncio.sleep(4)
            await on.caller.say("are you there")
            await asyncio.sleep(4)
            return on.caller.heard, on.session.state

    heard, state = simulate(scene)
    assert heard.endswith("here I am")
    assert state is SessionState.IDLE


@EVERYWAY
def test_a_lost_connection_is_made_again(stage):
    """The conversation goes on over a new connection, and the agent remembers."""
    histories = []

    async def agent(turn: AgentTurn) -> str:
        histories.append([one.text for one in turn.history if isinstance(one, Message)])
        return LONG if len(histories) == 1 else "yes"

    async def scene():
        faults = [Faults(drop_after_audio_ms=1000)]
        async with stage(agent, pace=Pace(word_ms=150), faults=faults) as on:
            await on.caller.say("hello")
            await asyncio.sleep(5)
            await on.caller.say("still there")
            await asyncio.sleep(4)
            return on.caller.heard, on.words(Role.AGENT)

    heard, said = simulate(scene)
    assert heard.endswith("yes")
    assert said[-1] == "yes"
    assert histories[-1][0] == "hello"
    assert histories[-1][-1] == "still there"


@EVERYWAY
def test_a_slow_agent_is_waited_for(stage):
    """The person waits in the state of processing, and hears the answer when it comes."""

    async def agent(text: str) -> str:
        await asyncio.sleep(3)
        return "at last"

    async def scene():
        async with stage(agent) as on:
            await on.caller.say("hello")
            await asyncio.sleep(2)
            waiting = on.session.state
            await asyncio.sleep(4)
            return waiting, on.caller.heard, on.trace.of(ErrorOccurred)

    waiting, heard, errors = simulate(scene)
    assert waiting is SessionState.PROCESSING
    assert heard == "at last"
    assert errors == []


def test_the_first_sentence_does_not_wait_for_the_last():
    """A streaming agent is heard from its first sentence on; what follows goes along."""

    async def agent(text: str):
        yield "first things first. "
        await asyncio.sleep(2)
        yield "then the rest. "
        yield "and the end."

    async def scene():
        async with saying(agent) as on:
            await on.caller.say("go")
            await asyncio.sleep(1.2)
            early = on.caller.heard
            await asyncio.sleep(5)
            return (
                early,
                on.caller.heard,
                on.words(Role.AGENT),
                len(on.trace.of(AgentResponseEnded)),
            )

    early, heard, said, responses = simulate(scene)
    assert early.startswith("first")
    assert heard == "first things first. then the rest. and the end."
    assert said == ["first things first. then the rest. and the end."]
    assert responses == 1


def test_an_application_still_speaks_for_itself():
    """`say`, a greeting and typed words go the same way."""

    async def agent(text: str) -> str:
        return "you typed " + text

    async def scene():
        async with saying(agent, greeting="welcome") as on:
            await asyncio.sleep(2)
            on.caller.type("a line")
            await asyncio.sleep(2)
            on.session.say("good bye")
            await asyncio.sleep(2)
            return on.caller.heard, on.words(Role.AGENT)

    heard, said = simulate(scene)
    assert heard == "welcome you typed a line good bye"
    assert said == ["welcome", "you typed a line", "good bye"]


def test_what_the_model_answers_by_itself_is_never_heard():
    """A service that disobeys and answers on its own is cut before a sound of it is heard."""

    async def agent(text: str) -> str:
        return "agent"

    def disobeys(asked):
        return obey(asked) if "<text>" in asked.instructions else Speaks("my own words")

    async def scene():
        async with saying(agent, brain=disobeys) as on:
            await on.caller.say("hello")
            await asyncio.sleep(4)
            return on.caller.heard

    assert simulate(scene) == "agent"


# ── delegation ──────────────────────────────────────────────────────────────────────────────


def play(script, agent, scene_seconds=6):
    """A conversation with a scripted duplex model and an agent."""

    async def scene():
        provider = ScriptedProvider(script, capabilities=DUPLEX)
        async with talking(provider, agent) as on:
            await asyncio.sleep(scene_seconds)
            result = on.caller.heard, on.trace, on.words(Role.AGENT)
        provider.finish()
        return result

    return simulate(scene)


def test_delegated_work_is_answered_sentence_by_sentence():
    """The agent is asked what the person said, and its sentences reach the model as they come."""
    asked = []

    async def agent(text: str):
        asked.append(text)
        yield "It is noon. "
        await asyncio.sleep(1)
        yield "Time for lunch."

    async def script(link):
        work = DelegationId("d1")
        link.emit(LinkReady(), person("what time is it"), DelegationRequested(delegation_id=work))
        await link.expect(AnswerDelegation, delegation_id=work, text="It is noon.", is_final=False)
        await link.expect(AnswerDelegation, text="Time for lunch.", is_spoken=True, is_final=True)
        await voice(link, "r1", "it is noon time for lunch")

    heard, seen, said = play(script, agent)
    assert asked == ["what time is it"]
    assert heard == "it is noon time for lunch"
    assert said == ["it is noon time for lunch"]
    (ended,) = seen.of(AgentResponseEnded)
    assert (ended.asked_text, ended.faithfulness) == ("It is noon. Time for lunch.", 1.0)


def test_words_that_come_after_the_delegation_are_waited_for():
    """A delegation that is ahead of the person's last words waits a little for them."""
    asked = []

    async def agent(text: str) -> str:
        asked.append(text)
        return "Fine."

    async def script(link):
        link.emit(LinkReady(), DelegationRequested(delegation_id=DelegationId("d1")))
        await asyncio.sleep(0.9)
        link.emit(person("book a table"))
        await link.expect(AnswerDelegation, text="Fine.", is_final=True)

    play(script, agent)
    assert asked == ["book a table"]


def test_newer_work_takes_the_place_of_older():
    """The older delegation is answered in silence, and its agent stopped."""
    ended = []

    async def agent(text: str) -> str:
        try:
            await asyncio.sleep(3)
        finally:
            ended.append(text)
        return "Done."

    async def script(link):
        first, second = DelegationId("d1"), DelegationId("d2")
        link.emit(LinkReady(), person("one"), DelegationRequested(delegation_id=first))
        await asyncio.sleep(1)
        link.emit(person("two", 2), DelegationRequested(delegation_id=second))
        await link.expect(AnswerDelegation, delegation_id=first, is_spoken=False, is_final=True)
        await link.expect(AnswerDelegation, delegation_id=second, text="Done.", is_final=True)

    play(script, agent)
    assert ended == ["one", "one two"]


@pytest.mark.parametrize(
    ("answer", "is_spoken"), [("", False), (RuntimeError("no"), True)], ids=["empty", "failing"]
)
def test_delegated_work_is_always_answered(answer, is_spoken):
    """The model waits for an answer, so also nothing and failure are one."""

    async def agent(text: str) -> str:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def script(link):
        work = DelegationId("d1")
        link.emit(LinkReady(), person("one"), DelegationRequested(delegation_id=work))
        await link.expect(AnswerDelegation, is_spoken=is_spoken, is_final=True)

    play(script, agent)


def test_words_that_are_known_late_are_not_asked_twice():
    """A transcript that comes after the agent was asked is written down, and not asked again."""
    asked = []
    said = ["my name is ada", "what is my balance", "thank you"]

    async def agent(text: str) -> str:
        asked.append(text)
        return "ok"

    async def script(link):
        loop = asyncio.get_running_loop()
        link.emit(LinkReady())
        for number, text in enumerate(said):
            response = ResponseId(f"question-{number}")
            loop.call_later(1.5, link.emit, person(text, number))
            link.emit(
                ResponseStarted(response_id=response),
                ToolCalled(
                    call_id=ToolCallId(str(number)),
                    name="ask_agent",
                    arguments=f'{{"utterance": "{text}"}}',
                    response_id=response,
                ),
                ResponseDone(response_id=response, status=ResponseStatus.COMPLETED),
            )
            await link.expect(AnswerTool, output="ok")
            await asyncio.sleep(3)

    async def scene():
        able = Capabilities(
            turn_owners=(TurnOwner.PROVIDER,), has_tools=True, has_input_transcript=True
        )
        provider = ScriptedProvider(script, capabilities=able)
        async with talking(provider, agent) as on:
            await asyncio.sleep(15)
            return on.words(Role.USER)

    assert simulate(scene) == said
    assert asked == said


@EVERYWAY
def test_an_agent_that_cannot_even_begin_is_told(stage):
    """An agent whose method raises at once fails its response, and not the connection."""

    class Broken:
        def respond(self, turn):
            raise RuntimeError("no")

    async def scene():
        async with stage(Broken()) as on:
            await on.caller.say("hello")
            await asyncio.sleep(20)
            rungs = {one.rung for one in on.trace.of(DeadAir)}
            return on.trace.of(Reconnecting), on.session.state, rungs

    # Where the failure is the response's own, the person waits, is told so by tones, and the agent
    # is asked once more; elsewhere the service says something to it.
    waits = ([], SessionState.PROCESSING, {Rung.NUDGE, Rung.SOUND})
    assert simulate(scene) == (waits if stage is saying else ([], SessionState.IDLE, set()))


# ── which way ───────────────────────────────────────────────────────────────────────────────


async def _nobody(text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("capabilities", "way"),
    [
        (DUPLEX, Way.DELEGATION),
        (OpenAIRealtime().capabilities, Way.SAY),
        (OpenAIRealtime(transcription=None).capabilities, Way.TOOL),
        (GeminiLive().capabilities, Way.TOOL),
        (Grok().capabilities, Way.TOOL),
        (NovaSonic().capabilities, Way.TOOL),
        (ElevenLabsAgents("agent").capabilities, Way.TOOL),
        (OpenAILive().capabilities, Way.DELEGATION),
        (OpenAILive(delegation=ResponsesDelegation(model="m")).capabilities, Way.TOOL),
    ],
)
def test_the_way_follows_from_what_a_service_can_do(capabilities, way):
    """The capability profile decides, not the name."""
    provider = ScriptedProvider(capabilities=capabilities)
    assert Reasoned(provider, agent_of(_nobody)).way is way


def test_a_service_that_takes_no_way_is_refused():
    """The error names what is missing, before anything is connected."""
    provider = ScriptedProvider(capabilities=Capabilities())
    with pytest.raises(Unsupported, match="has_delegation"):
        VoiceSession(s2s=provider, agent=_nobody, vad=ScriptedVad())


def test_tool_calls_that_make_no_sense_are_answered():
    """A model that calls another tool, or with garbage, gets an answer and does not hang."""

    async def agent(text: str) -> str:
        return f"got {text or 'nothing'}"

    def confused(asked):
        if not asked.results:
            return [Calls("no_such_tool", "{}")]
        if len(asked.results) == 1 and "no tool" in asked.results[0].output:
            return Calls("ask_agent", '{"utterance": 5}')
        return Speaks(asked.results[-1].output)

    async def scene():
        async with tooling(agent, brain=confused) as on:
            await on.caller.say("hello")
            await asyncio.sleep(6)
            return on.caller.heard

    assert simulate(scene) == "got hello"


def test_a_stop_reaches_an_agent_that_thinks():
    """Who is told to stop says nothing later, whichever way it would have spoken."""

    async def agent(text: str) -> str:
        await asyncio.sleep(2)
        return "unwanted"

    async def scene():
        async with tooling(agent) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1.5)
            on.session.interrupt()
            await asyncio.sleep(8)
            return on.caller.heard

    assert "unwanted" not in simulate(scene)


def test_a_question_and_its_rest_are_one_question():
    """What is added before the answer is asked together with what was asked."""
    asked = []

    async def agent(text: str) -> str:
        asked.append(text)
        await asyncio.sleep(3)
        return "Done."

    async def script(link):
        first, second = DelegationId("d1"), DelegationId("d2")
        link.emit(LinkReady(), person("book a table"), DelegationRequested(delegation_id=first))
        await asyncio.sleep(1)
        link.emit(person("for two people", 2), DelegationRequested(delegation_id=second))
        await link.expect(AnswerDelegation, delegation_id=first, is_spoken=False, is_final=True)
        await link.expect(AnswerDelegation, delegation_id=second, text="Done.", is_final=True)

    play(script, agent)
    assert asked == ["book a table", "book a table for two people"]
