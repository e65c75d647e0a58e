"""A codec and a channel as a link: what all providers on a wire have in common.

How it works. `send` encodes at once, so that a codec sees commands and messages in the order in
which they happened, and puts the messages into an outbox. One task empties the outbox into the
channel and may wait for the peer; another reads the channel, decodes, and puts the events into the
feed. The reader never waits for the writer: a peer that does not read is still heard.

Every buffer is bounded:

* Sound that waits in the outbox, above `max_audio_bytes`: the oldest is dropped, and counted.
* Orders are never dropped. If more than `MAX_ORDERS` wait, the peer is as good as gone: the link
  ends.
* Above `MAX_UNREAD` events that nobody has read, reading from the wire pauses.

A codec may answer the peer by itself, without a command (see `ReplyingCodec`). A provider may say
by which event the service is ready; `connect` returns only then, and raises what kept it from it.

A message that the codec cannot read is skipped. The first of several in a row is reported, as a
`ServiceFailed` that is benign; more than `MAX_BROKEN` in a row end the link.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

from beluga_voice.errors import (
    BrokenProtocol,
    LinkLost,
    ProviderError,
    Silent,
    Unreachable,
    where,
)
from beluga_voice.events import ErrorCategory, LinkClosed, SendAudio, ServiceFailed
from beluga_voice.interfaces import Capabilities, Channel, Codec, WireMessage
from beluga_voice.transports.failures import Advice, error_of
from beluga_voice.transports.feed import Feed

log = logging.getLogger(__name__)

MAX_AUDIO_BYTES = 320_000
"""Ten seconds at 16 kHz."""
MAX_ORDERS = 10_000
MAX_UNREAD = 10_000
MAX_BROKEN = 10
READY_SECONDS = 8.0
"""How long connecting may take, to the event that says that the service is ready."""
FLUSH_SECONDS = 0.5
"""How long orders that wait may still go out when a link is left."""
LAST_WORDS_SECONDS = 1.0
"""How long what was received may still be read, once sending failed."""


@runtime_checkable
class ClosingChannel(Channel, Protocol):
    """A channel that can say why its peer closed it."""

    @property
    def close_code(self) -> int | None: ...

    @property
    def close_reason(self) -> str: ...


@runtime_checkable
class ReplyingCodec(Protocol):
    """A codec that has messages of its own for the peer: a pong, or what waited for its turn.

    `replies` is asked after each message that was decoded, before its events are delivered.
    """

    def replies(self) -> list[WireMessage]: ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    """The messages of one command; `audio_bytes` is 0 for an order."""

    messages: list[WireMessage]
    audio_bytes: int = 0


class WireLink[S, R]:
    """A link over a channel; alive inside `running`.

    The messages a codec makes of `SendAudio` may be dropped: they hold sound, and nothing that the
    service cannot miss. A fatal `ServiceFailed` from the codec ends the link.
    """

    def __init__(
        self,
        codec: Codec[S, R],
        channel: Channel,
        *,
        name: str = "wire",
        max_audio_bytes: int = MAX_AUDIO_BYTES,
        is_ready: Callable[[R], bool] | None = None,
        advice: Advice | None = None,
    ) -> None:
        self._codec = codec
        self._replying = codec if isinstance(codec, ReplyingCodec) else None
        self._channel = channel
        self._is_ready = is_ready
        self._advice = advice
        self._opening = asyncio.Event()
        self._refusal: ProviderError | None = None
        self._name = name
        self._max_audio_bytes = max_audio_bytes
        self._feed: Feed[R] = Feed()
        self._outbox: deque[_Waiting] = deque()
        self._audio_bytes = 0
        self._dropped_audio_bytes = 0
        self._broken_messages = 0
        self._broken_in_a_row = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._is_over = False
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._was_read = asyncio.Event()

    @property
    def waiting_audio_bytes(self) -> int:
        """Sound that waits to leave, in bytes as it was sent to the link."""
        return self._audio_bytes

    @property
    def dropped_audio_bytes(self) -> int:
        """Sound that was dropped because the peer was slow, in bytes as it was sent to the link."""
        return self._dropped_audio_bytes

    @property
    def broken_messages(self) -> int:
        """Messages that the codec could not read."""
        return self._broken_messages

    def send(self, command: S, /) -> None:
        """Take a command; it leaves when the peer takes it. Does nothing after the end."""
        if self._is_over:
            return
        messages = self._codec.encode(command)
        if not messages:
            return
        audio_bytes = len(command.pcm) if isinstance(command, SendAudio) else 0
        self._put(_Waiting(messages, audio_bytes))
        if self._audio_bytes > self._max_audio_bytes:
            self._drop_audio()
        # Looking at the total first spares counting the orders each time.
        if len(self._outbox) > MAX_ORDERS and self._orders() > MAX_ORDERS:
            log.warning("%s takes nothing any more: %d orders wait", self._name, MAX_ORDERS)
            self._end(is_clean=False, reason="the service takes nothing any more")

    async def wait_ready(self, deadline: float) -> None:
        """Wait for the event by which the service is ready, until `deadline` on the loop's clock.

        Raises what the service said instead, `Unreachable` if it closed, `Silent` if it was late.
        """
        if self._is_ready is None:
            return
        try:
            async with asyncio.timeout_at(deadline):
                await self._opening.wait()
        except TimeoutError as error:
            message = (
                f"{self._name} is connected, but did not get ready in time; try again, and check "
                "the address"
            )
            raise Silent(message, op="connect", provider=self._name) from error
        if self._refusal is not None:
            raise self._refusal

    def attach(self, deliver: Callable[[R], None], /) -> None:
        """Call `deliver` for every event from now on, beginning with those that wait."""
        self._feed.attach(deliver)
        self._was_read.set()

    async def __aiter__(self) -> AsyncIterator[R]:
        async for event in self._feed:
            self._was_read.set()
            yield event

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Carry messages while the context is open. Entered once.

        On leaving, orders that wait still go out, for at most `FLUSH_SECONDS`, and sound that waits
        does not. After a cancellation nothing goes out.
        """
        self._put(_Waiting(self._codec.hello()))
        body_error: Exception | None = None
        async with asyncio.TaskGroup() as group:
            self._tasks = [
                group.create_task(self._read(), name=f"{self._name} reader"),
                group.create_task(self._write(), name=f"{self._name} writer"),
            ]
            try:
                yield
                await self._flush()
            except Exception as error:
                # Kept for later: a task group would wrap what is the caller's own.
                body_error = error
            finally:
                self._end(is_clean=True, reason="closed by us")
        if body_error is not None:
            raise body_error

    # ── to the peer ─────────────────────────────────────────────────────────────────────────

    def _put(self, waiting: _Waiting) -> None:
        self._outbox.append(waiting)
        self._audio_bytes += waiting.audio_bytes
        self._idle.clear()
        self._work.set()

    def _drop_audio(self) -> None:
        """Drop the oldest sound until no more than allowed is left."""
        if not self._dropped_audio_bytes:
            log.warning("%s is slow: sound that waits for it is dropped", self._name)
        kept: deque[_Waiting] = deque()
        while self._outbox and self._audio_bytes > self._max_audio_bytes:
            first = self._outbox.popleft()
            if first.audio_bytes:
                self._audio_bytes -= first.audio_bytes
                self._dropped_audio_bytes += first.audio_bytes
            else:
                kept.append(first)
        self._outbox.extendleft(reversed(kept))

    def _orders(self) -> int:
        return sum(not one.audio_bytes for one in self._outbox)

    async def _write(self) -> None:
        try:
            while True:
                while self._outbox:
                    waiting = self._outbox.popleft()
                    self._audio_bytes -= waiting.audio_bytes
                    for message in waiting.messages:
                        await self._channel.send(message)
                self._idle.set()
                self._work.clear()
                await self._work.wait()
        except LinkLost as error:
            # The peer may have said why before it went: the reader has the better reason.
            self._idle.set()
            await asyncio.sleep(LAST_WORDS_SECONDS)
            self._end(is_clean=False, reason=error.message)
        except Exception as error:
            log.error("the channel of %s failed: %s", self._name, where(error))
            self._end(is_clean=False, reason=f"sending failed: {type(error).__name__}")

    async def _flush(self) -> None:
        if self._is_over:
            return
        self._outbox = deque(one for one in self._outbox if not one.audio_bytes)
        self._audio_bytes = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._idle.wait()

    # ── from the peer ───────────────────────────────────────────────────────────────────────

    async def _read(self) -> None:
        try:
            async for message in self._channel:
                self._decode(message)
                if self._is_over:
                    return
                if self._feed.waiting > MAX_UNREAD:
                    await self._wait_for_reader()
            is_clean, reason = True, "closed by the service"
        except LinkLost as error:
            is_clean, reason = False, error.message
        except Exception as error:
            log.error("the link of %s failed: %s", self._name, where(error))
            is_clean, reason = False, f"receiving failed: {type(error).__name__}"
        code: int | None = None
        if isinstance(self._channel, ClosingChannel):
            code, reason = self._channel.close_code, self._channel.close_reason or reason
        self._end(is_clean=is_clean, code=code, reason=reason)

    async def _wait_for_reader(self) -> None:
        while self._feed.waiting > MAX_UNREAD // 2:
            self._was_read.clear()
            await self._was_read.wait()

    def _decode(self, message: WireMessage) -> None:
        try:
            events = self._codec.decode(message)
        except BrokenProtocol as error:
            self._skip(error)
            return
        self._broken_in_a_row = 0
        if self._replying is not None and (replies := self._replying.replies()):
            self._put(_Waiting(replies))
        for event in events:
            self._give(event)
            match event:
                case ServiceFailed(is_fatal=True):
                    self._end(is_clean=False, reason=event.message)
                case LinkClosed():
                    self._stop()
                case _:
                    pass

    def _skip(self, error: BrokenProtocol) -> None:
        self._broken_messages += 1
        self._broken_in_a_row += 1
        if self._broken_in_a_row == 1:
            log.warning("%s sent a message that cannot be read: %s", self._name, error)
            self._report(error, is_fatal=False)
        elif self._broken_in_a_row > MAX_BROKEN:
            self._report(error, is_fatal=True)
            self._end(is_clean=False, reason="the service breaks its protocol")

    def _report(self, error: BrokenProtocol, *, is_fatal: bool) -> None:
        category = ErrorCategory.RETRYABLE if is_fatal else ErrorCategory.BENIGN
        failed = ServiceFailed(category=category, message=error.message, is_fatal=is_fatal)
        # Every union of events has `ServiceFailed` and `LinkClosed`, which types cannot say.
        self._give(cast("R", failed))

    def _give(self, event: R) -> None:
        """An event for the reader."""
        if self._is_ready is not None and not self._opening.is_set():
            self._look(event, self._is_ready)
        self._feed.put(event)

    def _look(self, event: R, is_ready: Callable[[R], bool]) -> None:
        """While the link is being opened: does this end the waiting?"""
        if is_ready(event):
            self._opening.set()
        elif isinstance(event, ServiceFailed) and event.is_fatal:
            self._refusal = error_of(
                event,
                op="connect",
                provider=self._name,
                otherwise=Unreachable,
                advice=self._advice,
            )
            self._opening.set()
        elif isinstance(event, LinkClosed):
            message = f"{self._name} closed the connection while it was opened: {event.reason}"
            self._refusal = Unreachable(message, op="connect", provider=self._name)
            self._opening.set()

    # ── the end ─────────────────────────────────────────────────────────────────────────────

    def _end(self, *, is_clean: bool, reason: str, code: int | None = None) -> None:
        """Give the reader what it is owed, `LinkClosed` last; only the first end counts."""
        if self._is_over:
            return
        self._is_over = True
        try:
            owed = self._codec.closed(is_clean=is_clean, code=code, reason=reason)
        except Exception as error:
            log.error("the codec of %s failed at the end: %s", self._name, where(error))
            owed = []
        for event in owed:
            if not isinstance(event, LinkClosed):
                self._give(event)
        last = next((event for event in owed if isinstance(event, LinkClosed)), None)
        closed = last or LinkClosed(is_clean=is_clean, reason=reason, code=code)
        self._give(cast("R", closed))
        self._stop()

    def _stop(self) -> None:
        """Nothing follows in either direction."""
        self._is_over = True
        self._feed.close()
        self._outbox.clear()
        self._audio_bytes = 0
        self._idle.set()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()


