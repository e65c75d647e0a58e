"""An agent of Pydantic AI in a session, with the library's own models, in simulated time."""

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, AgentRunResult, RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelRateLimitError,
    SkipModelRequest,
    UnexpectedModelBehavior,
    UsageLimitExceeded,
    UserError,
)
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, DeltaToolCall, FunctionModel
from pydantic_ai.models.test import TestModel

from beluga_voice.agents.functions import agent_of
from beluga_voice.agents.pydantic_ai import PydanticAgent
from beluga_voice.agents.pydantic_ai._history import NO_RESULT, SILENCE, run_input
from beluga_voice.app import VoiceSession
from beluga_voice.cli import main
from beluga_voice.errors import ConfigurationError, MissingExtra
from beluga_voice.events import (
    AgentResponseEnded,
    ErrorOccurred,
    FunctionAnswered,
    Message,
    ResponseOutcome,
    Role,
    ToolCallId,
    ToolResult,
    ToolUse,
    TurnMeasured,
)
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad
from beluga_voice.testing.trace import Trace

ROOT = Path(__file__).parents[2]


@dataclass
class Turn:
    """What an agent is given."""

    text: str = "words"
    history: tuple = ()
    instructions: str = ""
    tools: tuple = ()

    async def call_tool(self, name, arguments, /):
        raise AssertionError


def user(text: str) -> Message:
    return Message(role=Role.USER, text=text)


def agent(text: str) -> Message:
    return Message(role=Role.AGENT, text=text)


def note(text: str) -> Message:
    return Message(role=Role.SYSTEM, text=text)


def use(call_id: str) -> ToolUse:
    return ToolUse(call_id=ToolCallId(call_id), name="find", arguments="{}")


def result(call_id: str) -> ToolResult:
    return ToolResult(call_id=ToolCallId(call_id), output=f"found {call_id}")


class Call:
    """A conversation with an agent, and everything a test looks at."""

    def __init__(self, agent, **session):
        self.caller, self.trace, self.tts = ScriptedCaller(), Trace(), ScriptedTts(delay_ms=30)
        self.session = VoiceSession(
            stt=ScriptedStt(delay_ms=50),
            agent=agent,
            tts=self.tts,
            vad=ScriptedVad(),
            line=self.caller,
            observers=[self.trace],
            **session,
        )

    async def __aenter__(self):
        await self.session.__aenter__()
        self._line = self.caller.on(self.session)
        await self._line.__aenter__()
        return self

    async def __aexit__(self, *error):
        await self._line.__aexit__(*error)
        return await self.session.__aexit__(*error)

    @property
    def spoken(self):
        """What the voice was given, sentence by sentence."""
        return self.tts.links[0].texts

    @property
    def heard(self):
        return [one.heard_text for one in self.trace.of(AgentResponseEnded)]


def talk(agent, *words, wait=6, **session):
    """Say these words, one after the other, and listen."""

    async def scene():
        async with Call(agent, **session) as call:
            for one in words:
                await call.caller.say(one)
                await asyncio.sleep(wait)
        return call

    return simulate(scene)


def plain(messages: list[ModelMessage]) -> list[tuple[str, str]]:
    """Messages of a model as pairs of kind and content, for comparison."""
    found: list[tuple[str, str]] = []
    for message in messages:
        for part in message.parts:
            match part:
                case UserPromptPart() | SystemPromptPart() | TextPart():
                    found.append((part.part_kind, str(part.content)))
                case ToolCallPart():
                    found.append((part.part_kind, f"{part.tool_name} {part.args}"))
                case ToolReturnPart():
                    found.append((part.part_kind, f"{part.content} ({part.outcome})"))
                case _:
                    found.append((part.part_kind, ""))
    return found


