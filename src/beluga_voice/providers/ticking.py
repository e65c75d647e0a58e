"""A channel that also tells its codec when a moment has come.

The moment is looked at again after each message, and whenever `changed` is set, which a codec does
when a command brought it nearer.
"""

import asyncio
from collections.abc import AsyncIterator

from beluga_voice.interfaces import WireMessage
from beluga_voice.providers.tick import TICK, Ticking
from beluga_voice.transports.wire import ClosingChannel


class TickingChannel:
    """The messages of a channel, with a `TICK` at each deadline.

    The messages have one reader, who has dealt with one before asking for the next.
    """

    def __init__(self, channel: ClosingChannel, ticking: Ticking, changed: asyncio.Event) -> None:
        self._channel = channel
        self._ticking = ticking
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
        has_rung = False
        try:
            while True:
                if reading is None:
                    reading = asyncio.create_task(_next(messages), name="ticking reader")
                    reading.add_done_callback(lambda _: self._changed.set())
                self._changed.clear()
                deadline = self._ticking.deadline
                if reading.done():
                    message, reading = reading.result(), None
                    if message is None:
                        return
                    yield message
                    has_rung = False
                elif has_rung or (deadline is not None and deadline <= loop.time()):
                    yield TICK
                    has_rung = False
                else:
                    try:
                        async with asyncio.timeout_at(deadline):
                            await self._changed.wait()
                    except TimeoutError:
                        # The clock may say that it is a hair too early: then it would for ever.
                        has_rung = True
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.wait({reading})


async def _next(messages: AsyncIterator[WireMessage]) -> WireMessage | None:
    """The next message; `None` at the end."""
    return await anext(messages, None)
