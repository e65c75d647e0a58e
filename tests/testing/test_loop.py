"""Time, order, ends and refusals of the simulated loop."""

import asyncio
import contextvars
import gc
import itertools
import math
import random
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.testing.loop import (
    Deadlock,
    Leftovers,
    NotSimulated,
    OutOfTime,
    SimulatedLoop,
    SimulationError,
    TimeStandsStill,
    running_simulation,
    simulate,
)


def test_time_starts_at_nought_and_is_exact() -> None:
    """Fifty sleeps of 20 ms end at exactly one second, with no drift on the way."""

    async def main() -> list[float]:
        loop = running_simulation()
        times = [loop.time()]
        for _ in range(50):
            await asyncio.sleep(0.02)
            times.append(loop.time())
        return times

    assert simulate(main) == [n * 20 / 1000 for n in range(51)]


def test_an_hour_of_frames_takes_no_hour() -> None:
    """An hour of 20 ms ticks arrives at exactly 3600 seconds."""
    loop = SimulatedLoop()
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        if ticks == 180_000:
            loop.stop()
        else:
            loop.call_later(0.02, tick)

    loop.call_later(0.02, tick)
    loop.run_forever()
    assert (loop.time(), loop.time_ms(), loop.time_ns()) == (
        3600.0,
        3_600_000.0,
        3_600_000_000_000,
    )
    loop.close()


def test_a_timer_never_runs_early() -> None:
    """A callback sees the very time it was set for, however close another timer is."""

    async def main() -> list[int]:
        loop = running_simulation()
        seen: list[int] = []
        for nanoseconds in (1_000_000, 1_000_001, 1_000_500):
            loop.call_at(nanoseconds / 1e9, lambda: seen.append(loop.time_ns()))
        await asyncio.sleep(1)
        return seen

    assert simulate(main) == [1_000_000, 1_000_001, 1_000_500]


def test_timers_of_one_moment_run_in_order() -> None:
    """Forty timers due together run in the order in which they were set."""

    async def main() -> list[int]:
        order: list[int] = []
        for number in range(40):
            asyncio.get_running_loop().call_later(0.25, order.append, number)
        await asyncio.sleep(0.5)
        return order

    assert simulate(main) == list(range(40))


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.booleans()),
        max_size=400,
    )
)
def test_timers_run_by_time_then_by_order(plan: list[tuple[int, bool]]) -> None:
    """Whatever is set and cancelled, the rest runs sorted by time and, within it, by order."""

    async def main() -> list[tuple[int, int]]:
        loop = running_simulation()
        ran: list[tuple[int, int]] = []
        timers = [
            loop.call_later(delay / 1000, ran.append, (delay, number))
            for number, (delay, _) in enumerate(plan)
        ]
        for timer, (_, is_cancelled) in zip(timers, plan, strict=True):
            if is_cancelled:
                timer.cancel()
        await asyncio.sleep(1)
        return ran

    kept = [(delay, n) for n, (delay, is_cancelled) in enumerate(plan) if not is_cancelled]
    assert simulate(main) == sorted(kept)


def test_no_delay_comes_after_what_is_ready() -> None:
    """`call_later(0)` runs behind every `call_soon` made before the turn, as in asyncio."""

    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        order: list[str] = []
        loop.call_soon(order.append, "soon")
        loop.call_later(0, order.append, "no delay")
        loop.call_soon(order.append, "soon again")
        loop.call_at(-5, order.append, "long ago")
        await asyncio.sleep(0.001)
        return order

    assert simulate(main) == ["soon", "soon again", "long ago", "no delay"]


def test_a_cancelled_timer_moves_no_time() -> None:
    """A timer that was cancelled is as if it had never been, at any number of them."""

    async def main() -> float:
        loop = running_simulation()
        for number in range(500):
            loop.call_later(number + 1, math.sqrt, 4).cancel()
        await asyncio.sleep(0)
        return loop.time()

    assert simulate(main) == 0.0


