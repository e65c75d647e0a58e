"""One caller's call: the session, and what it needs to outlive a connection.

A call is carried by one connection at a time. A caller who asked for it is given a token; when
their connection is lost, the call is *parked*: the session lives on, what it says is kept, and a
timer runs. Who comes back with the token is given what they lack, and the call goes on. Otherwise
it ends like any other.

A call that has a store of checkpoints can also be moved: its session ends here, what was heard and
what was not is saved, and another process goes on with it.
"""

import asyncio
import logging
import traceback
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Protocol, Self, cast

from msgspec.structs import replace

from beluga_voice.backends.websocket.ending import (
    ENDED,
    HUNG_UP,
    MOVING,
    TRANSFERRED,
    Ending,
    failed,
    refused,
)
from beluga_voice.backends.websocket.line import WebSocketLine
from beluga_voice.backends.websocket.outbox import Outbox
from beluga_voice.backends.websocket.protocol import (
    Heard,
    Limits,
    Refusal,
    Resume,
    Ticket,
    WireCode,
    clear_at,
    event,
    resumed,
    started,
)
from beluga_voice.backends.websocket.saver import Saver
from beluga_voice.backends.websocket.unheard import Unheard
from beluga_voice.checkpoints.checkpoint import unheard_part
from beluga_voice.errors import BelugaError, Overloaded
from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseStarted,
    AgentResponseText,
    CallClosed,
    CallEvent,
    FunctionAnswered,
    FunctionCalled,
    HistoryItem,
    PlaybackReported,
    ResponseId,
    ResponseOutcome,
    SessionId,
    SessionStarted,
    SessionState,
    StateChanged,
    Transcription,
    UserSpeechStarted,
)
from beluga_voice.interfaces import Line, LineOptions
from beluga_voice.session.happening import Happening
from beluga_voice.session.jsonform import encode

log = logging.getLogger(__name__)

AHEAD_SECONDS = 2.0
"""How far ahead of what was heard sound is given to a caller who has come back."""

_BUSY_STATES = frozenset({SessionState.SPEAKING, SessionState.PROCESSING, SessionState.RESPONDING})


class Session(Protocol):
    """What the carrier needs of a session: an async context manager that takes and tells events.

    `receive` never waits. `events` subscribes, with or without the agent's sound, and ends after
    `SessionEnded`. `history` is what was said, as it was heard, also after the end.
    """

    @property
    def id(self) -> SessionId: ...

    @property
    def history(self) -> Sequence[HistoryItem]: ...

    def receive(self, event: CallEvent, /) -> None: ...

    def events(self, *, with_audio: bool) -> AsyncIterator[Happening]: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> bool | None: ...


class Carrying(Protocol):
    """The connection that carries a call."""

    @property
    def outbox(self) -> Outbox: ...

    def carry(self, session: Session) -> None:
        """What the caller sends is for that session from now on."""
        ...

    def end(self, ending: Ending, /) -> None: ...


