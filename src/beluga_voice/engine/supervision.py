"""The link to the service: connects, and connects again.

How it works. This puts the table in `link` into effect. A loss that may pass is followed by another
attempt after a growing delay; when the attempts are used up, or the error would come again, the
session ends and says why. What the new link must know, it is opened with, or `Exchange.take_up`
tells it.
"""

from beluga_voice.engine.deadlines import Due
from beluga_voice.engine.effects import Connect, End, Silence, StopTool
from beluga_voice.engine.exchange import Exchange
from beluga_voice.engine.history import History
from beluga_voice.engine.link import ConnectionInput, ReconnectSettings, connection
from beluga_voice.engine.outlet import Outlet
from beluga_voice.engine.responses import Responses
from beluga_voice.engine.tools import Tools, withdrawn
from beluga_voice.engine.turns import Floor
from beluga_voice.errors import BelugaError, ErrorCode, ProviderError
from beluga_voice.events import (
    EndReason,
    LinkClosed,
    Reconnected,
    Reconnecting,
    ResponseDone,
    ResponseStatus,
    SendText,
    SessionEnded,
    SessionStarted,
    SessionState,
    StateChanged,
)

_STATES = {
    Floor.QUIET: SessionState.IDLE,
    Floor.USER: SessionState.SPEAKING,
    Floor.PAUSED: SessionState.SPEAKING,
    Floor.WAITING: SessionState.PROCESSING,
    Floor.AGENT: SessionState.RESPONDING,
    Floor.OVERLAP: SessionState.RESPONDING,
}


LASTED_SECONDS = 10.0
"""A link that was open for so long was of use: its loss is a new one."""


