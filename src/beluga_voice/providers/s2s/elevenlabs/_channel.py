"""A wire that notices when the agent has nothing more to say.

Not every agent tells the end of its responses, so a pause has to. A codec knows no time: while a
response is sounding and no more of it came for a while, this channel hands it one message of its
own, `QUIET`, between those of the service.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from beluga_voice.interfaces import WireMessage
from beluga_voice.providers.s2s.elevenlabs._wire import QUIET
from beluga_voice.transports.wire import ClosingChannel


class Waiting(Protocol):
    """Who can say how much came of the response that is being made; `None` while there is none."""

    @property
    def progress(self) -> int | None: ...


class QuietChannel:
    """A channel with a `QUIET` after `gap_seconds` without progress; see above.

    The messages have one reader, who has dealt with one before asking for the next.
    """

    def __init__(self, channel: ClosingChannel, waiting: Waiting, *, gap_seconds: float) -> None:
        self._channel = channel
        self._waiting = waiting
        self._gap_seconds = gap_seconds
        self._progress: int | None = None
        self._since = 0.0

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
        messages = aiter(self._channel)
        reading: asyncio.Task[WireMessage | None] | None = None
        try:
            while True:
                if reading is None:
                    reading = asyncio.create_task(_next(messages), name="elevenlabs reading")
                done, _ = await asyncio.wait({reading}, timeout=self._patience())
                if not done:
                    self._progress = None
                    yield QUIET
                    continue
                message = reading.result()
                reading = None
                if message is None:
                    return
                yield message
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.wait({reading})

    def _patience(self) -> float | None:
        """How many seconds more to wait for progress; `None` if nothing is waited for."""
        now = asyncio.get_running_loop().time()
        progress = self._waiting.progress
        if progress is None:
            self._progress = None
            return None
        if progress != self._progress:
            self._progress, self._since = progress, now
        return max(self._since + self._gap_seconds - now, 0.0)


async def _next(messages: AsyncIterator[WireMessage]) -> WireMessage | None:
    """The next message; `None` at the end."""
    return await anext(messages, None)