class Model:
    """A model that follows a script, and notes what it was given for each request."""

    def __init__(self, *answers):
        self.given: list[list[tuple[str, str]]] = []
        self.tools: list[list[str]] = []
        self.instructions: list[str | None] = []
        self._answers = list(answers)

    def __call__(self) -> FunctionModel:
        return FunctionModel(stream_function=self._stream)

    async def _stream(self, messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator:
        self.given.append(plain(messages))
        self.tools.append([one.name for one in info.function_tools])
        self.instructions.append(info.instructions)
        for piece in self._answers.pop(0):
            if isinstance(piece, int | float):
                await asyncio.sleep(piece)
            elif isinstance(piece, Exception):
                raise piece
            else:
                yield piece


def calls(name: str, arguments: str = "{}", index: int = 1):
    return {index: DeltaToolCall(name=name, json_args=arguments, tool_call_id=f"t{index}")}


# ── words ───────────────────────────────────────────────────────────────────────────────────────


def test_an_agent_is_used_as_it_is():
    """The library's own test model answers in a session, without anything in between."""
    call = talk(Agent(TestModel(custom_output_text="Good morning to you.")), "hello")
    assert call.heard == ["Good morning to you."]
    assert call.trace.of(ErrorOccurred) == []


def test_a_sentence_is_spoken_while_the_model_makes_the_next():
    """The first sentence sounds as soon as it is whole, though the run takes four seconds."""
    model = Model(["It is ", 0.1, "noon. And", 2, " the sun", 2, " shines."])
    call = talk(Agent(model()), "hello")
    (measured,) = call.trace.of(TurnMeasured)
    assert (measured.thinking_ms, measured.synthesis_ms) == (0, 130)
    assert call.spoken == ["It is noon.", "And the sun shines."]
    assert call.heard == ["It is noon. And the sun shines."]


def test_only_text_is_spoken():
    """Neither thoughts nor the arguments of a tool reach the voice."""
    model = Model(
        [{0: DeltaThinkingPart(content="Hm, a trap.")}, calls("look", '{"what": "sky"}')],
        ["It is blue."],
    )
    agent = Agent(model())

    @agent.tool_plain
    async def look(what: str) -> str:
        return f"the {what} is blue"

    call = talk(agent, "hello")
    assert call.spoken == ["It is blue."]
    assert call.trace.of(FunctionAnswered) == []


class Answers(AbstractCapability):
    """Answers in place of the model."""

    async def before_model_request(self, ctx, request_context):
        raise SkipModelRequest(ModelResponse([TextPart("From the cupboard.")]))


class Ends(AbstractCapability):
    """Answers in place of the whole run."""

    async def wrap_run(self, ctx, *, handler):
        return AgentRunResult("From the cupboard.")


@pytest.mark.parametrize("capability", [Answers(), Ends()], ids=["model", "run"])
def test_an_answer_in_place_of_the_model_is_spoken(capability):
    """What a run gives without having streamed it is spoken as well."""
    call = talk(Agent(Model()(), capabilities=[capability]), "hello")
    assert call.heard == ["From the cupboard."]


# ── what the model is told ──────────────────────────────────────────────────────────────────────


def test_the_history_is_what_was_heard():
    """Of an answer that was cut off the model is told the words that were heard."""
    model = Model(["One two three four five six seven eight nine ten."], ["All right."])

    async def scene():
        async with Call(Agent(model())) as call:
            await call.caller.say("count")
            await asyncio.sleep(1.5)
            call.caller.press_stop()
            await call.caller.say("thanks")
            await asyncio.sleep(3)
        return call

    call = simulate(scene)
    assert call.heard == ["One two three four", "All right."]
    assert model.given == [
        [("user-prompt", "count")],
        [("user-prompt", "count"), ("text", "One two three four"), ("user-prompt", "thanks")],
    ]


def test_what_the_agent_is_to_be_is_told_in_every_turn():
    """The agent's own prompt and instructions, and those of the session, are there each time."""
    model = Model(["Yes."], ["No."])
    agent = Agent(model(), system_prompt="You are a clerk.", instructions="Be brief.")
    call = talk(agent, "first", "second", instructions="Be kind.")
    assert call.heard == ["Yes.", "No."]
    assert model.instructions == ["Be brief.\n\nBe kind."] * 2
    assert model.given == [
        [("system-prompt", "You are a clerk."), ("user-prompt", "first")],
        [
            ("system-prompt", "You are a clerk."),
            ("user-prompt", "first"),
            ("text", "Yes."),
            ("user-prompt", "second"),
        ],
    ]


@pytest.mark.parametrize(
    ("history", "text", "told", "prompt"),
    [
        ((), "hi", [], "hi"),
        ((), "", [], SILENCE),
        ((user("a"), agent("b"), user("c")), "c", [["a"], ["b"]], "c"),
        ((user("a"), user("b")), "a b", [], "a b"),
        ((user("a"), agent("b")), "", [["a"], ["b"]], SILENCE),
        ((note("n"), user("a")), "a", [["n", "a"]], None),
        ((user("a"), use("1"), result("1"), user("b")), "a b", [["a b"], ["1"], ["found 1"]], None),
        (
            (user("a"), agent("b"), use("1"), result("1"), user("c")),
            "c",
            [["a"], ["1"], ["found 1"], ["b"]],
            "c",
        ),
        (
            (user("a"), use("1"), use("2"), result("2"), agent("b"), user("c")),
            "c",
            [["a"], ["1"], [NO_RESULT], ["2"], ["found 2"], ["b"]],
            "c",
        ),
        ((result("1"), user("a")), "a", [], "a"),
    ],
    ids=[
        *("nothing", "no words", "usual", "two utterances", "asked without words", "note"),
        *("tool without answer", "words before tools", "unanswered call", "result alone"),
    ],
)
def test_what_was_said_becomes_messages_of_a_model(history, text, told, prompt):
    """Sides alternate; calls come before the words that followed them; what is asked comes last."""
    messages, asked = run_input(Turn(text, history))
    contents = [
        [
            part.tool_call_id if isinstance(part, ToolCallPart) else part.content
            for part in one.parts
        ]
        for one in messages
    ]
    assert (contents, asked) == (told, prompt)


# ── tools ───────────────────────────────────────────────────────────────────────────────────────


async def order_status(number: int) -> str:
    """Look up where an order is."""
    await asyncio.sleep(1)
    return {7: "on its way"}[number]


def test_the_tools_of_the_session_are_offered_and_run_by_it():
    """The model sees them beside the agent's own; a call is told, and is part of the history."""
    model = Model(
        ["One moment", calls("order_status", '{"number": 7}')],
        ["It is on its way."],
        ["You are welcome."],
    )
    agent = Agent(model())

    @agent.tool_plain
    async def weather() -> str:
        return "fine"

    call = talk(agent, "where is order seven", "thanks", tools=[order_status])
    assert model.tools == [["weather", "order_status"]] * 3
    (answered,) = call.trace.of(FunctionAnswered)
    assert (answered.output, answered.is_error, answered.duration_ms) == ("on its way", False, 1000)
    assert call.spoken == ["One moment", "It is on its way.", "You are welcome."]
    assert model.given[2] == [
        ("user-prompt", "where is order seven"),
        ("tool-call", 'order_status {"number":7}'),
        ("tool-return", "on its way (success)"),
        ("text", "One moment\nIt is on its way."),
        ("user-prompt", "thanks"),
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ('{"number": 8}', "the tool 'order_status' failed: KeyError"),
        ('{"number": "x"}', "wrong arguments for 'order_status': Expected `int`, got `str` - at"),
    ],
)
def test_the_model_is_told_of_a_tool_that_failed(arguments, told):
    """A tool of the session that fails is answered in words, not by a broken call."""
    model = Model([calls("order_status", arguments)], ["I cannot find it."])
    call = talk(Agent(model()), "hello", tools=[order_status])
    assert call.heard == ["I cannot find it."]
    kind, content = model.given[1][-1]
    assert kind == "tool-return"
    assert content.startswith(told)
    assert content.endswith("(failed)")


