"""The engine keeps its promises, whatever it is told and in whatever order."""

from contextlib import contextmanager

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from beluga_voice.engine.deadlines import DeadAirSettings
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.happened import (
    CancelSay,
    Close,
    Leave,
    StandbyLost,
    ToolFinished,
    TurnGuessed,
)
from beluga_voice.engine.interruptions import NEVER, InterruptionPolicy, InterruptionSettings
from beluga_voice.engine.patience import PatienceSettings
from beluga_voice.engine.turns import Floor, TurnSettings
from beluga_voice.engine.voice import VoiceStarted, VoiceStopped
from beluga_voice.events import (
    CallClosed,
    CallerInterrupt,
    CallerText,
    ConversationEnded,
    EndOfTurnLikely,
    GoingAway,
    InputCommitted,
    InputTranscript,
    Interrupted,
    KeyPressed,
    LinkClosed,
    NoResponse,
    Occasion,
    PlaybackReported,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    Say,
    SayId,
    SessionEnded,
    SessionState,
    SpeechStarted,
    SpeechStopped,
    StateChanged,
    TalkKey,
    ToolCalled,
    ToolCallId,
    ToolCallWithdrawn,
    TurnContinued,
    Update,
    UserSpeechEnded,
    UserSpeechStarted,
    UtteranceId,
    WorkEnded,
    WorkId,
    WorkStarted,
)
from beluga_voice.interfaces import Capabilities, TurnOwner
from engine.desk import Desk
from session.wires import broken_rules

CAPABILITIES = st.builds(
    Capabilities,
    has_tools=st.just(True),
    transcribes_first=st.booleans(),
    has_interim_transcripts=st.booleans(),
    has_speech_events=st.booleans(),
    can_request_response=st.booleans(),
    can_prepare=st.booleans(),
    can_add_history=st.booleans(),
    can_condense_history=st.booleans(),
    has_alternatives=st.booleans(),
    max_connection_seconds=st.sampled_from((None, 60.0)),
)
POLICIES = st.sampled_from(
    (
        InterruptionPolicy(),
        InterruptionPolicy(resumes=False),
        InterruptionPolicy(min_words=1),
        InterruptionPolicy(min_ms=0, guard_ms=300),
        NEVER,
    )
)
SETTINGS = st.builds(
    EngineSettings,
    turns=st.builds(TurnSettings, prepares=st.booleans()),
    interruptions=st.builds(InterruptionSettings, normal=POLICIES, tool_running=POLICIES),
    dead_air=st.just(DeadAirSettings(end_ms=60_000)),
    patience=st.sampled_from(
        (
            PatienceSettings(),
            PatienceSettings(idle_ms=3000, prompts=("still there?",), goodbye="bye"),
            PatienceSettings(max_duration_ms=20_000, goodbye="bye"),
        )
    ),
    history_limit=st.sampled_from((200, 8)),
    summarises=st.booleans(),
)

IDS = st.integers(1, 5)
RESPONSES = IDS.map(lambda n: ResponseId(f"r{n}"))
UTTERANCES = IDS.map(lambda n: UtteranceId(f"u{n}"))
CALLS = IDS.map(lambda n: ToolCallId(f"t{n}"))
WORK = IDS.map(lambda n: WorkId(f"w{n}"))
SAYS = IDS.map(lambda n: SayId(f"s{n}"))

