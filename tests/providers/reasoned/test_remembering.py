"""What an agent that thinks for a service remembers: what was heard, and what was done."""

import asyncio

import pytest

from beluga_voice.agents.functions import agent_of
from beluga_voice.errors import ToolFailed
from beluga_voice.events import (
    AnswerTool,
    InputCommitted,
    Interrupt,
    Message,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    Role,
    Say,
    TextStage,
    ToolCalled,
    ToolCallId,
    ToolCallWithdrawn,
    ToolResult,
    ToolUse,
    UtteranceId,
)
from beluga_voice.interfaces import AgentTurn, Capabilities, Faithfulness, S2sOptions
from beluga_voice.providers.s2s.conversation import (
    HISTORY_LIMIT,
    WITHDRAWN,
    Conversation,
    Thought,
)
from beluga_voice.providers.s2s.reasoned import Reasoned, Way
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedProvider
from providers.reasoned.stages import person

SAYS = Capabilities(
    can_suppress_response=True, has_input_transcript=True, say=Faithfulness.BEST_EFFORT
)


def says(service, number, *, plan="", spoken="", status=ResponseStatus.COMPLETED):
    """The service says what it was asked to, or some of it."""
    name = ResponseId(f"r{number}")
    service.emit(ResponseStarted(response_id=name, origin=ResponseOrigin.SAID))
    if plan:
        service.emit(ResponseText(response_id=name, delta=plan, stage=TextStage.PLANNED))
    if spoken:
        service.emit(ResponseText(response_id=name, delta=spoken))
    service.emit(
        ResponseAudio(response_id=name, pcm=b"\x00\x10" * 2400),
        ResponseDone(response_id=name, status=status),
    )


def remembered(agent, script):
    """What the agent knows of its own words at the second question."""
    known = ["it was not asked"]

    async def asked(turn: AgentTurn):
        if turn.text.endswith("and now"):
            known[:] = [
                (one.text, one.is_cut)
                for one in turn.history
                if isinstance(one, Message) and one.role is Role.AGENT
            ]
            return
        async for piece in agent(turn.text):
            yield piece

    async def scene():
        async def nothing(_):
            pass

        provider = ScriptedProvider(nothing, capabilities=SAYS)
        made = Reasoned(provider, agent_of(asked), way=Way.SAY)
        async with made.connect(S2sOptions()) as link:
            link.attach(lambda event: None)
            service = provider.links[0]
            for number, text in enumerate(("hello", "and now")):
                name = UtteranceId(f"u{number}")
                service.emit(InputCommitted(utterance_id=name), person(text, number))
                await asyncio.sleep(1)
                if not number:
                    await script(link, service)

    simulate(scene)
    return known


async def three(text: str):
    """Three sentences, the first of which is said alone."""
    yield "First part. "
    yield "Second part. "
    yield "Third part."


@pytest.mark.parametrize(
    ("piece", "said"),
    [
        ({"spoken": "second part. th"}, "first part. second part. th"),
        ({"plan": "second part. third part."}, "first part."),
        ({"plan": "second part. third part.", "spoken": "second"}, "first part. second"),
        ({}, "first part."),
    ],
    ids=["spoken", "planned", "both", "nothing"],
)
@pytest.mark.parametrize("status", [ResponseStatus.FAILED, ResponseStatus.CANCELLED])
def test_of_a_piece_that_fails_only_what_was_spoken_is_remembered(piece, said, status):
    """The rest of an answer that the service could not say was not said."""

    async def script(link, service):
        await service.expect(Say, text="First part.")
        says(service, 1, spoken="first part.")
        await service.expect(Say, text="Second part. Third part.")
        says(service, 2, status=status, **piece)

    assert remembered(three, script) == [(said, True)]


def test_of_a_service_that_writes_nothing_down_whole_pieces_are_remembered():
    """Where nobody knows the words that were spoken, those that were asked for are taken."""

    async def script(link, service):
        await service.expect(Say)
        says(service, 1)
        await service.expect(Say)
        says(service, 2, status=ResponseStatus.FAILED)

    assert remembered(three, script) == [("First part.", True)]


def test_an_answer_of_which_nothing_was_spoken_leaves_no_trace():
    """What failed before its first word was not said at all."""

    async def script(link, service):
        await service.expect(Say)
        says(service, 1, status=ResponseStatus.FAILED)

    assert remembered(three, script) == []


def test_of_an_agent_that_fails_only_what_was_spoken_is_remembered():
    """What an agent gave before it failed was not said, unless it was."""

    async def agent(text: str):
        yield "First part. Second"
        await asyncio.sleep(2)
        raise RuntimeError("no")

    async def script(link, service):
        await service.expect(Say, text="First part.")
        says(service, 1, spoken="first part.")
        await asyncio.sleep(3)

    assert remembered(agent, script) == [("first part.", True)]


