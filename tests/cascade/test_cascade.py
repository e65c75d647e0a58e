"""The cascade as a speech-to-speech service: what it promises of its events, whatever happens."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beluga_voice.agents.functions import agent_of
from beluga_voice.errors import ToolFailed
from beluga_voice.events import (
    AnswerTool,
    ClearInput,
    CreateResponse,
    EndUserTurn,
    InputCommitted,
    InputTranscript,
    Interrupt,
    LinkClosed,
    Message,
    NoResponse,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    Role,
    Say,
    SeedHistory,
    SendAudio,
    SendText,
    ServiceFailed,
    StartUserTurn,
    TextStage,
    ToolCalled,
    ToolResult,
    ToolUse,
    Update,
)
from beluga_voice.interfaces import AgentTurn, S2sOptions
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts
from beluga_voice.testing.speech import pcm_of, speech, words_in


@dataclass
class Stand:
    """A link of the cascade, its two services, and all its events with their times in ms."""

    link: object
    stt: ScriptedStt
    tts: ScriptedTts
    events: list = field(default_factory=list)
    times: list = field(default_factory=list)
    refuses: bool = False
    """Whether a response is interrupted as soon as it is told of."""

    def hear(self, event):
        self.events.append(event)
        self.times.append(round(asyncio.get_running_loop().time() * 1000, 3))
        if self.refuses and isinstance(event, ResponseStarted):
            self.send(Interrupt(response_id=event.response_id, heard_samples=0, heard_text=""))

    def of(self, kind):
        return [one for one in self.events if isinstance(one, kind)]

    def send(self, *commands):
        for command in commands:
            self.link.send(command)

    def utter(self, text):
        """Say something, and be done."""
        self.send(StartUserTurn(), SendAudio(pcm=pcm_of(speech(text))), EndUserTurn())

    def spoken(self, response_id=None):
        """The words in the sound of a response, or of all."""
        return " ".join(
            words_in(
                b"".join(
                    one.pcm
                    for one in self.of(ResponseAudio)
                    if response_id in (None, one.response_id)
                )
            )
        )


@asynccontextmanager
async def stand(agent, *, stt=None, tts=None, options=None, cascade=None):
    """A connected cascade."""
    stt = stt or ScriptedStt(delay_ms=50)
    tts = tts or ScriptedTts(delay_ms=30)
    made = cascade or Cascade(stt, agent_of(agent), tts)
    async with made.connect(options or S2sOptions()) as link:
        at = Stand(link, stt, tts)
        link.attach(at.hear)
        yield at


async def echo(text: str) -> str:
    """Repeat."""
    return f"you said {text}"


def run(scene):
    return simulate(scene)


def test_an_utterance_is_answered_in_order():
    """Committed, transcribed, started, told, sounded, done: each once, and all the words."""

    async def scene():
        async with stand(echo) as at:
            at.utter("hello there")
            await asyncio.sleep(2)
            return at

    at = run(scene)
    kinds = [type(one) for one in at.events if not isinstance(one, ResponseAudio)]
    assert kinds[:4] == [InputCommitted, InputTranscript, ResponseStarted, ResponseText]
    assert kinds[-2:] == [ResponseDone, LinkClosed]
    assert at.of(InputTranscript)[0].text == "hello there"
    assert at.spoken() == "you said hello there"
    assert at.of(ResponseDone)[0].status is ResponseStatus.COMPLETED
    assert at.times[at.events.index(at.of(ResponseAudio)[0])] == 80


def test_planned_and_spoken_words_are_told_apart():
    """With a voice that knows its times, the agent's words are planned, and the voice's spoken."""

    async def scene(has_word_times):
        async with stand(echo, tts=ScriptedTts(has_word_times=has_word_times)) as at:
            at.utter("hello")
            await asyncio.sleep(2)
            return at.of(ResponseText)

    texts = simulate(lambda: scene(True))
    assert [one.delta for one in texts if one.stage is TextStage.PLANNED] == ["you said hello"]
    spoken = [one for one in texts if one.stage is TextStage.SPOKEN]
    assert [(one.delta, one.start, one.end) for one in spoken] == [
        ("you", 0, 4800),
        ("said", 4800, 9600),
        ("hello", 9600, 14400),
    ]
    (only,) = simulate(lambda: scene(False))
    assert (only.delta, only.stage, only.end) == ("you said hello", TextStage.SPOKEN, None)


def test_silence_gets_no_response():
    """An utterance without words is committed, empty, and not answered."""

    async def scene():
        async with stand(echo) as at:
            at.send(StartUserTurn(), SendAudio(pcm=bytes(6400)), EndUserTurn())
            await asyncio.sleep(2)
            at.utter("now")
            await asyncio.sleep(0.01)
            at.send(ClearInput())
            await asyncio.sleep(2)
            return at

    at = run(scene)
    assert [one.text for one in at.of(InputTranscript)] == ["", "now"]
    assert len(at.of(NoResponse)) == 1
    assert at.spoken() == "you said now"


def test_a_turn_that_wants_no_response_gets_none():
    """The words are kept for the next answer."""

    async def scene():
        async with stand(echo) as at:
            at.send(StartUserTurn(), SendAudio(pcm=pcm_of(speech("one two"))))
            at.send(EndUserTurn(respond=False))
            await asyncio.sleep(1)
            assert at.of(NoResponse)
            assert not at.of(ResponseStarted)
            at.utter("three")
            await asyncio.sleep(2)
            return at.spoken()

    assert run(scene) == "you said one two three"


def test_going_on_takes_back_the_answer_that_was_not_begun():
    """A new turn before the words are known leaves one response, to all that was said."""

    async def scene():
        async with stand(echo) as at:
            at.utter("one two")
            await asyncio.sleep(0.02)
            at.utter("three")
            await asyncio.sleep(2)
            return at

    at = run(scene)
    assert len(at.of(ResponseStarted)) == 1
    assert at.spoken() == "you said one two three"


# ── interruption ────────────────────────────────────────────────────────────────────────────


def test_after_an_interruption_the_agent_knows_what_was_heard():
    """The heard words stand in the history as cut, and none are left of what was not heard."""
    histories = []

    async def agent(turn: AgentTurn) -> str:
        histories.append(list(turn.history))
        return "one two three four"

    async def scene(heard_text):
        histories.clear()
        async with stand(agent) as at:
            at.utter("first")
            await asyncio.sleep(1)
            (started,) = at.of(ResponseStarted)
            at.send(
                Interrupt(response_id=started.response_id, heard_samples=100, heard_text=heard_text)
            )
            at.utter("second")
            await asyncio.sleep(1)
            return histories[1]

    first, second = Message(role=Role.USER, text="first"), Message(role=Role.USER, text="second")
    cut = Message(role=Role.AGENT, text="one two", is_cut=True)
    assert simulate(lambda: scene("one two")) == [first, cut, second]
    assert simulate(lambda: scene("")) == [first, second]


def test_an_interruption_stops_the_agent_and_the_voice():
    """The agent's generator is closed, nothing more sounds, and the response is done once."""
    closed = []

    async def agent(text: str):
        try:
            for number in range(100):
                yield f"sentence number {number}. "
                await asyncio.sleep(0.1)
        finally:
            closed.append(asyncio.get_running_loop().time())

    async def scene():
        async with stand(agent) as at:
            at.utter("go")
            await asyncio.sleep(1)
            (started,) = at.of(ResponseStarted)
            order = Interrupt(response_id=started.response_id, heard_samples=0, heard_text="")
            at.send(order)
            count = len(at.of(ResponseAudio))
            at.send(order)
            await asyncio.sleep(5)
            return at, count

    at, count = run(scene)
    assert closed == [1.0]
    assert len(at.of(ResponseAudio)) == count > 0
    (done,) = at.of(ResponseDone)
    assert done.status is ResponseStatus.CANCELLED


