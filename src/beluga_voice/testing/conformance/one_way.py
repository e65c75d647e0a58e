"""What links that only hear, and links that only speak, have to keep alike."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import Provider
from beluga_voice.testing.conformance.links import (
    LinkRecord,
    Party,
    cancel_while_connecting,
    errors_come_through,
    refuses,
    watched,
)
from beluga_voice.testing.conformance.report import Check, ConformanceFailure, Maker, Peer, Rule
from beluga_voice.testing.emulators.speech import Faults


@dataclass(frozen=True)  # with slots, Python 3.12 cannot make one of given types
class Kind[O, S, R]:
    """A kind of link: what can be sent over it, and how it is used."""

    options: O
    commands: tuple[S, ...]
    """One of each, some of which make no sense."""
    record: Callable[[], LinkRecord[R]]
    exchange: Callable[[Party[S, R], LinkRecord[R]], Awaitable[str]]
    """Use it for a short while; gives what came of that, as text."""
    exhaust: Callable[[Party[S, R]], Awaitable[None]]
    """Give it more to do than a link survives that is lost after 600 ms of sound."""


LOST = Faults(drop_after_audio_ms=600)


def checks_of_links[O, S, R](
    kind: Kind[O, S, R], excluded: dict[str, O]
) -> list[Check[Provider[O, S, R]]]:
    """What is tried with such a provider, whatever it can do."""
    checks = [
        Check[Provider[O, S, R]](
            Rule.REFUSES_OPTIONS, partial(_refuses, name=name, options=options), "", name
        )
        for name, options in excluded.items()
    ]
    plain: tuple[tuple[Rule, Callable[[Maker[Provider[O, S, R]]], Awaitable[None]], str], ...] = (
        (Rule.SEND_NEVER_WAITS, partial(_takes_all_commands, kind), ""),
        (Rule.NOTHING_AFTER_THE_END, partial(_nothing_after_the_end, kind), "left"),
        (Rule.NOTHING_AFTER_THE_END, partial(_nothing_after_a_loss, kind), "lost"),
        (Rule.LOSS_IS_AN_EVENT, partial(_loss, kind), ""),
        (Rule.CLOSES_IN_TIME, partial(_leaving, kind), ""),
        (Rule.ERRORS_COME_THROUGH, partial(errors_come_through, options=kind.options), ""),
        (Rule.CANCELLING, partial(cancel_while_connecting, options=kind.options), ""),
        (Rule.ATTACH_OR_ITERATE, partial(_attach_or_iterate, kind), ""),
    )
    checks += [Check(rule, work, "", variant) for rule, work, variant in plain]
    return checks


@asynccontextmanager
async def using[O, S, R](
    kind: Kind[O, S, R], provider: Provider[O, S, R], rule: Rule, *, is_iterated: bool = False
) -> AsyncGenerator[tuple[Party[S, R], LinkRecord[R]]]:
    """A link of that kind, watched."""
    record = kind.record()
    async with watched(provider, kind.options, record, is_iterated=is_iterated) as link:
        yield Party(link, record, rule), record


async def _refuses[O, S, R](make: Maker[Provider[O, S, R]], *, name: str, options: O) -> None:
    async with make(Peer(faults=Faults(refuse_status=503))) as provider:
        await refuses(provider, name, options, ConfigurationError)


async def _takes_all_commands[O, S, R](kind: Kind[O, S, R], make: Maker[Provider[O, S, R]]) -> None:
    rule = Rule.SEND_NEVER_WAITS
    async with make(Peer()) as provider, using(kind, provider, rule) as (party, record):
        for command in kind.commands * 10:
            party.send(command)
        await party.quiet()
        party.expect(record.closed is None, f"{record.closed} after commands of all kinds")


async def _nothing_after_the_end[O, S, R](
    kind: Kind[O, S, R], make: Maker[Provider[O, S, R]]
) -> None:
    async with make(Peer()) as provider:
        async with using(kind, provider, Rule.NOTHING_AFTER_THE_END) as (party, record):
            await kind.exchange(party, record)
        for command in kind.commands:
            party.send_after_the_end(command)
        await party.quiet()
        if record.failure is not None:
            raise record.failure


async def _nothing_after_a_loss[O, S, R](
    kind: Kind[O, S, R], make: Maker[Provider[O, S, R]]
) -> None:
    rule = Rule.NOTHING_AFTER_THE_END
    async with make(Peer(faults=LOST)) as provider, using(kind, provider, rule) as (party, _):
        await kind.exhaust(party)
        await party.ended()
        for command in kind.commands:
            party.send_after_the_end(command)
        await party.quiet()


async def _loss[O, S, R](kind: Kind[O, S, R], make: Maker[Provider[O, S, R]]) -> None:
    rule = Rule.LOSS_IS_AN_EVENT
    async with make(Peer(faults=LOST)) as provider, using(kind, provider, rule) as (party, record):
        await kind.exhaust(party)
        await party.ended()
        is_clean = record.closed is not None and record.closed.is_clean
        party.expect(not is_clean, "LinkClosed(is_clean=True)")


async def _leaving[O, S, R](kind: Kind[O, S, R], make: Maker[Provider[O, S, R]]) -> None:
    """In the middle of its work, it closes."""
    rule = Rule.CLOSES_IN_TIME
    async with make(Peer()) as provider, using(kind, provider, rule) as (party, _):
        await kind.exhaust(party)


async def _attach_or_iterate[O, S, R](kind: Kind[O, S, R], make: Maker[Provider[O, S, R]]) -> None:
    rule = Rule.ATTACH_OR_ITERATE
    told: list[str] = []
    for is_iterated in (False, True):
        async with make(Peer()) as provider:
            used = using(kind, provider, rule, is_iterated=is_iterated)
            async with used as (party, record):
                told.append(await kind.exchange(party, record))
    if told[0] != told[1]:
        raise ConformanceFailure(rule, f"by call {told[0]!r}, by iteration {told[1]!r}")
