"""What waits to be written to one caller.

Putting never waits. Sound is bounded in bytes, and everything in messages; when either bound is
passed the outbox overflows once, calls `on_overflow`, and takes nothing more: a caller who does
not read is cut off rather than served late. If nothing waits, a message is offered to `write_now`
and waits only if that cannot write it at once. `clear` removes all waiting sound in one step and
lets the clear message overtake everything. Text is never dropped before the end.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from beluga_voice.backends.websocket.protocol import CLEAR
from beluga_voice.interfaces import WireMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """The answer to a ping, which carries the same bytes."""

    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Asks the caller's side for a sign of life."""


class Outbox:
    """A bounded queue with one reader; sound can be withdrawn from it.

    `write_now` says whether it wrote the message; it must not put anything in.
    """

    def __init__(
        self,
        *,
        max_messages: int,
        max_audio_bytes: int,
        on_overflow: Callable[[], None],
        write_now: Callable[[WireMessage], bool] = lambda _: False,
    ) -> None:
        self._max_messages = max_messages
        self._max_audio_bytes = max_audio_bytes
        self._on_overflow = on_overflow
        self._write_now = write_now
        self._waiting: deque[WireMessage | Ping | Pong] = deque()
        self._clear: str | None = None
        """The clear that was put in last."""
        self._audio_bytes = 0
        self._is_finished = False
        self._has_news = asyncio.Event()

    @property
    def is_finished(self) -> bool:
        """Nothing more is taken."""
        return self._is_finished

    @property
    def audio_bytes(self) -> int:
        """Sound that waits."""
        return self._audio_bytes

    def bound_audio(self, max_audio_bytes: int) -> None:
        """State how much sound may wait, once its rate is known."""
        self._max_audio_bytes = max_audio_bytes

    def put_text(self, text: str) -> None:
        """Add a text message; ignored after the end."""
        self._write_or_put(text)

    def put_audio(self, pcm: bytes) -> None:
        """Add sound; ignored after the end."""
        if pcm:
            self._write_or_put(pcm)

    def put_pong(self, payload: bytes) -> None:
        """Answer a ping in its turn; ignored after the end."""
        self._put(Pong(payload=payload))

    def put_ping(self) -> None:
        """Ask for a sign of life; ignored after the end."""
        self._put(Ping())

    def clear(self, message: str = CLEAR) -> None:
        """Withdraw all sound, and tell the caller to fall silent before anything else."""
        if self._is_finished:
            return
        before = self._clear
        kept = [
            item for item in self._waiting if not isinstance(item, bytes) and item is not before
        ]
        self._clear = message
        self._waiting = deque([message, *kept])
        self._audio_bytes = 0
        self._has_news.set()

    def finish(self) -> None:
        """Take nothing more; `get` gives what waits, then `None`."""
        self._is_finished = True
        self._has_news.set()

    async def get(self) -> WireMessage | Ping | Pong | None:
        """The next message, or `None` at the end. Safe to cancel."""
        while not self._waiting:
            if self._is_finished:
                return None
            self._has_news.clear()
            await self._has_news.wait()
        item = self._waiting.popleft()
        if isinstance(item, bytes):
            self._audio_bytes -= len(item)
        return item

    def _write_or_put(self, message: WireMessage) -> None:
        if self._waiting or self._is_finished or not self._write_now(message):
            self._put(message)

    def _put(self, item: WireMessage | Ping | Pong) -> None:
        if self._is_finished:
            return
        self._waiting.append(item)
        if isinstance(item, bytes):
            self._audio_bytes += len(item)
        self._has_news.set()
        if self._audio_bytes > self._max_audio_bytes or len(self._waiting) > self._max_messages:
            self.finish()
            self._on_overflow()
