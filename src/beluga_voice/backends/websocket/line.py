"""The way from a session to a caller who may be away for a moment."""

from collections.abc import Callable
from typing import assert_never

from beluga_voice.audio.formats import to_milliseconds
from beluga_voice.backends.websocket.outbox import Outbox
from beluga_voice.backends.websocket.protocol import clear_at, transfer
from beluga_voice.backends.websocket.unheard import Continued, Unheard
from beluga_voice.errors import CallEnded
from beluga_voice.events import CallCommand, ClearPlayback, HangUp, PlayAudio, Transfer
from beluga_voice.interfaces import LineOptions

BACKLOG_SECONDS = 1.0
"""A caller who is so far behind has been away; the lead and the way there are shorter."""


class WebSocketLine:
    """A line over one connection at a time, or none.

    With `unheard`, the caller can come back: sound is kept until it was heard. `send` raises
    `CallEnded` when the call is over.
    """

    def __init__(
        self,
        options: LineOptions,
        outbox: Outbox,
        *,
        unheard: Unheard | None,
        on_hang_up: Callable[[], None],
        on_transfer: Callable[[], None],
    ) -> None:
        self._options = options
        self._outbox = outbox
        self._unheard = unheard
        self._on_hang_up = on_hang_up
        self._on_transfer = on_transfer
        self._is_over = False
        self._is_heard_out = False

    @property
    def options(self) -> LineOptions:
        """The rates the caller asked for."""
        return self._options

    def send(self, command: CallCommand, /) -> None:
        """Put a command on its way; never waits."""
        outbox, unheard = self._outbox, self._unheard
        is_finished = outbox.is_finished
        if self._is_over or (is_finished and unheard is None):
            raise CallEnded("the caller's websocket is closed", op="websocket.send")
        match command:
            case PlayAudio():
                if unheard is None:
                    outbox.put_audio(command.pcm)
                elif is_finished:
                    unheard.hold(command.pcm)
                elif unheard.put(command.pcm):
                    outbox.put_audio(command.pcm)
            case ClearPlayback() if self._is_heard_out:
                pass
            case ClearPlayback():
                if unheard is None:
                    outbox.clear()
                else:
                    outbox.clear(clear_at(unheard.clear()))
            case HangUp():
                self._on_hang_up()
            case Transfer():
                outbox.put_text(transfer(command.to, command.reason))
                self._on_transfer()
            case _:
                assert_never(command)

    @property
    def unheard_ms(self) -> float | None:
        """How much of what was sent the caller has still to hear; `None` if they do not tell."""
        if self._unheard is None:
            return None
        return to_milliseconds(self._unheard.ahead, self._options.output_rate)

    def confirm(self, position: int) -> None:
        """The caller heard everything before that position: there is room for more."""
        if self._unheard is not None:
            self._unheard.confirm(position)
            self._pump()

    def resume(self, position: int) -> Continued:
        """Say where the sound goes on for a caller who has come back."""
        if self._unheard is None:
            return Continued(position=position, was_cleared=False)
        return self._unheard.resume(position)

    def use(self, outbox: Outbox) -> None:
        """The caller is there: what they lack goes to that outbox."""
        self._outbox = outbox
        self._pump()

    def cut_backlog(self) -> None:
        """The person speaks: what the session takes to be heard long ago is not wanted any more."""
        unheard = self._unheard
        if unheard is not None and unheard.ahead > BACKLOG_SECONDS * self._options.output_rate:
            self._outbox.clear(clear_at(unheard.clear()))

    def hear_out(self) -> None:
        """What is on its way is to be heard, though the session ends: take no clear any more."""
        self._is_heard_out = True

    def close(self) -> None:
        """The call is over."""
        self._is_over = True

    def _pump(self) -> None:
        if self._unheard is not None and not self._outbox.is_finished:
            while (pcm := self._unheard.give()) is not None:
                self._outbox.put_audio(pcm)
