"""A whole session keeps its promises, whatever people, services and the application do."""

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

from beluga_voice.engine.interruptions import NEVER, InterruptionPolicy
from beluga_voice.events import (
    CallerInterrupt,
    EndOfTurnLikely,
    GoingAway,
    KeyPressed,
    Occasion,
    SpeechStarted,
    SpeechStopped,
    TalkKey,
    ToolCallWithdrawn,
    Transcript,
    TurnContinued,
)
from session.ledger import Ledger
from session.puppet import Answer, Final, Puppet, Setting, ToolWay
from session.wires import broken_rules

POLICIES = (
    InterruptionPolicy(),
    InterruptionPolicy(resumes=False),
    InterruptionPolicy(min_ms=0),
    InterruptionPolicy(min_words=1),
    InterruptionPolicy(guard_ms=300),
    NEVER,
)

SETTINGS = st.builds(
    Setting,
    stage=st.sampled_from(("cascade", "service")),
    final_ms=st.sampled_from((50, 0, 400)),
    has_interims=st.booleans(),
    first_sound_ms=st.sampled_from((30, 0, 300)),
    making_ms=st.sampled_from((0, 300)),
    has_word_times=st.sampled_from((True, False)),
    lead_ms=st.sampled_from((20, 100)),
    prepares=st.booleans(),
    policy=st.sampled_from(POLICIES),
    greeting=st.sampled_from(("", "welcome to the bank")),
    idle_ms=st.sampled_from((None, 3000)),
    goodbye=st.sampled_from(("", "good bye then")),
    history_limit=st.sampled_from((200, 6)),
    ends_abruptly=st.booleans(),
)

ANSWERS = st.sampled_from(Answer.__value__.__args__)
FINALS = st.sampled_from(Final.__value__.__args__)
TOOL_WAYS = st.sampled_from(ToolWay.__value__.__args__)
HINTS = st.sampled_from(
    (
        Transcript(text="too early", is_final=False),
        Transcript(text="not asked for", is_final=True),
        EndOfTurnLikely(probability=0.9, is_eager=True),
        EndOfTurnLikely(probability=0.9),
        TurnContinued(),
        SpeechStarted(),
        SpeechStopped(),
    )
)
WAITS = st.sampled_from((0.0, 0.05, 0.2, 0.31, 0.7, 1.0, 2.0, 4.0))


