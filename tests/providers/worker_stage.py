"""Where models on this machine are tried: real processes, and time that nobody waits for."""

import asyncio
import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

from beluga_voice.cli.fast import FastLoop
from beluga_voice.providers import workers

PATIENCE_SECONDS = 60


@contextmanager
def stage(*warm, is_fast: bool = True) -> Generator[Callable]:
    """Runs scenes one after the other, with the models of the `warm` providers loaded throughout.

    Waiting takes no time where only our own work is waited for. A process that dies is not that.
    """
    fast = (lambda: FastLoop(workers.busy)) if is_fast else None
    with asyncio.Runner(loop_factory=fast) as runner:
        held = [provider.warm() for provider in warm]

        async def enter():
            for each in held:
                await each.__aenter__()

        async def leave():
            for each in held:
                await each.__aexit__(None, None, None)

        async def bounded(scene):
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await scene

        runner.run(enter())
        try:
            yield lambda scene: runner.run(bounded(scene))
        finally:
            runner.run(leave())


def kill(pid: int) -> None:
    """End a process of ours, and come back when it is dead: its sockets are closed then."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@contextmanager
def halted(pid: int) -> Generator[None]:
    """Have a process of ours stand still."""
    os.kill(pid, signal.SIGSTOP)
    # A worker is the child of its source: it waits in the kernel, and does not leave that again.
    with suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