def test_handles_tell_what_they_are() -> None:
    """A handle knows its time, its context and whether it was cancelled."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        timer = loop.call_at(1.5, print, context=context)
        assert timer.when() == 1.5
        assert timer.get_context() is context
        assert "print" in repr(timer)
        assert timer != loop.call_at(1.5, print, context=context)
        timer.cancel()
        timer.cancel()
        assert timer.cancelled()
        assert "cancelled" in repr(timer)
        assert {timer: 1}[timer] == 1

    assert simulate(main, until=1) is None


def test_an_endless_sleep_is_no_timer() -> None:
    """Sleeping for an infinite time is a wait that only another can end."""

    async def main() -> float:
        sleeper = asyncio.create_task(asyncio.sleep(math.inf))
        await asyncio.sleep(3)
        sleeper.cancel()
        await asyncio.wait([sleeper])
        return running_simulation().time()

    assert simulate(main) == 3.0


def test_a_timeout_is_exact() -> None:
    """`asyncio.timeout` ends a wait at its very moment, and not one that is a little shorter."""

    async def main() -> list[float]:
        loop = running_simulation()
        ended: list[float] = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await asyncio.Event().wait()
        ended.append(loop.time())
        async with asyncio.timeout(0.1):
            await asyncio.sleep(0.099_999)
        ended.append(loop.time())
        return ended

    assert simulate(main) == [0.1, 0.199_999]


def test_a_task_group_cancels_the_others() -> None:
    """When one task of a group fails, the others are cancelled at that moment."""

    async def main() -> list[object]:
        loop = running_simulation()
        seen: list[object] = []

        async def wait() -> None:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                seen.append(loop.time())
                raise

        async def fail() -> None:
            await asyncio.sleep(0.3)
            raise ValueError("on purpose")

        async def together() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(wait())
                group.create_task(fail())

        with pytest.raises(ExceptionGroup) as caught:
            await together()
        seen.extend(map(str, caught.value.exceptions))
        return seen

    assert simulate(main) == [0.3, "on purpose"]


def test_queues_pass_things_on_at_once() -> None:
    """A consumer gets what a producer puts, at the time of the put."""

    async def main() -> list[tuple[int, float]]:
        loop = running_simulation()
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        got: list[tuple[int, float]] = []

        async def produce() -> None:
            for number in range(3):
                await asyncio.sleep(0.02)
                await queue.put(number)

        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            for _ in range(3):
                got.append((await queue.get(), loop.time()))
        return got

    assert simulate(main) == [(0, 0.02), (1, 0.04), (2, 0.06)]


def test_open_generators_are_closed_at_the_end() -> None:
    """An asynchronous generator that was left half-way runs its cleanup, which may wait."""
    closed: list[float] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(1)
            closed.append(running_simulation().time())

    kept: list[AsyncIterator[int]] = []

    async def main() -> int:
        generator = numbers()
        kept.append(generator)
        return await anext(generator)

    assert simulate(main) == 1
    assert closed == [1.0]


def test_a_deadlock_names_who_waits_and_where() -> None:
    """When nothing can ever happen, every waiting task is named with file, line and function."""

    async def listen(queue: asyncio.Queue[int]) -> int:
        return await queue.get()

    async def main() -> None:
        await asyncio.sleep(1.5)
        listener = asyncio.create_task(listen(asyncio.Queue()), name="listener")
        await listener

    with pytest.raises(Deadlock) as caught:
        simulate(main)
    report = str(caught.value)
    line = listen.__code__.co_firstlineno + 1
    assert "at 1500.0 ms" in report
    assert f"task 'listener' is at {__file__}:{line} listen > " in report
    assert "queues.py" in report
    assert f"{__file__}:{main.__code__.co_firstlineno + 3} main" in report


def test_a_deadlock_lets_tasks_clean_up() -> None:
    """After a deadlock the tasks are cancelled, so that what they hold is given back."""
    cleaned: list[str] = []

    async def main() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("main")

    with pytest.raises(Deadlock):
        simulate(main)
    assert cleaned == ["main"]


def test_a_runaway_loop_is_stopped() -> None:
    """A program that is always ready and lets no time pass ends with an error that says so."""

    async def spin() -> None:
        await asyncio.sleep(2)
        for _ in itertools.count():
            await asyncio.sleep(0)

    loop = SimulatedLoop(max_iterations_without_time=1000)
    task = loop.create_task(spin(), name="spinner")
    with pytest.raises(
        TimeStandsStill, match=r"1001 turns of the loop at 2000\.0 ms[\s\S]*spinner"
    ):
        loop.run_until_complete(task)
    task.cancel()
    loop.settle()
    loop.close()


def test_time_that_passes_is_no_runaway() -> None:
    """The limit counts the turns at one moment only."""
    loop = SimulatedLoop(max_iterations_without_time=10)

    async def main() -> None:
        for _ in range(100):
            await asyncio.sleep(0.001)
            await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert loop.time() == 0.1
    loop.close()


def test_a_program_may_run_out_of_time() -> None:
    """A program that is not over by `until` fails at that moment, and says what it waited for."""
    ended: list[float] = []

    async def main() -> None:
        try:
            for _ in itertools.count():
                await asyncio.sleep(0.7)
        finally:
            ended.append(running_simulation().time())

    with pytest.raises(OutOfTime, match=r"not over at 5000\.0 ms[\s\S]*main"):
        simulate(main, until=5)
    assert ended == [5.0]


def test_cleanup_has_time_after_the_end() -> None:
    """A program that ran out of time may still take a while to clean up."""
    ended: list[float] = []

    async def main() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(2)
            ended.append(running_simulation().time())

    with pytest.raises(OutOfTime):
        simulate(main, until=5)
    assert ended == [7.0]


def test_a_program_that_ends_on_time_is_in_time() -> None:
    """What is due at `until` itself still happens."""
    assert simulate(asyncio.sleep(5, "done"), until=5) == "done"


def test_left_tasks_are_reported() -> None:
    """A task that outlives the program is named, and cancelled."""
    cancelled: list[bool] = []

    async def linger() -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    tasks: list[asyncio.Task[None]] = []

    async def main() -> None:
        tasks.append(asyncio.create_task(linger(), name="lingerer"))
        await asyncio.sleep(1)

    with pytest.raises(Leftovers, match="lingerer") as caught:
        simulate(main)
    assert len(caught.value.what) == 1
    assert cancelled == [True]


def test_tasks_may_end_at_the_last_moment() -> None:
    """What is ready when the program returns runs to its end and is no leftover."""
    ended: list[bool] = []

    async def last_words() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        ended.append(True)

    tasks: list[asyncio.Task[None]] = []

    async def main() -> None:
        tasks.append(asyncio.create_task(last_words()))

    simulate(main)
    assert ended == [True]


def test_exceptions_in_callbacks_come_to_light() -> None:
    """An exception that only the loop saw is raised when the program is over."""

    async def main() -> None:
        asyncio.get_running_loop().call_later(0.5, int, "no number")
        await asyncio.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        simulate(main)
    (only,) = caught.value.exceptions
    assert isinstance(only, ValueError)
    assert "int" in only.__notes__[0]


@pytest.mark.parametrize("is_kept", [True, False])
def test_exceptions_nobody_awaits_come_to_light(is_kept: bool) -> None:
    """A task that failed unseen is found, whether or not somebody still holds it."""
    kept: list[asyncio.Task[None]] = []

    async def fail() -> None:
        raise KeyError("unseen")

    async def main() -> None:
        kept.append(asyncio.create_task(fail(), name="failing"))
        await asyncio.sleep(1)
        if not is_kept:
            kept.clear()
            gc.collect()

    with pytest.raises(ExceptionGroup) as caught:
        simulate(main)
    assert [type(each) for each in caught.value.exceptions] == [KeyError]


def test_messages_without_an_exception_come_to_light() -> None:
    """A complaint to the loop's exception handler fails the simulation by its message."""

    async def main() -> None:
        asyncio.get_running_loop().call_exception_handler({"message": "something smells"})

    with pytest.raises(ExceptionGroup) as caught:
        simulate(main)
    (only,) = caught.value.exceptions
    assert isinstance(only, SimulationError)
    assert str(only) == "something smells"