class AnySession(RuleBasedStateMachine):
    """People, services and an application that do anything at any time."""

    puppet: Puppet | None = None

    @initialize(setting=SETTINGS)
    def begins(self, setting):
        self.puppet = Puppet(setting)
        self.ledger = Ledger(rate=24000)
        self.is_leaving = self.talk_key_is_down = False

    @property
    def is_on(self):
        return self.puppet is not None and not self.puppet.is_over and not self.is_leaving

    # ── the person ──────────────────────────────────────────────────────────────────────────

    @rule(words=st.integers(1, 6), wait=WAITS)
    def speaks(self, words, wait):
        self.puppet.say(words)
        self.puppet.go(wait)

    @rule(milliseconds=st.sampled_from((40, 100, 240, 400, 900, 2000)), wait=WAITS)
    def makes_a_noise(self, milliseconds, wait):
        self.puppet.noise(milliseconds)
        self.puppet.go(wait)

    @rule(text=st.sampled_from(("mm-hm", "okay okay", "yeah")), wait=WAITS)
    def shows_that_they_listen(self, text, wait):
        self.puppet.do(lambda: self.puppet.caller.begin(text))
        self.puppet.go(wait)

    @rule(wait=WAITS)
    def waits(self, wait):
        self.puppet.go(wait)

    @rule(wait=WAITS)
    def types(self, wait):
        self.puppet.do(lambda: self.puppet.caller.type("typed"))
        self.puppet.go(wait)

    @rule(
        event=st.sampled_from(
            (
                CallerInterrupt(),
                KeyPressed(key="5"),
                KeyPressed(key="#"),
                TalkKey(is_down=True),
                TalkKey(is_down=False),
            )
        ),
        wait=WAITS,
    )
    def presses(self, event, wait):
        if isinstance(event, TalkKey):
            self.talk_key_is_down = event.is_down
        self.puppet.do(lambda: self.puppet.session.receive(event))
        self.puppet.go(wait)

    @precondition(lambda self: self.is_on)
    @rule()
    def hangs_up(self):
        self.puppet.do(self.puppet.caller.hang_up)

    # ── the services ────────────────────────────────────────────────────────────────────────

    @rule(answer=ANSWERS)
    def agent_will(self, answer):
        self.puppet.answer = answer

    @precondition(lambda self: self.is_on)
    @rule(way=TOOL_WAYS, wait=WAITS)
    def agent_calls_a_tool(self, way, wait):
        self.puppet.answer = "tool"
        self.puppet.update_tools(way)
        self.puppet.do(lambda: self.puppet.caller.type("look it up"))
        self.puppet.go(wait)

    @rule(final=FINALS)
    def finals_will_be(self, final):
        self.puppet.final = final

    @rule(hint=HINTS, wait=WAITS)
    def recogniser_tells(self, hint, wait):
        self.puppet.do(lambda: self.puppet.stt.links[-1].tell(hint))
        self.puppet.go(wait)

    @rule(wait=WAITS)
    def calls_are_withdrawn(self, wait):
        calls = tuple(self.puppet.open_calls())
        self.puppet.do(lambda: self.puppet.service.tell(ToolCallWithdrawn(call_ids=calls)))
        self.puppet.go(wait)

    @rule(wait=WAITS)
    def service_will_go_away(self, wait):
        self.puppet.do(lambda: self.puppet.service.tell(GoingAway(time_left_seconds=30.0)))
        self.puppet.go(wait)

    @rule(which=st.sampled_from(("stt", "tts")), wait=WAITS)
    def is_lost(self, which, wait):
        service = self.puppet.stt if which == "stt" else self.puppet.tts
        self.puppet.do(lambda: service.links[-1].lose())
        self.puppet.go(wait)

    # ── the application ─────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.is_on)
    @rule(occasion=st.sampled_from((Occasion.NORMAL, Occasion.NOTICE)), wait=WAITS)
    def application_says(self, occasion, wait):
        self.puppet.app_says("this is what we say", occasion)
        self.puppet.go(wait)

    @precondition(lambda self: self.puppet is not None and self.puppet.sayings)
    @rule(data=st.data(), wait=WAITS)
    def application_takes_back(self, data, wait):
        saying = data.draw(st.sampled_from(range(len(self.puppet.sayings))))
        self.puppet.do(self.puppet.sayings[saying].cancel)
        self.puppet.go(wait)

    @precondition(lambda self: self.is_on)
    @rule(wait=WAITS)
    def application_interrupts(self, wait):
        self.puppet.do(self.puppet.session.interrupt)
        self.puppet.go(wait)

    @precondition(lambda self: self.is_on)
    @rule(wait=WAITS)
    def application_writes(self, wait):
        self.puppet.do(lambda: self.puppet.session.send_text("written"))
        self.puppet.go(wait)

    @precondition(lambda self: self.is_on)
    @rule(way=TOOL_WAYS, wait=WAITS)
    def application_changes_tools(self, way, wait):
        self.puppet.update_tools(way)
        self.puppet.go(wait)

    @precondition(lambda self: self.is_on)
    @rule()
    def application_changes_instructions(self):
        self.puppet.do(lambda: self.puppet.session.update(instructions="be brief"))

    @precondition(lambda self: self.is_on)
    @rule(wait=WAITS)
    def application_reconnects(self, wait):
        self.puppet.do(self.puppet.session.reconnect)
        self.puppet.go(wait)

    @precondition(lambda self: self.is_on)
    @rule(goodbye=st.sampled_from(("", "so long")), wait=WAITS)
    def application_leaves(self, goodbye, wait):
        self.is_leaving = True
        self.puppet.begin(lambda: self.puppet.session.leave(goodbye))
        self.puppet.go(wait)

    # ── the promises ────────────────────────────────────────────────────────────────────────

    @invariant()
    def the_ledger_is_right(self):
        """Heard is no more than sent, sent no more than generated, and one response sounds."""
        if self.puppet is not None:
            with self._ends_at_a_fault():
                self.ledger.read(self.puppet.trace.happenings)

    @invariant()
    def the_history_is_valid_on_every_wire(self):
        """At every moment it can be given to another service of any kind."""
        if self.puppet is not None:
            with self._ends_at_a_fault():
                assert broken_rules(self.puppet.session.history) == []
                assert broken_rules(self.puppet.told) == []

    @contextmanager
    def _ends_at_a_fault(self):
        """After a broken promise there is nothing to tear down in order."""
        try:
            yield
        except AssertionError:
            puppet, self.puppet = self.puppet, None
            puppet.drop()
            raise

    def teardown(self):
        """Nothing more happens outside: it comes to rest or ends, and leaves nothing."""
        if self.puppet is None:
            return
        puppet, self.puppet = self.puppet, None
        try:
            if not puppet.setting.ends_abruptly:
                self._comes_to_rest(puppet)
        except BaseException:
            puppet.drop()
            raise
        puppet.leave()

    def _comes_to_rest(self, puppet):
        if self.talk_key_is_down:
            puppet.do(lambda: puppet.session.receive(TalkKey(is_down=False)))
        came_to_rest = puppet.rest()
        self.ledger.read(puppet.trace.happenings)
        assert came_to_rest, f"still {puppet.session.state} after a minute"
        if self.is_leaving:
            assert puppet.is_over, "who leaves is gone in the end"
        if not puppet.is_over:
            self.ledger.at_rest()
        assert broken_rules(puppet.session.history, are_calls_over=True) == []
        assert all(one.outcome is not None for one in puppet.sayings), "a saying is left open"
        if puppet.setting.has_word_times:
            # What sounds in the gap of another ends before it.
            assert sorted(puppet.heard()) == sorted(self.ledger.words())


AnySession.TestCase.settings = settings(max_examples=60, stateful_step_count=25)


class TestAnySession(AnySession.TestCase):
    """Runs it."""
