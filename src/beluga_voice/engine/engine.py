"""The conversation itself: given what happened and when, says what to do.

How it works. `receive` takes one thing that happened, `expire` the passing of a deadline; both
leave `effects`. Each part does one thing: `Exchange` knows who has the floor, `Responses` what was
heard of the agent, `Supervision` whether there is a link, `History` what was said, `Tools` what
runs; they share only the `Outlet`, where effects and deadlines are left. Sound itself passes by:
the engine is told how much of it came (`generated`) and how much left for the person (`sent`).
There is no clock, no task and no network here: the time is an argument, in seconds.
"""

from dataclasses import dataclass, field
from typing import assert_never

from beluga_voice.engine.deadlines import DeadAirSettings, Due
from beluga_voice.engine.effects import Forget, RunTool, StopTool, Summarise
from beluga_voice.engine.exchange import Exchange
from beluga_voice.engine.farewell import Farewell
from beluga_voice.engine.happened import (
    CancelSay,
    Close,
    HandedOver,
    Happened,
    Leave,
    LinkFailed,
    LinkOpened,
    Renew,
    StandbyLost,
    StandbyReady,
    Summarised,
    ToolFinished,
    TurnGuessed,
)
from beluga_voice.engine.history import History
from beluga_voice.engine.interruptions import InterruptionSettings
from beluga_voice.engine.link import ReconnectSettings
from beluga_voice.engine.outlet import Outlet
from beluga_voice.engine.patience import Patience, PatienceSettings
from beluga_voice.engine.renewal import SETTINGS, Renewal, RenewalSettings
from beluga_voice.engine.responses import Responses
from beluga_voice.engine.supervision import Supervision
from beluga_voice.engine.tools import Tools, withdrawn
from beluga_voice.engine.turns import Floor, TurnSettings
from beluga_voice.engine.voice import VoiceStarted, VoiceStopped
from beluga_voice.errors import ErrorCode
from beluga_voice.events import (
    AnswerTool,
    CallClosed,
    CallerInterrupt,
    CallerText,
    CondenseHistory,
    ConversationEnded,
    DelegationRequested,
    EndOfTurnLikely,
    ErrorCategory,
    FunctionAnswered,
    FunctionCalled,
    GoingAway,
    HistoryItem,
    InputCommitted,
    InputTranscript,
    Interrupted,
    KeyPressed,
    LinkClosed,
    LinkReady,
    NoResponse,
    PlaybackReported,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseText,
    ResumptionChanged,
    Say,
    ServiceFailed,
    SessionId,
    SessionStarted,
    SessionState,
    SpeechStarted,
    SpeechStopped,
    TalkKey,
    ToolCalled,
    ToolCallWithdrawn,
    ToolResult,
    ToolUse,
    Transcription,
    TurnContinued,
    Update,
    UsageReported,
    WorkEnded,
    WorkStarted,
)
from beluga_voice.interfaces import Capabilities, TurnOwner