def test_the_programs_own_exception_goes_first() -> None:
    """What the program raises is raised as it is, with a note of what else went wrong."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(int, "no number")
        await asyncio.sleep(1)
        raise LookupError("the real one")

    with pytest.raises(LookupError, match="the real one") as caught:
        simulate(main)
    assert "no number" in caught.value.__notes__[0]


def test_exceptions_and_leftovers_are_raised_together() -> None:
    """A program with several faults hears of all of them at once."""
    tasks: list[asyncio.Task[None]] = []

    async def main() -> None:
        asyncio.get_running_loop().call_soon(int, "no number")
        tasks.append(asyncio.create_task(asyncio.sleep(9)))
        await asyncio.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        simulate(main)
    assert [type(each) for each in caught.value.exceptions] == [ValueError, Leftovers]


def test_work_for_threads_runs_inline() -> None:
    """`to_thread` runs in this thread, in no time, with its context and without a loop."""
    variable = contextvars.ContextVar("variable", default="unset")

    def work(number: int) -> tuple[int, int, str]:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        return number, threading.get_ident(), variable.get()

    async def main() -> float:
        variable.set("set")
        assert await asyncio.to_thread(work, 7) == (7, threading.get_ident(), "set")
        loop = running_simulation()
        assert (await loop.run_in_executor(None, work, 8))[2] == "unset"
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return loop.time()

    threads = threading.active_count()
    assert simulate(main) == 0.0
    assert threading.active_count() == threads


def test_work_that_is_cancelled_in_time_does_not_run() -> None:
    """Work for a thread waits for its turn; cancelled before it, it never runs."""
    ran: list[int] = []

    async def main() -> None:
        future = asyncio.get_running_loop().run_in_executor(None, ran.append, 1)
        future.cancel()
        await asyncio.sleep(0.1)

    simulate(main)
    assert ran == []


def test_a_call_from_the_same_thread_is_safe() -> None:
    """`call_soon_threadsafe` works from the loop's own thread."""

    async def main() -> list[int]:
        got: list[int] = []
        asyncio.get_running_loop().call_soon_threadsafe(got.append, 1)
        await asyncio.sleep(0)
        return got

    assert simulate(main) == [1]