SERVICE = st.one_of(
    st.builds(ResponseStarted, response_id=RESPONSES, origin=st.sampled_from(ResponseOrigin)),
    st.builds(ResponseText, response_id=RESPONSES, delta=st.sampled_from(("word ", "more. "))),
    st.builds(ResponseDone, response_id=RESPONSES, status=st.sampled_from(ResponseStatus)),
    st.builds(Interrupted, response_id=st.one_of(st.none(), RESPONSES)),
    st.builds(InputCommitted, utterance_id=UTTERANCES),
    st.builds(
        InputTranscript,
        utterance_id=UTTERANCES,
        text=st.sampled_from(("", "words here", "mm-hm")),
        is_final=st.booleans(),
    ),
    st.builds(ToolCalled, call_id=CALLS, name=st.just("tool"), arguments=st.just("{}")),
    st.builds(ToolCallWithdrawn, call_ids=st.lists(CALLS, max_size=2).map(tuple)),
    st.builds(WorkStarted, work_id=WORK),
    st.builds(WorkEnded, work_id=WORK),
    st.builds(EndOfTurnLikely, probability=st.just(0.9), is_eager=st.booleans()),
    st.sampled_from((NoResponse(), SpeechStarted(), SpeechStopped(), TurnContinued(), GoingAway())),
)
PERSON = st.one_of(
    st.sampled_from(
        (
            VoiceStarted(ago_ms=60),
            VoiceStopped(ago_ms=200),
            CallerInterrupt(),
            CallerText(text="typed"),
            KeyPressed(key="5"),
            KeyPressed(key="#"),
        )
    ),
    st.builds(TalkKey, is_down=st.booleans()),
    st.builds(TurnGuessed, probability=st.floats(0, 1)),
    st.builds(
        PlaybackReported,
        unheard_ms=st.sampled_from((0.0, 20.0, 150.0, 400.0, 1500.0, 3000.0)),
        ago_ms=st.sampled_from((-30.0, 0.0, 80.0)),
    ),
)
APPLICATION = st.one_of(
    st.builds(Say, text=st.just("said"), say_id=SAYS, occasion=st.sampled_from(Occasion)),
    st.builds(CancelSay, say_id=SAYS),
    st.just(Update(instructions="be brief")),
)
ENDS = st.sampled_from(
    (CallClosed(reason="gone"), Leave(), Leave(goodbye="bye"), ConversationEnded(), Close())
)


