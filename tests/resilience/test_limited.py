"""Only so many links at once."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as some

from beluga_voice.errors import ConfigurationError, Unreachable
from beluga_voice.interfaces import SttOptions
from beluga_voice.resilience.health import KEPT_GATES, Board, Gate
from beluga_voice.resilience.limited import Limited
from beluga_voice.resilience.refusal import Refused
from beluga_voice.testing.loop import running_simulation, simulate
from resilience.parts import Recogniser


async def hold(provider, seconds, told, name):
    """Use a link for a while; tells when it had one, or what kept it from that."""
    loop = running_simulation()
    try:
        async with provider.connect(SttOptions()):
            told.append((name, loop.time_ms()))
            await asyncio.sleep(seconds)
    except Refused:
        told.append((name, f"refused at {loop.time_ms():g}"))


def calls(*entries, **settings):
    """What became of calls that begin at their times, in seconds, and last so long."""
    told = []

    async def one(name, begin, seconds, tenant):
        await asyncio.sleep(begin)
        provider = Limited(Recogniser("ears", connect_ms=0), tenant=tenant, **settings)
        await hold(provider, seconds, told, name)

    async def scene():
        async with asyncio.TaskGroup() as tasks:
            for number, (begin, seconds, tenant) in enumerate(entries):
                tasks.create_task(one(number, begin, seconds, tenant))

    simulate(scene)
    return told


def test_one_more_than_the_limit_is_refused():
    """At once, and those who have a link keep it; another tenant has its own."""
    told = calls((0, 5, ""), (0.1, 5, ""), (0.2, 5, ""), (0.3, 5, "x"), (5.1, 1, ""), limit=2)
    assert told == [(0, 0), (1, 100), (2, "refused at 200"), (3, 300), (4, 5100)]


def test_who_may_wait_is_let_in_in_the_order_of_coming():
    """The third waits for the first, and the fourth for the second; the fifth waits too long."""
    told = calls(
        (0, 1, ""), (0, 1.5, ""), (0.1, 5, ""), (0.2, 5, ""), (0.3, 5, ""), limit=2, wait_ms=2000
    )
    assert told == [(0, 0), (1, 0), (2, 1000), (3, 1500), (4, "refused at 2300")]


def test_what_fails_or_is_cancelled_takes_no_room():
    """Neither a failure to connect, nor hanging up while connecting or waiting."""

    async def scene():
        down = Recogniser("ears", Unreachable("down", op="connect"), connect_ms=100)
        provider = Limited(down, limit=1, wait_ms=1000)
        with pytest.raises(Unreachable):
            await hold(provider, 1, [], "")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await hold(provider, 1, [], "")
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(provider.connect(SttOptions()))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await hold(provider, 1, [], "")
        told = []
        await hold(provider, 1, told, "last")
        return told

    assert simulate(scene) == [("last", 850)]


def test_who_is_let_in_and_hangs_up_at_that_moment_leaves_the_room_to_the_next():
    """A place is never lost between the two."""

    async def scene():
        provider = Limited(Recogniser("ears", connect_ms=0), limit=1, wait_ms=5000)
        told = []
        stack = AsyncExitStack()
        await stack.enter_async_context(provider.connect(SttOptions()))
        second = asyncio.create_task(hold(provider, 1, told, "second"))
        third = asyncio.create_task(hold(provider, 1, told, "third"))
        await asyncio.sleep(1)
        await stack.aclose()
        second.cancel()
        await asyncio.wait([second, third])
        return told

    assert simulate(scene) == [("third", 1000)]


def test_gates_of_tenants_who_are_gone_are_forgotten():
    """However many there were; those in use are kept."""
    board = Board()
    used = board.gate("ears", "busy")
    used.enter(1)
    idle = board.gate("ears", "idle")
    for number in range(3 * KEPT_GATES):
        board.gate("ears", str(number))
        assert len(board._gates) <= KEPT_GATES
    assert board.gate("ears", "busy") is used
    assert board.gate("ears", "idle") is not idle


@pytest.mark.parametrize("settings", [{"limit": 0}, {"limit": 1, "wait_ms": -1}])
def test_settings_that_make_no_sense_are_refused(settings):
    """Before anybody connects."""
    with pytest.raises(ConfigurationError):
        Limited(Recogniser(), **settings)


@given(some.lists(some.sampled_from(["enter", "wait", "give up", "leave"]), max_size=50))
def test_a_gate_is_never_fuller_than_it_may_be(steps):
    """And nobody waits while there is room."""
    gate = Gate()
    inside, waiting = 0, []

    def entered():
        nonlocal inside
        inside += 1
        waiting.pop(0)

    for step in steps:
        if step == "enter":
            inside += gate.enter(2)
        elif step == "wait" and gate.inside == 2:
            waiting.append(gate.wait(2, entered))
        elif step == "give up" and waiting:
            waiting.pop()()
        elif step == "leave" and inside:
            inside -= 1
            gate.leave()
        assert gate.inside == inside <= 2
        assert gate.waiting == len(waiting)
        assert not waiting or inside == 2
