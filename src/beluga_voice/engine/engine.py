"""The conversation itself: given what happened and when, says what to do.

How it works. `receive` takes one thing that happened, `expire` the passing of a deadline. Each
changes the small machines (`turns`, `playback`, `link`, `tools`, `history`, `deadlines`) and leaves
`effects`. Sound itself passes by: the engine is told how much of it came (`generated`) and how much
left for the person (`sent`). There is no clock, no task and no network here: the time is an
argument, in seconds.

Interruption is one path, `_cut`: whoever stops a response (the person's voice, a key, typed
words, the service, a lost link) comes through it, so the ledger, the history and the service
always agree about what was heard.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import assert_never

from beluga_voice.engine.deadlines import DeadAirSettings, Deadlines, Due, Rung
from beluga_voice.engine.effects import (
    Connect,
    Effect,
    End,
    Finish,
    Forget,
    Forward,
    Replay,
    RunTool,
    Send,
    Silence,
    StopTool,
    Tone,
)
from beluga_voice.engine.happened import (
    Close,
    Happened,
    LinkFailed,
    LinkOpened,
    ToolFinished,
)
from beluga_voice.engine.history import History
from beluga_voice.engine.latency import Marks
from beluga_voice.engine.link import (
    Connection,
    ConnectionInput,
    ReconnectSettings,
    connection,
)
from beluga_voice.engine.playback import Playback, Response, planned
from beluga_voice.engine.tools import Tools
from beluga_voice.engine.turns import Floor, Turn, TurnSettings, turns
from beluga_voice.engine.voice import VoiceStarted, VoiceStopped
from beluga_voice.errors import BelugaError, ErrorCode, ProviderError
from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseStarted,
    AgentResponseText,
    AnswerTool,
    BargedIn,
    CallClosed,
    CallerInterrupt,
    CallerText,
    ClearInput,
    CreateResponse,
    DelegationRequested,
    EndReason,
    EndUserTurn,
    ErrorCategory,
    ErrorOccurred,
    FunctionAnswered,
    FunctionCalled,
    GoingAway,
    HistoryItem,
    InputCommitted,
    InputTranscript,
    Interrupt,
    Interrupted,
    KeyPressed,
    LinkClosed,
    LinkReady,
    NoResponse,
    Reconnected,
    Reconnecting,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseOutcome,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    ResumptionChanged,
    Say,
    SendText,
    ServiceFailed,
    SessionEnded,
    SessionEvent,
    SessionId,
    SessionStarted,
    SessionState,
    SpeechStarted,
    SpeechStopped,
    StartUserTurn,
    StateChanged,
    TalkKey,
    TextStage,
    ToolCalled,
    ToolCallWithdrawn,
    ToolResult,
    ToolUse,
    Transcription,
    Update,
    UsageReported,
    UserSpeechEnded,
    UserSpeechStarted,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities, TurnOwner

KEYS_PAUSE_MS = 2000
"""Telephone keys that follow one another within this time are one input; `#` ends it at once."""

ROUNDING_MS = 0.001
"""Times that differ by less are the same."""

_CODES = {
    ErrorCategory.RETRYABLE: ErrorCode.PROVIDER_ERROR,
    ErrorCategory.AUTH: ErrorCode.AUTHENTICATION_FAILED,
    ErrorCategory.RATE_LIMIT: ErrorCode.RATE_LIMIT,
    ErrorCategory.INVALID_REQUEST: ErrorCode.INVALID_REQUEST,
    ErrorCategory.TIMEOUT: ErrorCode.TIMEOUT,
    ErrorCategory.SESSION_EXPIRED: ErrorCode.STREAM_CLOSED,
    ErrorCategory.BENIGN: ErrorCode.PROVIDER_ERROR,
}

_STATES = {
    Floor.QUIET: SessionState.IDLE,
    Floor.USER: SessionState.SPEAKING,
    Floor.PAUSED: SessionState.SPEAKING,
    Floor.WAITING: SessionState.PROCESSING,
    Floor.AGENT: SessionState.RESPONDING,
    Floor.OVERLAP: SessionState.RESPONDING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How a conversation behaves."""

    turns: TurnSettings = field(default_factory=TurnSettings)
    dead_air: DeadAirSettings = field(default_factory=DeadAirSettings)
    reconnect: ReconnectSettings = field(default_factory=ReconnectSettings)
    history_limit: int = 200


