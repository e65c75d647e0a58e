"""Tells a service again what another one was told before it.

Sound is told by pieces, much faster than it was spoken, and new sound waits behind it: a wire holds
only so much at once, and drops the oldest.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from beluga_voice.events import SendAudio

AT_ONCE_SECONDS = 4.0
"""So much sound is told again in one go,"""
PAUSE_SECONDS = 0.05
"""and then, after this pause, so much more."""


class Retelling[S]:
    """Passes on to `send` what is told again, once that is begun, and then what is sent."""

    __slots__ = ("_at_once", "_loop", "_send", "_timer", "_waiting")

    def __init__(
        self, send: Callable[[S], None], again: Iterable[S], *, bytes_per_second: int
    ) -> None:
        self._send = send
        self._at_once = int(bytes_per_second * AT_ONCE_SECONDS)
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[S] = deque(again)
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Tell it again, if nothing has ended it yet."""
        self._go_on()

    def send(self, command: S) -> None:
        """A command of now, after what waits."""
        if self._waiting:
            self._waiting.append(command)
        else:
            self._send(command)

    def stop(self) -> None:
        """Tell nothing more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_on(self) -> None:
        self._timer = None
        left = self._at_once
        while self._waiting:
            command = self._waiting[0]
            if isinstance(command, SendAudio):
                if left <= 0:
                    self._timer = self._loop.call_later(PAUSE_SECONDS, self._go_on)
                    return
                left -= len(command.pcm)
            self._waiting.popleft()
            self._send(command)
