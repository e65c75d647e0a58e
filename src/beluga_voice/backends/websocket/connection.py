"""One websocket of a caller, from its first message to its end.

Two tasks: `read` takes the caller's messages and never waits for a write, `write` empties the
outbox of what could not be written at once. Most sound comes and goes without them, by calls: see
`shortcut`. Whatever happens first (the caller leaves, the call ends, a rule is broken, the server
stops) resolves one future with an `Ending`.

The caller's sound that comes between `start` and `started` is dropped: nobody listens yet. What
else comes then is kept for the session. When the caller does not read, at most
`Limits.outbox_audio_seconds` of sound and `Limits.outbox_messages` messages wait for them; then the
connection is closed with 1008 `too_slow`.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextvars import copy_context

from aiohttp import ClientConnectionResetError, WSMsgType, web

from beluga_voice.backends.websocket.call import Call, Session
from beluga_voice.backends.websocket.ending import (
    LOST,
    STOPPED,
    TOO_SLOW,
    Ending,
    gone,
    refused,
)
from beluga_voice.backends.websocket.outbox import Outbox, Ping, Pong
from beluga_voice.backends.websocket.protocol import (
    PONG,
    SAMPLE_BYTES,
    Heard,
    Limits,
    Refusal,
    Resume,
    SignOfLife,
    WireCode,
    WireProtocol,
    error,
)
from beluga_voice.backends.websocket.shortcut import Shortcut, whole_frame
from beluga_voice.events import CallClosed, CallerAudio, CallEvent
from beluga_voice.interfaces import LineOptions, WireMessage

# Small buffers in the transport and the system keep sound in the outbox, where it can be withdrawn.
TRANSPORT_BYTES = 8 * 1024
UNSENT_BYTES = 16 * 1024
"""What the system may hold and not have sent; left alone, Linux takes over a minute of sound."""
_ROOM_BYTES = TRANSPORT_BYTES // 2
"""What is in the transport already, and what is added, when nobody need wait: text may take more
bytes than it has characters, and each message has a header."""
EARLY_MESSAGES = 32
"""What a caller may say before the session listens, beside sound."""


class Connection:
    """A socket, and the call it carries once the caller has started or resumed one.

    Made before the websocket is prepared, so that it sees everything that comes. `on_first` is
    given the caller's `start` or `resume`, `on_heard` how far the caller is, and `on_over` winds up
    what the carrier keeps, before the last words are written.
    """

    def __init__(
        self,
        websocket: web.WebSocketResponse,
        request: web.Request,
        limits: Limits,
        *,
        on_first: Callable[["Connection", LineOptions | Resume], None],
        on_heard: Callable[["Connection", Heard], None],
        on_over: Callable[["Connection", Ending], Awaitable[None]],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._websocket = websocket
        self._transport = request.transport
        self._limits = limits
        self._on_first = on_first
        self._on_heard = on_heard
        self._on_over = on_over
        self.protocol = WireProtocol(limits, now=self._loop.time())
        self.call: Call | None = None
        """What it carries."""
        self.is_owner = False
        """The call began here."""
        self.has_place = False
        """It holds a place of its own, which no call has taken yet."""
        self._session: Session | None = None
        self._early: list[CallEvent] = []
        """What came before there was a session."""
        self._over: asyncio.Future[Ending] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._heartbeat: asyncio.TimerHandle | None = None
        self._alive_at = self._loop.time()
        """When there was a ping or a pong last; the protocol knows of all else."""
        self.outbox = Outbox(
            max_messages=limits.outbox_messages,
            max_audio_bytes=0,
            on_overflow=lambda: self.end(TOO_SLOW),
            write_now=self._write_now,
        )
        self._context = copy_context()
        """What the short way's calls see, as the tasks do."""
        self._shortcut = Shortcut(
            request.protocol, max_bytes=limits.max_message_bytes, take=self._take_sound
        )
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high=TRANSPORT_BYTES)
            self._transport.set_protocol(self._shortcut)
            _bound_unsent(self._transport)

    @property
    def is_over(self) -> bool:
        """Whether it is being wound up."""
        return self._over.done()

    def end(self, ending: Ending, /) -> None:
        """Wind the connection up; the first reason counts, and nothing more is heard."""
        self._session = None
        if not self._over.done():
            self._over.set_result(ending)

    def expect(self, options: LineOptions) -> None:
        """Sound comes and goes at these rates from now on."""
        seconds = self._limits.outbox_audio_seconds
        self.outbox.bound_audio(int(seconds * options.output_rate) * SAMPLE_BYTES)
        self._check_patience()

    def carry(self, session: Session) -> None:
        """What the caller sends is for that session from now on, and what waits for one."""
        if self._over.done():
            return
        self._session = session
        early, self._early = self._early, []
        for event in early:
            session.receive(event)

    async def run(self) -> Ending:
        """Carry the connection until it is over, and leave nothing behind but the open socket."""
        self._check_patience()
        self._check_life()
        try:
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(self._write(), name="websocket write")
                reading = tasks.create_task(self._read(), name="websocket read")
                ending = await self._over
                await self._on_over(self, ending)
                reading.cancel()
                await self._flush(writing, ending)
        finally:
            self._session = None
            self.outbox.finish()
            for timer in (self._timer, self._heartbeat):
                if timer is not None:
                    timer.cancel()
        return ending

    def _check_patience(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if refusal := self.protocol.expire(now=self._loop.time()):
            self.end(refused(refusal))
        else:
            self._timer = self._loop.call_at(self.protocol.deadline(), self._check_patience)

    def _check_life(self) -> None:
        """Ping a caller who says nothing, and give up one who does not answer that.

        Done here, because aiohttp's own heartbeat takes a callback for each message that comes.
        """
        heartbeat, now = self._limits.heartbeat_seconds, self._loop.time()
        alive_at = max(self._alive_at, self.protocol.heard_at)
        due = alive_at + heartbeat
        if now >= due:
            last = due + heartbeat / 2
            if now >= last:
                self.end(LOST)
                return
            self.outbox.put_ping()
            due = last
        self._heartbeat = self._loop.call_at(due, self._check_life)

    async def _flush(self, writing: asyncio.Task[None], ending: Ending) -> None:
        if ending.refusal is not None:
            self.outbox.put_text(error(ending.refusal))
        self.outbox.finish()
        if ending.can_write:
            await asyncio.wait([writing], timeout=self._limits.close_seconds)
        writing.cancel()

    # ── the two tasks ───────────────────────────────────────────────────────────────────────

    async def _read(self) -> None:
        while True:
            message = await self._websocket.receive()
            match message.type:
                case WSMsgType.TEXT | WSMsgType.BINARY:
                    self._take(message.data)
                case WSMsgType.PING:
                    self._alive_at = self._loop.time()
                    self.outbox.put_pong(message.data)
                case WSMsgType.PONG:
                    self._alive_at = self._loop.time()
                case _:
                    self.end(gone(message.data))
                    return
            self._shortcut.was_read()

    def _take_sound(self, pcm: bytes) -> None:
        """What comes the short way: the transport is to know of no failure of ours."""
        try:
            self._context.run(self._take, pcm)
        except Exception as failure:
            self._session = None
            if not self._over.done():
                self._over.set_exception(failure)

    def _take(self, data: str | bytes) -> None:
        received = self.protocol.receive(data, now=self._loop.time())
        session = self._session
        if type(received) is CallerAudio:  # nearly all are
            if session is not None:
                session.receive(received)
            return
        match received:
            case Refusal(is_fatal=True):
                self.end(refused(received))
            case Refusal():
                self.outbox.put_text(error(received))
            case LineOptions() | Resume():
                if not self._over.done():
                    self._on_first(self, received)
            case Heard():
                self._on_heard(self, received)
            case SignOfLife():
                self.outbox.put_text(PONG)
            case CallClosed():
                self.end(STOPPED)
            case _:
                if session is not None:
                    session.receive(received)
                elif not self._over.done():
                    self._keep(received)

    def _keep(self, event: CallEvent) -> None:
        """The session does not listen yet."""
        if isinstance(event, CallerAudio):
            return
        if len(self._early) < EARLY_MESSAGES:
            self._early.append(event)
        else:
            message = f"over {EARLY_MESSAGES} messages came before started; wait for that"
            self.end(refused(Refusal(code=WireCode.TOO_FAST, message=message, is_fatal=True)))

    async def _write(self) -> None:
        try:
            while (item := await self.outbox.get()) is not None:
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
            self.outbox.finish()
            self.end(LOST)

    def _write_now(self, message: WireMessage) -> bool:
        """Write it if the transport has room, so that nothing waits: no task need be woken."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() + len(message) > _ROOM_BYTES:
            return False
        if isinstance(message, bytes) and not self._websocket.closed:
            transport.write(whole_frame(message))
            return True
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


def _bound_unsent(transport: asyncio.Transport) -> None:
    """Let the system take little ahead; one that cannot be asked for that takes what it likes."""
    option: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    peer = transport.get_extra_info("socket")
    if option is not None and peer is not None and peer.family in (socket.AF_INET, socket.AF_INET6):
        peer.setsockopt(socket.IPPROTO_TCP, option, UNSENT_BYTES)
