"""Runs a coroutine on the loop that was asked for."""

import asyncio
from collections.abc import Coroutine


def run[T](main: Coroutine[object, object, T], loop: str) -> T:
    """Run to the end on `uvloop` or `asyncio`."""
    factory = None
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)
