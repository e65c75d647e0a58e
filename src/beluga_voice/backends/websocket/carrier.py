"""Carries calls between aiohttp websockets and sessions.

The carrier lets callers in, and back in. Each websocket is a `Connection`; each that says `start`
gets a `Call`, whose session outlives the connection where the caller asked for that. The handler
of the connection on which a call began owns the call, and ends when the call has ended.

A server that stops is *drained* first: it lets nobody in, waits until what is being said has been
said, moves the calls that another process can go on with, and ends the others.

Nothing a person says, and no exception's text, is written to the log.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import time

from beluga_voice.errors import BelugaError, MissingExtra, WrongFormat

try:
    from aiohttp import WSCloseCode, web
except ImportError as missing:
    raise MissingExtra("the websocket carrier", extra="server", op="websocket") from missing

from beluga_voice.backends.websocket.admission import RETRY_SECONDS, Admission, Party
from beluga_voice.backends.websocket.call import Call, Session, place_of
from beluga_voice.backends.websocket.connection import TRANSPORT_BYTES, Connection
from beluga_voice.backends.websocket.ending import (
    MOVING,
    NOT_RESUMED,
    REPLACED,
    TAKEN_OVER,
    Ending,
    failed,
    refused,
    stopping,
)
from beluga_voice.backends.websocket.parking import Gone, Parking, hashed
from beluga_voice.backends.websocket.protocol import (
    SUBPROTOCOL,
    Heard,
    Limits,
    Refusal,
    Resume,
    Ticket,
    WireCode,
)
from beluga_voice.backends.websocket.saver import Saver
from beluga_voice.checkpoints.checkpoint import Checkpoint, pending
from beluga_voice.checkpoints.store import CheckpointStore
from beluga_voice.interfaces import Line, LineOptions

__all__ = ["Checkpoints", "Session", "WebSocketCarrier"]

_log = logging.getLogger(__name__)

CLAIM_SECONDS = 5.0
"""How long a store may take to give a checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoints:
    """Lets other processes go on with the calls of this one, and this one with theirs."""

    store: CheckpointStore
    """What all of them share."""
    make_session: Callable[[Line, Checkpoint], Session]
    """Makes a session that goes on from a checkpoint, at the line's rates."""
    settings: str = ""
    """What the settings of this process are called; it is kept in each checkpoint."""


class _Socket(web.WebSocketResponse):
    """A websocket that says why when aiohttp closes it over a message that is too long."""

    async def close(
        self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True
    ) -> bool:
        if code == WSCloseCode.MESSAGE_TOO_BIG:
            message = WireCode.TOO_LARGE.encode()
        return await super().close(code=code, message=message, drain=drain)