def test_a_tool_that_both_have_is_refused():
    """The response fails with what to do, and no tool runs."""
    agent = Agent(Model()())
    agent.tool_plain(order_status)
    call = talk(agent, "hello", tools=[order_status])
    error, *_ = call.trace.of(ErrorOccurred)
    assert error.message == (
        "pydantic-ai: both the agent and the session have a tool 'order_status': rename one"
    )


def test_a_plain_function_of_the_agent_runs_beside_the_call():
    """The library runs it in a thread, so this is on a real loop, and waits for the answer."""
    model = Model([calls("look")], ["Found it."])
    agent = Agent(model())
    threads: list[str] = []

    @agent.tool_plain
    def look() -> str:
        threads.append(threading.current_thread().name)
        return "found"

    async def scene():
        session = VoiceSession(stt=ScriptedStt(), agent=agent, tts=ScriptedTts(), vad=ScriptedVad())
        async with session:
            session.send_text("hello")
            async for happening in session.events():
                if isinstance(happening.event, AgentResponseEnded):
                    return happening.event.heard_text
        return None

    assert asyncio.run(scene()) == "Found it."
    assert threads != [threading.main_thread().name]


def test_words_before_a_tool_sound_while_it_runs():
    """The person hears them at once, although they end without a full stop."""
    model = Model(["Let me look", calls("look")], ["Found it."])
    agent = Agent(model())

    @agent.tool_plain
    async def look() -> str:
        await asyncio.sleep(3)
        return "found"

    async def scene():
        async with Call(agent) as call:
            await call.caller.say("hello")
            said = running_simulation().time_ms()
            await asyncio.sleep(8)
        return [(start - said, end - said) for start, end in call.caller.sounds_ms]

    # 600 ms until the turn is over, 50 ms to understand, 30 ms to speak; the tool takes 3 s of it.
    assert simulate(scene) == [(680, 1280), (3680, 4080)]


