"""Holds the connection to the service open, and for a while a second one beside it.

How it works. Each link is held by a task of its own, which opens it, waits until it is let go, and
closes it. One link is the present one. A second may stand by, until it takes the place of the first
or is discarded; what it tells meanwhile is kept for then.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

from beluga_voice.engine.happened import (
    Happened,
    LinkFailed,
    LinkOpened,
    StandbyLost,
    StandbyReady,
)
from beluga_voice.errors import BelugaError, ProviderError, Unreachable, where
from beluga_voice.events import LinkClosed, S2sEvent
from beluga_voice.interfaces import S2sLink, S2sOptions, SpeechToSpeech

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
CLOSE_SECONDS = 2.0


@dataclass(slots=True, eq=False)
class _Held:
    """A link, and what lets it go."""

    task: asyncio.Task[None] | None = None
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    link: S2sLink | None = None
    early: list[S2sEvent] = field(default_factory=list[S2sEvent])
    """What it told while it stood by."""

    def release(self) -> None:
        """Let it go; one that is still being opened is not waited for."""
        self.let_go.set()
        if self.link is None and self.task is not None:
            self.task.cancel()


class Service:
    """The links of one session.

    `step` is given what happened, `hear` each event of the present link, and `on_link` the present
    link or its absence.
    """

    def __init__(
        self,
        provider: SpeechToSpeech,
        tasks: asyncio.TaskGroup,
        *,
        name: str,
        step: Callable[[Happened], None],
        hear: Callable[[S2sEvent], None],
        on_link: Callable[[S2sLink | None], None],
    ) -> None:
        self._provider = provider
        self._tasks = tasks
        self._name = name
        self._step = step
        self._hear = hear
        self._on_link = on_link
        self._present: _Held | None = None
        self._standby: _Held | None = None
        self._is_over = False
        self.failure: BelugaError | None = None
        """What went wrong last."""

    def connect(self, options: S2sOptions) -> None:
        """Open a link, which is the present one from the beginning."""
        self._present = held = _Held()
        held.task = self._tasks.create_task(self._hold(held, options), name=self._name)

    def stand_by(self, options: S2sOptions) -> None:
        """Open a second link."""
        self._standby = held = _Held()
        name = f"{self._name} standby"
        held.task = self._tasks.create_task(self._hold(held, options), name=name)

    def adopt(self) -> None:
        """The second link takes the place of the first, which is closed."""
        held, self._standby = self._standby, None
        if held is None or held.link is None:
            return
        if self._present is not None:
            self._present.let_go.set()
        self._present = held
        self._on_link(held.link)
        early, held.early = held.early, []
        for event in early:
            self._hear_from(held, event)

    def discard(self) -> None:
        """The second link is not wanted any more."""
        held, self._standby = self._standby, None
        if held is not None:
            held.release()

    def drop(self, reason: str, *, is_useless: bool = False) -> None:
        """Give the present link up as if it were lost.

        If it was of no use, a provider that has others to connect to is told so.
        """
        if self._present is not None:
            give_up = getattr(self._present.link, "give_up", None)
            if is_useless and give_up is not None:
                give_up()
            self._hear_from(self._present, LinkClosed(is_clean=True, reason=reason))

    def shut(self) -> None:
        """Let everything go, also what is being opened."""
        self._is_over = True
        for held in (self._present, self._standby):
            if held is not None:
                held.release()

    # ── one link ────────────────────────────────────────────────────────────────────────────

    async def _hold(self, held: _Held, options: S2sOptions) -> None:
        """Hold one link open until it is let go."""
        stack = AsyncExitStack()
        try:
            link = await self._open(stack, options)
            held.link = link
            if not self._is_over and not held.let_go.is_set():
                self._begin(held, link)
                await held.let_go.wait()
        except BelugaError as error:
            self._lose(held, error)
        except asyncio.CancelledError:
            if not self._is_over and not held.let_go.is_set():
                # Not by us: something that the provider runs has failed, and took us along.
                message = f"{self._provider.name} failed"
                self._lose(held, ProviderError(message, op="connect"))
            raise
        except Exception as error:
            log.error("the provider %s failed: %s", self._provider.name, where(error))
            message = f"{self._provider.name} failed: {type(error).__name__}"
            failed = ProviderError(message, op="connect")
            failed.__cause__ = error
            self._lose(held, failed)
        finally:
            if held is self._present:
                self._present = None
                self._on_link(None)
            await self._close(stack)

    async def _open(self, stack: AsyncExitStack, options: S2sOptions) -> S2sLink:
        provider = self._provider
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await stack.enter_async_context(provider.connect(options))
        except TimeoutError as error:
            message = f"{provider.name} did not answer within {CONNECT_SECONDS:g} s"
            raise Unreachable(message, op="connect", provider=provider.name) from error

    def _begin(self, held: _Held, link: S2sLink) -> None:
        if held is self._present:
            self._on_link(link)
            self._step(LinkOpened())
            link.attach(partial(self._hear_from, held))
        else:
            link.attach(partial(self._hear_from, held))
            if held is self._standby:
                self._step(StandbyReady())

    async def _close(self, stack: AsyncExitStack) -> None:
        name = self._provider.name
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await stack.aclose()
        except TimeoutError:
            log.warning("%s did not close within %g s", name, CLOSE_SECONDS)
        except Exception as error:
            log.error("the provider %s failed while closing: %s", name, where(error))

    def _lose(self, held: _Held, error: BelugaError) -> None:
        """A link did not come about, or its context failed."""
        if held is self._standby:
            self._standby = None
            is_retryable = isinstance(error, ProviderError) and error.is_retryable
            self._step(StandbyLost(refusal="" if is_retryable else str(error)))
        elif held is not self._present:
            return
        elif held.link is not None:
            self.failure = error
            self._hear_from(held, LinkClosed(is_clean=False, reason=str(error)))
        else:
            self.failure = error
            self._step(LinkFailed(error=error))

    def _hear_from(self, held: _Held, event: S2sEvent) -> None:
        """An event of a link; called by it. What an old link still says is not heard."""
        is_closed = type(event) is LinkClosed
        if held is self._present:
            if is_closed:
                self._present = None
                self._on_link(None)
                held.let_go.set()
            self._hear(event)
        elif held is self._standby:
            if is_closed:
                self._standby = None
                held.let_go.set()
                self._step(StandbyLost())
            else:
                held.early.append(event)
