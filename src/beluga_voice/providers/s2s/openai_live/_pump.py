"""Keeps the timeline of a Live session moving, and sees that it does.

The service's time is the sound it is sent. A line that gives none, on hold or with nobody there,
would freeze the session: what is to be said is not, and after half a minute the service ends it. So
`LiveLink` sends silence in the line's stead, at the pace of time. `LiveChannel` ends a connection
on which sound goes out and none comes back.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress

from beluga_voice.errors import LinkLost
from beluga_voice.events import S2sCommand, S2sEvent, SendAudio
from beluga_voice.interfaces import WireMessage
from beluga_voice.providers.s2s.openai_live._capabilities import IDLE_MS, PUMP_MS, STALL_MS
from beluga_voice.providers.s2s.openai_live._codec import STALLED, OpenAILiveCodec
from beluga_voice.transports.websocket import WebSocketChannel
from beluga_voice.transports.wire import WireLink

GOODBYE_SECONDS = 0.5
"""How long the service may take to take the goodbye."""


class LiveLink:
    """A link that sends silence once the line has given nothing for `IDLE_MS`.

    What was not sent in time is not made up for. The silence ends with the next sound of the line,
    with the connection, and with `pumping`.
    """

    def __init__(self, link: WireLink[S2sCommand, S2sEvent], codec: OpenAILiveCodec) -> None:
        self._link = link
        self._codec = codec
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._silence = codec.silence(PUMP_MS)

    @property
    def dropped_audio_bytes(self) -> int:
        """Sound that was dropped because the service was slow, silence included."""
        return self._link.dropped_audio_bytes

    def send(self, command: S2sCommand, /) -> None:
        """Take a command; it leaves when the service takes it. Does nothing after the end."""
        if self._timer is not None and isinstance(command, SendAudio):
            self._wait(self._loop.time() + IDLE_MS / 1000)
        self._link.send(command)

    def attach(self, deliver: Callable[[S2sEvent], None], /) -> None:
        """Call `deliver` for every event from now on, beginning with those that wait."""
        self._link.attach(deliver)

    async def __aiter__(self) -> AsyncIterator[S2sEvent]:
        async for event in self._link:
            yield event

    @contextmanager
    def pumping(self) -> Generator[None]:
        """Send silence where it is needed, while the context is open."""
        self._wait(self._loop.time() + IDLE_MS / 1000)
        try:
            yield
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None

    def _wait(self, until: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(until, self._pump, until)

    def _pump(self, due: float) -> None:
        if self._codec.is_over:
            self._timer = None
            return
        self._link.send(self._silence)
        now = self._loop.time()
        # Late by a frame or more: what was missed is not caught up with.
        self._wait((due if now - due < PUMP_MS / 1000 else now) + PUMP_MS / 1000)


class LiveChannel:
    """A channel that breaks when the service takes nothing, or gives nothing for what it takes."""

    def __init__(self, channel: WebSocketChannel, codec: OpenAILiveCodec) -> None:
        self._channel = channel
        self._codec = codec
        self._loop = asyncio.get_running_loop()
        self._sounds, self._since = 0, self._loop.time()

    @property
    def close_code(self) -> int | None:
        """The service's close code; `None` while the connection is open."""
        return self._channel.close_code

    @property
    def close_reason(self) -> str:
        """The service's own words on why it closed."""
        return self._channel.close_reason

    async def send(self, message: WireMessage, /) -> None:
        """Send one message; raises `LinkLost` when the service is gone, or stuck."""
        try:
            async with asyncio.timeout(STALL_MS / 1000):
                await self._channel.send(message)
        except TimeoutError as error:
            raise LinkLost("the service takes nothing any more", op="openai_live") from error
        now, sounds = self._loop.time(), self._codec.sounds
        if sounds != self._sounds:
            self._sounds, self._since = sounds, now
        if self._codec.is_stalled and now - self._since >= STALL_MS / 1000:
            raise LinkLost(STALLED, op="openai_live")

    async def __aiter__(self) -> AsyncIterator[WireMessage]:
        async for message in self._channel:
            yield message


@asynccontextmanager
async def parting(channel: WebSocketChannel, codec: OpenAILiveCodec) -> AsyncGenerator[LiveChannel]:
    """A channel on which the session is ended in order, unless the body fails or is cancelled."""
    yield LiveChannel(channel, codec)
    with suppress(LinkLost, TimeoutError):
        async with asyncio.timeout(GOODBYE_SECONDS):
            for message in codec.goodbye():
                await channel.send(message)