def test_what_was_heard_of_a_failed_answer_is_what_counts():
    """Who is cut while the rest of a failed answer sounds has heard so much and no more."""

    async def script(link, service):
        await service.expect(Say, text="First part.")
        says(service, 1, spoken="first part.", status=ResponseStatus.FAILED)
        link.send(
            Interrupt(
                response_id=ResponseId("reasoned-1-1"), heard_samples=1200, heard_text="first"
            )
        )

    assert remembered(three, script) == [("first", True)]


def test_an_answer_that_was_said_is_remembered_as_it_was_meant():
    """Where nothing went wrong, the agent's own words are what it said."""

    async def script(link, service):
        await service.expect(Say)
        says(service, 1, spoken="the first part")
        await service.expect(Say)
        says(service, 2, spoken="and the rest")

    assert remembered(three, script) == [("First part. Second part. Third part.", False)]


# ── the conversation itself ─────────────────────────────────────────────────────────────────


def conversation(given, history=()):
    """One that tells `given`."""
    return Conversation(
        calls="call-7", instructions="", tools=(), history=history, give=given.append
    )


def test_a_result_stands_next_to_its_call():
    """However late a tool's result comes, it follows its call, as models want it."""

    async def scene():
        given = []
        knows, thought = conversation(given), Thought(response_id=ResponseId("r1"))
        task = asyncio.create_task(knows.call_tool(thought, "find", "{}"))
        await asyncio.sleep(0)
        (called,) = given
        knows.note(Message(role=Role.USER, text="hurry"))
        knows.answer(AnswerTool(call_id=called.call_id, output="found"))
        knows.answer(AnswerTool(call_id=called.call_id, output="again"))
        assert await task == "found"
        return called, knows.history, given

    called, history, given = simulate(scene)
    call_id = ToolCallId("call-7-1")
    assert called == ToolCalled(
        call_id=call_id, name="find", arguments="{}", response_id=ResponseId("r1")
    )
    assert history == [
        ToolUse(call_id=call_id, name="find", arguments="{}"),
        ToolResult(call_id=call_id, output="found"),
        Message(role=Role.USER, text="hurry"),
    ]
    assert given == [called]


@pytest.mark.parametrize("how", ["dropped", "cancelled"])
def test_a_call_that_nobody_waits_for_is_withdrawn(how):
    """A call without a waiter is withdrawn once; its result says so, until there is one."""

    async def scene():
        given = []
        knows, thought = conversation(given), Thought()
        task = asyncio.create_task(knows.call_tool(thought, "find", "{}"))
        await asyncio.sleep(0)
        if how == "dropped":
            knows.drop(thought)
            assert isinstance(given[-1], ToolCallWithdrawn)
        else:
            task.cancel()
        await asyncio.wait([task])
        knows.drop(thought)
        before = knows.history
        knows.answer(AnswerTool(call_id=given[0].call_id, output="too late"))
        return task.cancelled(), given[1:], before, knows.history

    was_cancelled, given, history, later = simulate(scene)
    call_id = ToolCallId("call-7-1")
    assert was_cancelled
    assert given == [ToolCallWithdrawn(call_ids=(call_id,))]
    assert history == [
        ToolUse(call_id=call_id, name="find", arguments="{}"),
        ToolResult(call_id=call_id, output=WITHDRAWN, is_error=True),
    ]
    assert later[1] == ToolResult(call_id=call_id, output="too late")


def test_a_thought_that_was_dropped_calls_no_tools():
    """An agent that goes on after it was stopped is told so, and nothing is run."""

    async def scene():
        given = []
        knows, thought = conversation(given), Thought()
        knows.drop(thought)
        with pytest.raises(ToolFailed, match="not wanted"):
            await knows.call_tool(thought, "find", "{}")
        return given

    assert simulate(scene) == []


def test_the_oldest_is_forgotten_with_its_result():
    """A history that is full forgets a call and its result together."""
    call_id = ToolCallId("old")
    old = [
        ToolUse(call_id=call_id, name="find", arguments="{}"),
        Message(role=Role.USER, text="hurry"),
        ToolResult(call_id=call_id, output="found"),
    ]
    news = [Message(role=Role.USER, text=str(number)) for number in range(HISTORY_LIMIT - 3)]
    knows = conversation([], [*old, *news])
    assert knows.history == [*old, *news]
    thought = Thought()
    knows.tell(thought, "I am ")
    knows.tell(thought, "here.")
    assert knows.history == [old[1], *news, Message(role=Role.AGENT, text="I am here.")]
    assert knows.unanswered == ""
    knows.settle(thought, "")
    assert knows.history == [old[1], *news]
    assert knows.unanswered.startswith("hurry 0 1 2")


def test_what_was_not_heard_takes_no_room():
    """A history that is full forgets it before anything that was said."""
    items = [Message(role=Role.USER, text=str(number)) for number in range(HISTORY_LIMIT - 1)]
    knows = conversation([], items)
    for _ in range(3):
        thought = Thought()
        knows.tell(thought, "never heard")
        knows.settle(thought, "")
    knows.note(Message(role=Role.USER, text="last"))
    assert [one.text for one in knows.history] == [*(one.text for one in items), "last"]