# ── interrupting, closing, failing ──────────────────────────────────────────────────────────────


class Slow:
    """An agent whose tool takes for ever, and what became of it."""

    def __init__(self):
        self.model = Model(["Let me look", calls("look")], ["Yes."])
        self.agent = PydanticAgent(Agent(self.model(), tools=[self.look]))
        self.ended: list[str] = []

    async def look(self) -> str:
        """Look."""
        try:
            await asyncio.sleep(1e6)
        finally:
            self.ended.append("cancelled")
        return "found"


def test_an_interruption_cancels_the_run():
    """The tool is cancelled where it waits, the next turn is answered, and no task is left."""
    slow = Slow()

    async def scene():
        async with Call(slow.agent, session_id="ann") as call:
            await call.caller.say("hello")
            await asyncio.sleep(1)
            before = len(slow.ended)
            call.caller.press_stop()
            await asyncio.sleep(0)
            await asyncio.sleep(0.01)
            after = len(slow.ended)
            others = asyncio.all_tasks() - {asyncio.current_task()}
            tasks = sorted(one.get_name() for one in others)
            await call.caller.say("still there")
            await asyncio.sleep(3)
        return call, before, after, tasks

    call, before, after, tasks = simulate(scene)
    assert (before, after) == (0, 1)
    assert tasks == ["beluga-voice service ann", "microphone"]
    assert call.heard == ["Let", "Yes."]
    assert slow.agent.usage.requests == 2


def test_an_interruption_stops_the_model_in_mid_stream():
    """What the model would still have made is not waited for: its stream is closed at once."""
    closed: list[float] = []

    async def talkative(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        try:
            for number in range(1000):
                yield f"This is sentence {number}. "
                await asyncio.sleep(0.1)
        finally:
            closed.append(running_simulation().time_ms())

    async def scene():
        async with Call(Agent(FunctionModel(stream_function=talkative))) as call:
            await call.caller.say("hello")
            await asyncio.sleep(2)
            call.caller.press_stop()
            stopped = running_simulation().time_ms()
            await asyncio.sleep(3)
        return stopped, call.heard

    stopped, heard = simulate(scene)
    assert closed == [stopped]
    assert heard == ["This is sentence 0. This is"]


def test_a_session_that_ends_cancels_the_run():
    """Leaving a session in mid-run takes no time, and leaves nothing behind."""
    slow = Slow()

    async def scene():
        async with Call(slow.agent) as call:
            await call.caller.say("hello")
            await asyncio.sleep(1)
            left = running_simulation().time_ms()
        return running_simulation().time_ms() - left

    assert simulate(scene) == 0
    assert slow.ended == ["cancelled"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ModelAuthenticationError("m", "secret"), "refuses the key: check it"),
        (ModelRateLimitError("m", "secret"), "asks us to come back later"),
        (ModelConnectionError("m", "secret"), "cannot be reached"),
        (ModelAPIError("m", "secret"), "the model's service failed (ModelAPIError)"),
        (UsageLimitExceeded("secret"), "went over the agent's usage limits"),
        (UnexpectedModelBehavior("secret"), "could not use what its model gave"),
        (UserError("secret"), "refuses how the agent is set up"),
        (KeyError("secret"), "the agent failed: KeyError"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_a_run_that_fails_fails_its_response(error, told, caplog):
    """The application is told what to do, nobody's words are, and the next turn is answered."""
    model = Model([error], ["Yes."])
    with caplog.at_level(logging.DEBUG):
        call = talk(Agent(model()), "hello", "again")
    failure, *_ = call.trace.of(ErrorOccurred)
    assert told in failure.message
    assert "secret" not in failure.message + caplog.text
    ended = [(one.outcome, one.heard_text) for one in call.trace.of(AgentResponseEnded)]
    # The person waits, so the agent is asked once more; then the model has its answer.
    assert ended[0] == (ResponseOutcome.FAILED, "")
    assert ended[1] == (ResponseOutcome.HEARD, "Yes.")


def test_a_run_that_fails_in_mid_sentence_is_not_spoken_on():
    """What was said before stays said, and what was made of the sentence is dropped."""
    model = Model(["It is noon. But then", 1, ModelAPIError("m", "secret")])
    call = talk(Agent(model()), "hello")
    (ended,) = call.trace.of(AgentResponseEnded)
    assert (ended.outcome, ended.heard_text.strip()) == (ResponseOutcome.FAILED, "It is noon.")


# ── setting up ──────────────────────────────────────────────────────────────────────────────────


class Deps:
    """What an agent may need."""

    name = "Mary"


class Answer(BaseModel):
    """A structured answer."""

    text: str


def test_deps_are_given_to_the_tools():
    """An agent with deps gets those of its `PydanticAgent`."""
    model = Model([calls("who")], ["You are Mary."])
    agent = Agent(model(), deps_type=Deps)

    @agent.tool
    async def who(ctx: RunContext[Deps]) -> str:
        return ctx.deps.name

    call = talk(PydanticAgent(agent, deps=Deps()), "who am I")
    assert call.heard == ["You are Mary."]
    assert model.given[1][-1] == ("tool-return", "Mary (success)")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (Agent(output_type=Answer), "give an agent whose output_type is str"),
        (Agent(output_type=[str, Answer]), "give an agent whose output_type is str"),
        (Agent(deps_type=Deps), "wants deps of Deps: give PydanticAgent"),
        (TestModel(), "a TestModel is no agent: give an Agent"),
        (Agent, "Agent is a class: give an object of it"),
    ],
    ids=["structured", "one of two", "deps", "model", "class"],
)
def test_what_cannot_answer_in_a_call_is_refused_at_once(given, told):
    """The error comes when the session is made, and says what to do."""
    with pytest.raises(ConfigurationError, match=told):
        VoiceSession(stt=ScriptedStt(), tts=ScriptedTts(), vad=ScriptedVad(), agent=given)


