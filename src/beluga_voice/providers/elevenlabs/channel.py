"""A wire to ElevenLabs, whose reader is also told when a moment has come.

The moment (see `tick`) is looked at again after each message, and whenever `changed` is set, which
a codec does when a command brought it forward.
"""

import asyncio
import ssl as tls
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from websockets.exceptions import InvalidStatus

from beluga_voice.errors import Denied, ProviderError
from beluga_voice.interfaces import WireMessage
from beluga_voice.providers.elevenlabs.account import NAME, reason_of
from beluga_voice.providers.elevenlabs.tick import TICK, Timed
from beluga_voice.transports.websocket import connect_websocket
from beluga_voice.transports.wire import ClosingChannel


class TimedChannel:
    """A channel with a `TICK` at each deadline; see above.

    The messages have one reader, who has dealt with one before asking for the next.
    """

    def __init__(self, channel: ClosingChannel, timed: Timed, changed: asyncio.Event) -> None:
        self._channel = channel
        self._timed = timed
        self._changed = changed

    @property
    def close_code(self) -> int | None:
        """The peer's close code."""
        return self._channel.close_code

    @property
    def close_reason(self) -> str:
        """The peer's own words on why it closed."""
        return self._channel.close_reason

    async def send(self, message: WireMessage, /) -> None:
        """Send one message, as the channel below does."""
        await self._channel.send(message)

    async def __aiter__(self) -> AsyncIterator[WireMessage]:
        loop = asyncio.get_running_loop()
        messages = aiter(self._channel)
        reading: asyncio.Task[WireMessage | None] | None = None
        try:
            while True:
                if reading is None:
                    reading = asyncio.create_task(_next(messages), name="timed reading")
                    reading.add_done_callback(lambda _: self._changed.set())
                self._changed.clear()
                deadline = self._timed.deadline
                if reading.done():
                    message, reading = reading.result(), None
                    if message is None:
                        return
                    yield message
                elif deadline is not None and deadline <= loop.time():
                    yield TICK
                else:
                    with suppress(TimeoutError):
                        async with asyncio.timeout_at(deadline):
                            await self._changed.wait()
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.wait({reading})


async def _next(messages: AsyncIterator[WireMessage]) -> WireMessage | None:
    """The next message; `None` at the end."""
    return await anext(messages, None)


@asynccontextmanager
async def open_channel(
    url: str,
    timed: Timed,
    changed: asyncio.Event,
    *,
    key: str,
    connect_seconds: float,
    ssl: tls.SSLContext | None,
) -> AsyncGenerator[TimedChannel]:
    """A websocket that ticks; raises as `connect_websocket` does, with the service's reason."""
    async with AsyncExitStack() as stack:
        opening = connect_websocket(
            url,
            headers={"xi-api-key": key},
            connect_seconds=connect_seconds,
            ssl=ssl if url.startswith("wss:") else None,
            provider=NAME,
        )
        try:
            channel = await stack.enter_async_context(opening)
        except ProviderError as error:
            raise _explained(error) from error.__cause__
        yield TimedChannel(channel, timed, changed)


def _explained(error: ProviderError) -> ProviderError:
    """The same error with the service's own reason, if a refused handshake gave one."""
    refused = error.__cause__
    if isinstance(refused, InvalidStatus):
        reason = reason_of(bytes(refused.response.body or b""))
        # What is said about a key might quote it: its code says enough.
        shown = reason.partition(":")[0] if isinstance(error, Denied) else reason
        if shown:
            error.message = f"{error.message} ({shown})"
            error.args = (error.message,)
    return error
