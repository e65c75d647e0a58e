"""While our agent thinks for a service: what the session is told, and what stops it."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from beluga_voice.agents.functions import agent_of
from beluga_voice.errors import ToolFailed
from beluga_voice.events import (
    AgentResponseEnded,
    AnswerDelegation,
    AnswerTool,
    DelegationId,
    DelegationRequested,
    ErrorOccurred,
    FunctionAnswered,
    FunctionCalled,
    GoingAway,
    Interrupt,
    Interrupted,
    LinkClosed,
    LinkReady,
    NoResponse,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    Role,
    ServiceRenewed,
    SessionState,
    SpeechStarted,
    SpeechStopped,
    StartUserTurn,
    TextStage,
    ToolCalled,
    ToolCallId,
    ToolCallWithdrawn,
    UtteranceId,
    WorkEnded,
    WorkStarted,
)
from beluga_voice.interfaces import AgentTurn, Capabilities, Faithfulness, S2sOptions, TurnOwner
from beluga_voice.providers.s2s.reasoned import Reasoned, Way
from beluga_voice.providers.s2s.reasoned.tooling import ASK_AGENT, SUPERSEDED
from beluga_voice.testing.emulators.speech import Calls, Speaks, obey
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedProvider
from providers.reasoned.stages import (
    DUPLEX,
    delegating,
    person,
    saying,
    talking,
    tooling,
    tooling_elevenlabs,
    tooling_grok,
    tooling_nova,
    voice,
)

TOOLS = Capabilities(
    turn_owners=(TurnOwner.PROVIDER,),
    has_tools=True,
    has_input_transcript=True,
    has_speech_events=True,
)
SAYS = Capabilities(
    can_suppress_response=True, has_input_transcript=True, say=Faithfulness.BEST_EFFORT
)
ABLE = {Way.TOOL: TOOLS, Way.DELEGATION: DUPLEX, Way.SAY: SAYS}
TELLING = pytest.mark.parametrize(
    "stage", [tooling, tooling_grok, tooling_nova, tooling_elevenlabs, delegating]
)
THINKING = [*TELLING.args[1], saying]


def asks(way, number=1):
    """The service wants an answer."""
    if way is Way.DELEGATION:
        return DelegationRequested(delegation_id=DelegationId(f"q{number}"))
    return ToolCalled(call_id=ToolCallId(f"q{number}"), name=ASK_AGENT.name, arguments="{}")


def is_answer(command, number=1):
    """Whether the service is given the last of an answer to that question."""
    if isinstance(command, AnswerDelegation):
        return command.delegation_id == f"q{number}" and command.is_final
    return isinstance(command, AnswerTool) and command.call_id == f"q{number}"


WAYS = pytest.mark.parametrize("way", [Way.TOOL, Way.DELEGATION])


def lives(way, agent, script):
    """What is told on a link while a script plays both sides of it, and at which second."""

    async def scene():
        loop = asyncio.get_running_loop()
        told = []

        async def nothing(_):
            pass

        provider = ScriptedProvider(nothing, capabilities=ABLE[way])
        made = Reasoned(provider, agent_of(agent), way=way)
        async with made.connect(S2sOptions()) as link:
            link.attach(lambda event: told.append((round(loop.time(), 3), event)))
            await script(link, provider.links[0])
        return told, list(provider.links[0].commands)

    return simulate(scene)


def work_in(told):
    """When work began and ended; both have to be of the same."""
    begun = [(at, one.work_id) for at, one in told if isinstance(one, WorkStarted)]
    ended = [(at, one.work_id) for at, one in told if isinstance(one, WorkEnded)]
    assert [name for _, name in begun] == [name for _, name in ended]
    assert len({name for _, name in begun}) == len(begun)
    return [(at, until) for (at, _), (until, _) in zip(begun, ended, strict=True)]


async def slow(text: str) -> str:
    """Think for three seconds."""
    await asyncio.sleep(3)
    return "Here it is."


# ── the session is told ─────────────────────────────────────────────────────────────────────


@WAYS
def test_work_lasts_until_the_service_has_its_answer(way):
    """Work is told from the question to the last of the answer."""

    async def agent(text: str):
        yield "First. "
        await asyncio.sleep(3)
        yield "Then."

    async def script(link, service):
        service.emit(person("hello"), asks(way))
        await asyncio.sleep(10)

    told, commands = lives(way, agent, script)
    assert work_in(told) == [(0, 3)]
    assert is_answer(commands[-1])


@WAYS
def test_work_ends_when_the_agent_fails(way):
    """A failing agent works no longer."""

    async def agent(text: str) -> str:
        await asyncio.sleep(2)
        raise RuntimeError("no")

    async def script(link, service):
        service.emit(person("hello"), asks(way))
        await asyncio.sleep(10)

    told, _ = lives(way, agent, script)
    assert work_in(told) == [(0, 2)]


@WAYS
def test_work_ends_when_it_is_stopped(way):
    """Whoever takes the floor ends the work at once."""

    async def script(link, service):
        service.emit(person("hello"), asks(way))
        await asyncio.sleep(1)
        link.send(StartUserTurn())
        await asyncio.sleep(10)

    told, _ = lives(way, slow, script)
    assert work_in(told) == [(0, 1)]


@WAYS
def test_work_goes_on_as_other_work(way):
    """A newer question is worked on before the older one is given up: there is no gap."""

    async def script(link, service):
        service.emit(person("hello"), asks(way))
        await asyncio.sleep(1)
        service.emit(person("and more", 2), asks(way, 2))
        await asyncio.sleep(10)

    told, commands = lives(way, slow, script)
    assert work_in(told) == [(0, 1), (1, 4)]
    works = [type(one) for _, one in told if isinstance(one, WorkStarted | WorkEnded)]
    assert works == [WorkStarted, WorkStarted, WorkEnded, WorkEnded]
    assert [number for number in (1, 2) if any(is_answer(one, number) for one in commands)] == [
        1,
        2,
    ]


@WAYS
@pytest.mark.parametrize("is_lost", [True, False])
def test_work_ends_with_the_link(way, is_lost):
    """A link that dies or is left ends the work before its own end is told."""

    async def script(link, service):
        service.emit(person("hello"), asks(way))
        await asyncio.sleep(1)
        if is_lost:
            service.emit(LinkClosed(is_clean=False, reason="gone"))

    told, commands = lives(way, slow, script)
    assert work_in(told) == [(0, 1)]
    assert isinstance(told[-1][1], LinkClosed)
    assert commands == []


def test_work_that_the_service_withdraws_ends_without_an_answer():
    """A service that takes its question back is told nothing, and asks for all of it again."""
    asked = []

    async def agent(text: str) -> str:
        asked.append(text)
        return await slow(text)

    async def script(link, service):
        service.emit(person("book a table"), asks(Way.TOOL))
        await asyncio.sleep(1)
        service.emit(ToolCallWithdrawn(call_ids=(ToolCallId("q1"),)))
        await asyncio.sleep(1)
        service.emit(person("for two", 2), asks(Way.TOOL, 2))
        await asyncio.sleep(10)

    told, commands = lives(Way.TOOL, agent, script)
    assert work_in(told) == [(0, 1), (2, 5)]
    assert [is_answer(one, 2) for one in commands] == [True]
    assert asked == ["book a table", "book a table for two"]


@WAYS
def test_a_connection_is_not_replaced_while_the_agent_thinks(way):
    """A service that goes away is not left before the answer was heard; until then all wait."""
    states = []

    async def agent(text: str) -> str:
        await asyncio.sleep(30)
        return "It is noon."

    async def first(link):
        heard = UtteranceId("u1")
        link.emit(LinkReady(), GoingAway(time_left_seconds=50), SpeechStarted(utterance_id=heard))
        await asyncio.sleep(1)
        link.emit(SpeechStopped(utterance_id=heard), person("what time is it"), asks(way))
        link.emit(NoResponse(reason="the model has asked"))
        await link.expect(AnswerDelegation if way is Way.DELEGATION else AnswerTool)
        await asyncio.sleep(0.5)
        await voice(link, "r1", "it is noon")

    async def second(link):
        link.emit(LinkReady())

    async def scene():
        able = replace(DUPLEX, has_speech_events=True) if way is Way.DELEGATION else TOOLS
        provider = ScriptedProvider(first, second, capabilities=able)
        async with talking(provider, agent) as on:
            await asyncio.sleep(1)
            for _ in range(29):
                await asyncio.sleep(1)
                states.append(on.session.state)
            assert on.trace.of(ServiceRenewed) == []
            await asyncio.sleep(10)
            result = on.caller.heard, on.words(Role.AGENT), len(on.trace.of(ServiceRenewed))
        provider.finish()
        return result

    assert simulate(scene) == ("it is noon", ["it is noon"], 1)
    assert set(states) == {SessionState.PROCESSING}


# ── stopping ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stage", THINKING)
def test_after_a_stop_nothing_is_heard(stage):
    """What a service says to a question that was taken back is not passed on."""

    async def scene():
        async with stage(slow) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1.5)
            on.session.interrupt()
            await asyncio.sleep(8)
            return on.caller.heard, on.words(Role.AGENT), on.session.state, on.trace

    heard, said, state, seen = simulate(scene)
    assert (heard, said, state) == ("", [], SessionState.IDLE)
    assert [one.heard_text for one in seen.of(AgentResponseEnded) if one.heard_ms] == []
    assert seen.of(ErrorOccurred) == []


@pytest.mark.parametrize("stage", THINKING)
def test_only_the_newer_question_is_answered(stage):
    """Who goes on speaking while the agent thinks hears one answer, to all of it."""
    asked = []

    async def agent(text: str) -> str:
        asked.append(text)
        return await slow(text)

    async def scene():
        async with stage(agent) as on:
            await on.caller.say("book a table")
            await asyncio.sleep(1.5)
            await on.caller.say("for two")
            await asyncio.sleep(12)
            return on.caller.heard, on.words(Role.AGENT)

    assert simulate(scene) == ("Here it is.", ["Here it is."])
    assert asked[-1] == "book a table for two"


@pytest.mark.parametrize("stage", THINKING)
def test_after_a_stop_the_next_question_is_answered(stage):
    """Who was not to be heard is heard again as soon as it is asked."""
    asked = []

    async def agent(text: str) -> str:
        asked.append(text)
        return await slow(text)

    async def scene():
        async with stage(agent) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1.5)
            on.session.interrupt()
            await asyncio.sleep(0.5)
            await on.caller.say("what time is it")
            await asyncio.sleep(8)
            return on.caller.heard, on.words(Role.AGENT)

    assert simulate(scene) == ("Here it is.", ["Here it is."])
    assert asked[-1].endswith("what time is it")


async def stubborn(text: str):
    """Go on when it is cancelled."""
    yield "unwanted words"
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(3)


@WAYS
def test_a_question_that_was_taken_back_is_answered_once(way):
    """However stubborn the agent is, the service hears no more of it."""

    async def script(link, service):
        service.emit(person("hello"), asks(way))
        await asyncio.sleep(1)
        link.send(StartUserTurn())
        await asyncio.sleep(10)

    _, commands = lives(way, stubborn, script)
    assert [is_answer(one) for one in commands] == [True, False]


def test_words_of_an_agent_that_was_stopped_are_not_asked_for():
    """However stubborn the agent is, the service is not given its words to say."""

    async def script(link, service):
        service.emit(person("hello"))
        await asyncio.sleep(1)
        name = ResponseId("reasoned-1-1")
        link.send(Interrupt(response_id=name, heard_samples=0, heard_text=""))
        await asyncio.sleep(10)

    told, commands = lives(Way.SAY, stubborn, script)
    assert responses_in(told) == [ResponseStarted, ResponseDone]
    assert commands == []


def test_a_stop_over_words_of_the_service_stops_the_agent_too():
    """Who says stop to "one moment" does not want what it announced."""
    ended = []

    async def agent(text: str) -> str:
        try:
            return await slow(text)
        finally:
            ended.append(asyncio.get_running_loop().time())

    def brain(asked):
        deed = obey(asked)
        return [Speaks("one moment please"), deed] if isinstance(deed, Calls) else deed

    async def scene():
        async with tooling(agent, brain=brain) as on:
            await on.caller.say("hello")
            while not on.caller.heard:
                await asyncio.sleep(0.02)
            on.session.interrupt()
            at = asyncio.get_running_loop().time()
            await asyncio.sleep(8)
            return at, on.caller.heard, on.session.state

    at, heard, state = simulate(scene)
    assert ended == [at]
    assert (heard, state) == ("one", SessionState.IDLE)


def speaking(number, text, *, origin=ResponseOrigin.TURN):
    """A response of the service: its beginning, its words and sound, its end."""
    name = ResponseId(f"r{number}")
    return (
        ResponseStarted(response_id=name, origin=origin),
        ResponseText(response_id=name, delta=text, stage=TextStage.PLANNED),
        ResponseAudio(response_id=name, pcm=b"\x00\x10" * 240),
        ResponseDone(response_id=name, status=ResponseStatus.COMPLETED),
    )


def speaks(service, number, text, **more):
    """The service says that, whatever it was asked."""
    service.emit(*speaking(number, text, **more))


def responses_in(told):
    """The kinds of what is told of responses."""
    kinds = ResponseStarted | ResponseText | ResponseAudio | ResponseDone
    return [type(one) for _, one in told if isinstance(one, kinds)]


WHOLE = [ResponseStarted, ResponseText, ResponseAudio, ResponseDone]


@pytest.mark.parametrize(
    ("seconds", "is_heard"), [(0.5, False), (2.9, False), (3.1, True)], ids=["soon", "late", "new"]
)
@WAYS
def test_a_reaction_comes_soon(way, seconds, is_heard):
    """What begins soon after a question was taken back is not passed on; later it is."""

    async def script(link, service):
        service.emit(person("hello"), asks(way))
        await asyncio.sleep(1)
        link.send(StartUserTurn())
        await asyncio.sleep(seconds)
        speaks(service, 1, "all right")
        await asyncio.sleep(10)

    told, _ = lives(way, slow, script)
    assert responses_in(told) == (WHOLE if is_heard else [])


@WAYS
def test_words_that_are_to_be_said_are_no_reaction(way):
    """What the application has said is passed on, also right after a stop."""

    async def script(link, service):
        service.emit(person("hello"), asks(way))
        await asyncio.sleep(1)
        link.send(StartUserTurn())
        speaks(service, 1, "good bye", origin=ResponseOrigin.SAID)
        await asyncio.sleep(10)

    told, _ = lives(way, slow, script)
    assert responses_in(told) == WHOLE


@pytest.mark.parametrize("is_stopped", [True, False])
def test_a_response_may_go_on_after_it_has_asked(is_stopped):
    """A response that asked and then speaks is the answer, or a reaction if that was stopped."""
    began, *rest = speaking(1, "Here it is.")

    async def script(link, service):
        question = ToolCalled(
            call_id=ToolCallId("q1"),
            name=ASK_AGENT.name,
            arguments="{}",
            response_id=began.response_id,
        )
        service.emit(person("hello"), began, question)
        await asyncio.sleep(1)
        if is_stopped:
            link.send(StartUserTurn())
        await asyncio.sleep(3)
        service.emit(*rest)
        await asyncio.sleep(1)

    told, _ = lives(Way.TOOL, slow, script)
    assert responses_in(told) == ([] if is_stopped else WHOLE)


def test_a_response_that_asked_twice_is_the_answer():
    """A response whose first question gave way to its second speaks of that."""
    began, *rest = speaking(1, "Here it is.")

    async def script(link, service):
        service.emit(person("hello"), began, asks(Way.TOOL, 1), asks(Way.TOOL, 2))
        await asyncio.sleep(4)
        service.emit(*rest)

    told, _ = lives(Way.TOOL, slow, script)
    assert responses_in(told) == WHOLE


@pytest.mark.parametrize("is_service", [True, False])
@WAYS
def test_who_stops_the_words_of_the_service_decides_what_becomes_of_the_agent(way, is_service):
    """A service that stops by itself may go on with the answer; a stop of ours is for all of it."""
    name = ResponseId("r1")

    async def script(link, service):
        service.emit(person("hello"), asks(way))
        service.emit(*speaking(1, "one moment"))
        await asyncio.sleep(1)
        if is_service:
            service.emit(Interrupted(response_id=name))
        link.send(Interrupt(response_id=name, heard_samples=0, heard_text=""))
        await asyncio.sleep(10)

    told, _ = lives(way, slow, script)
    assert work_in(told) == [(0, 3 if is_service else 1)]


@WAYS
def test_who_speaks_anew_is_answered(way):
    """Once the person has said something else, what the service says may be about that."""

    async def script(link, service):
        service.emit(person("hello"), asks(way))
        await asyncio.sleep(1)
        link.send(StartUserTurn())
        service.emit(person("good morning", 2))
        speaks(service, 1, "good morning")
        await asyncio.sleep(10)

    told, _ = lives(way, slow, script)
    assert responses_in(told) == WHOLE


def test_a_duplex_model_may_speak_of_a_newer_request():
    """With a newer delegation, what the model says is no reaction to the older one."""

    async def script(link, service):
        service.emit(person("hello"), asks(Way.DELEGATION))
        await asyncio.sleep(1)
        service.emit(person("for two", 2), asks(Way.DELEGATION, 2))
        speaks(service, 1, "for two then")
        await asyncio.sleep(10)

    told, _ = lives(Way.DELEGATION, slow, script)
    assert responses_in(told) == WHOLE


@pytest.mark.parametrize("words", [["Here it is.", SUPERSEDED], [SUPERSEDED, "Here it is."]])
def test_an_answer_is_told_from_a_reaction(words):
    """Where either may come first, the words decide, if they are known before the sound."""

    async def script(link, service):
        service.emit(person("hello"), asks(Way.TOOL))
        await asyncio.sleep(1)
        service.emit(person("and more", 2), asks(Way.TOOL, 2))
        await asyncio.sleep(3.5)
        for number, text in enumerate(words):
            speaks(service, number, text)
        await asyncio.sleep(10)

        speaks(service, 3, "And more.")

    told, commands = lives(Way.TOOL, slow, script)
    assert [one.delta for _, one in told if isinstance(one, ResponseText)] == [
        "Here it is.",
        "And more.",
    ]
    refused = [one.response_id for one in commands if isinstance(one, Interrupt)]
    assert refused == [f"r{words.index(SUPERSEDED)}"]
    done = [one.asked_text for _, one in told if isinstance(one, ResponseDone)]
    assert done == ["Here it is.", None]


def test_a_reaction_is_waited_for_from_the_end_of_the_answer():
    """However long the answer is made, a reaction that follows it is not passed on."""
    *most, end = speaking(1, "Here it is.")

    async def script(link, service):
        service.emit(person("hello"), asks(Way.TOOL))
        await asyncio.sleep(1)
        service.emit(person("and more", 2), asks(Way.TOOL, 2))
        await asyncio.sleep(3.5)
        service.emit(*most)
        await asyncio.sleep(8)
        service.emit(end)
        await asyncio.sleep(1)
        speaks(service, 2, "all right")

    told, _ = lives(Way.TOOL, slow, script)
    assert [one.delta for _, one in told if isinstance(one, ResponseText)] == ["Here it is."]


def test_an_answer_is_never_taken_for_a_reaction():
    """Where the words are not known before the sound, both are heard rather than none."""

    async def script(link, service):
        service.emit(person("hello"), asks(Way.TOOL))
        await asyncio.sleep(1)
        service.emit(person("and more", 2), asks(Way.TOOL, 2))
        await asyncio.sleep(3.5)
        await voice(service, "r1", "very well")
        await voice(service, "r2", "here it is")
        await asyncio.sleep(10)

    told, _ = lives(Way.TOOL, slow, script)
    texts = [one.delta for _, one in told if isinstance(one, ResponseText)]
    assert " ".join("".join(texts).split()) == "very wellhere it is"


# ── tools of the agent ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stage", THINKING)
def test_a_tool_of_a_stopped_agent_is_stopped(stage):
    """A stop reaches the tool that the agent waits for, and nobody is asked again later."""
    ran, asked = [], []

    async def book() -> str:
        """Book."""
        try:
            await asyncio.sleep(20)
        finally:
            ran.append(asyncio.get_running_loop().time())
        return "booked"

    async def agent(turn: AgentTurn) -> str:
        asked.append(turn.text)
        return await turn.call_tool("book", "{}")

    async def scene():
        async with stage(agent, tools=[book]) as on:
            await on.caller.say("book it")
            await asyncio.sleep(2)
            on.session.interrupt()
            at = asyncio.get_running_loop().time()
            await asyncio.sleep(40)
            return at, on.caller.heard, on.trace, on.session.state

    at, heard, seen, state = simulate(scene)
    assert ran == [at]
    assert asked == ["book it"]
    assert (heard, state) == ("", SessionState.IDLE)
    assert len(seen.of(FunctionCalled)) == 1
    assert seen.of(FunctionAnswered) == []
    assert seen.of(ErrorOccurred) == []


@pytest.mark.parametrize("stage", THINKING)
@pytest.mark.parametrize("last", ["", "unwanted", "unwanted words. And more"])
def test_an_agent_that_does_not_stop_can_do_nothing(stage, last):
    """An agent that swallows its cancellation runs no tool and says nothing any more."""
    ran, refused = [], []

    async def book() -> str:
        """Book."""
        ran.append("booked")
        return "booked"

    async def agent(turn: AgentTurn):
        yield "first words"
        try:
            await asyncio.sleep(3)
        except asyncio.CancelledError:
            try:
                await turn.call_tool("book", "{}")
            except ToolFailed as error:
                refused.append(error.message)
        yield last

    async def scene():
        async with stage(agent, tools=[book]) as on:
            await on.caller.say("book it")
            await asyncio.sleep(2)
            on.session.interrupt()
            await asyncio.sleep(10)
            return on.caller.heard

    assert simulate(scene) == ""
    assert (ran, len(refused)) == ([], 1)


@pytest.mark.parametrize("stage", THINKING)
def test_a_tool_of_an_agent_that_was_superseded_makes_no_one_wait(stage):
    """After the person went on, only what the newer answer needs is waited for."""

    async def find(text: str) -> str:
        """Find."""
        await asyncio.sleep(30 if text == "slow" else 0.1)
        return f"found {text}"

    async def agent(turn: AgentTurn) -> str:
        name = "quick" if "quick" in turn.text else "slow"
        return await turn.call_tool("find", f'{{"text":"{name}"}}')

    async def scene():
        async with stage(agent, tools=[find]) as on:
            await on.caller.say("find it")
            await asyncio.sleep(2)
            await on.caller.say("no the quick one")
            await asyncio.sleep(6)
            early = on.caller.heard, on.session.state
            await asyncio.sleep(60)
            answered = [one.output for one in on.trace.of(FunctionAnswered)]
            return early, on.caller.heard, answered

    early, heard, answered = simulate(scene)
    assert early == ("found quick", SessionState.IDLE)
    assert heard == "found quick"
    assert answered == ["found quick"]