def test_an_agent_of_a_class_of_ones_own_is_used():
    """A subclass of the library's agent is one of its agents."""

    class Mine(Agent):
        pass

    assert isinstance(agent_of(Mine(TestModel())), PydanticAgent)


def test_one_agent_serves_several_calls_at_once():
    """Each call has its own history, and the usage of all is counted."""
    model = Model([0.5, "One."], [0.5, "Two."], ["Three."], ["Four."])
    agent = PydanticAgent(Agent(model()))

    async def one_call(first, second):
        async with Call(agent) as call:
            await call.caller.say(first)
            await asyncio.sleep(3)
            await call.caller.say(second)
            await asyncio.sleep(3)
        return call.heard

    async def scene():
        async with asyncio.TaskGroup() as group:
            ours = group.create_task(one_call("a", "b"))
            theirs = group.create_task(one_call("c", "d"))
        return ours.result(), theirs.result()

    assert simulate(scene) == (["One.", "Three."], ["Two.", "Four."])
    assert model.given[2] == [("user-prompt", "a"), ("text", "One."), ("user-prompt", "b")]
    assert agent.usage.requests == 4


def test_the_library_is_imported_for_its_own_agents_only():
    """A session with another agent does without it."""
    program = """
import sys
from beluga_voice import VoiceSession
from beluga_voice.agents.functions import agent_of
async def answer(text): return text
agent_of(answer)
print("pydantic_ai" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch):
    """A version of the library that is too old is as good as none."""
    monkeypatch.delitem(sys.modules, "beluga_voice.agents.pydantic_ai")
    monkeypatch.delitem(sys.modules, "beluga_voice.agents.pydantic_ai._agent")
    monkeypatch.setitem(sys.modules, "pydantic_ai.exceptions", None)
    with pytest.raises(MissingExtra, match=r"pip install 'beluga-voice\[pydantic-ai\]'"):
        agent_of(Agent(TestModel()))


def test_an_agent_on_the_command_line_answers_a_recording(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`--agent module:agent` takes the library's agent as it is."""
    (tmp_path / "my_pydantic_agent.py").write_text(
        "from pydantic_ai import Agent\n"
        "from pydantic_ai.models.test import TestModel\n"
        "agent = Agent(TestModel(custom_output_text='I am a test.'))\n"
    )
    question = str(ROOT / "examples/audio/questions.wav")
    monkeypatch.chdir(tmp_path)
    status = main(["talk", question, "--agent", "my_pydantic_agent:agent"])
    out = capsys.readouterr().out
    assert status == 0
    assert out.count("agent  I am a test.\n") == 4
