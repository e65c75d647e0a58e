"""A service that says the words of our agent pauses for a voice, where the turns are ours."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from beluga_voice.agents.functions import agent_of
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseResumed,
    AnswerDelegation,
    AnswerTool,
    BargedIn,
    CondenseHistory,
    DelegationId,
    DelegationRequested,
    Disregard,
    EndUserTurn,
    ErrorOccurred,
    InputCommitted,
    Interrupt,
    Message,
    ResponseId,
    ResponseOutcome,
    Role,
    Say,
    SeedHistory,
    StartUserTurn,
    ToolCalled,
    UserSpeechEnded,
    UtteranceId,
)
from beluga_voice.interfaces import AgentTurn, Capabilities, Faithfulness, S2sOptions, TurnOwner
from beluga_voice.providers.s2s.openai_realtime import OpenAIRealtime
from beluga_voice.providers.s2s.reasoned import Reasoned, Way
from beluga_voice.providers.s2s.reasoned.delegating import NOTHING
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators import openai_realtime as realtime
from beluga_voice.testing.emulators.speech import Pace, obey
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedProvider, ScriptedVad
from beluga_voice.testing.trace import trace
from providers.reasoned.stages import DUPLEX, HOST, PORT, Stage, person
from providers.reasoned.test_remembering import SAYS, says

LONG = "one two three four five six seven eight nine ten"


@asynccontextmanager
async def saying(agent, *, pace=None, **session):
    """OpenAI Realtime with turns of ours, which is given words to say."""
    service = realtime.OpenAIRealtimeEmulator(obey, pace=pace)
    async with service.serving(HOST, PORT):
        provider = Reasoned(
            OpenAIRealtime(api_key=realtime.KEY, endpoint=service.url), agent_of(agent)
        )
        able = provider.capabilities
        rate = able.input_formats[0].rate
        caller = ScriptedCaller(input_rate=rate, output_rate=able.output_formats[0].rate)
        made = Session(
            provider,
            line=caller,
            detector=ScriptedVad(rate=rate),
            options=S2sOptions(turn_owner=TurnOwner.FRAMEWORK),
            **session,
        )
        seen = trace(made)
        async with made, caller.on(made):
            yield Stage(made, caller, seen, able)


def over_the_agent(what, *, pace=None, agent=None, asks=False):
    """The agent speaks; when four words were heard, the person makes a sound."""
    asked = []

    async def speaks(turn: AgentTurn) -> str:
        asked.append(turn.text)
        return LONG

    async def scene():
        async with saying(agent or speaks, pace=pace) as on:
            await on.caller.say("hello")
            while len(on.caller.heard.split()) < 4:
                await asyncio.sleep(0.02)
            if isinstance(what, int):
                await on.caller.noise(what)
            else:
                await on.caller.say(what)
            await asyncio.sleep(6)
            if asks:
                await on.caller.say("what now")
                await asyncio.sleep(5)
            return on.trace, on.caller.heard, on.words(Role.USER), on.words(Role.AGENT)

    seen, heard, user, said = simulate(scene)
    assert seen.of(ErrorOccurred) == []
    return seen, heard, user, said, asked


def test_only_where_the_words_are_ours_to_answer_are_they_known_first():
    """A service that answers by itself does not wait for the words."""
    able = Capabilities(
        can_suppress_response=True,
        has_input_transcript=True,
        has_tools=True,
        say=Faithfulness.EXACT,
        transcribes_first=True,
    )
    for way in (Way.SAY, Way.TOOL):
        made = Reasoned(ScriptedProvider(capabilities=able), agent_of(echo), way=way)
        assert made.capabilities.transcribes_first is (way is Way.SAY)
        assert made.capabilities.can_condense_history
    made = Reasoned(ScriptedProvider(capabilities=DUPLEX), agent_of(echo))
    assert not made.capabilities.transcribes_first


@pytest.mark.parametrize("pace", [None, Pace(word_ms=150)], ids=["at once", "as it sounds"])
def test_noise_makes_it_pause_and_go_on(pace):
    """No word is lost, whether the service has made all of it or is still making it."""
    seen, heard, user, said, _ = over_the_agent(500, pace=pace)
    assert len(seen.of(BargedIn)) == len(seen.of(AgentResponseResumed)) == 1
    assert seen.of(UserSpeechEnded)[-1].was_ignored
    assert user[0] == "hello"  # and a mark that stands for the noise
    assert said == [LONG]
    assert heard.endswith("eight nine ten")
    assert [one.outcome for one in seen.of(AgentResponseEnded)] == [ResponseOutcome.HEARD]


def test_a_backchannel_is_answered_by_nobody():
    """The response goes on, and the next question is asked alone."""
    pace = Pace(word_ms=150)
    seen, _, user, said, asked = over_the_agent("mm-hm right", pace=pace, asks=True)
    assert len(seen.of(AgentResponseResumed)) == 1
    assert user == ["hello", "mm-hm right", "what now"]
    assert said == [LONG, LONG]
    assert asked == ["hello", "what now"]


def test_words_that_say_something_are_answered():
    """The response is cut where it paused, and the agent is asked what was said over it."""
    seen, heard, user, said, asked = over_the_agent("stop it now", pace=Pace(word_ms=150))
    assert seen.of(AgentResponseResumed) == []
    assert user == ["hello", "stop it now"]
    assert asked == ["hello", "stop it now"]
    cut, whole = said
    assert LONG.startswith(cut)
    assert whole == LONG
    assert heard.endswith(LONG)
    assert [one.outcome for one in seen.of(AgentResponseEnded)] == [
        ResponseOutcome.CUT,
        ResponseOutcome.HEARD,
    ]


@pytest.mark.parametrize("what", [500, "mm-hm right"])
def test_what_was_to_be_said_next_is_not_lost_in_the_pause(what):
    """Sentences of an agent that goes on thinking are heard, each once and in order."""

    async def goes_on(text: str):
        yield "one two three four five six. "
        await asyncio.sleep(0.4)
        yield "seven eight nine. "
        await asyncio.sleep(1.2)
        yield "ten eleven. "
        await asyncio.sleep(1.2)
        yield "twelve."

    _, _, _, said, _ = over_the_agent(what, agent=goes_on, pace=Pace(word_ms=150))
    assert said == ["one two three four five six. seven eight nine. ten eleven. twelve."]


# ── on a link ───────────────────────────────────────────────────────────────────────────────


def linked(script, agent):
    """What a service is told while a script plays both sides of its link."""

    async def scene():
        async def nothing(_):
            pass

        provider = ScriptedProvider(nothing, capabilities=SAYS)
        made = Reasoned(provider, agent_of(agent), way=Way.SAY)
        async with made.connect(S2sOptions()) as link:
            link.attach(lambda event: None)
            await script(link, provider.links[0])
            return [one.text for one in provider.links[0].commands if isinstance(one, Say)]

    return simulate(scene)


def utters(service, number, text):
    """The service hears the person."""
    service.emit(InputCommitted(utterance_id=UtteranceId(f"u{number}")), person(text, number))


async def echo(text: str) -> str:
    """Repeat."""
    return f"You said {text}."


def test_what_the_service_forgets_for_a_voice_is_asked_for_again():
    """A new turn makes it forget what it had not begun; that is said if the voice said nothing."""

    async def script(link, service):
        utters(service, 1, "hello")
        await asyncio.sleep(1)
        link.send(StartUserTurn())
        link.send(EndUserTurn(respond=False))
        utters(service, 2, "mm-hm")
        await asyncio.sleep(1)
        link.send(Disregard(utterance_id=UtteranceId("u2")))
        says(service, 1, spoken="you said hello.")
        utters(service, 3, "what now")
        await asyncio.sleep(1)

    assert linked(script, echo) == ["You said hello.", "You said hello.", "You said what now."]


def test_what_the_service_forgot_for_an_interruption_is_not_asked_for_again():
    """The next thing that is said is the next answer."""

    async def script(link, service):
        utters(service, 1, "hello")
        await asyncio.sleep(1)
        link.send(StartUserTurn())
        name = ResponseId("reasoned-1-1")
        link.send(Interrupt(response_id=name, heard_samples=0, heard_text=""))
        utters(service, 2, "stop")
        await asyncio.sleep(1)

    assert linked(script, echo) == ["You said hello.", "You said hello stop."]


def test_what_was_begun_is_not_asked_for_twice():
    """A piece that the service is saying goes on through the pause."""

    async def script(link, service):
        utters(service, 1, "hello")
        await asyncio.sleep(1)
        says(service, 1, spoken="you said hello.")
        link.send(StartUserTurn())
        link.send(Disregard(utterance_id=UtteranceId("u2")))
        await asyncio.sleep(1)

    assert linked(script, echo) == ["You said hello."]


def test_words_before_a_tool_are_asked_for_at_once():
    """Also where the last sentence might have gone on."""

    async def agent(turn: AgentTurn):
        yield "One moment."
        yield await turn.call_tool("look", "{}")

    async def script(link, service):
        utters(service, 1, "hello")
        await asyncio.sleep(1)

    assert linked(script, agent) == ["One moment."]


@pytest.mark.parametrize("rest", ["", "Booked. Good bye."])
def test_words_before_a_tool_are_handed_over_at_once(rest):
    """A duplex model need not wait for the tool to say them; what follows is the answer's end."""

    async def agent(turn: AgentTurn):
        yield "Of course. One moment."
        await turn.call_tool("look", "{}")
        yield rest

    async def scene():
        loop, told = asyncio.get_running_loop(), []
        able = replace(DUPLEX, has_tools=True)

        async def script(service):
            service.emit(person("book it"), DelegationRequested(delegation_id=DelegationId("d1")))
            while not told or not told[-1][1].is_final:
                command = await service.expect(AnswerDelegation)
                told.append((loop.time(), command))

        provider = ScriptedProvider(script, capabilities=able)
        made = Reasoned(provider, agent_of(agent))
        async with made.connect(S2sOptions()) as link:
            link.attach(lambda event: isinstance(event, ToolCalled) and called(event, link))
            await asyncio.sleep(10)
        return [(at, one.text, one.is_spoken, one.is_final) for at, one in told]

    def called(event, link):
        answer = AnswerTool(call_id=event.call_id, output="found")
        asyncio.get_running_loop().call_later(3, link.send, answer)

    told = simulate(scene)
    assert told[:2] == [(0, "Of course.", True, False), (0, "One moment.", True, False)]
    ends = [(3, "Booked.", True, False), (3, "Good bye.", True, True)]
    assert told[2:] == (ends if rest else [(3, NOTHING, False, True)])


