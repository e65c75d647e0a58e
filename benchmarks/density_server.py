"""The server whose capacity is measured: our own, with instant services and the Silero detector.

Run by `benchmarks.density`. Prints its address as JSON, then obeys lines: `begin` starts a stretch
of measuring, `end` prints what was measured in it as JSON.
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from beluga_voice.app import VoiceSession
from beluga_voice.backends.websocket.protocol import Limits
from beluga_voice.interfaces import Line
from beluga_voice.providers.vad.silero import SileroBatch
from beluga_voice.server.access import Access
from beluga_voice.server.app import create_app, listening, run, tune_garbage_collector
from benchmarks import density_floor
from benchmarks.fakes import InstantStt, InstantTts, instant_agent
from benchmarks.results import percentile, rounded

HOST = "127.0.0.1"
PROBE_SECONDS = 0.005
ANSWER_MS = 2600
"""So long that the answer ends before the person speaks again."""


class Meter:
    """What the process did in a stretch of time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lags: list[float] = []
        self._pauses: list[float] = []
        self._pause_began = 0.0
        gc.callbacks.append(self._collecting)
        self._due = self._loop.time()
        self.begin()
        self._probe()

    def begin(self) -> None:
        """Measure from now on."""
        self._lags.clear()
        self._pauses.clear()
        self._began = time.perf_counter()
        self._cpu = time.process_time()
        self._waited = _waited_seconds()

    def end(self) -> dict[str, Any]:
        """What was measured since."""
        wall = time.perf_counter() - self._began
        return {
            "lag_p50_ms": rounded(percentile(self._lags, 50), 2),
            "lag_p99_ms": rounded(percentile(self._lags, 99), 2),
            "lag_max_ms": rounded(max(self._lags, default=None), 1),
            "cpu_percent": round(100 * (time.process_time() - self._cpu) / wall, 1),
            "robbed_percent": round(100 * (_waited_seconds() - self._waited) / wall, 1),
            "gc_max_ms": rounded(max(self._pauses, default=0.0), 1),
            "rss_mib": round(int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20),
            "tasks": len(asyncio.all_tasks()),
        }

    def _probe(self) -> None:
        now = self._loop.time()
        self._lags.append(max(0.0, now - self._due) * 1000)
        self._due = max(self._due + PROBE_SECONDS, now)
        self._loop.call_at(self._due, self._probe)

    def _collecting(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._pause_began = time.perf_counter()
        else:
            self._pauses.append((time.perf_counter() - self._pause_began) * 1000)


def _waited_seconds() -> float:
    """How long this thread was ready to run while others had its core."""
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/schedstat").read_text()
    except OSError:
        return 0.0
    return int(text.split()[1]) / 1e9


def obey(order: Callable[[str], object]) -> asyncio.Future[None]:
    """Carry out each line of standard input; what an order gives is printed as a line of JSON.

    Gives a future that is done when there will be no more orders.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    source = sys.stdin.fileno()
    held = b""

    def read() -> None:
        nonlocal held
        data = os.read(source, 4096)
        if not data:
            loop.remove_reader(source)
            over.set_result(None)
            return
        *lines, held = (held + data).split(b"\n")
        for line in lines:
            if (answer := order(line.decode())) is not None:
                print(json.dumps(answer), flush=True)

    loop.add_reader(source, read)
    return over


async def serve(lead_ms: int, *, is_floor: bool) -> None:
    """Serve until standard input ends."""
    if is_floor:
        await _measure(await density_floor.listen(HOST, answer_ms=ANSWER_MS, lead_ms=lead_ms))
        return
    batch = SileroBatch()

    def make(line: Line) -> VoiceSession:
        return VoiceSession(
            stt=InstantStt(),
            agent=instant_agent(),
            tts=InstantTts(milliseconds=ANSWER_MS),
            vad=batch.detector(),
            line=line,
        )

    app = create_app(
        make,
        access=Access(host=HOST),
        limits=Limits(max_sessions=100_000, lead_ms=lead_ms),
    )
    async with listening(app, host=HOST, port=0) as url:
        await _measure(url)


async def _measure(url: str) -> None:
    tune_garbage_collector()
    meter = Meter()
    print(json.dumps({"url": url}), flush=True)
    await obey(lambda order: meter.begin() if order == "begin" else meter.end())


def claim_core(core: int, *, realtime: bool) -> None:
    """Stay on one core, and with `realtime` let nobody ordinary in."""
    os.sched_setaffinity(0, {core})
    if realtime:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--core", type=int, required=True)
    parser.add_argument("--lead-ms", type=int, required=True)
    parser.add_argument("--realtime", action="store_true")
    parser.add_argument("--floor", action="store_true")
    options = parser.parse_args()
    claim_core(options.core, realtime=options.realtime)
    run(serve(options.lead_ms, is_floor=options.floor))