# ── tools ───────────────────────────────────────────────────────────────────────────────────


def test_a_tool_is_called_and_its_result_is_the_agents():
    """The call goes out with its response, the result comes back, and both are in the history."""
    seen = []

    async def agent(turn: AgentTurn) -> str:
        result = await turn.call_tool("look", '{"at":"sky"}')
        seen.extend(turn.history)
        return f"it is {result}"

    async def scene():
        async with stand(agent) as at:
            at.utter("look up")
            await asyncio.sleep(1)
            (called,) = at.of(ToolCalled)
            assert called.response_id == at.of(ResponseStarted)[0].response_id
            at.send(AnswerTool(call_id=called.call_id, output="blue"))
            at.send(AnswerTool(call_id=called.call_id, output="green"))
            await asyncio.sleep(2)
            return at.spoken(), called

    spoken, called = run(scene)
    assert spoken == "it is blue"
    assert (called.name, called.arguments) == ("look", '{"at":"sky"}')
    assert seen[1] == ToolUse(call_id=called.call_id, name="look", arguments='{"at":"sky"}')
    assert ToolResult(call_id=called.call_id, output="blue") in seen


def test_a_tool_that_failed_raises_in_the_agent():
    """The agent may catch it and say something else."""

    async def agent(turn: AgentTurn) -> str:
        try:
            return await turn.call_tool("look", "{}")
        except ToolFailed as error:
            return f"sorry {error.message}"

    async def scene():
        async with stand(agent) as at:
            at.utter("look")
            await asyncio.sleep(1)
            call_id = at.of(ToolCalled)[0].call_id
            at.send(AnswerTool(call_id=call_id, output="dark", is_error=True))
            await asyncio.sleep(2)
            return at.spoken()

    assert run(scene) == "sorry dark"


