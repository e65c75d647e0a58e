"""The engine keeps its promises whatever happens, in whatever order."""

from dataclasses import dataclass, field
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from beluga_voice.engine.effects import End, RunTool, Send, Silence
from beluga_voice.engine.engine import Engine, EngineSettings
from beluga_voice.engine.happened import (
    Close,
    LinkOpened,
    ToolFinished,
)
from beluga_voice.engine.turns import TABLE, Floor, Turn
from beluga_voice.engine.voice import VoiceStarted, VoiceStopped
from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseStarted,
    CallerInterrupt,
    CallerText,
    InputCommitted,
    InputTranscript,
    Interrupt,
    Interrupted,
    KeyPressed,
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
    SessionEnded,
    SessionEvent,
    SessionId,
    SessionState,
    SpeechStarted,
    SpeechStopped,
    StateChanged,
    TalkKey,
    ToolCalled,
    ToolCallId,
    ToolResult,
    ToolUse,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities, TurnOwner

RATE = 24000
EVENTS = get_args(SessionEvent.__value__)


@dataclass
class World:
    """An engine, a clock, and a line that plays in real time."""

    owner: TurnOwner
    now: float = 0.0
    busy_until: float = 0.0
    emitted: list = field(default_factory=list)
    sent: list = field(default_factory=list)
    queued: list = field(default_factory=list)
    generated: dict = field(default_factory=dict)
    settled: dict = field(default_factory=dict)
    running: set = field(default_factory=set)
    is_over: bool = False

    def __post_init__(self):
        self.engine = Engine(
            session_id=SessionId("s"),
            provider="p",
            capabilities=Capabilities(has_tools=True, can_request_response=True),
            turn_owner=self.owner,
            input_rate=16000,
            output_rate=RATE,
            line_rate=RATE,
            settings=EngineSettings(),
        )
        self.engine.start(self.now)
        self.perform()
        self.give(LinkOpened())

    def give(self, event):
        if isinstance(event, ResponseAudio):
            samples = len(event.pcm) // 2
            if self.engine.generated(event.response_id, samples, self.now):
                before = self.generated.get(event.response_id, 0)
                self.generated[event.response_id] = before + samples
                self.queued.append((event.response_id, samples))
        else:
            self.engine.receive(event, self.now)
        self.perform()

    def perform(self):
        while self.engine.effects:
            match self.engine.effects.popleft():
                case Send(command=command):
                    self.sent.append(command)
                case Silence():
                    self.queued.clear()
                    self.busy_until = min(self.busy_until, self.now)
                case RunTool(call_id=call_id):
                    self.running.add(call_id)
                case End():
                    self.is_over = True
                case event if isinstance(event, EVENTS):
                    self.emitted.append(event)
                    if isinstance(event, AgentResponseEnded):
                        assert event.response_id not in self.settled
                        self.settled[event.response_id] = event
                case _:
                    pass

    def play(self):
        """Hand the next piece that waits to the line."""
        if self.queued:
            response_id, samples = self.queued.pop(0)
            self.busy_until = max(self.busy_until, self.now) + samples / RATE
            self.engine.sent(response_id, samples, self.busy_until, self.now)
            self.perform()

    def wait(self, seconds):
        """Let time pass, with what is due in between."""
        end = self.now + seconds
        while True:
            due = self.engine.deadline
            ahead = self.busy_until if self.queued else None
            moments = [one for one in (due, ahead) if one is not None and one <= end]
            if not moments or self.is_over:
                break
            self.now = max(self.now, min(moments))
            if due is not None and due <= self.now:
                self.engine.expire(self.now)
                self.perform()
            if self.queued and self.busy_until <= self.now:
                self.play()
        self.now = end

    def drain(self):
        """Nothing more happens outside: everything comes to rest."""
        self.give(VoiceStopped(ago_ms=0))
        self.give(SpeechStopped())
        for call_id in list(self.running):
            self.give(ToolFinished(call_id=call_id, output="x", is_error=False))
        self.wait(5)
        for response_id in list(self.generated):
            self.give(ResponseDone(response_id=response_id, status=ResponseStatus.COMPLETED))
        for count in range(1, 6):
            response_id = ResponseId(f"r{count}")
            self.give(ResponseDone(response_id=response_id, status=ResponseStatus.COMPLETED))
        while self.queued:
            self.play()
        self.wait(30)