_CODES = {
    ErrorCategory.RETRYABLE: ErrorCode.PROVIDER_ERROR,
    ErrorCategory.AUTH: ErrorCode.AUTHENTICATION_FAILED,
    ErrorCategory.RATE_LIMIT: ErrorCode.RATE_LIMIT,
    ErrorCategory.INVALID_REQUEST: ErrorCode.INVALID_REQUEST,
    ErrorCategory.TIMEOUT: ErrorCode.TIMEOUT,
    ErrorCategory.SESSION_EXPIRED: ErrorCode.STREAM_CLOSED,
    ErrorCategory.BENIGN: ErrorCode.PROVIDER_ERROR,
}
WORDS_SECONDS = 20.0
"""How long after an utterance its words are waited for; later, none will come."""
_HEARS = frozenset(
    {SpeechStarted, SpeechStopped, InputTranscript, InputCommitted, Interrupted, NoResponse}
)
_ANSWERS = frozenset({ResponseStarted, ToolCalled, DelegationRequested, WorkStarted})
"""What a service tells that shows that it hears the person, or has heard them."""
_FINAL = (ErrorCategory.AUTH, ErrorCategory.INVALID_REQUEST)
"""A fatal error of this kind would come again on every connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How a conversation behaves."""

    turns: TurnSettings = field(default_factory=TurnSettings)
    dead_air: DeadAirSettings = field(default_factory=DeadAirSettings)
    reconnect: ReconnectSettings = field(default_factory=ReconnectSettings)
    renewal: RenewalSettings = field(default_factory=RenewalSettings)
    interruptions: InterruptionSettings = field(default_factory=InterruptionSettings)
    patience: PatienceSettings = field(default_factory=PatienceSettings)
    history_limit: int = 200
    """So many items of what was said are kept; the oldest go first, unless they are summarised."""
    summarises: bool = False
    """Whether a summary is asked for when three quarters of that are reached."""


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
        turn_silence_ms: float | None = None,
        reports_playback: bool = False,
        can_transfer: bool = False,
        history: tuple[HistoryItem, ...] = (),
    ) -> None:
        self._provider = provider
        self._outlet = Outlet()
        self._history = History(history, limit=settings.history_limit)
        self._tools = Tools()
        self._responses = Responses(
            self._outlet,
            self._history,
            rate=output_rate,
            progress_ms=settings.dead_air.answer_ms,
            can_add_history=capabilities.can_add_history,
            reports_playback=reports_playback,
        )
        self._supervision = Supervision(
            self._outlet,
            self._responses,
            self._history,
            self._tools,
            started=SessionStarted(
                session_id=session_id,
                provider=provider,
                input_rate=input_rate,
                output_rate=line_rate,
            ),
            reconnect=settings.reconnect,
        )
        self._exchange = Exchange(
            self._outlet,
            self._responses,
            self._history,
            self._tools,
            owner=turn_owner,
            capabilities=capabilities,
            turn_settings=settings.turns,
            interruptions=settings.interruptions,
            dead_air=settings.dead_air,
            turn_silence_ms=turn_silence_ms,
            provider=provider,
            can_transfer=can_transfer,
            on_change=self._show,
        )
        self._renewal = Renewal(
            self._outlet,
            self._history,
            capabilities=capabilities,
            settings=settings.renewal,
            is_quiet=self._is_quiet,
        )
        self._patience = Patience(self._outlet, settings.patience)
        self._is_patient = settings.patience.idle_ms is None
        self._farewell = Farewell(
            self._outlet, self._exchange, self._responses, self._tools, self._supervision
        )
        self._words_by = 0.0
        """Until when the words of the last utterance are waited for."""
        self._summarises = settings.summarises
        """Whether a summary may be asked for: one at a time."""
        self._can_condense = capabilities.can_condense_history
        self._takes_late_results = capabilities.takes_late_results
        self.effects = self._outlet.effects
        """What to do, in order. Whoever drives the engine takes them out from the left."""

    # ── what others may look at ─────────────────────────────────────────────────────────────

    @property
    def state(self) -> SessionState:
        """What the session is doing."""
        return self._supervision.state

    @property
    def floor(self) -> Floor:
        """Who has the floor."""
        return self._exchange.floor

    @property
    def is_watching(self) -> bool:
        """Whether speech has to be kept, because a service may not have heard it."""
        return self._exchange.deafness.is_watching

    @property
    def history(self) -> tuple[HistoryItem, ...]:
        """What was said, as heard."""
        return self._history.items

    @property
    def deadline(self) -> float | None:
        """When `expire` wants to be called, in seconds."""
        return self._outlet.deadlines.next

    @property
    def is_over(self) -> bool:
        """Whether the session has ended."""
        return self._supervision.is_over

    # ── what happens ────────────────────────────────────────────────────────────────────────

    def start(self, now: float) -> None:
        """Begin: connect."""
        self._exchange.listening.input_at = now
        self._patience.start(now)
        self._supervision.connect(self._exchange)

    def receive(self, event: Happened, now: float) -> None:
        """Take what happened. After the end, everything is ignored."""
        if self._supervision.is_over:
            return
        if self._farewell.is_gone:
            self._listen_on(event, now)
            return
        exchange = self._exchange
        if type(event) in _HEARS or type(event) in _ANSWERS:
            exchange.deafness.sign(is_answer=type(event) in _ANSWERS)
        match event:
            case ResponseText():
                self._response_text(event, now)
            case ResponseStarted():
                exchange.response_started(event, now)
            case ResponseDone():
                exchange.response_done(event, now)
            case NoResponse():
                exchange.no_response(now)
            case Interrupted():
                exchange.interrupted(event.response_id, now)
            case VoiceStarted():
                self._patience.stirred()
                exchange.listening.heard_voice(now - event.ago_ms / 1000, now)
            case VoiceStopped():
                exchange.listening.heard_hush(now - event.ago_ms / 1000, now)
            case TurnGuessed():
                exchange.listening.guessed(event.probability, now)
            case EndOfTurnLikely():
                exchange.listening.service_guessed(event, now)
            case TurnContinued():
                exchange.listening.went_on()
            case SpeechStarted():
                self._patience.stirred()
                exchange.listening.service_heard_voice(now)
            case SpeechStopped():
                exchange.listening.service_heard_end(now)
            case InputTranscript():
                self._input_transcript(event, now)
            case InputCommitted():
                self._history.commit(event.utterance_id)
                exchange.listening.utterance_over(event.utterance_id)
                self._words_by = now + WORDS_SECONDS
                self._outlet.deadlines.set(Due.LATE_WORDS, self._words_by)
            case ToolCalled():
                self._tool_called(event, now)
            case ToolCallWithdrawn():
                for call_id in event.call_ids:
                    if self._tools.withdraw(call_id) is not None:
                        self._outlet.do(StopTool(call_id=call_id))
                        self._history.answer_tool(withdrawn(call_id))
            case ToolFinished():
                self._tool_finished(event, now)
            case WorkStarted():
                self._tools.work.add(event.work_id)
                exchange.works(now)
            case WorkEnded():
                self._tools.work.discard(event.work_id)
                exchange.tool_answered(now)
            case CallerText() | KeyPressed() | TalkKey() if self._farewell.says_goodbye:
                pass  # nobody will answer it, and a goodbye is not clipped
            case CallerText():
                self._patience.stirred()
                exchange.text(event.text, now)
            case CallerInterrupt():
                exchange.stop(now)
            case KeyPressed():
                self._patience.stirred()
                exchange.keys.press(event.key, now)
            case TalkKey():
                exchange.talk_key(event.is_down, now)
            case PlaybackReported():
                at = now - event.ago_ms / 1000
                self._responses.reported(event.unheard_ms / 1000, at, now)
            case CallClosed():
                self._farewell.hang_up(event, now)
            case Say():
                exchange.say(event, now)
            case Summarised():
                self._condense(event)
            case CancelSay():
                exchange.unsay(event.say_id, now)
            case Update():
                self._renewal.changed(now)
                self._outlet.send(event)
            case Renew():
                self._renewal.changed(now)
                self._renewal.due(SETTINGS)
            case ServiceFailed(is_fatal=True) if event.category in _FINAL:
                self._outlet.fail(_CODES[event.category], event.message, is_fatal=True)
                self._supervision.give_up(event.message, exchange, now)
            case ServiceFailed():
                if event.category is not ErrorCategory.BENIGN:
                    self._outlet.fail(_CODES[event.category], event.message)
            case LinkOpened():
                self._renewal.opened(now)
                self._tools.another_link()
                self._supervision.opened(exchange, now)
            case LinkFailed():
                self._supervision.failed(event.error, exchange, now)
            case LinkClosed() if self._farewell.is_parting:
                self._supervision.parted(exchange, now)
            case LinkClosed():
                self._renewal.closed()
                self._supervision.closed(event, exchange, now)
            case ConversationEnded():
                self._farewell.is_parting = True
                self._farewell.leave(Leave(reason="ended", message=event.reason), now)
            case Leave():
                self._farewell.leave(event, now)
            case HandedOver():
                self._supervision.handed_over(event.failure, exchange, now)
            case Close():
                self._supervision.end(event.reason, event.message, now)
            case GoingAway():
                self._renewal.due("going_away")
            case StandbyReady():
                self._renewal.stands_by()
            case StandbyLost():
                if self._renewal.lost(now, refusal=event.refusal):
                    self._outlet.fail(ErrorCode.INVALID_REQUEST, event.refusal)
            case LinkReady() | UsageReported() | ResumptionChanged():
                pass
            case ResponseAudio() | DelegationRequested():
                pass  # sound passes by: see `generated`
            case _:
                assert_never(event)
        self._afterwards(now)

    def expire(self, now: float) -> None:
        """Time passed: do what is due by `now`."""
        while not self.is_over and (due := self._outlet.deadlines.expired(now)) is not None:
            match due:
                case Due.END_OF_TURN:
                    self._exchange.listening.end_turn(now)
                case Due.END_OF_RESPONSE:
                    self._exchange.await_end(now)
                case Due.ANSWER:
                    if self._exchange.climb(now):
                        self._supervision.end("failed", "nobody gave an answer", now)
                case Due.SIGN_OF_LIFE:
                    self._exchange.was_not_heard(now)
                case Due.LATE_WORDS:
                    self._words_by = 0.0
                    self._exchange.overlap.await_no_words()
                case Due.GAP:
                    self._responses.fill_gap(now)
                case Due.PROGRESS:
                    self._exchange.give_up(now)
                case Due.STALLED_INPUT:
                    self._exchange.listening.check_input(now)
                case Due.KEYS:
                    self._exchange.keys.done(now)
                case Due.RENEW:
                    self._renewal.due("age")
                case Due.WORDS:
                    self._exchange.overlap.words_missing(now)
                case Due.IDLE:
                    self._idle(now)
                case Due.MAX_DURATION:
                    self._farewell.leave(self._goodbye("the session has reached its longest"), now)
                case Due.FAREWELL:
                    self._farewell.wait(now)
                case Due.LAST_WORDS:
                    self._farewell.forget_the_rest(now)
                case Due.RECONNECT:
                    self._supervision.connect(self._exchange)
                case _:
                    assert_never(due)
        self._afterwards(now)

    def _afterwards(self, now: float) -> None:
        """What depends on everything that happens."""
        if self._farewell.has_begun:
            self._farewell.part(now)
        if self.is_over:
            return
        if self._summarises and self._history.is_long and (items := self._history.offer()):
            self._summarises = False
            self._outlet.do(Summarise(items=items))
        if self._renewal.is_wanted:
            self._renewal.look(now)
        if not self._is_patient:
            is_quiet = self._is_quiet() and not self._farewell.has_begun
            self._patience.look(now, is_quiet=is_quiet)

    # ── sound, which passes by ──────────────────────────────────────────────────────────────

    def heard_line(self, now: float) -> None:
        """Sound of the person came from the line."""
        self._exchange.listening.input_at = now

    def voiced(self, now: float) -> None:
        """A frame of the person's voice came: it may be the one that makes an interruption."""
        self._exchange.overlap.voiced(now)

    def generated(self, response_id: ResponseId, samples: int, now: float) -> bool:
        """Sound of a response came; whether it should be played.

        It should not if the response was cut, or never began: it is dropped then.
        """
        if not self._responses.generated(response_id, samples):
            return False
        self._supervision.useful()
        if self._exchange.marks is not None and self._is_answer(response_id):
            self._exchange.marks.note_audio(now)
        return True

    def sent(
        self,
        response_id: ResponseId,
        samples: int,
        sounding_until: float,
        now: float,
        *,
        is_audible: bool = True,
    ) -> None:
        """Sound of a response was handed to the person's line, which is busy until then.

        Not `is_audible` is digital silence: that is no answer yet.
        """
        first = self._responses.sent(
            response_id, samples, sounding_until, now, is_audible=is_audible
        )
        if first is not None:
            self._exchange.first_sound(first, now)
        if self._responses.may_have_ended:
            self._exchange.await_end(now)
            self._farewell.part(now)

    def is_playing(self, response_id: ResponseId) -> bool:
        """Whether that response has begun and is not over."""
        return self._responses.is_alive(response_id)

    def broken(self, message: str) -> None:
        """The service sent what cannot be used."""
        self._outlet.fail(ErrorCode.INVALID_AUDIO_FORMAT, f"{self._provider} {message}")

    # ── words and tools ─────────────────────────────────────────────────────────────────────

    def _response_text(self, event: ResponseText, now: float) -> None:
        exchange = self._exchange
        is_new = self._responses.text(event)
        marks = exchange.marks
        if marks is None or marks.text is not None:
            return  # nothing is measured, or the first words were noted
        if is_new and self._is_answer(event.response_id):
            marks.note_text(now)

    def _is_answer(self, response_id: ResponseId) -> bool:
        """Whether that is a response to the turn whose latency is measured."""
        return not self._exchange.overlap.is_holding and not self._responses.is_said(response_id)

    def _input_transcript(self, event: InputTranscript, now: float) -> None:
        if event.is_final:
            self._history.transcribe(event.utterance_id, event.text)
            is_open = self.floor in (Floor.USER, Floor.PAUSED, Floor.OVERLAP)
            is_open = is_open or self._exchange.listening.is_earlier(event.utterance_id)
            self._outlet.do(Forget(but_the_open_turn=is_open))
        self._supervision.useful()
        self._outlet.emit(
            Transcription(utterance_id=event.utterance_id, text=event.text, is_final=event.is_final)
        )
        if event.is_final:
            self._exchange.listening.words_known(event.utterance_id, event.text, now)
        else:
            self._exchange.listening.words_heard(event.utterance_id, event.text, now)

    def _tool_called(self, event: ToolCalled, now: float) -> None:
        call_id, name, arguments = event.call_id, event.name, event.arguments
        if not self._tools.ask(call_id, name, now):
            return
        self._history.use_tool(ToolUse(call_id=call_id, name=name, arguments=arguments))
        self._outlet.emit(FunctionCalled(call_id=call_id, name=name, arguments=arguments))
        self._outlet.do(RunTool(call_id=call_id, name=name, arguments=arguments))

    def _tool_finished(self, event: ToolFinished, now: float) -> None:
        running = self._tools.finish(event.call_id)
        if running is None:
            return
        call_id, output, is_error = event.call_id, event.output, event.is_error
        self._history.answer_tool(ToolResult(call_id=call_id, output=output, is_error=is_error))
        self._outlet.emit(
            FunctionAnswered(
                call_id=call_id,
                name=running.name,
                output=output,
                is_error=is_error,
                duration_ms=round((now - running.began) * 1000, 3),
            )
        )
        if not running.is_late or self._takes_late_results:
            self._outlet.send(AnswerTool(call_id=call_id, output=output, is_error=is_error))
        if not running.is_late:
            self._exchange.tool_answered(now)

    # ── the end ─────────────────────────────────────────────────────────────────────────────

    def _listen_on(self, event: Happened, now: float) -> None:
        """The person is gone: only their words count now."""
        match event:
            case InputTranscript():
                self._input_transcript(event, now)
                if event.is_final and not self._history.awaits_words:
                    self._farewell.forget_the_rest(now)
            case InputCommitted():
                self._history.commit(event.utterance_id)  # and its words are waited for, too
            case LinkClosed() | LinkFailed() | Close():
                self._farewell.forget_the_rest(now)
            case _:
                pass

    def _idle(self, now: float) -> None:
        """Nobody has said anything for too long: say the next prompt, or leave."""
        prompt = self._patience.expired(now)
        if prompt is not None:
            self._exchange.say(Say(text=prompt), now)
        elif self._patience.settings.ends:
            self._farewell.leave(self._goodbye("nobody has said anything"), now)

    def _goodbye(self, message: str) -> Leave:
        goodbye = self._patience.settings.goodbye
        return Leave(goodbye=goodbye, reason="timeout", message=message)

    def _condense(self, event: Summarised) -> None:
        """A summary takes the place of what it is about."""
        self._summarises = True
        if event.text:
            keep = self._history.condense(event.count, event.text)
            if self._can_condense:
                self._outlet.send(CondenseHistory(summary=event.text, keep=keep))

    def _is_quiet(self) -> bool:
        """Whether nobody speaks, nothing sounds, and nothing is being done."""
        is_still = self.floor is Floor.QUIET and self._responses.is_idle
        is_still = is_still and not (self._words_by and self._history.awaits_words)
        return is_still and not self._tools.is_busy and self._outlet.is_up

    def _show(self) -> None:
        self._supervision.show(self._exchange)