def test_an_interrupted_tool_call_ends_the_agent():
    """Whoever waits for a tool when its response is stopped does not wait for ever."""
    ended = []

    async def agent(turn: AgentTurn) -> str:
        try:
            return await turn.call_tool("look", "{}")
        finally:
            ended.append(True)

    async def scene():
        async with stand(agent) as at:
            at.utter("look")
            await asyncio.sleep(1)
            called = at.of(ToolCalled)[0]
            at.send(Interrupt(response_id=called.response_id, heard_samples=0, heard_text=""))
            await asyncio.sleep(0.1)
            assert ended == [True]
            at.send(AnswerTool(call_id=called.call_id, output="late"))
            at.utter("again")
            await asyncio.sleep(1)
            return len(at.of(ToolCalled))

    assert run(scene) == 2


# ── failures ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("pieces", [0, 2])
def test_an_agent_that_raises_fails_its_response_and_no_other(pieces):
    """The reason names the kind of error and not its words, and the next turn is answered."""
    turns = []

    async def agent(text: str):
        turns.append(text)
        if len(turns) == 1:
            for number in range(pieces):
                yield f"piece {number}. "
            raise RuntimeError("secret words")
        yield "better now"

    async def scene():
        turns.clear()
        async with stand(agent) as at:
            at.utter("first")
            await asyncio.sleep(2)
            at.utter("second")
            await asyncio.sleep(2)
            return at

    at = run(scene)
    failed, done = at.of(ResponseDone)
    assert failed.status is ResponseStatus.FAILED
    assert "RuntimeError" in failed.reason
    assert "secret" not in failed.reason
    assert done.status is ResponseStatus.COMPLETED
    assert at.spoken(done.response_id) == "better now"


@pytest.mark.parametrize("which", ["stt", "tts"])
def test_a_lost_service_loses_the_link_and_pays_what_is_owed(which):
    """Every open response is done, the failure is told, and the link is closed; nothing follows."""

    async def agent(text: str):
        yield "one two three. "
        await asyncio.sleep(100)

    async def scene():
        async with stand(agent) as at:
            at.utter("go")
            await asyncio.sleep(1)
            getattr(at, which).links[0].lose("the wire broke")
            count = len(at.events)
            at.utter("anybody there")
            at.send(Say(text="hello"))
            await asyncio.sleep(1)
            return at, count

    at, count = run(scene)
    assert [type(one) for one in at.events[-3:]] == [ResponseDone, ServiceFailed, LinkClosed]
    assert at.events[-3].status is ResponseStatus.FAILED
    assert at.events[-2].is_fatal
    assert "the wire broke" in at.events[-1].reason
    assert len(at.events) == count