ids = st.integers(1, 5)
step = st.one_of(
    st.builds(lambda n: ResponseStarted(response_id=ResponseId(f"r{n}")), ids),
    st.builds(
        lambda n: ResponseStarted(response_id=ResponseId(f"r{n}"), origin=ResponseOrigin.SAID),
        ids,
    ),
    st.builds(
        lambda n, k: ResponseAudio(response_id=ResponseId(f"r{n}"), pcm=bytes(k * 2)),
        ids,
        st.integers(1, 24000),
    ),
    st.builds(lambda n: ResponseText(response_id=ResponseId(f"r{n}"), delta="word "), ids),
    st.builds(
        lambda n, s: ResponseDone(response_id=ResponseId(f"r{n}"), status=s),
        ids,
        st.sampled_from(ResponseStatus),
    ),
    st.builds(lambda n: Interrupted(response_id=ResponseId(f"r{n}")), ids),
    st.just(Interrupted()),
    st.just(NoResponse()),
    st.just(VoiceStarted(ago_ms=60)),
    st.just(VoiceStopped(ago_ms=200)),
    st.just(SpeechStarted()),
    st.just(SpeechStopped()),
    st.just(CallerInterrupt()),
    st.just(CallerText(text="typed")),
    st.just(KeyPressed(key="5")),
    st.just(KeyPressed(key="#")),
    st.builds(TalkKey, is_down=st.booleans()),
    st.just(Say(text="said")),
    st.builds(lambda n: InputCommitted(utterance_id=UtteranceId(f"u{n}")), ids),
    st.builds(
        lambda n, t, f: InputTranscript(utterance_id=UtteranceId(f"u{n}"), text=t, is_final=f),
        ids,
        st.sampled_from(["", "words"]),
        st.booleans(),
    ),
    st.builds(lambda n: ToolCalled(call_id=ToolCallId(f"t{n}"), name="tool", arguments="{}"), ids),
    st.builds(lambda n: ToolFinished(call_id=ToolCallId(f"t{n}"), output="x", is_error=False), ids),
    st.just(LinkClosed(is_clean=False)),
    st.just("play"),
    st.just("voiced"),
    st.floats(0, 3),
)


def run(world, steps):
    for one in steps:
        if world.is_over:
            break
        if one == "play":
            world.play()
        elif one == "voiced":
            world.engine.voiced(world.now)
            world.perform()
        elif isinstance(one, float):
            world.wait(one)
            if world.engine.state is SessionState.RECONNECTING and not world.is_over:
                world.give(LinkOpened()) if _is_connecting(world) else None
        else:
            if isinstance(one, LinkClosed) and world.engine.state is SessionState.RECONNECTING:
                continue
            world.give(one)


def _is_connecting(world):
    return (
        world.engine.deadline is None
        or world.engine._supervision._machine.state.name == "CONNECTING"
    )


@settings(max_examples=400)
@given(st.sampled_from(TurnOwner), st.lists(step, max_size=40))
def test_no_order_of_events_breaks_the_ledger(owner, steps):
    """Heard is never more than generated, every response ends once, and all comes to rest."""
    world = World(owner)
    run(world, steps)
    if not world.is_over and _is_connecting(world) and world.engine.state.name == "RECONNECTING":
        world.give(LinkOpened())
    if not world.is_over:
        world.drain()
        if world.engine.state is SessionState.RECONNECTING:
            world.give(LinkOpened())
            world.drain()
    started = [one.response_id for one in world.emitted if isinstance(one, AgentResponseStarted)]
    assert len(started) == len(set(started))
    assert set(world.settled) == set(started)
    for response_id, ended in world.settled.items():
        generated_ms = world.generated.get(response_id, 0) * 1000 / RATE
        assert 0 <= ended.heard_ms <= ended.generated_ms <= generated_ms + 0.001
        assert len(ended.heard_text) <= len(ended.text)
    for command in world.sent:
        if isinstance(command, Interrupt):
            assert command.heard_samples <= world.generated.get(command.response_id, 0)
    assert world.engine.state in (SessionState.IDLE, SessionState.PROCESSING, SessionState.ERROR)


@settings(max_examples=200)
@given(st.sampled_from(TurnOwner), st.lists(step, max_size=40))
def test_the_end_is_the_end(owner, steps):
    """After the session ended, nothing is emitted, sent or due any more."""
    world = World(owner)
    run(world, steps)
    world.give(Close())
    assert world.is_over
    assert isinstance(world.emitted[-1], SessionEnded)
    count, sent = len(world.emitted), len(world.sent)
    for one in steps:
        if isinstance(one, float):
            world.engine.expire(world.now + one)
        elif not isinstance(one, str):
            world.give(one)
    world.perform()
    assert (len(world.emitted), len(world.sent)) == (count, sent)
    assert world.engine.deadline is None


@settings(max_examples=200)
@given(st.lists(step, max_size=40))
def test_the_history_is_valid_for_every_wire(steps):
    """Each tool result follows its call, and no message is empty."""
    world = World(TurnOwner.FRAMEWORK)
    run(world, steps)
    calls = []
    for item in world.engine.history:
        match item:
            case ToolUse():
                calls.append(item.call_id)
            case ToolResult():
                assert item.call_id in calls
            case Message():
                assert item.text
                assert item.role in (Role.USER, Role.AGENT)


@settings(max_examples=200)
@given(st.lists(step, max_size=40))
def test_states_change_and_never_repeat(steps):
    """Each state change leads from the last state to another one."""
    world = World(TurnOwner.FRAMEWORK)
    run(world, steps)
    state = SessionState.CONNECTING
    for event in world.emitted:
        if isinstance(event, StateChanged):
            assert event.previous is state
            assert event.state is not state
            state = event.state


def test_the_table_of_turns_is_whole():
    """Every state can be left for one where nobody has the floor."""
    reached = {Floor.QUIET}
    while True:
        more = {
            state
            for (state, given_input), target in TABLE.items()
            if target in reached and given_input in Turn
        }
        if more <= reached:
            break
        reached |= more
    assert reached == set(Floor)