class WebSocketCarrier:
    """Answers websockets: each that says `start` gets a session of its own.

    Who may call is decided before: `handle` admits everybody up to the limits.
    """

    def __init__(
        self,
        make_session: Callable[[Line], Session],
        *,
        limits: Limits | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self._make_session = make_session
        self._limits = limits or Limits()
        self._checkpoints = checkpoints
        self._admission = Admission(self._limits)
        self._parking: Parking[Call] = Parking()
        self._connections: set[Connection] = set()
        self._calls: dict[Call, Party] = {}
        self._claims: set[asyncio.Task[None]] = set()
        self._claimed: dict[Call, Checkpoint] = {}
        """Calls that go on from a checkpoint, until their session listens."""
        self._handlers = 0
        self._is_draining = False
        self._is_stopping = False
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()

    @property
    def limits(self) -> Limits:
        """What callers may ask of this server."""
        return self._limits

    @property
    def calls(self) -> int:
        """Places that are taken: calls, and connections that may become one."""
        return self._admission.inside

    @property
    def is_ready(self) -> bool:
        """Whether new calls are taken, if there is a place."""
        return not (self._is_draining or self._is_stopping)

    async def handle(
        self, request: web.Request, *, tenant: str = "", provider: str = ""
    ) -> web.StreamResponse:
        """Serve one websocket to its end.

        `tenant` and `provider` are for whom a place is counted where `Limits` bounds that. A
        program that cannot be let in is answered with HTTP 503 or 429. A page could not see that,
        so it is told on the websocket.
        """
        offered = _offered(request)
        if offered and SUBPROTOCOL not in offered:
            # Not left to aiohttp, which would log the whole list, and a token may be in it.
            return web.Response(status=400, text=f"offer the subprotocol {SUBPROTOCOL}, or none")
        party = Party(tenant=tenant, provider=provider)
        refusal = self._refusal(party, is_resuming="resume" in request.query)
        if refusal is not None and "Origin" not in request.headers:
            return turned_away(refusal)
        websocket = _Socket(
            # One byte more, because aiohttp refuses a message that is exactly as long as its cap.
            max_msg_size=self._limits.max_message_bytes + 1,
            timeout=self._limits.close_seconds,
            autoclose=False,
            autoping=False,
            compress=False,
            writer_limit=TRANSPORT_BYTES,
            protocols=(SUBPROTOCOL,) if offered else (),
        )
        self._handlers += 1
        self._is_quiet.clear()
        has_place = refusal is None and self._admission.enter(party) is None
        try:
            await self._serve(request, websocket, party, refusal, has_place=has_place)
        finally:
            self._handlers -= 1
            if not self._handlers:
                self._is_quiet.set()
        return websocket

    async def _serve(
        self,
        request: web.Request,
        websocket: web.WebSocketResponse,
        party: Party,
        refusal: Refusal | None,
        *,
        has_place: bool,
    ) -> None:
        """One connection to its end, and the call that began on it."""
        connection = Connection(
            websocket,
            request,
            self._limits,
            on_first=partial(self._begin, party),
            on_heard=self._heard,
            on_over=self._leave,
        )
        connection.has_place = has_place
        try:
            await websocket.prepare(request)
            if refusal is not None:
                connection.end(refused(refusal))
            self._connections.add(connection)
            await self._carry(connection, websocket, request.transport)
        finally:
            self._connections.discard(connection)
            if connection.has_place:
                self._admission.leave(party)
            if connection.is_owner and connection.call is not None:
                await self._see_out(connection.call)

    async def _carry(
        self,
        connection: Connection,
        websocket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
    ) -> None:
        try:
            try:
                ending = await connection.run()
            except Exception as failure:
                _log.error("a call broke: %s", place_of(failure))
                ending = failed("the call broke; the server's log says where")
                if connection.call is not None:
                    connection.call.end(ending)
            session = connection.call.session if connection.call else None
            name = session.id if session else "-"
            verb = "ended" if ending.is_final else "lost its connection"
            _log.info("call of session %s %s: %s", name, verb, ending.reason)
            await self._close(websocket, ending)
        except asyncio.CancelledError:
            if connection.is_owner and connection.call is not None:
                connection.call.end(refused(stopping(), code=WSCloseCode.GOING_AWAY))
            raise
        finally:
            # One that closes waits for what it holds to be written, which may be never.
            if transport is not None and (
                not transport.is_closing() or transport.get_write_buffer_size()
            ):
                transport.abort()

    async def _close(self, websocket: web.WebSocketResponse, ending: Ending) -> None:
        try:
            with suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(self._limits.close_seconds):
                    await websocket.close(code=ending.code, message=ending.reason.encode())
        except asyncio.CancelledError:
            # A task of ours that was cancelled while it wrote has cancelled what aiohttp waits for.
            if (me := asyncio.current_task()) is not None and me.cancelling():
                raise

    # ── calls begin and go on ───────────────────────────────────────────────────────────────

    def _begin(self, party: Party, connection: Connection, asked: LineOptions | Resume) -> None:
        """The caller's first message."""
        if isinstance(asked, LineOptions):
            if not connection.has_place and (refusal := self._admission.enter(party)):
                connection.end(refused(refusal))
                return
            connection.expect(asked)
            can_resume = connection.protocol.can_resume
            self._own(connection, party, self._make_session, asked, can_resume=can_resume)
            return
        claim = asyncio.create_task(self._resume(party, connection, asked), name="websocket resume")
        self._claims.add(claim)
        claim.add_done_callback(self._claims.discard)

    def _own(
        self,
        connection: Connection,
        party: Party,
        make_session: Callable[[Line], Session],
        options: LineOptions,
        *,
        can_resume: bool,
        resumed: tuple[Checkpoint, int] | None = None,
    ) -> None:
        """Start a call, which takes the connection's place."""
        generation = 0 if resumed is None else resumed[0].generation
        call = Call(
            make_session,
            options,
            connection,
            self._limits,
            can_resume=can_resume,
            resumes_at=None if resumed is None else resumed[1],
            on_session=partial(self._admit_back, generation=generation),
            on_state=self._consider,
        )
        connection.has_place = False
        connection.call, connection.is_owner = call, True
        self._calls[call] = party

    async def _give_back(self, checkpoint: Checkpoint) -> None:
        """Nothing came of going on with a call: whoever comes with the token may try again."""
        assert self._checkpoints is not None
        try:
            async with asyncio.timeout(CLAIM_SECONDS):
                await self._checkpoints.store.save(checkpoint)
        except (BelugaError, TimeoutError) as failure:
            _log.error("giving a checkpoint back failed: %s", type(failure).__name__)

    def _admit_back(self, call: Call, *, generation: int) -> Ticket:
        """The session of a call listens: its caller may come back to it."""
        self._claimed.pop(call, None)
        ticket = self._issue(call)
        if self._checkpoints is not None:
            call.saver = Saver(
                self._checkpoints.store,
                snapshot=partial(self._snapshot, call, generation=generation, created_at=time()),
                renew_seconds=self._limits.resume_seconds,
                on_taken=lambda: call.end(TAKEN_OVER),
            )
        return ticket

    def _issue(self, call: Call) -> Ticket:
        token = secrets.token_urlsafe(24)
        self._parking.issue(call, token)
        call.token_hash = hashed(token)
        return Ticket(token=token, seconds=self._limits.resume_seconds)

    async def _resume(self, party: Party, connection: Connection, asked: Resume) -> None:
        """A caller comes back: to a call of this process, or to one of another."""
        found = self._parking.take(asked.token, asyncio.get_running_loop().time())
        if isinstance(found, Call):
            await self._go_on(found, party, connection, asked)
            return
        checkpoint: Checkpoint | None = None
        try:
            if self._checkpoints is not None:
                if not connection.has_place and (refusal := self._admission.enter(party)):
                    connection.end(refused(refusal))
                    return
                connection.has_place = True
                async with asyncio.timeout(CLAIM_SECONDS):
                    store = self._checkpoints.store
                    checkpoint = await store.claim(hashed(asked.token), now=time())
        except WrongFormat as failure:
            _log.error("a call stays where it was left: %s", failure.message)
            connection.end(failed("another version of this server has the call; try again"))
            return
        except (BelugaError, TimeoutError) as failure:
            _log.error("claiming a checkpoint failed: %s", type(failure).__name__)
            connection.end(failed("the store of checkpoints does not answer; try again"))
            return
        if checkpoint is None or self._checkpoints is None:
            connection.end(refused(_not_resumed(found)))
        elif connection.is_over:
            await self._give_back(checkpoint)
        else:
            options = LineOptions(
                input_rate=checkpoint.input_rate,
                output_rate=checkpoint.output_rate,
                lead_ms=self._limits.lead_ms,
                reports_playback=True,
                can_transfer=True,
            )
            connection.protocol.resumed(options)
            connection.expect(options)
            make = self._checkpoints.make_session
            self._own(
                connection,
                party,
                lambda line: make(line, checkpoint),
                options,
                can_resume=True,
                resumed=(checkpoint, asked.position),
            )
            assert connection.call is not None
            self._claimed[connection.call] = checkpoint
            self._parking.issue(connection.call, asked.token)  # the answer may be lost

    async def _go_on(self, call: Call, party: Party, connection: Connection, asked: Resume) -> None:
        """A caller comes back to a call of this process."""
        before = call.connection
        call.connection = None
        if before is not None:
            before.end(REPLACED)
        ticket = self._issue(call)
        if call.saver is not None:
            await call.saver.save()  # the token is good elsewhere, too, before the caller has it
        if connection.is_over or call.over.done():
            connection.end(refused(_not_resumed(Gone.OVER)))
            if call.connection is None:
                self._park(call)
            return
        if connection.has_place:
            self._admission.leave(party)
            connection.has_place = False
        connection.protocol.resumed(call.options)
        connection.expect(call.options)
        connection.call = call
        if call.connection is not None:
            call.connection.end(REPLACED)  # it was faster
        call.resume(connection, asked, ticket)

    def _heard(self, connection: Connection, heard: Heard) -> None:
        call = connection.call
        if call is not None and call.connection is connection:
            self._parking.confirm(call)
            call.confirm(heard)

    def _park(self, call: Call) -> None:
        """Nobody is connected to it."""
        if call.over.done():
            return
        until = asyncio.get_running_loop().time() + self._limits.resume_seconds
        self._parking.leave(call, until=until)

        def expire() -> None:
            self._parking.drop(call, Gone.EXPIRED)
            call.end(NOT_RESUMED)

        call.park(until, expire)
        if call.saver is not None:
            call.saver.note()  # the caller may come back to another process
        self._consider(call)

    # ── calls end ───────────────────────────────────────────────────────────────────────────

    async def _leave(self, connection: Connection, ending: Ending) -> None:
        """A connection is over: what becomes of its call?"""
        call = connection.call
        if call is None or call.connection is not connection:
            return
        if call.can_resume and not ending.is_final and not call.over.done():
            self._park(call)
        else:
            call.end(ending)
            await call.close()

    async def _see_out(self, call: Call) -> None:
        """Wait for the end of a call, and forget it."""
        try:
            await call.over
        except asyncio.CancelledError:
            call.end(refused(stopping(), code=WSCloseCode.GOING_AWAY))
            raise
        finally:
            try:
                await call.close()
                if (checkpoint := self._claimed.pop(call, None)) is not None:
                    await self._give_back(checkpoint)
            finally:
                self._parking.drop(call)
                self._admission.leave(self._calls.pop(call))

    async def drain(self, seconds: float) -> None:
        """Take no more calls; have what is being said finished, within so many seconds.

        A call is moved, where another process can go on with it, or ended, as soon as nobody
        speaks in it; what is left when the time is over is moved, or left to `stop`.
        """
        self._is_draining = True
        for call in tuple(self._calls):
            self._consider(call)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_quiet.wait()
        moving = [call for call in self._calls if call.can_move]
        for call in moving:
            call.end(MOVING)
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * self._limits.close_seconds):
                for call in moving:
                    await call.wait_closed()

    async def stop(self) -> None:
        """End every call in order, refuse new ones, and wait until all are gone, within a bound."""
        self._is_stopping = True
        ending = refused(stopping(), code=WSCloseCode.GOING_AWAY)
        for connection in tuple(self._connections):
            connection.end(ending)
        for call in tuple(self._calls):
            call.end(ending)
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * self._limits.close_seconds):
                await self._is_quiet.wait()

    def _consider(self, call: Call) -> None:
        """While the server is drained: has the moment come to part with that call?"""
        if not self._is_draining or call.over.done() or not call.is_still:
            return
        call.end(MOVING if call.can_move else refused(stopping(), code=WSCloseCode.GOING_AWAY))

    def _snapshot(self, call: Call, *, generation: int, created_at: float) -> Checkpoint:
        session, checkpoints = call.session, self._checkpoints
        assert session is not None
        assert checkpoints is not None
        history = tuple(session.history)
        return Checkpoint(
            session_id=session.id,
            token_hash=call.token_hash,
            generation=generation,
            settings=checkpoints.settings,
            history=history,
            unheard_text=call.unheard_text,
            pending_tools=pending(history),
            input_rate=call.options.input_rate,
            output_rate=call.options.output_rate,
            created_at=created_at,
            # Written again after half of that, so a caller has the stated time at least.
            expires_at=time() + 2 * self._limits.resume_seconds,
        )

    def _refusal(self, party: Party, *, is_resuming: bool) -> Refusal | None:
        if self._is_stopping or self._is_draining:
            return stopping()
        if is_resuming and len(self._connections) < 2 * self._limits.max_sessions:
            return None  # the call has a place, or gets one when it is known
        return self._admission.refusal(party)


def turned_away(refusal: Refusal) -> web.Response:
    """The answer to a program that cannot be let in now."""
    status = 429 if refusal.code is WireCode.TENANT_FULL else 503
    return web.json_response(
        {"error": refusal.message, "code": refusal.code},
        status=status,
        headers={"Retry-After": str(RETRY_SECONDS)},
    )


def _not_resumed(why: Gone) -> Refusal:
    return Refusal(
        code=WireCode.RESUME_REFUSED, message=f"{why.value}; start a new call", is_fatal=True
    )


def _offered(request: web.Request) -> tuple[str, ...]:
    offered = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
    return tuple(name.strip() for name in offered if name.strip())