# ── what is asked for ───────────────────────────────────────────────────────────────────────


def test_given_words_are_spoken_as_they_are():
    """`Say` asks no agent, and what was said is in the history."""
    seen = []

    async def agent(turn: AgentTurn) -> str:
        seen.extend(turn.history)
        return "fine"

    async def scene():
        async with stand(agent) as at:
            at.send(Say(text="Welcome here. Please wait."))
            await asyncio.sleep(2)
            at.utter("hello")
            await asyncio.sleep(2)
            return at

    at = run(scene)
    first, second = at.of(ResponseStarted)
    assert (first.origin, second.origin) == (ResponseOrigin.SAID, ResponseOrigin.TURN)
    assert at.spoken(first.response_id) == "Welcome here. Please wait."
    assert at.tts.links[0].texts == ["Welcome here.", "Please wait.", "fine"]
    assert seen[0] == Message(role=Role.AGENT, text="Welcome here. Please wait.")


def test_a_response_can_be_asked_for_with_instructions():
    """`CreateResponse` asks the agent without a turn, and its instructions are for it alone."""

    async def scene():
        async with stand(echo) as at:
            at.send(CreateResponse(instructions="greet"))
            await asyncio.sleep(1)
            at.utter("hello")
            await asyncio.sleep(2)
            return [at.spoken(one.response_id) for one in at.of(ResponseStarted)], at

    spoken, at = run(scene)
    assert spoken == ["you said greet", "you said hello"]
    assert at.of(ResponseStarted)[0].origin is ResponseOrigin.REQUESTED


def test_typed_words_and_settings_reach_the_agent():
    """Text is answered like speech, and an update counts for the next turn."""

    async def agent(turn: AgentTurn) -> str:
        return f"{turn.instructions} {turn.text}"

    async def scene():
        options = S2sOptions(instructions="short")
        async with stand(agent, options=options) as at:
            at.send(SendText(text="typed"))
            await asyncio.sleep(1)
            at.send(Update(instructions="long"))
            seeded = (Message(role=Role.USER, text="seeded"),)
            at.send(SeedHistory(items=seeded), SendText(text="note", respond=False))
            at.utter("spoken")
            await asyncio.sleep(1)
            return [at.spoken(one.response_id) for one in at.of(ResponseStarted)]

    assert run(scene) == ["short typed", "long seeded note spoken"]


def test_responses_at_once_each_have_all_their_words():
    """Two responses that are made at the same time do not mix their words or their ends."""

    async def agent(text: str):
        for number in range(3):
            yield f"{text}{number} and so on. "
            await asyncio.sleep(0.05)

    async def scene():
        async with stand(agent) as at:
            at.send(SendText(text="a"))
            at.send(Say(text="In between."))
            at.send(CreateResponse())
            await asyncio.sleep(3)
            return [at.spoken(one.response_id) for one in at.of(ResponseStarted)], at

    spoken, at = run(scene)
    whole = "a0 and so on. a1 and so on. a2 and so on."
    assert spoken[:2] == [whole, "In between."]
    assert len(at.of(ResponseDone)) == 3


# ── the promises of every provider ──────────────────────────────────────────────────────────


def check(events):
    """The invariants that `beluga_voice.events` lists."""
    started, done, finals, calls = set(), set(), set(), set()
    for index, event in enumerate(events):
        response_id = getattr(event, "response_id", None)
        match event:
            case ResponseStarted():
                assert response_id not in started
                started.add(response_id)
            case ResponseAudio() | ResponseText():
                assert response_id in started - done
            case ResponseDone():
                assert response_id in started - done
                done.add(response_id)
            case ToolCalled():
                assert event.call_id not in calls
                assert response_id in started - done
                calls.add(event.call_id)
            case InputTranscript():
                assert event.utterance_id not in finals
                if event.is_final:
                    finals.add(event.utterance_id)
            case LinkClosed():
                assert index == len(events) - 1
            case _:
                pass
    assert started == done
    assert isinstance(events[-1], LinkClosed)
    return started, finals, calls


