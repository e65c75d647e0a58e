"""What the links of all kinds of providers promise, and how one is used while it is watched."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import cast

from beluga_voice.audio.formats import FRAME_MILLISECONDS
from beluga_voice.events import LinkClosed
from beluga_voice.interfaces import Link, Provider
from beluga_voice.testing.conformance.report import (
    ConformanceFailure,
    Maker,
    Peer,
    Rule,
    nothing_left,
)

CONNECT_SECONDS = 15.0
"""How long connecting may take."""
CLOSE_SECONDS = 5.0
"""How long leaving the context may take."""
PATIENCE_SECONDS = 20.0
"""How long an answer may take."""
QUIET_SECONDS = 3.0
"""How long it is listened for what should not come."""
MOMENTS = 200
"""Turns of the loop after which connecting is cancelled, at most; fewer if it is quicker."""


class LinkRecord[R]:
    """The events of one link. The first promise that is broken is kept as `failure`."""

    def __init__(self) -> None:
        self.events: list[R] = []
        self.closed: LinkClosed | None = None
        self.failure: ConformanceFailure | None = None

    def fail(self, rule: Rule, seen: str) -> None:
        """Keep what went wrong, if nothing has before."""
        if self.failure is None:
            self.failure = ConformanceFailure(rule, seen)

    def of[E](self, kind: type[E]) -> list[E]:
        """The events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def take(self, event: R) -> None:
        """Look at the next event. Never raises: it is called by the link."""
        if self.closed is not None:
            self.fail(Rule.LINK_CLOSED_LAST, f"{type(event).__name__} after LinkClosed")
        self.events.append(event)
        self.look(event)
        if isinstance(event, LinkClosed):
            self.closed = self.closed or event

    def look(self, event: R) -> None:
        """Hold an event against what was promised of its kind."""

    def sent(self, command: object) -> None:
        """Note what is ordered, just before it is."""

    def finish(self) -> None:
        """The link was left: nothing may be owed any more."""
        if self.closed is None:
            self.fail(Rule.LINK_CLOSED_LAST, "the context was left, and no LinkClosed came")


class Party[S, R]:
    """One side of a watched link: sends commands, and waits for events."""

    def __init__(self, link: Link[S, R], record: LinkRecord[R], rule: Rule) -> None:
        self.link = link
        self._seen = record
        self._rule = rule

    def send(self, command: S) -> None:
        """Send a command, which must be a plain call that raises nothing."""
        self._seen.sent(command)
        send_plainly(self.link, command, Rule.SEND_NEVER_WAITS)

    def send_after_the_end(self, command: S) -> None:
        """Send a command of which nothing may come."""
        send_plainly(self.link, command, Rule.NOTHING_AFTER_THE_END)

    async def until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait for something to be so, and no longer than a person would."""
        seen = self._seen

        def is_decided() -> bool:
            return is_so() or seen.failure is not None or seen.closed is not None

        is_in_time = await _waited(is_decided)
        if seen.failure is not None:
            raise seen.failure
        if not is_so():
            why = "the link closed" if is_in_time else f"{PATIENCE_SECONDS:g} s passed"
            names = ", ".join(type(event).__name__ for event in seen.events[-8:])
            last = f"the last events: {names or 'none'}"
            raise ConformanceFailure(self._rule, f"{why}, and {what} did not come; {last}")

    async def ended(self) -> None:
        """Wait until the link is over."""
        if not await _waited(lambda: self._seen.closed is not None):
            seen = f"no LinkClosed within {PATIENCE_SECONDS:g} s of a lost connection"
            raise self._seen.failure or ConformanceFailure(Rule.LINK_CLOSED_LAST, seen)

    async def quiet(self) -> None:
        """Listen for a while."""
        await asyncio.sleep(QUIET_SECONDS)

    def expect(self, is_so: bool, seen: str, rule: Rule | None = None) -> None:
        """Fail with what was seen, if it is not so."""
        if not is_so:
            raise self._seen.failure or ConformanceFailure(rule or self._rule, seen)


async def _waited(is_so: Callable[[], bool]) -> bool:
    """Whether it came to be so, before patience was over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_SECONDS
    while not is_so():
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(FRAME_MILLISECONDS / 1000)
    return True


def send_plainly[S, R](link: Link[S, R], command: S, rule: Rule) -> None:
    """Send; raising breaks `rule`, and giving something back means that somebody is to wait."""
    name = type(command).__name__
    # Whoever implements it may give more than the protocol knows of.
    send = cast("Callable[[S], object]", link.send)
    try:
        given = send(command)
    except Exception as error:
        seen = f"{type(error).__name__} from sending {name}: {error}"
        raise ConformanceFailure(rule, seen) from error
    if given is not None:
        seen = f"sending {name} gave {type(given).__name__}, for somebody to wait for"
        raise ConformanceFailure(Rule.SEND_NEVER_WAITS, seen)


