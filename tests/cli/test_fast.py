"""A loop that waits for nobody but those who work."""

import asyncio
import os
import threading
import time

import pytest

from beluga_voice.cli.fast import FastLoop


def run(main, *, is_busy=lambda: False):
    with asyncio.Runner(loop_factory=lambda: FastLoop(is_busy)) as runner:
        return runner.run(main())


def test_an_idle_hour_takes_no_time():
    """While nobody works, the clock jumps to the next timer."""

    async def main():
        loop = asyncio.get_running_loop()
        before = loop.time()
        for _ in range(3600):
            await asyncio.sleep(1)
        return loop.time() - before

    began = time.monotonic()
    assert run(main) == pytest.approx(3600, abs=1)
    assert time.monotonic() - began < 5


def test_timers_fire_in_the_order_of_their_times():
    """What was skipped changes no order."""

    async def main():
        order = []

        async def note(seconds):
            await asyncio.sleep(seconds)
            order.append(seconds)

        async with asyncio.TaskGroup() as group:
            for seconds in (30, 10, 20, 0.5):
                group.create_task(note(seconds))
        return order

    assert run(main) == [0.5, 10, 20, 30]


def test_while_somebody_works_time_passes_as_it_does():
    """A busy worker is waited for in real time."""
    busy = True

    async def main():
        nonlocal busy
        loop = asyncio.get_running_loop()
        before, real = loop.time(), time.monotonic()
        await asyncio.sleep(0.1)
        passed, really = loop.time() - before, time.monotonic() - real
        busy = False
        await asyncio.sleep(100)
        return passed, really, loop.time() - before

    passed, really, total = run(main, is_busy=lambda: busy)
    assert really >= 0.1
    assert passed == pytest.approx(really, abs=0.05)
    assert total >= 100.1


def test_what_is_ready_comes_before_what_is_due():
    """A file descriptor that can be read is seen before the clock jumps over an hour."""

    async def main():
        loop = asyncio.get_running_loop()
        reading, writing = os.pipe()
        order = []
        done = asyncio.Event()

        def read():
            order.append(os.read(reading, 1))
            loop.remove_reader(reading)

        loop.add_reader(reading, read)
        loop.call_later(3600, lambda: (order.append("hour"), done.set()))
        os.write(writing, b"x")
        await done.wait()
        os.close(reading)
        os.close(writing)
        return order

    assert run(main) == [b"x", "hour"]


def test_a_call_from_another_thread_wakes_a_loop_that_waits():
    """With no timer at all, the loop sleeps until somebody calls."""

    async def main():
        woken = asyncio.Event()
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(woken.set))
        thread.start()
        await woken.wait()
        thread.join()
        return True

    assert run(main)