def test_the_agent_is_told_a_summary():
    """What was said long ago is one note to it, before what is kept and what follows."""
    told = []

    async def agent(turn: AgentTurn) -> str:
        told.append([f"{one.role}: {one.text}" for one in turn.history])
        return "Well."

    async def script(link, service):
        items = [Message(role=Role.USER, text=text) for text in ("one", "two", "three")]
        link.send(SeedHistory(items=tuple(items)))
        link.send(CondenseHistory(summary="in short", keep=1))
        utters(service, 1, "four")
        await asyncio.sleep(1)

    linked(script, agent)
    assert told == [["system: in short", "user: three", "user: four"]]


def test_a_long_conversation_is_summarised():
    """Through a session, whoever hears and speaks."""
    told = []

    async def agent(turn: AgentTurn) -> str:
        told.append([f"{one.role}: {one.text}" for one in turn.history])
        return "well"

    async def summarise(items):
        return f"{len(items)} things"

    async def scene():
        settings = EngineSettings(history_limit=8)
        async with saying(agent, settings=settings, summarise=summarise) as on:
            for number in range(1, 5):
                await on.caller.say(f"word {number}")
                await asyncio.sleep(3)

    simulate(scene)
    assert told[1] == ["user: word 1", "agent: well", "user: word 2"]
    assert told[3] == ["system: 3 things", "user: word 3", "agent: well", "user: word 4"]
