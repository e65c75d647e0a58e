"""Tools of the cascade's agent: what stops them, and what is said before them."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from beluga_voice.agents.functions import agent_of
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.turns import TurnSettings
from beluga_voice.errors import ToolFailed
from beluga_voice.events import (
    AgentResponseAudio,
    AgentResponseEnded,
    AnswerTool,
    BargedIn,
    CancelSpeech,
    ClearInput,
    DeadAir,
    EndUserTurn,
    ErrorOccurred,
    FunctionAnswered,
    FunctionCalled,
    Interrupt,
    LinkClosed,
    Message,
    PrepareResponse,
    ResponseAudio,
    ResponseDone,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    Role,
    SendAudio,
    SpeakText,
    StartUserTurn,
    ToolCalled,
    ToolCallWithdrawn,
    ToolResult,
    ToolUse,
    UserSpeechEnded,
    UserSpeechStarted,
)
from beluga_voice.interfaces import AgentTurn
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.providers.s2s.conversation import WITHDRAWN
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts
from beluga_voice.testing.speech import pcm_of, speech
from cascade.test_cascade import run, stand
from session.stage import play, stage


async def books(turn: AgentTurn) -> str:
    """Wait for a tool, whatever was said."""
    return await turn.call_tool("book", "{}")


# ── on a link ───────────────────────────────────────────────────────────────────────────────


def when(at, kind):
    """At which milliseconds that was told."""
    return [ms for one, ms in zip(at.events, at.times, strict=True) if isinstance(one, kind)]


def test_a_tool_of_an_interrupted_response_is_withdrawn_at_once():
    """In the same call, before the end of its response; a late result is noted, and told nobody."""

    async def scene():
        async with stand(books) as at:
            at.utter("book")
            await asyncio.sleep(1)
            (called,) = at.of(ToolCalled)
            at.send(Interrupt(response_id=called.response_id, heard_samples=0, heard_text=""))
            assert [type(one) for one in at.events[-2:]] == [ToolCallWithdrawn, ResponseDone]
            before, told = at.link.history, len(at.events)
            at.send(AnswerTool(call_id=called.call_id, output="late"))
            await asyncio.sleep(1)
            late = ToolResult(call_id=called.call_id, output="late")
            assert at.link.history == [*before[:-1], late]
            assert len(at.events) == told
            return at, called.call_id, before

    at, call_id, history = run(scene)
    assert at.of(ToolCallWithdrawn) == [ToolCallWithdrawn(call_ids=(call_id,))]
    assert when(at, ToolCallWithdrawn) == [1000]
    assert history[1:] == [
        ToolUse(call_id=call_id, name="book", arguments="{}"),
        ToolResult(call_id=call_id, output=WITHDRAWN, is_error=True),
    ]


@pytest.mark.parametrize("ends", ["left", "stt", "tts"])
def test_a_tool_is_withdrawn_before_its_link_ends(ends):
    """Nobody is told of a call that was left open."""

    async def scene():
        async with stand(books) as at:
            at.utter("book")
            await asyncio.sleep(1)
            if ends != "left":
                getattr(at, ends).links[0].lose("gone")
        return at

    at = run(scene)
    (called,) = at.of(ToolCalled)
    assert at.of(ToolCallWithdrawn) == [ToolCallWithdrawn(call_ids=(called.call_id,))]
    assert when(at, ToolCallWithdrawn) == [1000]
    kinds = [type(one) for one in at.events]
    assert kinds.index(ToolCallWithdrawn) < kinds.index(ResponseDone) < kinds.index(LinkClosed)


@pytest.mark.parametrize("fails", [True, False])
def test_a_tool_that_an_agent_left_running_is_withdrawn(fails):
    """When the agent is done, or fails, nobody waits for it: the response ends after it."""
    left = []

    async def agent(turn: AgentTurn):
        left.append(asyncio.create_task(books(turn)))
        await asyncio.sleep(0.5)
        if fails:
            raise ValueError
        yield "done"

    async def scene():
        async with stand(agent) as at:
            at.utter("book")
            await asyncio.sleep(2)
            with suppress(asyncio.CancelledError):
                await left[0]
            return at

    at = run(scene)
    assert when(at, ToolCallWithdrawn) == [550]
    kinds = [type(one) for one in at.events]
    assert kinds.index(ToolCallWithdrawn) < kinds.index(ResponseDone)
    (done,) = at.of(ResponseDone)
    assert done.status is (ResponseStatus.FAILED if fails else ResponseStatus.COMPLETED)


def test_an_agent_that_swallows_its_cancellation_runs_no_tool():
    """It is told so, whether its answer was interrupted or never wanted."""
    refused = []

    async def stubborn(turn: AgentTurn):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        try:
            await turn.call_tool("book", "{}")
        except ToolFailed as error:
            refused.append(error.message)
        yield "all the same"

    async def scene():
        async with stand(stubborn) as at:
            at.utter("book")
            await asyncio.sleep(1)
            (started,) = at.of(ResponseStarted)
            at.send(Interrupt(response_id=started.response_id, heard_samples=0, heard_text=""))
            await asyncio.sleep(1)
        return at

    at = run(scene)
    assert refused == ["the answer that wants it is not wanted any more"]
    assert at.of(ToolCalled) == []
    assert at.tts.links[0].texts == []
    assert len(at.of(ResponseDone)) == 1


@pytest.mark.parametrize("has_more", [True, False])
def test_the_voice_hears_no_more_of_a_response_that_was_cancelled(has_more):
    """Not the rest of a sentence, nor that there is no more, of an agent that swallows it."""

    async def stubborn(text: str):
        yield "First this. And then"
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        if has_more:
            yield " that."

    async def scene():
        tts = Listed(delay_ms=30)
        async with stand(stubborn, tts=tts) as at:
            at.utter("go")
            await asyncio.sleep(1)
            (started,) = at.of(ResponseStarted)
            at.send(Interrupt(response_id=started.response_id, heard_samples=0, heard_text="First"))
            await asyncio.sleep(1)
            return [type(one) for one in tts.told], at.link.history[-1].text

    assert run(scene) == ([SpeakText, CancelSpeech], "First")


class Listed(ScriptedTts):
    """A voice that keeps what it was told."""

    def __init__(self, **more):
        super().__init__(**more)
        self.told = []

    @asynccontextmanager
    async def connect(self, options, /):
        async with super().connect(options) as link:
            take = link.send

            def send(command, /):
                self.told.append(command)
                take(command)

            link.send = send
            yield link


@pytest.mark.parametrize("is_made", [True, False])
def test_a_prepared_answer_that_is_refused_as_it_is_told_of_ends_there(is_made):
    """Nothing is told between its beginning and its end, and it has one end."""
    told = []

    async def agent(text: str):
        yield "one two three. "
        await asyncio.sleep(0 if is_made else 100)

    async def scene():
        async with prepares(agent) as at:
            at.send(StartUserTurn(), SendAudio(pcm=pcm_of(speech("a table"))))
            await asyncio.sleep(0.2)
            at.send(PrepareResponse())
            await asyncio.sleep(2)
            at.refuses = True
            at.send(EndUserTurn())
            await asyncio.sleep(1)
            told.extend(at.events)
            return at.link.history

    assert [one.text for one in run(scene)] == ["a table"]
    about = [one for one in told if isinstance(one, OF_RESPONSES)]
    status = ResponseStatus.COMPLETED if is_made else ResponseStatus.CANCELLED
    assert [type(one) for one in about] == [ResponseStarted, ResponseDone]
    assert about[-1].status is status


OF_RESPONSES = ResponseStarted | ResponseText | ResponseAudio | ResponseDone


def test_a_prepared_agent_is_told_nothing_that_was_not_said():
    """Where no words are understood yet, what was said before is prepared for, alone."""
    told = []

    async def agent(turn: AgentTurn) -> str:
        told.append((turn.text, [one.text for one in turn.history]))
        return "well"

    async def scene():
        async with prepares(agent) as at:
            at.send(StartUserTurn(), SendAudio(pcm=pcm_of(speech("a table"))))
            at.send(EndUserTurn(respond=False))
            await asyncio.sleep(1)
            at.send(StartUserTurn(), PrepareResponse())
            await asyncio.sleep(1)

    run(scene)
    assert told == [("a table", ["a table"])]


def prepares(agent):
    """A link whose service understands words at once."""
    cascade = Cascade(
        ScriptedStt(delay_ms=50, interim=True), agent_of(agent), ScriptedTts(delay_ms=30)
    )
    return stand(agent, cascade=cascade)


@pytest.mark.parametrize("is_taken_back", [True, False])
def test_a_tool_of_a_prepared_answer_waits_until_it_is_wanted(is_taken_back):
    """It is called when the final words agree; if the person goes on, nobody learns of it."""

    async def agent(turn: AgentTurn):
        yield "One moment."
        yield await turn.call_tool("book", "{}")

    async def scene():
        async with prepares(agent) as at:
            at.send(StartUserTurn(), SendAudio(pcm=pcm_of(speech("a table"))))
            await asyncio.sleep(0.2)
            at.send(PrepareResponse())
            await asyncio.sleep(0.5)
            assert at.of(ResponseStarted) == []
            assert at.link.history == []
            at.send(PrepareResponse(is_wanted=False) if is_taken_back else EndUserTurn())
            await asyncio.sleep(0.5)
            return at

    at = run(scene)
    assert when(at, ToolCalled) == ([] if is_taken_back else [750])
    assert when(at, ToolCallWithdrawn) == ([] if is_taken_back else [1200])  # with the link


def test_a_prepared_agent_that_does_not_stop_is_told_that_nobody_wants_it():
    """It does not wait for ever for a decision that has been made."""
    refused = []

    async def stubborn(turn: AgentTurn):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        try:
            await turn.call_tool("book", "{}")
        except ToolFailed as error:
            refused.append((error.message, asyncio.get_running_loop().time()))
        yield "all the same"

    async def scene():
        async with prepares(stubborn) as at:
            at.send(StartUserTurn(), SendAudio(pcm=pcm_of(speech("a table"))))
            await asyncio.sleep(0.2)
            at.send(PrepareResponse())
            await asyncio.sleep(0.5)
            at.send(ClearInput())
            await asyncio.sleep(0.5)
        return at

    at = run(scene)
    assert refused == [("the answer that wants it is not wanted any more", 0.7)]
    assert at.of(ResponseStarted) == at.of(ToolCalled) == []


@pytest.mark.parametrize("text", ["One moment.", "One mo", "First this. One moment."])
def test_what_was_said_before_a_tool_is_spoken_at_once(text):
    """Also where the last sentence might have gone on; the rest follows the tool."""
    spoken = []

    async def agent(turn: AgentTurn):
        yield text
        spoken.append(list(at_links[0].texts))
        result = await turn.call_tool("book", "{}")
        yield f"It is {result}."

    at_links = []

    async def scene():
        async with stand(agent) as at:
            at_links.extend(at.tts.links)
            at.utter("book")
            await asyncio.sleep(0.5)
            spoken.append(list(at_links[0].texts))
            at.send(AnswerTool(call_id=at.of(ToolCalled)[0].call_id, output="done"))
            await asyncio.sleep(1)
            (words,) = [one.text for one in at.link.history[1:] if isinstance(one, Message)]
            return at.tts.links[0].texts, words

    texts, words = run(scene)
    before, during = spoken
    assert " ".join(before) != text
    assert " ".join(during) == text
    assert texts == [*during, "It is done."]
    assert words == f"{text} It is done."


# ── through a session ───────────────────────────────────────────────────────────────────────


def interrupted(act, *, agent=books, turns=None, seconds=20):
    """A tool takes five seconds; what becomes of it when something is done after one."""
    ran = []

    async def book() -> str:
        """Book."""
        began = asyncio.get_running_loop().time()
        try:
            await asyncio.sleep(5)
        finally:
            ran.append((began, asyncio.get_running_loop().time()))
        return "booked"

    async def scene():
        async with stage(
            agent, tools=[book], settings=EngineSettings(turns=turns or TurnSettings())
        ) as on:
            await on.caller.say("book it")
            while not on.trace.of(FunctionCalled):
                await asyncio.sleep(0.02)
            await asyncio.sleep(1)
            acted = asyncio.get_running_loop().time()
            await act(on)
            await asyncio.sleep(seconds)
            return on, acted, list(on.session.history), on.caller.heard

    on, acted, history, heard = play(scene)
    return on.trace, acted, ran, history, heard


def told_once(asked=None):
    """An agent that wants a tool for the first question only, and keeps what it was told."""

    async def agent(turn: AgentTurn) -> str:
        if asked is not None:
            asked.append((turn.text, list(turn.history)))
        if turn.text == "book it":
            return await turn.call_tool("book", "{}")
        return "never mind then"

    return agent


def test_a_voice_withdraws_the_tool_that_is_waited_for():
    """It stops when the voice is noticed; the next answer comes in time, and there is no other."""
    asked = []

    async def goes_on(on):
        await on.caller.say("leave it")

    seen, acted, ran, history, heard = interrupted(goes_on, agent=told_once(asked))
    noticed = seen.at_ms(UserSpeechStarted, 1)
    assert [ended * 1000 for _, ended in ran] == [pytest.approx(noticed, abs=0.001)]
    assert noticed == pytest.approx(acted * 1000 + 40, abs=0.001)  # with its third frame
    assert heard == "never mind then"
    assert seen.of(DeadAir) == seen.of(FunctionAnswered) == seen.of(ErrorOccurred) == []
    assert len(seen.of(FunctionCalled)) == 1
    # 600 ms of silence after the words, 50 until they are known and 30 for the voice.
    assert seen.at_ms(AgentResponseAudio) == pytest.approx(
        acted * 1000 + 380 + 600 + 50 + 30, abs=0.001
    )
    text, told = asked[-1]
    assert text == "book it leave it"
    use = told[1]
    assert told == [
        Message(role=Role.USER, text="book it"),
        use,
        ToolResult(call_id=use.call_id, output=WITHDRAWN, is_error=True),
        Message(role=Role.USER, text="leave it"),
    ]
    assert [one.text for one in history if isinstance(one, Message)] == [
        "book it",
        "leave it",
        "never mind then",
    ]


def test_a_stop_withdraws_the_tool_and_nobody_is_asked_again():
    """After `interrupt` there is silence, for good."""
    asked = []

    async def stops(on):
        on.session.interrupt()

    seen, acted, ran, _, heard = interrupted(stops, agent=told_once(asked), seconds=60)
    assert [ended for _, ended in ran] == [acted]
    assert (len(asked), heard) == (1, "")
    assert seen.of(DeadAir) == seen.of(FunctionAnswered) == seen.of(ErrorOccurred) == []
    assert len(seen.of(AgentResponseEnded)) == 1


def test_a_tool_goes_on_while_it_is_found_out_whether_it_was_an_interruption():
    """A cough over words that keep the person company stops no tool."""

    async def company(turn: AgentTurn):
        yield "one two three four five six seven eight nine ten "
        yield await turn.call_tool("book", "{}")

    async def coughs(on):
        await on.caller.noise(400)

    seen, _, ran, _, heard = interrupted(coughs, agent=company)
    ((began, ended),) = ran
    assert ended - began == pytest.approx(5, abs=0.001)
    assert len(seen.of(BargedIn)) == 1
    assert seen.of(UserSpeechEnded)[-1].was_ignored
    assert heard.endswith("nine ten booked")
