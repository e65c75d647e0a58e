"""Shares breakers with other processes, so that what one finds out all know.

How it works. A carrier, such as Redis, keeps one small text, with the last thing that happened to
each breaker. Four times a second a task of each process reads it, and writes what is new here.
Calls never wait for that: they ask the breaker of their process, which follows what was read. A
half-open breaker lets probes through only where the text says that this process may; whoever finds
it half open asks for that, and is refused meanwhile.

Where the carrier is lost or slow, each process goes on alone after `IN_TOUCH_SECONDS`, and the task
tries again with growing waits.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Set
from contextlib import asynccontextmanager, suppress
from typing import Protocol
from uuid import uuid4

from beluga_voice.errors import Misuse, Overloaded
from beluga_voice.resilience.backoff import Backoff
from beluga_voice.resilience.boards import shared_board
from beluga_voice.resilience.breaker import BreakerState, Change
from beluga_voice.resilience.health import Board
from beluga_voice.resilience.news import (
    Notice,
    Notices,
    change,
    decode,
    encode,
    kept_seconds,
    notice,
    with_news,
    with_probers,
    without_old,
)

EVERY_SECONDS = 0.25
TIMEOUT_SECONDS = 1.0
"""How long the carrier may take."""
IN_TOUCH_SECONDS = 2.0
"""After so long without the carrier, a process goes on alone."""
ATTEMPTS = 10
"""How often another process may be faster before we give up for now."""
BACKOFF = Backoff()

log = logging.getLogger(__name__)


class Carrier(Protocol):
    """Keeps one small text for all processes. Whatever it raises is taken as a lost carrier."""

    async def read(self) -> tuple[bytes | None, float]:
        """The text, and the time in seconds, by a clock that is the same for all."""
        ...

    async def replace(self, before: bytes | None, after: bytes, /, *, seconds: float) -> bool:
        """Keep `after` for so long; false, with nothing changed, if it is not `before` any more."""
        ...

    async def aclose(self) -> None:
        """Release what is held open."""
        ...


@asynccontextmanager
async def shared_breakers(
    carrier: str | Carrier, /, *, board: Board | None = None
) -> AsyncGenerator[None]:
    """Share the breakers of this event loop, as long as the context lasts.

    The carrier is the URL of a Redis, such as `redis://127.0.0.1:6379/0`, which needs the extra
    `redis`, or an object with those methods; it is closed at the end. When a breaker opens in a
    process, those of the same key open in the others for the same time, within a second; when it
    closes, they close; and only one process at a time lets probes through. The keys of breakers,
    which are names of providers unless told otherwise, are all that others see.

    Nothing waits for the carrier: while it is lost, each process has breakers of its own. That is
    logged once, and once more when it is back. `board` is that of the running loop unless told
    otherwise.

    Raises `ConfigurationError` for what is no URL, `MissingExtra`, and `Misuse` if the breakers are
    shared already; never anything for a carrier that cannot be reached. Cancelling is safe.
    """
    board = board or shared_board()
    if board.is_shared:
        raise Misuse("the breakers are shared already: leave that first", op="shared_breakers")
    if isinstance(carrier, str):
        from beluga_voice.resilience.redis import RedisCarrier

        carrier = RedisCarrier(carrier)
    sharing = _Sharing(carrier, board)
    board.is_shared = True
    task = asyncio.create_task(sharing.run(), name="beluga-voice shared breakers")
    try:
        yield
    finally:
        task.cancel()
        sharing.leave()
        try:
            await asyncio.wait([task])
        finally:
            board.is_shared = False
            # Whatever is wrong with the carrier, nobody needs it any more.
            with suppress(Exception):
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await carrier.aclose()


class _Sharing:
    """One process that takes part."""

    def __init__(self, carrier: Carrier, board: Board) -> None:
        self._carrier = carrier
        self._board = board
        self._process = uuid4().hex
        self._number = 0
        self._known: dict[str, Change | None] = {}
        """The last change of each breaker that others know of."""
        self._heard: dict[str, str] = {}
        """The notice of each that was read last."""

    async def run(self) -> None:
        """Exchange news until cancelled."""
        failures = 0
        while True:
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await self._exchange()
            # Whatever is wrong with the carrier, calls go on without it.
            except Exception as error:
                failures += 1
                if failures == 1:
                    log.warning(
                        "breakers are not shared with other processes (%s): each goes on alone "
                        "until that is over",
                        type(error).__name__,
                    )
                wait = BACKOFF.delay_ms(failures, random.random()) / 1000
            else:
                if failures:
                    log.info("breakers are shared with other processes again")
                failures = 0
                wait = EVERY_SECONDS
            await asyncio.sleep(wait)

    def leave(self) -> None:
        """Go on alone."""
        self._board.heard.clear()
        self._ask_first(self._now())

    async def _exchange(self) -> None:
        for _ in range(ATTEMPTS):
            form, there = await self._carrier.read()
            offset = there - self._now()
            before = decode(form)
            changes = {key: one.change for key, one in self._board.breakers().items()}
            asking = self._asking()
            news = self._news(changes, offset, missing=asking.keys() - before.keys())
            after = with_news(before, news, now=there)
            after = with_probers(after, asking, process=self._process, now=there)
            if after is not before:
                after = without_old(after, there)
                seconds = kept_seconds(after, there)
                if not await self._carrier.replace(form, encode(after), seconds=seconds):
                    continue
            self._known.update(changes)
            for key in asking:
                self._board.breakers()[key].is_asking = False
            self._hear(after, offset)
            return
        raise Overloaded(f"{ATTEMPTS} times another process was faster", op="shared_breakers")

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _news(
        self, changes: dict[str, Change | None], offset: float, *, missing: Set[str]
    ) -> dict[str, Notice]:
        """What happened here of which others do not know, or no longer."""
        found: dict[str, Notice] = {}
        for key, one in changes.items():
            if one is not None and (one is not self._known.get(key) or key in missing):
                self._number += 1
                found[key] = notice(one, id=f"{self._process}/{self._number}", offset=offset)
        return found

    def _asking(self) -> dict[str, float]:
        """Breakers that want to let probes through, and for how many seconds."""
        now = self._now()
        return {
            key: one.settings.probe_seconds
            for key, one in self._board.breakers().items()
            if one.state_at(now) is BreakerState.HALF_OPEN and one.is_asking
        }

    def _hear(self, notices: Notices, offset: float) -> None:
        now = self._now()
        breakers = self._board.breakers()
        for key, one in notices.items():
            if key in breakers and breakers[key].change is not self._known.get(key):
                continue  # something happened here meanwhile, which is told next time
            if self._heard.get(key) != one.id:
                self._heard[key] = one.id
                if not one.id.startswith(self._process):
                    self._follow(key, change(one, now=now + offset, offset=offset))
            if key in breakers and one.prober == self._process:
                breakers[key].leave(one.prober_until - offset)
        for key in self._board.heard.keys() - notices.keys():
            del self._board.heard[key]
        self._ask_first(now + IN_TOUCH_SECONDS)

    def _follow(self, key: str, news: Change) -> None:
        """Another process knows more than this one."""
        breaker = self._board.breakers().get(key)
        if breaker is None:
            self._board.heard[key] = self._known[key] = news
        # What opened and may be probed by now is no news for one that did well meanwhile.
        elif news.until is None or news.until > self._now():
            self._known[key] = news
            breaker.follow(news)

    def _ask_first(self, until: float) -> None:
        self._board.asks_until = until
        for breaker in self._board.breakers().values():
            breaker.ask_first(until)
