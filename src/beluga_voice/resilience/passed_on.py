"""A link of speech to speech that is one of several, and ends with its service.

How it works. A handle to continue a conversation is of use only with the service that gave it, so
it is marked with which one that is. To a session that comes back with the handle of another one, it
is said that it is void, so that it never returns to a conversation which has gone on elsewhere.
"""

from collections.abc import AsyncIterator, Callable
from typing import cast

from msgspec.structs import replace

from beluga_voice.events import LinkClosed, ResumptionChanged, ServiceFailed
from beluga_voice.interfaces import Link


def resume_of(handle: str | None, one: int) -> str | None:
    """The handle as the provider of that number gave it, if it was that one."""
    if handle is None:
        return None
    number, _, own = handle.partition(":")
    return own if number == str(one) else None


class PassedOn[S, R]:
    """Passes everything on. `lost` is called once, when the link ends otherwise than in order."""

    def __init__(
        self, inner: Link[S, R], one: int, *, is_handle_void: bool, lost: Callable[[], None]
    ) -> None:
        self._inner = inner
        self._one = one
        self._is_handle_void = is_handle_void
        self._lost: Callable[[], None] | None = lost

    def send(self, command: S, /) -> None:
        """Pass it on."""
        self._inner.send(command)

    def attach(self, deliver: Callable[[R], None], /) -> None:
        """Deliver by call."""
        for event in self._first():
            deliver(event)
        self._inner.attach(lambda event: deliver(self._look(event)))

    async def __aiter__(self) -> AsyncIterator[R]:
        for event in self._first():
            yield event
        async for event in self._inner:
            yield self._look(event)

    def leave(self) -> None:
        """Nobody uses it any more: what ends now ends in order."""
        self._lost = None

    def _first(self) -> list[R]:
        # Only links of speech to speech are passed on, and they have this event.
        return [cast("R", ResumptionChanged(handle=None))] if self._is_handle_void else []

    def _look(self, event: R) -> R:
        match event:
            case ResumptionChanged(handle=str() as handle):
                return replace(event, handle=f"{self._one}:{handle}")
            case ServiceFailed(is_fatal=True) | LinkClosed(is_clean=False):
                if self._lost is not None:
                    lost, self._lost = self._lost, None
                    lost()
            case _:
                pass
        return event
