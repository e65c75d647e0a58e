"""An engine on a desk: with a clock, a line that plays in real time, and a driver that obeys."""

from collections import deque
from itertools import pairwise
from typing import get_args

from beluga_voice.audio.playout import Playout
from beluga_voice.engine.effects import (
    Connect,
    Drop,
    Effect,
    End,
    Finish,
    Pause,
    Resume,
    RunTool,
    Send,
    Silence,
    Standby,
    StopTool,
    Summarise,
    Swap,
    Yield,
)
from beluga_voice.engine.engine import Engine, EngineSettings
from beluga_voice.engine.happened import (
    Happened,
    LinkOpened,
    StandbyReady,
    Summarised,
    ToolFinished,
)
from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseStarted,
    LinkClosed,
    ResponseId,
    S2sCommand,
    SessionEvent,
    SessionId,
    ToolCallId,
)
from beluga_voice.interfaces import Capabilities, TurnOwner

RATE = 24000
EVENTS = get_args(SessionEvent.__value__)
PIECE = RATE // 50
"""The line takes 20 ms at a time."""


class Desk:
    """Does what the engine wants, as a session would, and counts every sample."""

    def __init__(
        self,
        *,
        owner: TurnOwner,
        capabilities: Capabilities,
        settings: EngineSettings,
        reports_playback: bool = False,
    ) -> None:
        self.now = 0.0
        self.engine = Engine(
            session_id=SessionId("desk"),
            provider="desk",
            capabilities=capabilities,
            turn_owner=owner,
            input_rate=16000,
            output_rate=RATE,
            line_rate=RATE,
            settings=settings,
            reports_playback=reports_playback,
        )
        self.emitted: list[SessionEvent] = []
        self.commands: list[S2sCommand] = []
        self.generated: dict[ResponseId, int] = {}
        self.sent: dict[ResponseId, int] = {}
        """What went to the line, without what was taken back."""
        self.open: set[ResponseId] = set()
        self.running: set[ToolCallId] = set()
        self.is_over = False
        self._to_tell: deque[Happened] = deque()
        self._waiting: Playout[ResponseId] = Playout()
        self._ahead: deque[tuple[ResponseId, int]] = deque()
        """What the line was given, and may not have sounded yet."""
        self._busy_until = 0.0
        self._is_paused = False
        self.engine.start(self.now)
        self._obey()

    # ── what a machine does ─────────────────────────────────────────────────────────────────

    def give(self, event: Happened) -> None:
        """Let something happen."""
        self.engine.heard_line(self.now)
        self.engine.receive(event, self.now)
        self._obey()

    def sound(self, response_id: ResponseId, samples: int) -> None:
        """Sound of a response comes from the service."""
        if self.engine.generated(response_id, samples, self.now):
            self.generated[response_id] = self.generated.get(response_id, 0) + samples
            self._waiting.put(response_id, bytes(2 * samples))
        self._obey()
        self._play()

    def voiced(self) -> None:
        """A frame of the person's voice comes."""
        self.engine.voiced(self.now)
        self._obey()

    def wait(self, seconds: float, *, is_line_alive: bool = True) -> None:
        """Let time pass, with all that is due in between; a line that lives brings sound."""
        end = self.now + seconds
        while not self.is_over:
            due = self.engine.deadline
            plays = self._busy_until if self._may_play else None
            moments = [one for one in (due, plays) if one is not None and one <= end]
            if not moments:
                break
            self.now = max(self.now, min(moments))
            if is_line_alive:
                self.engine.heard_line(self.now)
            if due is not None and due <= self.now:
                self.engine.expire(self.now)
                self._obey()
            self._play()
        self.now = end

    # ── the driver ──────────────────────────────────────────────────────────────────────────

    def _obey(self) -> None:
        while self.engine.effects or self._to_tell:
            while self.engine.effects:
                self._do(self.engine.effects.popleft())
            if self._to_tell:
                self.engine.receive(self._to_tell.popleft(), self.now)

    def _do(self, effect: Effect) -> None:
        assert not self.is_over, f"{type(effect).__name__} after the end"
        match effect:
            case Send():
                self.commands.append(effect.command)
            case Silence():
                self._waiting.clear()
                self._take_back(self._samples_ahead())
                self._is_paused = False
            case Pause():
                assert effect.samples >= self._samples_ahead(), "what is ahead is taken back"
                for response_id, samples in self._take_back(effect.samples):
                    self._waiting.put_back(response_id, bytes(2 * samples))
                self._is_paused = True
            case Resume():
                self._is_paused = False
            case Drop():
                self._waiting.drop(effect.response_id)
            case Finish():
                self._waiting.finish(effect.response_id)
            case Yield():
                self._waiting.move_back(effect.response_id)
            case RunTool():
                self.running.add(effect.call_id)
            case StopTool():
                self.running.discard(effect.call_id)
            case Connect():
                self._to_tell.append(LinkOpened())
            case Swap():
                self._to_tell.append(LinkClosed(is_clean=False, reason=effect.reason))
            case Standby():
                self._to_tell.append(StandbyReady())
            case Summarise():
                self._to_tell.append(Summarised(count=len(effect.items), text="in short"))
            case End():
                self.is_over = True
            case event if isinstance(event, EVENTS):
                self._hear(event)
            case _:
                pass

    def _hear(self, event: SessionEvent) -> None:
        self.emitted.append(event)
        if isinstance(event, AgentResponseStarted):
            assert event.response_id not in self.sent, "a response begins once"
            self.open.add(event.response_id)
            self.sent[event.response_id] = 0
        elif isinstance(event, AgentResponseEnded):
            assert event.response_id in self.open, "a response ends once"
            self.open.remove(event.response_id)
            heard = round(event.heard_ms * RATE / 1000)
            generated = self.generated.get(event.response_id, 0)
            assert heard >= 0, "nobody hears less than nothing"
            assert heard <= self.sent[event.response_id], "heard is no more than sent"
            assert self.sent[event.response_id] <= generated, "sent is no more than generated"
            assert abs(event.generated_ms * RATE / 1000 - generated) <= 1
            assert len(event.heard_text) <= len(event.text)
            self._check_ledger(event)

    def _check_ledger(self, event: AgentResponseEnded) -> None:
        ledger = event.ledger
        assert ledger is not None
        steps = (ledger.generated, ledger.queued, ledger.sent, ledger.audible, ledger.heard)
        for more, less in pairwise(steps):
            assert less.ms <= more.ms, "no length is above the last"
            assert less.words <= more.words, "no count is above the last"
        assert all(one.words >= 0 <= one.ms for one in steps)
        assert (ledger.generated.ms, ledger.heard.ms) == (event.generated_ms, event.heard_ms)
        sent = self.sent[event.response_id]
        assert ledger.sent.ms * RATE / 1000 >= sent - 1, "what went to the line is counted"
        assert ledger.heard.words == len(event.heard_text.split())

    # ── the line ────────────────────────────────────────────────────────────────────────────

    def _play(self) -> None:
        """Hand over what is due, in pieces."""
        while self._may_play and self._busy_until <= self.now:
            taken = self._waiting.take(PIECE)
            if taken is None:
                return
            response_id, piece = taken[0], len(taken[1]) // 2
            self._busy_until = self.now + piece / RATE
            self._ahead.append((response_id, piece))
            assert response_id in self.open, "what sounds has begun and is not over"
            self.sent[response_id] += piece
            self.engine.sent(response_id, piece, self._busy_until, self.now)
            self._obey()

    @property
    def _may_play(self) -> bool:
        return self._waiting.ready(PIECE) and not self._is_paused

    def _samples_ahead(self) -> int:
        return max(0, round((self._busy_until - self.now) * RATE))

    def _take_back(self, samples: int) -> list[tuple[ResponseId, int]]:
        """Take so much out of what was handed over, newest first."""
        self._busy_until = min(self._busy_until, self.now)
        taken: list[tuple[ResponseId, int]] = []
        while samples > 0 and self._ahead:
            response_id, length = self._ahead.pop()
            back = min(length, samples)
            if length > back:
                self._ahead.append((response_id, length - back))
            self.sent[response_id] -= back
            taken.append((response_id, back))
            samples -= back
        return taken

    def drain(self) -> None:
        """Nothing more happens outside, but what was begun comes to its end."""
        for call_id in tuple(self.running):
            self.running.discard(call_id)
            self.give(ToolFinished(call_id=call_id, output="x", is_error=False))
        self.wait(300.0)