def test_a_call_from_another_thread_is_refused() -> None:
    """Another thread's call is refused: when it comes would be chance."""
    refused: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def call() -> None:
            try:
                loop.call_soon_threadsafe(print)
            except NotSimulated as exc:
                refused.append(str(exc))

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    simulate(main)
    assert refused == [
        "another thread is not simulated: use run_in_executor, which runs inline here"
    ]


@pytest.mark.parametrize(
    "name",
    [
        "add_reader",
        "remove_reader",
        "add_writer",
        "remove_writer",
        "add_signal_handler",
        "remove_signal_handler",
        "subprocess_exec",
        "subprocess_shell",
        "create_datagram_endpoint",
        "create_unix_connection",
        "create_unix_server",
        "connect_read_pipe",
        "connect_write_pipe",
        "connect_accepted_socket",
        "start_tls",
        "sendfile",
        "sock_sendfile",
        "sock_recv",
        "sock_recv_into",
        "sock_recvfrom",
        "sock_recvfrom_into",
        "sock_sendall",
        "sock_sendto",
        "sock_accept",
    ],
)
def test_what_is_not_simulated_says_what_to_do(name: str) -> None:
    """Whatever needs a real machine is refused at once, with an advice."""

    async def main() -> None:
        ask: Callable[[], object] = getattr(running_simulation(), name)
        with pytest.raises(NotSimulated, match=r"is not simulated: [a-z]"):
            ask()

    simulate(main)


def test_names_resolve_to_made_up_addresses() -> None:
    """Every name has one address, the same in every run, and an address has its name."""

    async def main() -> list[object]:
        loop = asyncio.get_running_loop()
        found = [
            (await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))[0][4]
            for host, port in (
                ("api.example.com", 443),
                ("other.example.com", "http"),
                (b"api.example.com", b"8080"),
                ("localhost", None),
                ("10.1.2.3", 5),
                ("::1", 5),
                (None, 5),
            )
        ]
        return [
            *found,
            await loop.getnameinfo(("198.18.0.1", 443)),
            await loop.getnameinfo(("10.1.2.3", 5)),
        ]

    expected = [
        ("198.18.0.1", 443),
        ("198.18.0.2", 80),
        ("198.18.0.1", 8080),
        ("127.0.0.1", 0),
        ("10.1.2.3", 5),
        ("::1", 5, 0, 0),
        ("127.0.0.1", 5),
        ("api.example.com", "443"),
        ("10.1.2.3", "5"),
    ]
    assert simulate(main) == simulate(main) == expected


def test_names_may_be_unknown() -> None:
    """Wrong families, services and hidden names fail as a resolver does."""

    async def main() -> None:
        loop = running_simulation()
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("localhost", 1, family=socket.AF_INET6)
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("localhost", "gopher")
        loop.network.hide_name("gone.example.com")
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("gone.example.com", 1)
        loop.network.show_name("gone.example.com")
        assert await loop.getaddrinfo("gone.example.com", 1, type=socket.SOCK_DGRAM)

    simulate(main)


def test_random_comes_from_the_seed_and_is_given_back() -> None:
    """The module `random` follows the seed within a simulation and is untouched outside."""

    async def main() -> float:
        return random.random()

    before = random.getstate()
    assert simulate(main, seed=1) == simulate(main, seed=1) != simulate(main, seed=2)
    assert random.getstate() == before


def test_a_closed_loop_takes_no_more() -> None:
    """After its end the loop takes neither callbacks nor timers."""
    loop = SimulatedLoop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon(print)
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_later(1, print)


def test_a_real_loop_is_no_simulation() -> None:
    """Asking for the running simulation under plain asyncio fails with an advice."""

    async def main() -> None:
        with pytest.raises(RuntimeError, match="simulate"):
            running_simulation()

    asyncio.run(main())


def test_it_is_a_loop_for_asyncio_too() -> None:
    """`asyncio.Runner` runs programs on it without `simulate`."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        assert runner.run(asyncio.sleep(3600, "later")) == "later"
        assert runner.run(asyncio.sleep(1, "later still")) == "later still"
        assert runner.get_loop().time() == 3601.0


def test_an_interrupt_goes_through() -> None:
    """`KeyboardInterrupt` in a callback ends the program at once."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        asyncio.get_running_loop().call_later(1, interrupt)
        await asyncio.sleep(2)

    with pytest.raises(KeyboardInterrupt):
        simulate(main)


def test_work_for_a_thread_may_end_the_program() -> None:
    """`SystemExit` in work for a thread goes through, as from a callback."""

    async def main() -> None:
        await asyncio.to_thread(sys.exit, 3)

    with pytest.raises(SystemExit) as caught:
        simulate(main)
    assert caught.value.code == 3
