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
from beluga_voice.engine.effects import Forget, RunTool, StopTool
from beluga_voice.engine.exchange import Exchange
from beluga_voice.engine.happened import (
    Close,
    Happened,
    LinkFailed,
    LinkOpened,
    StandbyLost,
    StandbyReady,
    ToolFinished,
)
from beluga_voice.engine.history import History
from beluga_voice.engine.link import ReconnectSettings
from beluga_voice.engine.outlet import Outlet
from beluga_voice.engine.renewal import Renewal, RenewalSettings
from beluga_voice.engine.responses import Responses
from beluga_voice.engine.supervision import Supervision
from beluga_voice.engine.tools import Tools
from beluga_voice.engine.turns import Floor, TurnSettings
from beluga_voice.engine.voice import VoiceStarted, VoiceStopped
from beluga_voice.errors import ErrorCode
from beluga_voice.events import (
    AnswerTool,
    CallClosed,
    CallerInterrupt,
    CallerText,
    ConversationEnded,
    DelegationRequested,
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
    Update,
    UsageReported,
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
FAREWELL_SECONDS = 10.0
"""How long sound is waited for that a service owes when it has ended the conversation."""
_FINAL = (ErrorCategory.AUTH, ErrorCategory.INVALID_REQUEST)
"""A fatal error of this kind would come again on every connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How a conversation behaves."""

    turns: TurnSettings = field(default_factory=TurnSettings)
    dead_air: DeadAirSettings = field(default_factory=DeadAirSettings)
    reconnect: ReconnectSettings = field(default_factory=ReconnectSettings)
    renewal: RenewalSettings = field(default_factory=RenewalSettings)
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
        self._provider = provider
        self._outlet = Outlet()
        self._history = History(history, limit=settings.history_limit)
        self._tools = Tools()
        self._responses = Responses(
            self._outlet, self._history, rate=output_rate, progress_ms=settings.dead_air.answer_ms
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
            is_hinted=turn_owner is TurnOwner.PROVIDER and not capabilities.has_speech_events,
            has_ears=turn_owner is TurnOwner.FRAMEWORK or not capabilities.has_speech_events,
            turn_settings=settings.turns,
            dead_air=settings.dead_air,
            can_nudge=capabilities.can_request_response,
            provider=provider,
            on_change=self._show,
        )
        self._renewal = Renewal(
            self._outlet,
            self._history,
            capabilities=capabilities,
            settings=settings.renewal,
            is_quiet=self._is_quiet,
        )
        self._farewell: str | None = None
        """Why the service has ended the conversation, once it has."""
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
        self._exchange.input_at = now
        self._supervision.connect(self._exchange)

    def receive(self, event: Happened, now: float) -> None:
        """Take what happened. After the end, everything is ignored."""
        if self._supervision.is_over:
            return
        exchange = self._exchange
        match event:
            case ResponseText():
                self._response_text(event, now)
            case ResponseStarted():
                exchange.response_started(event, now)
            case ResponseDone():
                exchange.response_done(event, now)
            case NoResponse():
                exchange.no_response()
            case Interrupted():
                exchange.interrupted(event.response_id, now)
            case VoiceStarted():
                exchange.heard_voice(now - event.ago_ms / 1000, now)
            case VoiceStopped():
                exchange.heard_hush(now - event.ago_ms / 1000, now)
            case SpeechStarted():
                exchange.service_heard_voice(now)
            case SpeechStopped():
                exchange.service_heard_end(now)
            case InputTranscript():
                self._input_transcript(event, now)
            case InputCommitted():
                self._history.commit(event.utterance_id)
            case ToolCalled():
                self._tool_called(event, now)
            case ToolCallWithdrawn():
                for call_id in event.call_ids:
                    if self._tools.withdraw(call_id) is not None:
                        self._outlet.do(StopTool(call_id=call_id))
            case ToolFinished():
                self._tool_finished(event, now)
            case CallerText():
                exchange.text(event.text, now)
            case CallerInterrupt():
                exchange.stop(now)
            case KeyPressed():
                exchange.key(event.key, now)
            case TalkKey():
                exchange.talk_key(event.is_down, now)
            case CallClosed():
                self._supervision.end("hung_up", event.reason, now)
            case Say():
                exchange.say(event, now)
            case Update():
                self._renewal.changed(now)
                self._outlet.send(event)
            case ServiceFailed(is_fatal=True) if event.category in _FINAL:
                self._outlet.fail(_CODES[event.category], event.message, is_fatal=True)
                self._supervision.end("failed", event.message, now)
            case ServiceFailed():
                if event.category is not ErrorCategory.BENIGN:
                    self._outlet.fail(_CODES[event.category], event.message)
            case LinkOpened():
                self._renewal.opened(now)
                self._supervision.opened(exchange, now)
            case LinkFailed():
                self._supervision.failed(event.error, exchange, now)
            case LinkClosed() if self._farewell is not None:
                self._supervision.parted(exchange, now)
            case LinkClosed():
                self._renewal.closed()
                self._supervision.closed(event, exchange, now)
            case ConversationEnded():
                self._farewell = event.reason
                self._outlet.deadlines.set(Due.FAREWELL, now + FAREWELL_SECONDS)
            case Close():
                self._supervision.end(event.reason, event.message, now)
            case GoingAway():
                self._renewal.due("going_away")
            case StandbyReady():
                self._renewal.stands_by()
            case StandbyLost():
                self._renewal.lost(now)
            case LinkReady() | UsageReported() | ResumptionChanged():
                pass
            case ResponseAudio() | DelegationRequested():
                pass  # sound passes by: see `generated`
            case _:
                assert_never(event)
        if self._farewell is not None:
            self._part(now)
        if self._renewal.is_wanted and not self.is_over:
            self._renewal.look(now)

    def expire(self, now: float) -> None:
        """Time passed: do what is due by `now`."""
        while not self.is_over and (due := self._outlet.deadlines.expired(now)) is not None:
            match due:
                case Due.END_OF_TURN:
                    self._exchange.end_turn(now)
                case Due.END_OF_RESPONSE:
                    self._exchange.await_end(now)
                case Due.ANSWER:
                    self._exchange.climb(now)
                case Due.PROGRESS:
                    self._exchange.give_up(now)
                case Due.STALLED_INPUT:
                    self._exchange.check_input(now)
                case Due.KEYS:
                    self._exchange.keys_done(now)
                case Due.RENEW:
                    self._renewal.due("age")
                case Due.FAREWELL:
                    self._wait_for_farewell(now)
                case Due.RECONNECT:
                    self._supervision.connect(self._exchange)
                case _:
                    assert_never(due)
        self._part(now)
        if self._renewal.is_wanted and not self.is_over:
            self._renewal.look(now)

    # ── sound, which passes by ──────────────────────────────────────────────────────────────

    def heard_line(self, now: float) -> None:
        """Sound of the person came from the line."""
        self._exchange.input_at = now

    def voiced(self, now: float) -> None:
        """A frame of the person's voice came: it may be the one that makes an interruption."""
        self._exchange.voiced(now)

    def generated(self, response_id: ResponseId, samples: int, now: float) -> bool:
        """Sound of a response came; whether it should be played.

        It should not if the response was cut, or never began: it is dropped then.
        """
        if not self._responses.generated(response_id, samples):
            return False
        self._supervision.useful()
        if self._exchange.marks is not None:
            self._exchange.marks.note_audio(now)
        return True

    def sent(
        self, response_id: ResponseId, samples: int, sounding_until: float, now: float
    ) -> None:
        """Sound of a response was handed to the person's line, which is busy until then."""
        first = self._responses.sent(response_id, samples, sounding_until)
        if first is not None:
            self._exchange.first_sound(first, now)
        if self._responses.may_have_ended:
            self._exchange.await_end(now)
            if self._farewell is not None:
                self._part(now)

    def broken(self, message: str) -> None:
        """The service sent what cannot be used."""
        self._outlet.fail(ErrorCode.INVALID_AUDIO_FORMAT, f"{self._provider} {message}")

    # ── words and tools ─────────────────────────────────────────────────────────────────────

    def _response_text(self, event: ResponseText, now: float) -> None:
        if self._responses.text(event) and self._exchange.marks is not None:
            self._exchange.marks.note_text(now)

    def _input_transcript(self, event: InputTranscript, now: float) -> None:
        if event.is_final:
            self._history.transcribe(event.utterance_id, event.text)
            is_open = self.floor in (Floor.USER, Floor.PAUSED, Floor.OVERLAP)
            self._outlet.do(Forget(but_the_open_turn=is_open))
            self._supervision.useful()
            self._exchange.words_known(now)
        else:
            self._exchange.words_heard()
        self._outlet.emit(
            Transcription(utterance_id=event.utterance_id, text=event.text, is_final=event.is_final)
        )

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
        self._outlet.send(AnswerTool(call_id=call_id, output=output, is_error=is_error))
        self._exchange.tool_answered(now)

    def _wait_for_farewell(self, now: float) -> None:
        """Nothing that still sounds is cut; what does not come is not waited for."""
        rest = self._responses.sounds_until - now
        if rest > 0:
            self._outlet.deadlines.set(Due.FAREWELL, now + rest + FAREWELL_SECONDS)
        else:
            self._supervision.end("ended", self._farewell or "", now)

    def _is_quiet(self) -> bool:
        """Whether nobody speaks, nothing sounds, and nothing is being done."""
        is_still = self.floor is Floor.QUIET and self._responses.is_idle
        is_still = is_still and not self._history.awaits_words
        return is_still and not self._tools.running and self._outlet.is_up

    def _part(self, now: float) -> None:
        """Once the last words of a service that has gone were heard, the session is over."""
        if self._farewell is not None and self._responses.is_idle and not self.is_over:
            self._supervision.end("ended", self._farewell, now)

    def _show(self) -> None:
        self._supervision.show(self._exchange)
