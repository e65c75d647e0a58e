"""How much memory and how many tasks a session takes, with services that take none.

The sessions are in a process of their own, with nothing else in it. *Idle*: connected, and five
to ten seconds of silence were heard. *Active*: the person has spoken, and the agent speaks, with
most of its answer waiting to be heard. Growth of the process is divided by the number of sessions.
"""

# pyright: reportUnknownMemberType=false
# matplotlib's methods are annotated in part only.
import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from time import perf_counter

from beluga_voice.agents.functions import agent_of
from beluga_voice.events import SessionState
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.session.session import Session
from benchmarks.fakes import (
    QUIET,
    VOICED,
    CountingLine,
    InstantStt,
    InstantTts,
    LevelVad,
    instant_agent,
)
from benchmarks.latency import AT_ONCE, NOW
from benchmarks.results import Cell, Number, Result, Table, rounded

WHAT = "memory and tasks of a session, idle and active"
ANSWER_SECONDS = 3
SILENT_FRAMES = 250
"""At least; each session hears one more than the one before, and at most twice as many."""
PAGE = os.sysconf("SC_PAGE_SIZE")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be asked."""
    parser.add_argument("--sessions", type=int, default=1000, help="default: %(default)s")


def measure(options: argparse.Namespace) -> Result:
    """Have a process of its own measure itself."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", str(options.sessions)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    numbers = {
        "sessions": Number(value=options.sessions, unit="sessions"),
        "process": Number(value=found["base_kib"], unit="KiB before the first session"),
        "one_session_process": Number(value=found["one_kib"], unit="KiB with one session"),
        "start": Number(value=found["start_ms"], unit="ms per session"),
    }
    rows: list[list[Cell]] = []
    for state in ("idle", "active"):
        memory, tasks = found[f"{state}_kib"], found[f"{state}_tasks"]
        numbers[f"{state}_memory"] = Number(value=memory, unit="KiB per session")
        numbers[f"{state}_tasks"] = Number(value=tasks, unit="tasks per session")
        rows.append([state, memory, tasks])
    sound = ANSWER_SECONDS * 24000 * 2 / 1024
    return Result(
        name="memory",
        what=WHAT,
        numbers=numbers,
        tables=[
            Table(
                title=f"Of each of {options.sessions:,} sessions",
                columns=["", "memory, KiB", "tasks"],
                rows=rows,
            )
        ],
        series=found,
        notes=[
            f"Of an active session's memory, {sound:.0f} KiB are {ANSWER_SECONDS} s of the agent's "
            f"sound that waits to be heard. The process with one session takes "
            f"{found['one_kib'] / 1024:.0f} MiB; starting one takes {found['start_ms']:.2g} ms."
        ],
    )


def draw(result: Result, path: Path) -> None:
    """Memory and tasks, idle and active."""
    from benchmarks.pictures import OURS, THIRD, canvas, label_bars, save

    figure, (left, right) = canvas(2, height=2.6)
    for axes, key, unit in (
        (left, "kib", "KiB per session"),
        (right, "tasks", "tasks per session"),
    ):
        lengths = [result.series[f"idle_{key}"], result.series[f"active_{key}"]]
        axes.barh(["idle", "active"], lengths, color=[OURS, THIRD], height=0.5)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set(xlabel=unit)
        label_bars(axes, margin=0.2)
    left.set_title("Memory of a session")
    right.set_title("Tasks of a session")
    save(figure, path, result)


# ── the process that is measured ────────────────────────────────────────────────────────────


def _resident_kib() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1024


def _tasks() -> int:
    return len(asyncio.all_tasks()) - 1


def _session() -> Session:
    return Session(
        Cascade(
            InstantStt(),
            agent_of(instant_agent()),
            InstantTts(milliseconds=1000 * ANSWER_SECONDS),
        ),
        line=CountingLine(lead_ms=20),
        detector=LevelVad(),
        voice=AT_ONCE,
        settings=NOW,
    )


def _hear(session: Session, frame: bytes, count: int) -> None:
    """Frames that came over a wire, each its own bytes."""
    for _ in range(count):
        session.send_audio(bytes(bytearray(frame)))


async def _until_answered(sessions: list[Session]) -> None:
    """Let the loop turn until every agent speaks."""
    async with asyncio.timeout(60):
        for session in sessions:
            while session.state is not SessionState.RESPONDING:  # noqa: ASYNC110 - it comes at once
                await asyncio.sleep(0)


async def _measure(count: int) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    async with _session() as session:  # what is loaded once is not a session's
        _hear(session, VOICED, 10)
        _hear(session, QUIET, 2)
        await _until_answered([session])
        found["one_kib"] = rounded(_resident_kib(), 0)
    del session
    base, tasks = _resident_kib(), _tasks()
    found["base_kib"] = rounded(base, 0)
    async with AsyncExitStack() as stack:
        began = perf_counter()
        sessions = [await stack.enter_async_context(_session()) for _ in range(count)]
        found["start_ms"] = rounded((perf_counter() - began) * 1000 / count)
        for at, session in enumerate(sessions):
            _hear(session, QUIET, SILENT_FRAMES + at % SILENT_FRAMES)
        found["idle_kib"] = rounded((_resident_kib() - base) / count, 1)
        found["idle_tasks"] = rounded((_tasks() - tasks) / count)
        for session in sessions:
            _hear(session, VOICED, 25)
            _hear(session, QUIET, 2)
        await _until_answered(sessions)
        await asyncio.sleep(0)
        found["active_kib"] = rounded((_resident_kib() - base) / count, 1)
        found["active_tasks"] = rounded((_tasks() - tasks) / count)
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measure(int(sys.argv[1])))))