class Engine:
    """One conversation."""

    def __init__(
        self,
        *,
        session_id: SessionId,
        provider: str,
        capabilities: Capabilities,
        turn_owner: TurnOwner,
        input_rate: int,
        output_rate: int,
        line_rate: int,
        settings: EngineSettings,
        history: tuple[HistoryItem, ...] = (),
    ) -> None:
        self._session_id = session_id
        self._provider = provider
        self._capabilities = capabilities
        self._owner = turn_owner
        self._input_rate = input_rate
        self._line_rate = line_rate
        self._settings = settings
        self._turns = turns()
        self._link = connection()
        self._playback = Playback(output_rate)
        self._tools = Tools()
        self._history = History(history, limit=settings.history_limit)
        self._deadlines = Deadlines()
        self.effects: deque[Effect] = deque()
        """What to do, in order. Whoever drives the engine takes them out from the left."""
        self._state = SessionState.CONNECTING
        self._attempt = 0
        self._was_up = False
        self._is_voice = False
        self._voice_began = 0.0
        self._push_to_talk = False
        self._awaits_words = False
        self._rung: Rung | None = None
        self._marks: Marks | None = None
        self._owes_answer = False
        self._keys = ""
        self._written = 0
        self.input_at = 0.0
        """When the driver last got sound from the line."""

    # ── what others may look at ─────────────────────────────────────────────────────────────

    @property
    def state(self) -> SessionState:
        """What the session is doing."""
        return self._state

    @property
    def floor(self) -> Floor:
        """Who has the floor."""
        return self._turns.state

    @property
    def history(self) -> tuple[HistoryItem, ...]:
        """What was said, as heard."""
        return self._history.items

    @property
    def deadline(self) -> float | None:
        """When `expire` wants to be called, in seconds."""
        return self._deadlines.next

    @property
    def is_over(self) -> bool:
        """Whether the session has ended."""
        return self._link.state is Connection.CLOSED

    # ── what happens ────────────────────────────────────────────────────────────────────────

    def start(self, now: float) -> None:
        """Begin: connect."""
        self.input_at = now
        self._connect()

    def receive(self, event: Happened, now: float) -> None:
        """Take what happened. After the end, everything is ignored."""
        if self.is_over:
            return
        match event:
            case ResponseText():
                self._response_text(event, now)
            case ResponseStarted():
                self._response_started(event)
            case ResponseDone():
                self._response_done(event, now)
            case NoResponse():
                self._no_response()
            case VoiceStarted():
                if self._owner is TurnOwner.FRAMEWORK and not self._push_to_talk:
                    self._voice(now - event.ago_ms / 1000, now)
            case VoiceStopped():
                if self._owner is TurnOwner.FRAMEWORK and not self._push_to_talk:
                    self._hush(now - event.ago_ms / 1000, now)
            case InputTranscript():
                self._input_transcript(event, now)
            case InputCommitted():
                self._history.commit(event.utterance_id)
            case SpeechStarted():
                if self._owner is TurnOwner.PROVIDER:
                    self._voice(now, now)
            case SpeechStopped():
                if self._owner is TurnOwner.PROVIDER and self._is_voice:
                    self._hush(now, now)
                    self._over(now)
            case Interrupted():
                self._interrupted(event.response_id, now)
            case ToolCalled():
                self._tool_called(event, now)
            case ToolCallWithdrawn():
                for call_id in event.call_ids:
                    if self._tools.withdraw(call_id) is not None:
                        self._do(StopTool(call_id=call_id))
            case ToolFinished():
                self._tool_finished(event, now)
            case CallerText():
                self._text(event.text, now)
            case CallerInterrupt():
                self._stop(now)
            case KeyPressed():
                self._key(event.key, now)
            case TalkKey():
                self._talk_key(event.is_down, now)
            case CallClosed():
                self._end("hung_up", event.reason)
            case Say():
                self._send(event)
                self._ask(now)
            case Update():
                self._send(event)
            case ServiceFailed():
                if event.category is not ErrorCategory.BENIGN:
                    self._fail(_CODES[event.category], event.message)
            case LinkOpened():
                self._link_opened(now)
            case LinkFailed():
                self._link_failed(event.error, now)
            case LinkClosed():
                self._link_closed(event, now)
            case Close():
                self._end(event.reason, event.message)
            case (
                ResponseAudio() | LinkReady() | UsageReported() | GoingAway() | ResumptionChanged()
            ):
                pass
            case DelegationRequested():
                pass
            case _:
                assert_never(event)

    def generated(self, response_id: ResponseId, samples: int, now: float) -> bool:
        """Sound of a response came; whether it should be played.

        It should not if the response was cut, or never began: it is dropped then.
        """
        response = self._playback.get(response_id)
        if response is None or response.status is not None:
            return False
        response.generated += samples
        if self._marks is not None:
            self._marks.note_audio(now)
        return True

    def broken(self, message: str) -> None:
        """The service sent what cannot be used."""
        self._fail(ErrorCode.INVALID_AUDIO_FORMAT, f"{self._provider} {message}")

    def sent(
        self, response_id: ResponseId, samples: int, sounding_until: float, now: float
    ) -> None:
        """Sound of a response was handed to the person's line, which is busy until then."""
        response = self._playback.get(response_id)
        if response is None:
            return
        is_first = response.sent == 0
        self._playback.sent(response, samples, sounding_until)
        if is_first:
            self._first_sound(response, now)
        if response.is_generated and response.sent >= response.generated:
            self._await_end(now)

    def voiced(self, now: float) -> None:
        """A frame of the person's voice came: it may be the one that makes an interruption."""
        if self.floor is Floor.OVERLAP:
            self._judge(now)

    def expire(self, now: float) -> None:
        """Time passed: do what is due by `now`."""
        while not self.is_over and (due := self._deadlines.expired(now)) is not None:
            match due:
                case Due.END_OF_TURN:
                    self._over(now)
                case Due.END_OF_RESPONSE:
                    self._settle_heard(now)
                case Due.ANSWER:
                    self._climb(now)
                case Due.STALLED_INPUT:
                    self._check_input(now)
                case Due.RECONNECT:
                    self._connect()
                case Due.KEYS:
                    self._keys_done(now)
                case _:
                    assert_never(due)

    # ── the floor ───────────────────────────────────────────────────────────────────────────

    def _voice(self, began: float, now: float) -> None:
        """The person's voice started at `began`."""
        if self._is_voice or self._owner is TurnOwner.DUPLEX:
            return
        self._is_voice = True
        self._owes_answer = False
        self._voice_began = began
        before = self.floor
        self._take(Turn.VOICE)
        self._deadlines.set(Due.STALLED_INPUT, now + self._settings.turns.stalled_input_ms / 1000)
        if before is Floor.PAUSED:
            self._deadlines.clear(Due.END_OF_TURN)
            return
        self._emit(UserSpeechStarted())
        if before is Floor.WAITING:
            self._cut(now)
        if before is Floor.AGENT:
            self._do(Forward(is_on=True))
            self._judge(now)
            return
        self._begin_turn()

    def _hush(self, ended: float, now: float) -> None:
        """The person's voice stopped at `ended`."""
        if not self._is_voice:
            return
        self._is_voice = False
        self._deadlines.clear(Due.STALLED_INPUT)
        before = self.floor
        if not self._turns.takes(Turn.HUSH):
            return
        self._take(Turn.HUSH)
        if before is Floor.OVERLAP:
            if self._owner is TurnOwner.FRAMEWORK:
                self._send(ClearInput())
                self._do(Forward(is_on=False))
                self._do(Forget())
            self._emit(UserSpeechEnded(was_ignored=True))
            return
        self._marks = Marks(voice_ended=ended)
        due = ended + self._settings.turns.end_silence_ms / 1000
        if self._owner is not TurnOwner.FRAMEWORK:
            return
        if due <= now:
            self._over(now)
        else:
            self._deadlines.set(Due.END_OF_TURN, due)

    def _over(self, now: float) -> None:
        """The person's turn is over."""
        self._deadlines.clear(Due.END_OF_TURN)
        if not self._turns.takes(Turn.OVER):
            return
        self._take(Turn.OVER)
        if self._marks is None:
            self._marks = Marks(voice_ended=now)
        self._marks.decided = now
        self._awaits_words = True
        if self._owner is TurnOwner.FRAMEWORK:
            self._send(EndUserTurn())
            self._do(Forward(is_on=False))
        self._emit(UserSpeechEnded())
        self._await_answer(now)

    def _begin_turn(self) -> None:
        """The person has the floor, and the service should know."""
        if self._owner is TurnOwner.FRAMEWORK:
            self._send(StartUserTurn())
            self._do(Forward(is_on=True))

    def _judge(self, now: float) -> None:
        """Voice and a response sound at once: which of them goes on?"""
        turns = self._settings.turns
        if self._owner is TurnOwner.PROVIDER or self._push_to_talk:
            self._barge_in(now)
        elif turns.allow_interruptions:
            voiced_ms = (now - self._voice_began) * 1000
            if voiced_ms >= turns.min_interruption_ms - ROUNDING_MS:
                self._barge_in(now)

    def _barge_in(self, now: float) -> None:
        """The overlap is an interruption: the person takes the floor."""
        if not self._turns.takes(Turn.TAKEN):
            return
        self._take(Turn.TAKEN)
        decision_ms = round((now - self._voice_began) * 1000, 3)
        if (sounding := self._cut(now)) is not None:
            self._emit(BargedIn(response_id=sounding, decision_ms=decision_ms))
        self._begin_turn()

    def _check_input(self, now: float) -> None:
        """The person speaks, as far as we know: is there still sound from the line?"""
        limit = self._settings.turns.stalled_input_ms / 1000
        due = self.input_at + limit
        if due > now:
            self._deadlines.set(Due.STALLED_INPUT, due)
        else:
            self._hush(self.input_at, now)
            if self._owner is TurnOwner.PROVIDER:
                self._over(now)

    def _stop(self, now: float) -> None:
        """Whatever is being said, or about to be, is not wanted any more."""
        if self.floor is Floor.WAITING and self._playback.is_idle:
            self._send(StartUserTurn())
            self._send(ClearInput())
        was_overlap = self.floor is Floor.OVERLAP
        self._cut(now)
        self._take(Turn.GONE)
        self._deadlines.clear(Due.ANSWER)
        if was_overlap:
            self._begin_turn()

    def _text(self, text: str, now: float) -> None:
        """The person wrote something: that interrupts what sounds."""
        if not text.strip():
            return
        if self.floor in (Floor.AGENT, Floor.OVERLAP, Floor.WAITING):
            self._stop(now)
        self._written += 1
        utterance_id = UtteranceId(f"written-{self._written}")
        self._history.say(text)
        self._emit(Transcription(utterance_id=utterance_id, text=text, is_final=True))
        self._send(SendText(text=text))
        self._marks = Marks(voice_ended=now, decided=now, words=now)
        self._ask(now)

    def _ask(self, now: float) -> None:
        """A response was asked for without a spoken turn."""
        self._take(Turn.ASKED)
        if self.floor is Floor.WAITING:
            self._await_answer(now)

    def _key(self, key: str, now: float) -> None:
        """One telephone key."""
        if key == "#":
            self._keys_done(now)
            return
        self._keys += key
        self._deadlines.set(Due.KEYS, now + KEYS_PAUSE_MS / 1000)

    def _keys_done(self, now: float) -> None:
        """The keys pressed so far are one input."""
        self._deadlines.clear(Due.KEYS)
        keys, self._keys = self._keys, ""
        self._text(keys, now)

    def _talk_key(self, is_down: bool, now: float) -> None:
        """Push-to-talk: the key says who speaks, and the voice detector no longer does."""
        self._push_to_talk = True
        if is_down:
            if self.floor in (Floor.AGENT, Floor.OVERLAP):
                self._stop(now)
            self._voice(now, now)
        elif self._is_voice:
            self._hush(now, now)
            self._over(now)

    # ── responses ───────────────────────────────────────────────────────────────────────────

    def _response_started(self, event: ResponseStarted) -> None:
        known = self._playback.get(event.response_id)
        if known is not None or self._playback.is_settled(event.response_id):
            return
        is_stale = (
            self._owner is TurnOwner.FRAMEWORK
            and event.origin is ResponseOrigin.TURN
            and self.floor in (Floor.USER, Floor.PAUSED)
        )
        if is_stale:
            # The person went on speaking while the service was about to answer.
            self._playback.refuse(event.response_id)
            self._send(Interrupt(response_id=event.response_id, heard_samples=0, heard_text=""))
            return
        self._playback.start(event.response_id, event.origin)
        self._history.respond(event.response_id)
        self._emit(AgentResponseStarted(response_id=event.response_id))

    def _response_text(self, event: ResponseText, now: float) -> None:
        response = self._playback.get(event.response_id)
        if response is None:
            return
        if self._marks is not None:
            self._marks.note_text(now)
        planned(response, event)
        if event.stage is TextStage.PLANNED or not response.planned:
            self._emit(AgentResponseText(response_id=event.response_id, delta=event.delta))

    def _response_done(self, event: ResponseDone, now: float) -> None:
        response = self._playback.get(event.response_id)
        if response is None or response.is_generated:
            return
        response.status = event.status
        if event.status is ResponseStatus.FAILED:
            self._fail(ErrorCode.PROVIDER_ERROR, event.reason or "a response failed")
        if event.status is ResponseStatus.CANCELLED:
            self._interrupted(event.response_id, now)
        elif response.generated == 0:
            self._settle(response, _outcome(response), now)
            if event.status is ResponseStatus.FAILED and self.floor is Floor.WAITING:
                self._owes_answer = True
                self._do(Tone())
            if not self._tools.running:
                self._spent()
        else:
            self._do(Finish(response_id=response.id))
            self._await_end(now)

    def _no_response(self) -> None:
        """The turn that ended gets no response."""
        if self.floor is Floor.WAITING and self._playback.is_idle and not self._tools.running:
            self._take(Turn.GONE)
            self._deadlines.clear(Due.ANSWER)

    def _first_sound(self, response: Response, now: float) -> None:
        """The first sound of a response goes to the person."""
        self._deadlines.clear(Due.ANSWER)
        self._rung = None
        before = self.floor
        self._take(Turn.SOUND)
        self._measure(response, now)
        if before is Floor.USER:
            self._voice_began = now
            self._judge(now)

    def _await_end(self, now: float) -> None:
        """Look again when the last sample of the oldest response has sounded."""
        ends = [end for r in self._playback.alive if (end := self._playback.end_of(r)) is not None]
        if not ends:
            return
        end = min(ends)
        if end <= now:
            self._settle_heard(now)
        else:
            self._deadlines.set(Due.END_OF_RESPONSE, end)

    def _settle_heard(self, now: float) -> None:
        """Close the account of every response that sounds no more."""
        for response in self._playback.alive:
            end = self._playback.end_of(response)
            if end is not None and end <= now:
                self._settle(response, _outcome(response), now)
        if self._playback.is_idle:
            self._spent()
        else:
            self._await_end(now)

    def _spent(self) -> None:
        """Nothing sounds any more, and nothing more is coming."""
        if not self._playback.is_idle:
            return
        was_overlap = self.floor is Floor.OVERLAP
        self._take(Turn.SPENT)
        self._deadlines.clear(Due.END_OF_RESPONSE)
        if was_overlap:
            self._begin_turn()
        if self.floor is Floor.QUIET:
            self._deadlines.clear(Due.ANSWER)

    def _interrupted(self, response_id: ResponseId | None, now: float) -> None:
        """The service stopped a response by itself."""
        if response_id is not None and self._playback.get(response_id) is None:
            return
        if self._playback.is_idle:
            return
        self._cut(now)
        if self.floor is Floor.OVERLAP:
            self._take(Turn.TAKEN)
            self._begin_turn()
        elif self.floor is not Floor.WAITING:
            self._take(Turn.GONE)

    def _cut(self, now: float) -> ResponseId | None:
        """Stop every response; gives the one that sounded.

        The person hears nothing of them from here on, and service and history are told what was
        heard until here.
        """
        alive = self._playback.alive
        if not alive:
            return None
        sounding = next((response.id for response in alive if response.sent), None)
        self._do(Silence())
        for response in alive:
            heard, text = self._settle(response, ResponseOutcome.CUT, now)
            self._send(Interrupt(response_id=response.id, heard_samples=heard, heard_text=text))
        self._playback.cleared(now)
        self._deadlines.clear(Due.END_OF_RESPONSE)
        self._deadlines.clear(Due.ANSWER)
        return sounding

    def _settle(self, response: Response, outcome: ResponseOutcome, now: float) -> tuple[int, str]:
        settled = self._playback.settle(response, outcome, now)
        is_cut = outcome is not ResponseOutcome.HEARD
        self._history.settle(response.id, settled.heard_text, is_cut=is_cut)
        self._emit(
            AgentResponseEnded(
                response_id=response.id,
                outcome=outcome,
                text=response.text,
                heard_text=settled.heard_text,
                generated_ms=self._playback.milliseconds(response.generated),
                heard_ms=self._playback.milliseconds(settled.heard),
            )
        )
        return settled.heard, settled.heard_text

    # ── words, tools, time ──────────────────────────────────────────────────────────────────

    def _input_transcript(self, event: InputTranscript, now: float) -> None:
        if event.is_final:
            self._history.transcribe(event.utterance_id, event.text)
            self._do(Forget())
            self._awaits_words = False
            if self._marks is not None:
                self._marks.note_words(now)
        self._emit(
            Transcription(utterance_id=event.utterance_id, text=event.text, is_final=event.is_final)
        )

    def _tool_called(self, event: ToolCalled, now: float) -> None:
        if not self._tools.ask(event.call_id, event.name, now):
            return
        self._history.use_tool(
            ToolUse(call_id=event.call_id, name=event.name, arguments=event.arguments)
        )
        self._emit(
            FunctionCalled(call_id=event.call_id, name=event.name, arguments=event.arguments)
        )
        self._do(RunTool(call_id=event.call_id, name=event.name, arguments=event.arguments))

    def _tool_finished(self, event: ToolFinished, now: float) -> None:
        running = self._tools.finish(event.call_id)
        if running is None:
            return
        self._history.answer_tool(
            ToolResult(call_id=event.call_id, output=event.output, is_error=event.is_error)
        )
        self._emit(
            FunctionAnswered(
                call_id=event.call_id,
                name=running.name,
                output=event.output,
                is_error=event.is_error,
                duration_ms=round((now - running.began) * 1000, 3),
            )
        )
        self._send(AnswerTool(call_id=event.call_id, output=event.output, is_error=event.is_error))

    def _await_answer(self, now: float) -> None:
        """From here on the person waits."""
        self._rung = None
        self._deadlines.set(Due.ANSWER, now + self._settings.dead_air.answer_ms / 1000)

    def _climb(self, now: float) -> None:
        """The person has waited too long: one rung up the ladder."""
        if self.floor is not Floor.WAITING:
            return
        can_nudge = self._capabilities.can_request_response and self._playback.is_idle
        if self._rung is None and can_nudge and not self._tools.running:
            self._rung = Rung.NUDGE
            self._send(CreateResponse())
        else:
            if self._rung is not Rung.TONE:
                self._fail(ErrorCode.TIMEOUT, f"{self._provider} gave no answer in time")
            self._rung = Rung.TONE
            self._do(Tone())
        self._deadlines.set(Due.ANSWER, now + self._settings.dead_air.rung_ms / 1000)

    def _measure(self, response: Response, now: float) -> None:
        """Say where the time of this turn went."""
        marks, self._marks = self._marks, None
        if marks is not None and response.origin is not ResponseOrigin.SAID:
            self._emit(marks.measured(response.id, now))

    # ── the link ────────────────────────────────────────────────────────────────────────────

    def _connect(self) -> None:
        self._link.take(ConnectionInput.CONNECT)
        self._show()
        self._do(Connect(history=self._history.items))

    def _link_opened(self, now: float) -> None:
        self._link.take(ConnectionInput.READY)
        attempt, self._attempt = self._attempt, 0
        if self._was_up:
            self._emit(Reconnected(attempt=attempt))
        else:
            self._was_up = True
            self._set_state(SessionState.CONNECTED)
            self._emit(
                SessionStarted(
                    session_id=self._session_id,
                    provider=self._provider,
                    input_rate=self._input_rate,
                    output_rate=self._line_rate,
                )
            )
        self._show()
        self._take_up(now)

    def _take_up(self, now: float) -> None:
        """Go on where the conversation was when the link came up."""
        if self._owner is not TurnOwner.FRAMEWORK:
            self._do(Forward(is_on=True))
            self._do(Replay())
            return
        if self.floor in (Floor.USER, Floor.PAUSED):
            self._send(StartUserTurn())
            self._do(Replay())
        elif self.floor is Floor.WAITING and self._awaits_words:
            self._send(StartUserTurn())
            self._do(Replay())
            self._send(EndUserTurn())
            self._await_answer(now)
        elif self._capabilities.can_request_response and (
            self.floor is Floor.WAITING or (self._owes_answer and self._history.is_unanswered)
        ):
            self._send(CreateResponse())
            self._ask(now)
        self._owes_answer = False

    def _link_failed(self, error: BelugaError, now: float) -> None:
        is_retryable = isinstance(error, ProviderError) and error.is_retryable
        self._fail(error.code, str(error), is_fatal=not is_retryable)
        if is_retryable:
            self._lost(str(error), now)
        else:
            self._end("failed", str(error))

    def _link_closed(self, event: LinkClosed, now: float) -> None:
        reason = event.reason or "the connection ended"
        for response in self._playback.alive:
            if not response.is_generated:
                self.receive(
                    ResponseDone(
                        response_id=response.id, status=ResponseStatus.FAILED, reason=reason
                    ),
                    now,
                )
        for call_id in self._tools.running:
            self._tools.withdraw(call_id)
            self._do(StopTool(call_id=call_id))
        self._lost(reason, now)

    def _lost(self, reason: str, now: float) -> None:
        self._link.take(ConnectionInput.LOST)
        self._attempt += 1
        reconnect = self._settings.reconnect
        if self._attempt > reconnect.attempts:
            message = f"{self._provider} is lost after {reconnect.attempts} attempts: {reason}"
            self._fail(ErrorCode.NETWORK_ERROR, message, is_fatal=True)
            self._end("failed", message)
            return
        delay_ms = reconnect.delay_ms(self._attempt)
        self._emit(Reconnecting(attempt=self._attempt, delay_ms=delay_ms))
        self._show()
        self._deadlines.set(Due.RECONNECT, now + delay_ms / 1000)

    def _end(self, reason: EndReason, message: str) -> None:
        self._link.take(ConnectionInput.CLOSE)
        self._deadlines.clear_all()
        for call_id in self._tools.running:
            self._tools.withdraw(call_id)
            self._do(StopTool(call_id=call_id))
        self._do(Silence())
        is_failure = reason == "failed"
        self._set_state(SessionState.ERROR if is_failure else SessionState.DISCONNECTED)
        self._emit(SessionEnded(reason=reason, message=message))
        self._do(End(reason=reason, message=message))

    # ── small things ────────────────────────────────────────────────────────────────────────

    def _take(self, given: Turn) -> None:
        self._turns.take(given)
        self._show()

    def _show(self) -> None:
        """Let the state follow the machines."""
        match self._link.state:
            case Connection.UP:
                self._set_state(_STATES[self.floor])
            case Connection.DOWN | Connection.CONNECTING | Connection.BACKOFF:
                is_first = not self._was_up
                self._set_state(SessionState.CONNECTING if is_first else SessionState.RECONNECTING)
            case Connection.CLOSED:
                pass

    def _set_state(self, state: SessionState) -> None:
        if state is not self._state:
            previous, self._state = self._state, state
            self._emit(StateChanged(previous=previous, state=state))

    def _fail(self, code: ErrorCode, message: str, *, is_fatal: bool = False) -> None:
        self._emit(ErrorOccurred(code=code, message=message, is_fatal=is_fatal))

    def _send(
        self,
        command: StartUserTurn
        | EndUserTurn
        | ClearInput
        | SendText
        | CreateResponse
        | Say
        | Interrupt
        | AnswerTool
        | Update,
    ) -> None:
        """Give the service a command; without a link there is nobody to give it to.

        What it would have changed is told to the next link in another way: by its history, and by
        `_take_up`.
        """
        if self._link.state is Connection.UP:
            self._do(Send(command=command))

    def _emit(self, event: SessionEvent) -> None:
        self.effects.append(event)

    def _do(self, effect: Effect) -> None:
        self.effects.append(effect)


def _outcome(response: Response) -> ResponseOutcome:
    """What a response that sounded to its end was."""
    if response.status is ResponseStatus.FAILED:
        return ResponseOutcome.FAILED
    return ResponseOutcome.HEARD
