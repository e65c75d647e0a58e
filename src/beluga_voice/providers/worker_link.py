"""What every link to a worker process has in common: how it opens, waits and ends.

The link asks its process to open, and the first answer says that it is ready, or why not. From
then on the process completes every request once (see `workers`); one that owes an answer, and
gives nothing for too long although it is read, is given up.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import ClassVar

import msgspec

from beluga_voice.errors import BelugaError, Silent, Unreachable
from beluga_voice.events import ErrorCategory, LinkClosed, LinkReady, ServiceFailed
from beluga_voice.providers.workers import Worker, open_worker
from beluga_voice.transports.feed import Feed

HUNG_SECONDS = 3.0
"""How long a process that has nothing to load may take to open; then another one is asked."""

type OfLink[R] = R | LinkReady | ServiceFailed | LinkClosed
"""An event of one kind of link; every kind has these three."""

_requests = msgspec.msgpack.Encoder()


class WorkerLink[R](ABC):
    """A link over a worker process; alive inside `running`.

    Who derives from it says what the first answer means (`_ready`) and the later ones (`_take`),
    and asks by `_request`. A process that owes an answer for `answer_seconds` is given up.
    """

    provider: ClassVar[str]
    _thing: ClassVar[str]
    """What the process has loaded, for people."""
    _process: ClassVar[str]
    """The process, for people."""

    def __init__(self, feed: Feed[OfLink[R]], *, answer_seconds: float) -> None:
        self._feed = feed
        self._answer_seconds = answer_seconds
        self._worker: Worker | None = None
        self._opening: asyncio.Future[LinkReady] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def attach(self, deliver: Callable[[OfLink[R]], None], /) -> None:
        """Deliver events by call."""
        self._feed.attach(deliver)

    def __aiter__(self) -> AsyncIterator[OfLink[R]]:
        """Events up to and including `LinkClosed`."""
        return aiter(self._feed)

    @contextlib.asynccontextmanager
    async def running(
        self, module: str, *arguments: str, opening: msgspec.Struct, within_seconds: float
    ) -> AsyncGenerator[None]:
        """Have a worker of `module` that took the `opening` request; see `open_worker`.

        Raises what the process refuses with, `Unreachable` or `Silent`. Leaving ends the link and
        the process.
        """
        for is_last in (False, True):
            async with open_worker(
                module, *arguments, receive=self._receive, ended=self._fail
            ) as worker:
                is_prompt = worker.is_prompt and not is_last
                limit = min(within_seconds, HUNG_SECONDS) if is_prompt else within_seconds
                try:
                    await self._open(worker, opening, limit)
                except Unreachable:
                    if is_last:
                        raise
                    # A process that has just died may still have taken the link.
                    continue
                except Silent:
                    if not is_prompt:
                        raise
                    await worker.give_up()
                    continue
                try:
                    yield
                finally:
                    self._end(LinkClosed(is_clean=True))
                return

    @abstractmethod
    def _ready(self, body: bytes) -> LinkReady:
        """What the first answer says; raises what the process refuses with."""

    @abstractmethod
    def _take(self, body: bytes) -> None:
        """Deal with a later answer."""

    def _request(self, request: msgspec.Struct) -> None:
        """Ask the process, which owes an answer from now on."""
        if self._worker is not None and not self._feed.is_closed:
            self._worker.send(_requests.encode(request))
            if self._deadline is None:
                self._expect()

    def _expect(self) -> None:
        """Wait for what is due, if it would be read, and no longer than that."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._worker is None or self._feed.is_closed:
            return
        if self._worker.is_busy:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self._answer_seconds, self._give_up)

    def _lose(self, category: ErrorCategory, reason: str) -> None:
        self._end(
            ServiceFailed(category=category, message=reason, is_fatal=True),
            LinkClosed(is_clean=False, reason=reason),
        )

    def _end(self, *last: OfLink[R]) -> None:
        """The reader gets these events, if it has not had its last ones."""
        self._feed.close(*last)
        self._expect()

    async def _open(self, worker: Worker, opening: msgspec.Struct, within_seconds: float) -> None:
        self._opening = asyncio.get_running_loop().create_future()
        worker.send(_requests.encode(opening))
        try:
            async with asyncio.timeout(within_seconds):
                ready = await self._opening
        except TimeoutError as error:
            message = (
                f"{self._thing} was not loaded within {within_seconds:g} s; raise start_seconds"
            )
            raise Silent(message, op="connect", provider=self.provider) from error
        self._worker = worker
        self._feed.put(ready)

    def _receive(self, body: bytes) -> None:
        if self._worker is not None:
            self._take(body)
            self._expect()
        elif self._opening is not None and not self._opening.done():
            try:
                self._opening.set_result(self._ready(body))
            except BelugaError as error:
                self._opening.set_exception(error)

    def _fail(self) -> None:
        """The process is gone."""
        if self._opening is not None and not self._opening.done():
            message = f"the process ended while it loaded {self._thing}: is there enough memory?"
            self._opening.set_exception(Unreachable(message, op="connect", provider=self.provider))
        else:
            self._lose(ErrorCategory.RETRYABLE, f"{self._process} ended")

    def _give_up(self) -> None:
        if self._worker is not None:
            self._worker.close()
        reason = f"{self._process} gave no answer within {self._answer_seconds:g} s"
        self._lose(ErrorCategory.TIMEOUT, reason)
