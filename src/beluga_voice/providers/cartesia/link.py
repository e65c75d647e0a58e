"""A link over a wire that wakes its codec in time, and gives what that owes."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from beluga_voice.events import ServiceFailed
from beluga_voice.interfaces import Channel
from beluga_voice.providers.cartesia.owing import OwingCodec, Tick
from beluga_voice.providers.cartesia.service import NAME
from beluga_voice.transports.wire import WireLink


class OwingLink[S, R](WireLink[S | Tick, R]):
    """A `WireLink` with a timer. What is said of that link holds for this one."""

    def __init__(
        self,
        codec: OwingCodec[S, R],
        channel: Channel,
        *,
        is_ready: Callable[[R], bool] | None = None,
    ) -> None:
        super().__init__(codec, channel, name=NAME, is_ready=is_ready)
        self._owing = codec
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def send(self, command: S | Tick, /) -> None:
        """Take a command; it leaves when the service takes it. Does nothing after the end."""
        super().send(command)
        self.settle()

    def settle(self) -> None:
        """Give what the codec owes, and set the timer."""
        if self._is_over:
            return
        for event in self._owing.owed():
            self._give(event)
            if isinstance(event, ServiceFailed) and event.is_fatal:
                self._end(is_clean=False, reason=event.message)
                return
        self._wake_in_time()

    def _give(self, event: R) -> None:
        super()._give(event)
        self._wake_in_time()

    def _tick(self) -> None:
        self._timer = None
        self.send(Tick())

    def _wake_in_time(self) -> None:
        """Set the timer anew if the codec wants to be woken at another moment."""
        wanted = None if self._is_over else self._owing.deadline
        if self._timer is not None:
            if self._timer.when() == wanted:
                return
            self._timer.cancel()
            self._timer = None
        if wanted is not None:
            self._timer = self._loop.call_at(wanted, self._tick)


@asynccontextmanager
async def connected[S, R](
    codec: OwingCodec[S, R],
    opening: AbstractAsyncContextManager[Channel],
    *,
    ready_seconds: float,
    is_ready: Callable[[R], bool] | None = None,
) -> AsyncGenerator[OwingLink[S, R]]:
    """A link over the channel that is opened; with `is_ready`, it has come about within the time.

    Raises what opening raises, and as `WireLink.wait_ready` does.
    """
    deadline = asyncio.get_running_loop().time() + ready_seconds
    async with opening as channel:
        link = OwingLink(codec, channel, is_ready=is_ready)
        async with link.running():
            await link.wait_ready(deadline)
            link.settle()
            yield link