class Supervision:
    """The life of a session: its links one after another, and its state in one word."""

    def __init__(
        self,
        outlet: Outlet,
        responses: Responses,
        history: History,
        tools: Tools,
        *,
        started: SessionStarted,
        reconnect: ReconnectSettings,
    ) -> None:
        self._outlet = outlet
        self._responses = responses
        self._history = history
        self._tools = tools
        self._started = started
        self._reconnect = reconnect
        self._machine = connection()
        self._attempt = 0
        self._opened_at = 0.0
        self._was_up = False
        self._given_up: str | None = None
        """Why the session ends unless somebody else takes the call."""
        self.state = SessionState.CONNECTING
        """What the session is doing."""
        self.is_over = False
        """Whether the session has ended."""

    def connect(self, exchange: Exchange) -> None:
        """Have a link opened."""
        self._take(ConnectionInput.CONNECT, exchange)
        self._outlet.is_connecting = True
        self._outlet.late.clear()
        self._outlet.do(Connect(history=self._history.items))

    def opened(self, exchange: Exchange, now: float) -> None:
        """There is a link."""
        self._machine.take(ConnectionInput.READY)
        self._opened_at = now
        self._outlet.is_up, self._outlet.is_connecting = True, False
        if self._was_up:
            self._outlet.emit(Reconnected(attempt=self._attempt))
        else:
            self._was_up = True
            self._set_state(SessionState.CONNECTED)
            self._outlet.emit(self._started)
        self.show(exchange)
        late, self._outlet.late = self._outlet.late, []
        for command in late:
            self._outlet.send(command)
        exchange.take_up(
            now, was_asked=any(isinstance(one, SendText) and one.respond for one in late)
        )

    def useful(self) -> None:
        """The service did something: the next loss is a new one, not another failed attempt."""
        self._attempt = 0

    def failed(self, error: BelugaError, exchange: Exchange, now: float) -> None:
        """No link came about."""
        is_retryable = isinstance(error, ProviderError) and error.is_retryable
        self._outlet.fail(error.code, str(error), is_fatal=not is_retryable)
        if is_retryable:
            self._lost(str(error), exchange, now)
        else:
            self._machine.take(ConnectionInput.LOST)
            self._outlet.is_up = self._outlet.is_connecting = False
            self.give_up(str(error), exchange, now)

    def closed(self, event: LinkClosed, exchange: Exchange, now: float) -> None:
        """The link is gone: what was being made over it has failed."""
        reason = event.reason or "the connection ended"
        self._outlet.is_up = False
        self._responses.changed_link()
        if now - self._opened_at >= LASTED_SECONDS:
            self.useful()
        exchange.lose_link()
        for response_id in self._responses.unfinished():
            failed = ResponseStatus.FAILED
            exchange.response_done(
                ResponseDone(response_id=response_id, status=failed, reason=reason), now
            )
        self._stop_tools()
        self._lost(reason, exchange, now)

    def parted(self, exchange: Exchange, now: float) -> None:
        """The link is gone, and was meant to: what it brought may still be sounding."""
        self._outlet.is_up = False
        for response_id in self._responses.unfinished():
            exchange.response_done(
                ResponseDone(response_id=response_id, status=ResponseStatus.INCOMPLETE), now
            )

    def give_up(self, message: str, exchange: Exchange, now: float) -> None:
        """Nobody here can go on: somebody else takes the call, or the session ends."""
        self._given_up = message
        if exchange.waiting.hand_over(now):
            self.show(exchange)
        else:
            self.end("failed", message, now)

    def handed_over(self, failure: str, exchange: Exchange, now: float) -> None:
        """Somebody else has the call now, or, with a `failure`, nobody took it."""
        exchange.waiting.keep()
        if not failure:
            self.end("transferred", "", now)
            return
        self._outlet.fail(ErrorCode.PROVIDER_ERROR, f"the call was not transferred: {failure}")
        if self._given_up is not None:
            self.end("failed", self._given_up, now)

    def end(self, reason: EndReason, message: str, now: float) -> None:
        """The session ends; what sounds is cut, and counts as far as it was heard."""
        if self._responses.cut(now)[0] is None:
            self._outlet.do(Silence())
        self._machine.take(ConnectionInput.CLOSE)
        self.is_over = True
        self._outlet.is_up = self._outlet.is_connecting = False
        self._outlet.deadlines.clear_all()
        self._stop_tools()
        is_failure = reason == "failed"
        self._set_state(SessionState.ERROR if is_failure else SessionState.DISCONNECTED)
        self._outlet.emit(SessionEnded(reason=reason, message=message))
        self._outlet.do(End(reason=reason, message=message))

    def show(self, exchange: Exchange) -> None:
        """Let the state follow the link and the floor."""
        if self._outlet.is_up:
            self._set_state(_STATES[exchange.floor])
        elif not self.is_over:
            again = SessionState.RECONNECTING
            self._set_state(again if self._was_up else SessionState.CONNECTING)

    def _lost(self, reason: str, exchange: Exchange, now: float) -> None:
        self._machine.take(ConnectionInput.LOST)
        self._outlet.is_up = self._outlet.is_connecting = False
        if self._given_up is not None:  # it was lost for good before
            self.show(exchange)
            return
        self._attempt += 1
        provider, limit = self._started.provider, self._reconnect.attempts
        if self._attempt > limit:
            message = f"{provider} is lost after {limit} attempts: {reason}"
            self._outlet.fail(ErrorCode.NETWORK_ERROR, message, is_fatal=True)
            self.give_up(message, exchange, now)
            return
        delay_ms = self._reconnect.delay_ms(self._attempt)
        self._outlet.emit(Reconnecting(attempt=self._attempt, delay_ms=delay_ms))
        self.show(exchange)
        self._outlet.deadlines.set(Due.RECONNECT, now + delay_ms / 1000)

    def _take(self, given: ConnectionInput, exchange: Exchange) -> None:
        self._machine.take(given)
        self.show(exchange)

    def _set_state(self, state: SessionState) -> None:
        if state is not self.state:
            previous, self.state = self.state, state
            self._outlet.emit(StateChanged(previous=previous, state=state))

    def _stop_tools(self) -> None:
        self._tools.work.clear()
        for call_id in self._tools.running:
            self._tools.withdraw(call_id)
            self._outlet.do(StopTool(call_id=call_id, is_final=True))
            self._history.answer_tool(withdrawn(call_id))
