"""Carries calls between aiohttp websockets and sessions.

One connection is one call and one task group: `read` takes the caller's messages and never waits
for a write, `write` empties the outbox of what could not be written at once, `talk` holds the
session and passes on its events. Whatever happens first (the caller leaves, the session ends, a
rule is broken, the server stops) resolves one future with an `Ending`, and one piece of code winds
the call up from there.

The caller's sound that comes between `start` and `started` is dropped: nobody listens yet. When the
caller does not read, at most `Limits.outbox_audio_seconds` of sound and `Limits.outbox_messages`
messages wait for them; then the call is closed with 1008 `too_slow`.

Nothing a person says, and no exception's text, is written to the log.
"""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, assert_never, cast

from msgspec.structs import replace

from beluga_voice.backends.websocket.outbox import Outbox, Ping, Pong
from beluga_voice.backends.websocket.protocol import (
    SAMPLE_BYTES,
    SUBPROTOCOL,
    Limits,
    Refusal,
    WireCode,
    WireProtocol,
    error,
    event,
    started,
)
from beluga_voice.errors import BelugaError, CallEnded, MissingExtra
from beluga_voice.events import (
    CallClosed,
    CallCommand,
    CallerAudio,
    CallEvent,
    ClearPlayback,
    FunctionAnswered,
    FunctionCalled,
    HangUp,
    PlayAudio,
    SessionId,
)
from beluga_voice.interfaces import Line, LineOptions, WireMessage
from beluga_voice.session.happening import Happening
from beluga_voice.session.jsonform import encode

try:
    from aiohttp import ClientConnectionResetError, WebSocketError, WSCloseCode, WSMsgType, web
except ImportError as missing:
    raise MissingExtra("the websocket carrier", extra="server", op="websocket") from missing

_log = logging.getLogger(__name__)

# A small buffer in the transport keeps sound in the outbox, where it can still be withdrawn.
_TRANSPORT_BYTES = 8 * 1024
_ROOM_BYTES = _TRANSPORT_BYTES // 2
"""What is in the transport already, and what is added, when nobody need wait: text may take more
bytes than it has characters, and each message has a header."""


class Session(Protocol):
    """What the carrier needs of a session: an async context manager that takes and tells events.

    `receive` never waits. `events` subscribes, with or without the agent's sound, and ends after
    `SessionEnded`.
    """

    @property
    def id(self) -> SessionId: ...

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a call ends: the close code, one word of reason, and what the caller is told before."""

    code: int
    reason: str
    refusal: Refusal | None = None
    can_write: bool = True
    """The caller is there and reads."""


class WebSocketLine:
    """The way to a caller on a websocket. `send` raises `CallEnded` when the call is over."""

    def __init__(
        self, options: LineOptions, outbox: Outbox, *, on_hang_up: Callable[[], None]
    ) -> None:
        self._options = options
        self._outbox = outbox
        self._on_hang_up = on_hang_up

    @property
    def options(self) -> LineOptions:
        """The rates the caller asked for."""
        return self._options

    def send(self, command: CallCommand, /) -> None:
        """Put a command on its way; never waits."""
        if self._outbox.is_finished:
            raise CallEnded("the caller's websocket is closed", op="websocket.send")
        match command:
            case PlayAudio():
                self._outbox.put_audio(command.pcm)
            case ClearPlayback():
                self._outbox.clear()
            case HangUp():
                self._on_hang_up()
            case _:
                assert_never(command)


class WebSocketCarrier:
    """Answers websockets: each that says `start` gets a session of its own.

    Who may call is decided before: `handle` admits everybody up to `Limits.max_sessions`.
    """

    def __init__(
        self,
        make_session: Callable[[Line], Session],
        *,
        limits: Limits | None = None,
    ) -> None:
        self._make_session = make_session
        self._limits = limits or Limits()
        self._calls: set[_Call] = set()
        self._is_stopping = False
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()

    @property
    def limits(self) -> Limits:
        """What callers may ask of this server."""
        return self._limits

    @property
    def calls(self) -> int:
        """Connections that are open now."""
        return len(self._calls)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one websocket to its end."""
        limits = self._limits
        offered = _offered(request)
        if offered and SUBPROTOCOL not in offered:
            # Not left to aiohttp, which would log the whole list, and a token may be in it.
            return web.Response(status=400, text=f"offer the subprotocol {SUBPROTOCOL}, or none")
        websocket = web.WebSocketResponse(
            # One byte more, because aiohttp refuses a message that is exactly as long as its cap.
            max_msg_size=limits.max_message_bytes + 1,
            timeout=limits.close_seconds,
            autoclose=False,
            autoping=False,
            compress=False,
            writer_limit=_TRANSPORT_BYTES,
            protocols=(SUBPROTOCOL,) if offered else (),
        )
        await websocket.prepare(request)
        transport = request.transport
        if transport is not None:
            transport.set_write_buffer_limits(high=_TRANSPORT_BYTES)
        call = _Call(websocket, transport, self._make_session, limits)
        if refusal := self._refusal():
            call.end(_refused(refusal))
        self._calls.add(call)
        self._is_quiet.clear()
        try:
            try:
                ending = await call.run()
            except Exception as failure:
                _log.error("a call broke: %s", _where(failure))
                ending = _failed("the call broke; the server's log says where")
            _log.info("call of session %s ended: %s", call.session_id or "-", ending.reason)
            with suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(limits.close_seconds):
                    await websocket.close(code=ending.code, message=ending.reason.encode())
        finally:
            self._calls.discard(call)
            if not self._calls:
                self._is_quiet.set()
            if transport is not None and not transport.is_closing():
                transport.abort()
        return websocket

    async def stop(self) -> None:
        """End every call in order, refuse new ones, and wait until all are gone, within a bound."""
        self._is_stopping = True
        refusal = self._refusal()
        assert refusal is not None
        for call in tuple(self._calls):
            call.end(_refused(refusal, code=WSCloseCode.GOING_AWAY))
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * self._limits.close_seconds):
                await self._is_quiet.wait()

    def _refusal(self) -> Refusal | None:
        if self._is_stopping:
            return Refusal(
                code=WireCode.SERVER_STOPPING, message="the server is stopping", is_fatal=True
            )
        if len(self._calls) >= self._limits.max_sessions:
            return Refusal(
                code=WireCode.SERVER_FULL,
                message=f"all {self._limits.max_sessions} lines are busy; try again in a minute",
                is_fatal=True,
            )
        return None