class AnyEngine(RuleBasedStateMachine):
    """A person, a service and an application that do anything, also what makes no sense."""

    desk: Desk | None = None

    @initialize(
        owner=st.sampled_from(TurnOwner),
        capabilities=CAPABILITIES,
        settings=SETTINGS,
        reports=st.booleans(),
    )
    def begins(self, owner, capabilities, settings, reports):
        self.desk = Desk(
            owner=owner, capabilities=capabilities, settings=settings, reports_playback=reports
        )
        self._read = 0
        self._state = SessionState.CONNECTING
        self._is_speaking = False
        self._said: set[SayId] = set()
        self._called: set[ToolCallId] = set()

    @property
    def is_on(self):
        return self.desk is not None and not self.desk.is_over

    @rule(event=SERVICE)
    def service(self, event):
        if isinstance(event, ToolCalled):
            self._called.add(event.call_id)
        self.desk.give(event)

    @rule(event=PERSON)
    def person(self, event):
        self.desk.give(event)

    @rule(event=APPLICATION)
    def application(self, event):
        if isinstance(event, Say) and event.say_id in self._said:
            return  # a session gives each its own
        if isinstance(event, Say):
            self._said.add(event.say_id)
        self.desk.give(event)

    @precondition(lambda self: self.is_on)
    @rule(wait=st.sampled_from((0.1, 1.0)))
    def person_writes_while_a_tool_runs(self, wait):
        call_id = ToolCallId(f"t{6 + len(self._called)}")
        self._called.add(call_id)
        self.desk.give(ToolCalled(call_id=call_id, name="tool", arguments="{}"))
        self.desk.give(CallerText(text="and now"))
        self.desk.wait(wait)
        if call_id in self.desk.running:
            self.desk.running.discard(call_id)
            self.desk.give(ToolFinished(call_id=call_id, output="found", is_error=False))

    @rule(response_id=RESPONSES, samples=st.integers(1, 24000))
    def sound_comes(self, response_id, samples):
        self.desk.sound(response_id, samples)

    @rule(seconds=st.sampled_from((0.02, 0.2, 0.4, 0.9, 2.0, 7.0)))
    def time_passes(self, seconds):
        self.desk.wait(seconds)

    @rule(seconds=st.sampled_from((0.9, 2.1, 7.0)))
    def line_is_dead(self, seconds):
        self.desk.wait(seconds, is_line_alive=False)

    @rule()
    def voice_goes_on(self):
        self.desk.voiced()

    @precondition(lambda self: self.desk is not None and self.desk.running)
    @rule(data=st.data(), is_error=st.booleans())
    def tool_gives(self, data, is_error):
        call_id = data.draw(st.sampled_from(sorted(self.desk.running)))
        self.desk.running.discard(call_id)
        self.desk.give(ToolFinished(call_id=call_id, output="found", is_error=is_error))

    @precondition(lambda self: self.is_on)
    @rule()
    def link_is_lost(self):
        if self.desk.engine.state is not SessionState.RECONNECTING:
            self.desk.give(LinkClosed(is_clean=False, reason="lost"))

    @rule()
    def standby_is_lost(self):
        self.desk.give(StandbyLost())

    @precondition(lambda self: self.is_on)
    @rule(event=ENDS)
    def it_ends(self, event):
        self.desk.give(event)

    # ── the promises ────────────────────────────────────────────────────────────────────────

    @invariant()
    def events_follow_one_another(self):
        """States lead from the last to another, turns begin and end by turns, the end is last."""
        if self.desk is None:
            return
        new = self.desk.emitted[self._read :]
        self._read = len(self.desk.emitted)
        with self._ends_at_a_fault():
            for event in new:
                match event:
                    case StateChanged():
                        assert event.previous is self._state is not event.state
                        self._state = event.state
                    case UserSpeechStarted():
                        assert not self._is_speaking, "a turn begins when none is open"
                        self._is_speaking = True
                    case UserSpeechEnded():
                        assert self._is_speaking, "a turn ends that has begun"
                        self._is_speaking = False
                    case SessionEnded():
                        assert event is self.desk.emitted[-1], "nothing follows the end"
                    case _:
                        pass

    @invariant()
    def the_history_is_valid_on_every_wire(self):
        """At every moment it can be given to another service of any kind."""
        if self.desk is not None:
            with self._ends_at_a_fault():
                assert broken_rules(self.desk.engine.history) == []

    @contextmanager
    def _ends_at_a_fault(self):
        """After a broken promise there is nothing to bring to rest."""
        try:
            yield
        except AssertionError:
            self.desk = None
            raise

    def teardown(self):
        """Nothing more happens outside: it is idle or has ended, and nothing is left open."""
        if self.desk is None:
            return
        desk, self.desk = self.desk, None
        engine = desk.engine
        for event in (TalkKey(is_down=False), VoiceStopped(ago_ms=0), SpeechStopped()):
            if not isinstance(event, TalkKey) or engine._exchange._turns.is_push_to_talk:
                desk.give(event)
        for number in range(1, 6):
            desk.give(WorkEnded(work_id=WorkId(f"w{number}")))
        for response_id in tuple(desk.open):
            status = ResponseStatus.COMPLETED
            desk.give(ResponseDone(response_id=response_id, status=status))
        desk.drain()
        assert desk.is_over or engine.floor is Floor.QUIET, f"the floor is {engine.floor.name}"
        assert desk.is_over or engine.state is SessionState.IDLE, engine.state
        assert not desk.open, f"responses that never end: {sorted(desk.open)}"
        assert not desk.running, "tools that run on"
        assert broken_rules(engine.history, are_calls_over=True) == []
        desk.give(Close())
        assert desk.is_over
        assert engine.deadline is None


AnyEngine.TestCase.settings = settings(max_examples=150, stateful_step_count=40)


class TestAnyEngine(AnyEngine.TestCase):
    """Runs it."""
