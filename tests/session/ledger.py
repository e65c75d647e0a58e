"""What holds in every conversation, whatever happened in it: checked against a trace."""

from collections.abc import Iterable
from itertools import pairwise

from beluga_voice.events import (
    AgentResponseAudio,
    AgentResponseEnded,
    AgentResponseResumed,
    AgentResponseStarted,
    BargedIn,
    FunctionAnswered,
    FunctionCalled,
    ResponseId,
    SessionEnded,
    SessionState,
    StateChanged,
    ToolCallId,
    UserSpeechEnded,
    UserSpeechStarted,
)
from beluga_voice.session.happening import Happening

EXACT_MS = 0.002
"""Sums of milliseconds that were rounded to the microsecond."""


class Ledger:
    """Reads a trace bit by bit; raises `AssertionError` at the first line that breaks a promise."""

    def __init__(self, *, rate: int) -> None:
        self._rate = rate
        self._read = 0
        self._started: dict[ResponseId, float] = {}
        """Responses that have begun, and how much of each went to the line, in milliseconds."""
        self._ended: set[ResponseId] = set()
        self._paused: set[ResponseId] = set()
        """Those that paused at any time: what was taken back goes to the line twice."""
        self._order: list[ResponseId] = []
        """Which response sounded, which within its pauses, and so on."""
        self._passed: set[ResponseId] = set()
        """Those that sounded while another was stuck that goes on now."""
        self._calls: set[ToolCallId] = set()
        self._answered: set[ToolCallId] = set()
        self._state = SessionState.CONNECTING
        self._is_speaking = False
        self._is_over = False
        self.heard: list[str] = []
        """What was heard of each response, in the order in which they ended."""

    def read(self, happenings: list[Happening]) -> None:
        """Take what is new."""
        new = happenings[self._read :]
        self._read = len(happenings)
        for one in new:
            self._take(one)

    def _take(self, one: Happening) -> None:
        event = one.event
        assert not self._is_over, f"{type(event).__name__} after the end"
        match event:
            case AgentResponseStarted():
                assert event.response_id not in self._started, "a response begins once"
                self._started[event.response_id] = 0.0
            case AgentResponseAudio():
                self._sound(event)
            case BargedIn():
                assert event.response_id in self._started, "what is cut or pauses has begun"
                self._paused.add(event.response_id)
            case AgentResponseResumed():
                assert event.response_id in self._open, "what goes on is not over"
                assert event.response_id in self._paused, "what goes on has paused"
            case AgentResponseEnded():
                self._end(event)
            case StateChanged():
                assert event.previous is self._state, "a state follows the one before it"
                assert event.state is not self._state, "a state that is told is another one"
                self._state = event.state
            case UserSpeechStarted():
                assert not self._is_speaking, "a turn begins when none is open"
                self._is_speaking = True
            case UserSpeechEnded():
                assert self._is_speaking, "a turn ends that has begun"
                self._is_speaking = False
            case FunctionCalled():
                assert event.call_id not in self._calls, "a call begins once"
                self._calls.add(event.call_id)
            case FunctionAnswered():
                assert event.call_id in self._calls - self._answered, "a call is answered once"
                self._answered.add(event.call_id)
            case SessionEnded():
                self._is_over = True
            case _:
                pass

    @property
    def _open(self) -> set[ResponseId]:
        return self._started.keys() - self._ended

    def _sound(self, event: AgentResponseAudio) -> None:
        me = event.response_id
        assert me in self._open, "what sounds has begun and is not over"
        self._started[me] += len(event.pcm) / 2 * 1000 / self._rate
        assert me not in self._passed, "two responses sound by turns"
        if me in self._order:
            # It was stuck in its middle, and what sounded meanwhile is over.
            self._passed |= set(self._order[self._order.index(me) + 1 :])
            del self._order[self._order.index(me) + 1 :]
        else:
            self._order.append(me)

    def _end(self, event: AgentResponseEnded) -> None:
        me = event.response_id
        assert me in self._open, "a response ends once, after it began"
        self._ended.add(me)
        sent = self._started[me]
        assert 0 <= event.heard_ms <= sent + EXACT_MS, "heard is no more than sent"
        assert event.heard_ms <= event.generated_ms + EXACT_MS, "heard is no more than generated"
        if me not in self._paused:
            assert sent <= event.generated_ms + EXACT_MS, "sent is no more than generated"
        assert len(event.heard_text) <= len(event.text), "no word is heard that was not made"
        self._check(event)
        self.heard.append(event.heard_text)

    def _check(self, event: AgentResponseEnded) -> None:
        """Of the five counts, none is more than the one before."""
        ledger = event.ledger
        assert ledger is not None
        steps = (ledger.generated, ledger.queued, ledger.sent, ledger.audible, ledger.heard)
        for more, less in pairwise(steps):
            assert less.ms <= more.ms, "no length is above the last"
            assert less.words <= more.words, "no count is above the last"
        assert (ledger.generated.ms, ledger.heard.ms) == (event.generated_ms, event.heard_ms)

    def at_rest(self) -> None:
        """Nothing is left open: called when nobody speaks and nothing is awaited."""
        assert not self._open, f"responses that never end: {sorted(self._open)}"
        assert not self._is_speaking, "a turn that never ends"

    def words(self) -> list[str]:
        """All the words that were heard, by the session's own account."""
        return _words(self.heard)


def _words(texts: Iterable[str]) -> list[str]:
    return [word for text in texts for word in text.split()]