def test_the_check_of_the_promises_can_fail():
    """Each broken promise is found."""
    one = ResponseId("1")
    start = ResponseStarted(response_id=one)
    done = ResponseDone(response_id=one, status=ResponseStatus.COMPLETED)
    audio = ResponseAudio(response_id=one, pcm=b"")
    closed = LinkClosed(is_clean=True)
    check([start, audio, done, closed])
    for broken in (
        [start, closed],
        [start, done, done, closed],
        [start, done, audio, closed],
        [audio, start, done, closed],
        [start, start, done, closed],
        [start, done],
        [closed, start, done],
        [],
    ):
        with pytest.raises((AssertionError, IndexError)):
            check(broken)


step = st.one_of(
    st.sampled_from(["utter", "typed", "say", "create", "start", "end", "end quietly", "clear"]),
    st.sampled_from(["interrupt", "interrupt", "answer", "fail tool", "sound"]),
    st.floats(0, 0.6),
)
ends = st.sampled_from(["leave", "stt", "tts"])


async def moody(turn: AgentTurn):
    """Answer in one of several ways, by the length of the history."""
    mood = len(turn.history) % 5
    yield "one two. "
    if mood == 1:
        yield f"{await turn.call_tool('look', '{}')} three."
    elif mood == 2:
        await asyncio.sleep(0.2)
        yield "four five six. seven"
    elif mood == 3:
        raise ValueError("bad mood")


@settings(max_examples=150)
@given(st.lists(st.tuples(st.lists(step, max_size=15), ends), min_size=1, max_size=3))
def test_no_script_breaks_a_promise(scripts):
    """Over links in a row, whatever is sent when and however they end, the invariants hold."""

    async def scene():
        cascade = Cascade(
            ScriptedStt(delay_ms=50, interim=True), agent_of(moody), ScriptedTts(delay_ms=30)
        )
        return [await follow(cascade, *script) for script in scripts]

    names = [check(events) for events in run(scene)]
    for kind in zip(*names, strict=True):
        assert len(set().union(*kind)) == sum(len(ids) for ids in kind)


async def follow(cascade, steps, end):
    """One link, from its opening to its end."""
    stopped = {}
    async with stand(moody, cascade=cascade) as at:
        for one in steps:
            match one:
                case "utter":
                    at.utter("hello there")
                case "sound":
                    at.send(SendAudio(pcm=pcm_of(speech("more"))))
                case "typed":
                    at.send(SendText(text="typed"))
                case "say":
                    at.send(Say(text="Said this. And that."))
                case "create":
                    at.send(CreateResponse())
                case "start":
                    at.send(StartUserTurn())
                case "end" | "end quietly":
                    at.send(EndUserTurn(respond=one == "end"))
                case "clear":
                    at.send(ClearInput())
                case "interrupt" if at.of(ResponseStarted):
                    response_id = at.of(ResponseStarted)[-1].response_id
                    at.send(Interrupt(response_id=response_id, heard_samples=10, heard_text="one"))
                    stopped.setdefault(response_id, len(at.events))
                case "answer" | "fail tool" if at.of(ToolCalled):
                    call_id = at.of(ToolCalled)[-1].call_id
                    at.send(AnswerTool(call_id=call_id, output="x", is_error=one == "fail tool"))
                case float():
                    await asyncio.sleep(one)
        if end != "leave":
            part = cascade._stt if end == "stt" else cascade._tts
            part.links[-1].lose()
    for response_id, index in stopped.items():
        for event in at.events[index:]:
            assert not (isinstance(event, ResponseAudio) and event.response_id == response_id)
    return at.events
