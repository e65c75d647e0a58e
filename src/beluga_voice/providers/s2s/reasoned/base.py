"""What the three ways of external reasoning share: passing on, and ending."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable

from beluga_voice.events import (
    CondenseHistory,
    LinkClosed,
    PrepareResponse,
    S2sCommand,
    S2sEvent,
    SeedHistory,
    Update,
)
from beluga_voice.interfaces import S2sLink
from beluga_voice.providers.s2s.reasoned.mind import Mind
from beluga_voice.transports.feed import Feed


class ReasonedLink(ABC):
    """A link in whose middle an agent thinks."""

    def __init__(
        self, inner: S2sLink, mind: Mind, feed: Feed[S2sEvent], tasks: asyncio.TaskGroup
    ) -> None:
        self._inner = inner
        self._mind = mind
        self._feed = feed
        self._tasks = tasks

    # ── the link ────────────────────────────────────────────────────────────────────────────

    def attach(self, deliver: Callable[[S2sEvent], None], /) -> None:
        """Deliver events by call."""
        self._feed.attach(deliver)

    def __aiter__(self) -> AsyncIterator[S2sEvent]:
        return aiter(self._feed)

    def send(self, command: S2sCommand, /) -> None:
        """Do what the session wants."""
        if self._feed.is_closed:
            return
        match command:
            case Update():
                if command.instructions is not None:
                    self._mind.instructions = command.instructions
                if command.tools is not None:
                    self._mind.tools = command.tools
            case SeedHistory():
                self._mind.seed(*command.items)
            case CondenseHistory():
                self._mind.condense(command.summary, command.keep)
            case PrepareResponse():
                pass  # see the capabilities
            case _:
                self._command(command)

    def hear(self, event: S2sEvent) -> None:
        """An event of the service."""
        if self._feed.is_closed:
            return
        if isinstance(event, LinkClosed):
            self._lose(event)
        else:
            self._event(event)

    def close(self) -> None:
        """Stop thinking."""
        self._lose(LinkClosed(is_clean=True))

    def _lose(self, closed: LinkClosed) -> None:
        if self._feed.is_closed:
            return
        self._stop(closed.reason or "the conversation ended")
        self._feed.put(closed)
        self._feed.close()

    # ── what each way does ──────────────────────────────────────────────────────────────────

    @abstractmethod
    def _command(self, command: S2sCommand) -> None: ...

    @abstractmethod
    def _event(self, event: S2sEvent) -> None: ...

    @abstractmethod
    def _stop(self, reason: str) -> None:
        """The link ends: cancel what runs, and give what is owed."""