class Call:
    """One call, from its start to its ending, over however many connections."""

    def __init__(
        self,
        make_session: Callable[[Line], Session],
        options: LineOptions,
        connection: Carrying,
        limits: Limits,
        *,
        can_resume: bool,
        resumes_at: int | None = None,
        on_session: Callable[["Call"], Ticket | None],
        on_state: Callable[["Call"], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._make_session = make_session
        self._limits = limits
        self._on_session = on_session
        self._on_state = on_state
        self.options = options
        self.connection: Carrying | None = connection
        self.session: Session | None = None
        self.saver: Saver | None = None
        """Where there is a store of checkpoints."""
        self.token_hash = ""
        """Of the token that was issued last."""
        self.state = SessionState.CONNECTING
        self.over: asyncio.Future[Ending] = loop.create_future()
        self._closed = asyncio.Event()
        self._is_closing = False
        self._is_resumable = can_resume
        self._ticket: Ticket | None = None
        self._resumes_at = resumes_at
        """The sample with which a call goes on that another process has carried."""
        self._unseen: deque[tuple[int, str]] = deque(maxlen=limits.unseen_events)
        self._responses: dict[ResponseId, list[str]] = {}
        self.unheard_text = ""
        """What the agent was saying when the call was moved, and was not heard."""
        self._timer: asyncio.TimerHandle | None = None
        self.line = WebSocketLine(
            options,
            connection.outbox,
            unheard=_unheard(options, limits, resumes_at or 0) if can_resume else None,
            on_hang_up=lambda: self.end(HUNG_UP),
            on_transfer=lambda: self.end(TRANSFERRED),
        )
        self._talking = asyncio.create_task(self._talk(), name="websocket talk")
        self._saving: asyncio.Task[None] | None = None

    # ── its state ───────────────────────────────────────────────────────────────────────────

    @property
    def can_resume(self) -> bool:
        """Whether its caller has a token to come back with."""
        return self._ticket is not None

    @property
    def can_move(self) -> bool:
        """Whether another process can go on with it."""
        return self.saver is not None and self.can_resume

    @property
    def is_still(self) -> bool:
        """Whether nobody speaks, or is about to."""
        return self.connection is None or self.state not in _BUSY_STATES

    @property
    def is_moving(self) -> bool:
        """Whether another process is to go on with it."""
        return self.over.done() and self.over.result() is MOVING

    # ── connections ─────────────────────────────────────────────────────────────────────────

    def park(self, until: float, on_expired: Callable[[], None]) -> None:
        """The connection is lost: wait for another one until then."""
        self._unpark()
        self.connection = None
        self._timer = asyncio.get_running_loop().call_at(until, on_expired)

    def resume(self, connection: Carrying, asked: Resume, ticket: Ticket) -> None:
        """The caller is back: give them what they lack."""
        session = self.session
        assert session is not None
        self._unpark()
        self.connection, self._ticket = connection, ticket
        self._greet(connection, session, asked, ticket)
        connection.carry(session)
        self.line.use(connection.outbox)

    def confirm(self, heard: Heard) -> None:
        """The caller has heard and seen everything up to there."""
        unseen = self._unseen
        while unseen and unseen[0][0] < heard.event:
            unseen.popleft()
        self.line.confirm(heard.position)
        unheard_ms = self.line.unheard_ms
        if self.session is not None and unheard_ms is not None:
            self.session.receive(PlaybackReported(unheard_ms=unheard_ms, ago_ms=heard.ago_ms))

    def _greet(self, connection: Carrying, session: Session, asked: Resume, ticket: Ticket) -> None:
        outbox = connection.outbox
        continued = self.line.resume(asked.position)
        position = continued.position
        outbox.put_text(
            resumed(session.id, self.options, ticket, position=position, has_moved=False)
        )
        if continued.was_cleared:
            outbox.put_text(clear_at(position))
        for number, text in self._unseen:
            if number >= asked.event:
                outbox.put_text(text)

    def _unpark(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ── the session ─────────────────────────────────────────────────────────────────────────

    async def _talk(self) -> None:
        try:
            async with self._make_session(self.line) as session:
                self._begin(session)
                async for happening in session.events(with_audio=False):
                    self._tell(happening)
            self.end(ENDED)
        except Overloaded as failure:
            log.warning("a session was refused: %s", failure.code)
            refusal = Refusal(code=WireCode.PROVIDER_FULL, message=str(failure), is_fatal=True)
            self.end(refused(refusal))
        except BelugaError as failure:
            log.warning("a session failed: %s", failure.code)
            self.end(failed(str(failure)))
        except Exception as failure:
            log.error("a session broke: %s", place_of(failure))
            self.end(failed("the session broke; the server's log says where"))

    def _begin(self, session: Session) -> None:
        self.session = session
        connection = self.connection
        self._ticket = self._on_session(self) if self._is_resumable else None
        if self.saver is not None:
            self._saving = asyncio.create_task(self.saver.run(), name="websocket checkpoint")
        if connection is None:
            return
        if self._resumes_at is None or self._ticket is None:
            connection.outbox.put_text(started(session.id, self.options, self._ticket))
        else:
            connection.outbox.put_text(
                resumed(
                    session.id,
                    self.options,
                    self._ticket,
                    position=self._resumes_at,
                    has_moved=True,
                )
            )
        connection.carry(session)

    def _tell(self, happening: Happening) -> None:
        """Pass an event on to the caller, and note what counts for a checkpoint."""
        self._note(happening)
        if self.is_moving:
            return  # for the caller, the call goes on
        text = event(encode(_public(happening), with_audio=False))
        if self._is_resumable:
            self._unseen.append((happening.sequence, text))
        if self.connection is not None:
            self.connection.outbox.put_text(text)

    def _note(self, happening: Happening) -> None:
        match happening.event:
            case StateChanged() as changed:
                self.state = changed.state
                self._on_state(self)
                return
            case AgentResponseStarted() as response:
                self._responses[response.response_id] = []
                return
            case AgentResponseText() as more:
                self._responses.setdefault(more.response_id, []).append(more.delta)
                return
            case AgentResponseEnded() as ended:
                self._responses.pop(ended.response_id, None)
                if self.is_moving and ended.outcome is ResponseOutcome.CUT:
                    rest = unheard_part(ended.text, ended.heard_text)
                    self.unheard_text = f"{self.unheard_text} {rest}".strip()
            case SessionStarted() | FunctionCalled() | FunctionAnswered():
                pass
            case Transcription(is_final=True):
                pass
            case UserSpeechStarted():
                # The session silences what it knows to sound. A caller who was away is behind that.
                if self.state is not SessionState.RESPONDING:
                    self.line.cut_backlog()
                return
            case _:
                return
        if self.saver is not None:
            self.saver.note()

    # ── the end ─────────────────────────────────────────────────────────────────────────────

    def end(self, ending: Ending) -> None:
        """The call is over; the first reason counts. `close` does what is to be done."""
        if not self.over.done():
            self.over.set_result(ending)
            self._unpark()
            if ending is MOVING and self.is_still:
                self.line.hear_out()
        if self.connection is not None:
            self.connection.end(self.over.result())

    async def wait_closed(self) -> None:
        """Wait until somebody has wound it up."""
        await self._closed.wait()

    async def close(self) -> None:
        """Wind the call up once it is over, within its bounds; whoever comes second waits."""
        ending = self.over.result()
        if self._is_closing:
            await self._closed.wait()
            return
        self._is_closing = True
        try:
            if self.session is not None and not self._talking.done():
                self.session.receive(CallClosed(reason=ending.reason))
                await asyncio.wait([self._talking], timeout=self._limits.close_seconds)
            await self._end_saving()
        finally:
            self.line.close()
            for task in (self._talking, self._saving):
                if task is not None:
                    task.cancel()
            await asyncio.wait([self._talking])
            self._closed.set()

    async def _end_saving(self) -> None:
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.wait([self._saving])
        if self.saver is None:
            return
        if not self.is_moving:
            await self.saver.drop()
        elif not await self.saver.save():
            log.error("a call could not be moved: its checkpoint was not saved")


def place_of(failure: BaseException) -> str:
    """The kind and place of a failure, without its text, which may hold a person's words."""
    if isinstance(failure, BaseExceptionGroup):
        # isinstance cannot tell what a group is of, and its own bound is this.
        group = cast("BaseExceptionGroup[BaseException]", failure)
        return place_of(group.exceptions[0])
    frames = traceback.extract_tb(failure.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return type(failure).__name__ + place


def _unheard(options: LineOptions, limits: Limits, position: int) -> Unheard:
    return Unheard(
        limit=int(limits.unheard_seconds * options.output_rate),
        ahead=int(AHEAD_SECONDS * options.output_rate),
        position=position,
    )


def _public(happening: Happening) -> Happening:
    """What the person at the other end may see: not what tools are given, nor what they give."""
    match happening.event:
        case FunctionCalled() as called:
            return replace(happening, event=replace(called, arguments=""))
        case FunctionAnswered() as answered:
            return replace(happening, event=replace(answered, output=""))
        case _:
            return happening