class WireProvider[O, S, R]:
    """A provider from a codec and a way to open its channel.

    `codec_of` makes a new codec for each connection and raises `ConfigurationError` for options it
    cannot honour; `open_channel` opens the wire and raises `ProviderError`. With `is_ready`,
    connecting includes waiting for the first event it is true for, all within `ready_seconds`.
    `advice` is added to what the service says when it refuses meanwhile.
    """

    def __init__(
        self,
        name: str,
        capabilities: Capabilities,
        codec_of: Callable[[O], Codec[S, R]],
        open_channel: Callable[[O], AbstractAsyncContextManager[Channel]],
        *,
        max_audio_bytes: int = MAX_AUDIO_BYTES,
        is_ready: Callable[[R], bool] | None = None,
        advice: Advice | None = None,
        ready_seconds: float = READY_SECONDS,
    ) -> None:
        self.name = name
        self.capabilities = capabilities
        self._codec_of = codec_of
        self._open_channel = open_channel
        self._max_audio_bytes = max_audio_bytes
        self._is_ready = is_ready
        self._ready_seconds = ready_seconds
        self._advice = advice

    @asynccontextmanager
    async def connect(self, options: O, /) -> AsyncGenerator[WireLink[S, R]]:
        """Open a link; the codec's `hello` is sent first."""
        codec = self._codec_of(options)
        deadline = asyncio.get_running_loop().time() + self._ready_seconds
        async with AsyncExitStack() as stack:
            try:
                channel = await stack.enter_async_context(self._open_channel(options))
            except ProviderError as error:
                error.provider = error.provider or self.name
                raise
            link = WireLink(
                codec,
                channel,
                name=self.name,
                max_audio_bytes=self._max_audio_bytes,
                is_ready=self._is_ready,
                advice=self._advice,
            )
            async with link.running():
                await link.wait_ready(deadline)
                yield link