class _Call:
    """One connection, from `start` to its ending."""

    def __init__(
        self,
        websocket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        make_session: Callable[[Line], Session],
        limits: Limits,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._websocket = websocket
        self._transport = transport
        self._make_session = make_session
        self._limits = limits
        self._protocol = WireProtocol(limits, now=self._loop.time())
        self._asked: asyncio.Future[LineOptions] = self._loop.create_future()
        self._over: asyncio.Future[Ending] = self._loop.create_future()
        self._session: Session | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heartbeat: asyncio.TimerHandle | None = None
        self._alive_at = self._loop.time()
        """When there was a ping or a pong last; the protocol knows of all else."""
        self._outbox = Outbox(
            max_messages=limits.outbox_messages,
            max_audio_bytes=0,
            on_overflow=self._overflow,
            write_now=self._write_now,
        )

    @property
    def session_id(self) -> SessionId | None:
        """The session's, once there is one."""
        return self._session.id if self._session else None

    def end(self, ending: Ending) -> None:
        """Wind the call up; the first reason counts."""
        if not self._over.done():
            self._over.set_result(ending)

    async def run(self) -> Ending:
        """Carry the call until it is over, and leave nothing behind but the open socket."""
        self._check_patience()
        self._check_life()
        try:
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(self._write(), name="websocket write")
                reading = tasks.create_task(self._read(), name="websocket read")
                talking = tasks.create_task(self._talk(), name="websocket talk")
                ending = await self._over
                await self._end_session(talking, ending)
                reading.cancel()
                await self._flush(writing, ending)
        finally:
            for timer in (self._timer, self._heartbeat):
                if timer is not None:
                    timer.cancel()
        return ending

    def _check_patience(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if refusal := self._protocol.expire(now=self._loop.time()):
            self.end(_refused(refusal))
        else:
            self._timer = self._loop.call_at(self._protocol.deadline(), self._check_patience)

    def _check_life(self) -> None:
        """Ping a caller who says nothing, and end the call of one who does not answer that.

        Done here, because aiohttp's own heartbeat takes a callback for each message that comes.
        """
        heartbeat, now = self._limits.heartbeat_seconds, self._loop.time()
        alive_at = max(self._alive_at, self._protocol.heard_at)
        due = alive_at + heartbeat
        if now >= due:
            last = due + heartbeat / 2
            if now >= last:
                self.end(_gone(None))
                return
            self._outbox.put_ping()
            due = last
        self._heartbeat = self._loop.call_at(due, self._check_life)

    def _overflow(self) -> None:
        self.end(
            Ending(code=WSCloseCode.POLICY_VIOLATION, reason=WireCode.TOO_SLOW, can_write=False)
        )

    async def _end_session(self, talking: asyncio.Task[None], ending: Ending) -> None:
        if self._session is None:
            talking.cancel()
            return
        if not talking.done():
            self._session.receive(CallClosed(reason=ending.reason))
            await asyncio.wait([talking], timeout=self._limits.close_seconds)
        talking.cancel()

    async def _flush(self, writing: asyncio.Task[None], ending: Ending) -> None:
        if ending.refusal is not None:
            self._outbox.put_text(error(ending.refusal))
        self._outbox.finish()
        if ending.can_write:
            await asyncio.wait([writing], timeout=self._limits.close_seconds)
        writing.cancel()

    # ── the three tasks ─────────────────────────────────────────────────────────────────────

    async def _read(self) -> None:
        while True:
            message = await self._websocket.receive()
            match message.type:
                case WSMsgType.TEXT | WSMsgType.BINARY:
                    self._take(message.data)
                case WSMsgType.PING:
                    self._alive_at = self._loop.time()
                    self._outbox.put_pong(message.data)
                case WSMsgType.PONG:
                    self._alive_at = self._loop.time()
                case _:
                    self.end(_gone(message.data))
                    return

    def _take(self, data: str | bytes) -> None:
        received = self._protocol.receive(data, now=self._loop.time())
        if type(received) is CallerAudio:  # nearly all are
            if self._session is not None and not self._over.done():
                self._session.receive(received)
            return
        match received:
            case Refusal(is_fatal=True):
                self.end(_refused(received))
            case Refusal():
                self._outbox.put_text(error(received))
            case LineOptions():
                seconds = self._limits.outbox_audio_seconds
                self._outbox.bound_audio(int(seconds * received.output_rate) * SAMPLE_BYTES)
                self._asked.set_result(received)
                self._check_patience()
            case CallClosed():
                self.end(Ending(code=WSCloseCode.OK, reason="stopped"))
            case _:
                if self._session is not None and not self._over.done():
                    self._session.receive(received)

    async def _write(self) -> None:
        try:
            while (item := await self._outbox.get()) is not None:
                match item:
                    case str():
                        await self._websocket.send_str(item)
                    case bytes():
                        await self._websocket.send_bytes(item)
                    case Pong():
                        await self._websocket.pong(item.payload)
                    case Ping():
                        await self._websocket.ping()
        except (ClientConnectionResetError, ConnectionError):
            self._outbox.finish()
            self.end(_gone(None))

    def _write_now(self, message: WireMessage) -> bool:
        """Write it if the transport has room, so that nothing waits: no task need be woken."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() + len(message) > _ROOM_BYTES:
            return False
        if isinstance(message, str):
            writing = self._websocket.send_str(message)
        else:
            writing = self._websocket.send_bytes(message)
        try:
            # A coroutine that does not wait is over with the first step.
            writing.send(None)
        except StopIteration:
            return True
        except (ClientConnectionResetError, ConnectionError):
            return False  # the task that writes finds out, and ends the call
        writing.close()  # it was written, and only wanted to wait for the transport
        return True

    async def _talk(self) -> None:
        options = await self._asked
        line = WebSocketLine(options, self._outbox, on_hang_up=self._hang_up)
        try:
            async with self._make_session(line) as session:
                self._session = session
                self._outbox.put_text(started(session.id, options))
                async for happening in session.events(with_audio=False):
                    self._outbox.put_text(event(encode(_public(happening), with_audio=False)))
            self.end(Ending(code=WSCloseCode.OK, reason="ended"))
        except BelugaError as failure:
            _log.warning("a session failed: %s", failure.code)
            self.end(_failed(str(failure)))
        except Exception as failure:
            _log.error("a session broke: %s", _where(failure))
            self.end(_failed("the session broke; the server's log says where"))

    def _hang_up(self) -> None:
        self.end(Ending(code=WSCloseCode.OK, reason="hung_up"))


def _public(happening: Happening) -> Happening:
    """What the person at the other end may see: not what tools are given, nor what they give."""
    match happening.event:
        case FunctionCalled() as called:
            return replace(happening, event=replace(called, arguments=""))
        case FunctionAnswered() as answered:
            return replace(happening, event=replace(answered, output=""))
        case _:
            return happening


def _offered(request: web.Request) -> tuple[str, ...]:
    offered = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
    return tuple(name.strip() for name in offered if name.strip())


def _refused(refusal: Refusal, *, code: int | None = None) -> Ending:
    if code is None:
        is_busy = refusal.code in (WireCode.SERVER_FULL, WireCode.SERVER_STOPPING)
        code = WSCloseCode.TRY_AGAIN_LATER if is_busy else WSCloseCode.POLICY_VIOLATION
    return Ending(code=code, reason=refusal.code, refusal=refusal)


def _failed(message: str) -> Ending:
    refusal = Refusal(code=WireCode.SESSION_FAILED, message=message, is_fatal=True)
    return Ending(code=WSCloseCode.INTERNAL_ERROR, reason=refusal.code, refusal=refusal)


def _gone(cause: object) -> Ending:
    if isinstance(cause, WebSocketError) and cause.code == WSCloseCode.MESSAGE_TOO_BIG:
        return Ending(code=cause.code, reason=WireCode.TOO_LARGE, can_write=False)
    return Ending(code=WSCloseCode.OK, reason="caller left", can_write=False)


def _where(failure: BaseException) -> str:
    """The kind and place of a failure, without its text, which may hold a person's words."""
    if isinstance(failure, BaseExceptionGroup):
        # isinstance cannot tell what a group is of, and its own bound is this.
        group = cast("BaseExceptionGroup[BaseException]", failure)
        return _where(group.exceptions[0])
    frames = traceback.extract_tb(failure.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return type(failure).__name__ + place