@asynccontextmanager
async def watched[O, S, R](
    provider: Provider[O, S, R], options: O, record: LinkRecord[R], *, is_iterated: bool = False
) -> AsyncGenerator[Link[S, R]]:
    """A link whose events go into the record.

    On leaving, what all links promise is looked at: that it closes in time, and says so. A broken
    promise is raised before a failure of the body, of which it may be the cause.
    """
    loop = asyncio.get_running_loop()
    failure: ConformanceFailure | None = None
    reader: asyncio.Task[None] | None = None
    is_open = False
    try:
        async with asyncio.timeout(CONNECT_SECONDS) as limit:
            async with provider.connect(options) as link:
                is_open = True
                limit.reschedule(None)
                if is_iterated:
                    reader = asyncio.create_task(_read(link, record), name="a link's reader")
                else:
                    link.attach(record.take)
                try:
                    yield link
                except ConformanceFailure as broken:
                    failure = broken
                finally:
                    limit.reschedule(loop.time() + CLOSE_SECONDS)
            if reader is not None:
                await reader
    except TimeoutError as late:
        if is_open:
            seen = f"it took more than {CLOSE_SECONDS:g} s"
            failure = ConformanceFailure(Rule.CLOSES_IN_TIME, seen)
        else:
            seen = f"no link within {CONNECT_SECONDS:g} s"
            failure = ConformanceFailure(Rule.CONNECTS, seen)
        raise record.failure or failure from late
    finally:
        await end(reader)
    record.finish()
    if (worst := record.failure or failure) is not None:
        raise worst


async def _read[S, R](link: Link[S, R], record: LinkRecord[R]) -> None:
    async for event in link:
        record.take(event)


async def end(task: asyncio.Task[None] | None) -> None:
    """End a task of ours, and raise what ended it before."""
    if task is None:
        return
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


# ── what is tried with every kind of provider ───────────────────────────────────────────────


async def refuses[O, S, R](
    provider: Provider[O, S, R], name: str, options: O, wanted: type[Exception]
) -> None:
    """Connecting with those options raises that error."""
    rule = Rule.REFUSES_OPTIONS
    seen = "a link, as if nothing were asked for"
    try:
        async with asyncio.timeout(CONNECT_SECONDS), provider.connect(options):
            pass
    except wanted:
        return
    except TimeoutError:
        seen = f"nothing within {CONNECT_SECONDS:g} s"
    except Exception as error:
        raise ConformanceFailure(rule, f"{name}: {type(error).__name__}: {error}") from error
    raise ConformanceFailure(rule, f"{name}: {seen}")


async def errors_come_through[O, S, R](make: Maker[Provider[O, S, R]], options: O) -> None:
    """What is raised inside the context comes out of it; the link closes all the same."""

    class OwnError(Exception):
        pass

    async with make(Peer()) as provider:
        try:
            async with asyncio.timeout(CLOSE_SECONDS * 2), provider.connect(options):
                raise OwnError
        except OwnError:
            return
        except BaseExceptionGroup as group:
            seen = f"{group!r}, where the body raised {OwnError.__name__}"
        except TimeoutError:
            seen = f"no end within {CLOSE_SECONDS * 2:g} s"
        raise ConformanceFailure(Rule.ERRORS_COME_THROUGH, seen)


async def cancel_while_connecting[O, S, R](make: Maker[Provider[O, S, R]], options: O) -> None:
    """Cancel after one turn of the loop, after two, and so on until there is a link."""
    for turns in range(MOMENTS):
        before = asyncio.all_tasks()
        async with make(Peer()) as provider:
            is_open = await _cancel_after(turns, provider, options)
        await nothing_left(before)
        if is_open:
            return


async def _cancel_after[O, S, R](turns: int, provider: Provider[O, S, R], options: O) -> bool:
    """Whether there was a link when it was cancelled."""
    is_open = False

    async def hold() -> None:
        nonlocal is_open
        async with provider.connect(options):
            is_open = True
            await asyncio.get_running_loop().create_future()

    holding = asyncio.create_task(hold(), name="who connects")
    for _ in range(turns):
        await asyncio.sleep(0)
    was_open = is_open
    holding.cancel()
    await asyncio.wait([holding], timeout=CLOSE_SECONDS)
    moment = "while connected" if was_open else f"{turns} turns of the loop into connecting"
    if not holding.done():
        seen = f"cancelled {moment}, it goes on after {CLOSE_SECONDS:g} s"
        raise ConformanceFailure(Rule.CANCELLING, seen)
    if not holding.cancelled():
        error = holding.exception()
        raise ConformanceFailure(Rule.CANCELLING, f"cancelled {moment}, it gave {error!r}")
    return was_open
