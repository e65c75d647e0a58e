"""How many calls one core carries, over real websockets, with the Silero detector listening.

A server process (ours, as `beluga-voice serve` sets it up: uvloop, tuned collector) has one core,
and a process of callers another. Each caller sends 20 ms frames all the time: four seconds of
speech by eSpeak NG, four of a room's noise, and hears an answer of 2.6 s in between. The services
take no time.

A frame is late by how long after its turn in the answer's pace it arrives; the pace is that of the
answer's earliest frame. A number of calls is carried if the 99th percentiles of that and of the
server's loop lag are below 20 ms, nothing was lost and no answer was cut. The search takes about
two minutes.
"""

# pyright: reportUnknownMemberType=false
# matplotlib's methods are annotated in part only.
import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beluga_voice.server.memory import with_large_pages
from benchmarks.results import Cell, Number, Result, Table

WHAT = "calls that one core carries over real websockets, with the voice detector on"
TARGET_CALLS = 400
LATE_MS = 20.0
FIRST_CALLS = 40
FULL_PERCENT = 85.0
"""A core that is used more than this is late at times."""
ROBBED_PERCENT = 5.0
"""If others took more of the core, a number of calls that was too many is tried once more."""
ORDER_SECONDS = 120.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be asked."""
    parser.add_argument(
        "--sessions", type=int, metavar="N", help="measure this many calls only; default: search"
    )
    parser.add_argument(
        "--seconds", type=float, default=8.0, help="of each measurement; default: %(default)s"
    )
    parser.add_argument(
        "--settle", type=float, default=3.0, help="seconds before each; default: %(default)s"
    )
    parser.add_argument(
        "--budget", type=float, default=150.0, help="seconds of a search; default: %(default)s"
    )
    parser.add_argument(
        "--lead-ms",
        type=int,
        default=20,
        help="how far ahead sound is sent; 20 makes a message of each frame; default: %(default)s",
    )
    parser.add_argument(
        "--floor",
        action="store_true",
        help="measure the least server that does the same instead of ours",
    )
    parser.add_argument(
        "--large-pages",
        action="store_true",
        help="run the server as `beluga-voice serve --large-pages` does",
    )
    parser.add_argument(
        "--profile",
        type=float,
        metavar="SECONDS",
        help="sample the server for so long at the end, with py-spy, which must be on the path",
    )
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="keep other processes off both cores (SCHED_FIFO; needs root)",
    )


type Stretcher = Callable[[int], Awaitable[Stretch]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A measurement at one number of calls."""

    calls: int
    server: dict[str, Any]
    client: dict[str, Any]

    @property
    def late_ms(self) -> float:
        """The worse of the two 99th percentiles."""
        return max(self.server["lag_p99_ms"] or 0.0, self.client["late_p99_ms"] or 0.0)

    @property
    def is_carried(self) -> bool:
        """Whether all these calls were served in time."""
        return self.late_ms < LATE_MS and not self.client["lost"] and not self.client["clears"]


class _Child:
    """A process that obeys lines."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.pid = process.pid

    async def order(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(ORDER_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process of the benchmark ended early; its complaint is above")
        found: dict[str, Any] = json.loads(line)
        return found


@asynccontextmanager
async def _child(module: str, *arguments: str, large_pages: bool = False) -> AsyncGenerator[_Child]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"benchmarks.{module}",
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
        env=with_large_pages(os.environ) if large_pages else None,
    )
    try:
        yield _Child(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(20):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def measure(options: argparse.Namespace) -> Result:
    """Measure one number of calls, or search for the largest that is carried."""
    sampler = shutil.which("py-spy") if options.profile else None
    if options.profile and sampler is None:
        raise SystemExit("--profile needs py-spy on the path: pip install py-spy")
    with tempfile.TemporaryDirectory() as folder:
        from benchmarks.speech import cycles

        for number, cycle in enumerate(cycles()):
            (Path(folder) / f"{number}.pcm").write_bytes(cycle)
        stretches, samples = asyncio.run(_measure(options, folder, sampler))
    return _result(options, stretches, samples)


async def _measure(
    options: argparse.Namespace, folder: str, sampler: str | None
) -> tuple[list[Stretch], list[str]]:
    cores = sorted(os.sched_getaffinity(0))
    common = ["--lead-ms", str(options.lead_ms), *(["--realtime"] if options.realtime else [])]
    kind = ["--floor"] if options.floor else []
    async with _child(
        "density_server", "--core", str(cores[-1]), *common, *kind, large_pages=options.large_pages
    ) as server:
        url = (await server.answer())["url"]
        async with _child(
            "density_client", "--core", str(cores[0]), "--url", url, "--sound", folder, *common
        ) as client:
            await client.answer()

            async def stretch(calls: int) -> Stretch:
                await client.order(f"call {calls}")
                await client.answer()
                await asyncio.sleep(options.settle)
                for child in (server, client):
                    await child.order("begin")
                await asyncio.sleep(options.seconds)
                for child in (client, server):
                    await child.order("end")
                found = Stretch(
                    calls=calls, client=await client.answer(), server=await server.answer()
                )
                print(
                    f"{calls} calls: cpu {found.server['cpu_percent']:g} %, p99 late "
                    f"{found.late_ms:g} ms, {'carried' if found.is_carried else 'too many'}",
                    file=sys.stderr,
                )
                return found

            if options.sessions:
                stretches = [await stretch(options.sessions)]
            else:
                stretches = await _search(stretch, options.budget)
            samples: list[str] = []
            if sampler is not None:
                samples = await _sample(sampler, server.pid, options.profile, folder)
            return stretches, samples


async def _search(stretch: Stretcher, budget: float) -> list[Stretch]:
    """Go up until it is too many, then halve the difference, until it is small or time is out."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    found: list[Stretch] = []
    low, high = 0, 0
    calls = FIRST_CALLS
    while not found or loop.time() - began < budget:
        now = await stretch(calls)
        if not now.is_carried and now.server["robbed_percent"] > ROBBED_PERCENT:
            now = await stretch(calls)
        found.append(now)
        if now.is_carried:
            low = calls
        else:
            high = calls
        if high and high - low <= max(4, 0.04 * low):
            break
        if high:
            calls = (low + high) // 2
        elif len(found) == 1:
            calls = max(calls + 10, _projected(now))
        else:
            calls = int(calls * 1.12)
    return found


def _projected(one: Stretch) -> int:
    """How many calls the CPU that these took would allow, with a little left."""
    return int(one.calls * FULL_PERCENT / max(1.0, one.server["cpu_percent"]))


async def _sample(sampler: str, pid: int, seconds: float, folder: str) -> list[str]:
    path = Path(folder) / "samples.txt"
    process = await asyncio.create_subprocess_exec(
        sampler, "record", "--pid", str(pid), "--duration", str(max(1, round(seconds))), "--rate",
        "250", "--format", "raw", "--output", str(path), stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    _, complaint = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"py-spy failed: {complaint.decode()}")
    return path.read_text().splitlines()


# ── what was found ──────────────────────────────────────────────────────────────────────────


def _result(options: argparse.Namespace, stretches: list[Stretch], samples: list[str]) -> Result:
    stretches = sorted(stretches, key=lambda one: one.calls)
    carried = [one for one in stretches if one.is_carried]
    best = max((one.calls for one in carried), default=0)
    per_call = [one.server["cpu_percent"] * 10 / one.calls for one in stretches]
    numbers = {
        "calls_per_core": Number(value=best, unit="calls with p99 below 20 ms"),
        "projected": Number(
            value=_projected(stretches[-1]), unit=f"calls at {FULL_PERCENT:g} % of the core"
        ),
        "target": Number(value=TARGET_CALLS, unit="calls"),
        "cpu_per_call": Number(
            value=round(per_call[-1], 3), unit="ms of a core for each second of a call"
        ),
    }
    for one in stretches:
        for key, unit in (("late_p99_ms", "ms"), ("wait_p50_ms", "ms")):
            numbers[f"{key}_at_{one.calls}"] = Number(value=one.client[key], unit=unit)
        numbers[f"lag_p99_ms_at_{one.calls}"] = Number(value=one.server["lag_p99_ms"], unit="ms")
    rows: list[list[Cell]] = [
        [
            f"{one.calls} {'' if one.is_carried else '(too many)'}".strip(),
            one.server["cpu_percent"],
            one.client["late_p50_ms"],
            one.client["late_p99_ms"],
            one.server["lag_p99_ms"],
            one.client["wait_p50_ms"],
            one.server["gc_max_ms"],
            one.client["own_lag_p99_ms"],
            one.server["robbed_percent"],
        ]
        for one in stretches
    ]
    tables = [
        Table(
            title=f"Calls on one core, sound sent {options.lead_ms} ms ahead: {best} carried "
            f"(target: {TARGET_CALLS})",
            columns=[
                "calls",
                "server CPU %",
                "late p50 ms",
                "late p99 ms",
                "loop lag p99 ms",
                "answer after p50 ms",
                "longest GC pause ms",
                "callers' own lag p99 ms",
                "CPU taken by others %",
            ],
            rows=rows,
        )
    ]
    parts: dict[str, float] = {}
    if samples:
        parts, functions = _shares(samples)
        title = f"Where the server's time goes, at {stretches[-1].calls} calls"
        tables.append(
            Table(title=title, columns=["part", "%"], rows=[[*item] for item in parts.items()])
        )
        tables.append(
            Table(
                title="The functions that take most of it themselves",
                columns=["function", "%"],
                rows=[[*item] for item in functions.items()],
            )
        )
    return Result(
        name="density",
        what=WHAT,
        numbers=numbers,
        tables=tables,
        series={
            "lead_ms": options.lead_ms,
            "stretches": [
                {"calls": one.calls, "server": one.server, "client": one.client}
                for one in stretches
            ],
            "parts": parts,
        },
        notes=[
            "The answer comes after the person's last word by the pause that ends a turn, which is "
            "a setting, and what the server adds. What is late on the callers' side counts too."
        ],
    )


_PARTS = (
    ("vad/silero_network", "voice detector: the model"),
    ("beluga_voice/providers/vad", "voice detector: ours around it"),
    ("beluga_voice/backends", "our carrier"),
    ("beluga_voice/session", "our session"),
    ("beluga_voice/engine", "our engine"),
    ("beluga_voice/audio", "our audio"),
    ("beluga_voice/providers", "our cascade"),
    ("beluga_voice", "ours, other"),
    ("benchmarks", "fake services and probe"),
    ("aiohttp", "aiohttp"),
    ("asyncio/runners", "uvloop: sockets, timers, polling"),
    ("asyncio", "asyncio"),
)


def _shares(samples: Sequence[str]) -> tuple[dict[str, float], dict[str, float]]:
    """The share in percent of each part, and of the dozen heaviest functions."""
    parts: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for sample in samples:
        stack, _, count = sample.rpartition(" ")
        leaf = stack.rpartition(";")[2].strip()
        function, _, place = leaf.partition(" (")
        place = place.partition(":")[0].rstrip(")")
        part = next((label for mark, label in _PARTS if mark in place), "other libraries")
        parts[part] += int(count)
        functions[f"{function} ({'/'.join(place.split('/')[-2:])})"] += int(count)
    total = max(1, sum(parts.values()))

    def percent(counts: Counter[str], most: int) -> dict[str, float]:
        return {name: round(100 * count / total, 1) for name, count in counts.most_common(most)}

    return percent(parts, 20), percent(functions, 16)


def draw(result: Result, path: Path) -> None:
    """Lateness and CPU against the number of calls; and where the time goes, if it was sampled."""
    from benchmarks.pictures import FLOOR, LIMIT, OURS, THIRD, canvas, label_bars, save

    parts: dict[str, float] = result.series["parts"]
    figure, (left, *others) = canvas(2 if parts else 1, width=10.5 if parts else 7.5, height=4.4)
    stretches = result.series["stretches"]
    calls = [one["calls"] for one in stretches]
    late = [one["client"]["late_p99_ms"] or 0.0 for one in stretches]
    lag = [one["server"]["lag_p99_ms"] or 0.0 for one in stretches]
    left.plot(calls, late, "o-", color=OURS, label="frames late, p99")
    left.plot(calls, lag, "s-", color=THIRD, label="server's loop lag, p99")
    left.axhline(LATE_MS, color=LIMIT, linestyle="--", linewidth=1, label="limit: 20 ms")
    left.axvline(TARGET_CALLS, color=FLOOR, linestyle=":", linewidth=1.5, label="target: 400 calls")
    left.set(xlabel="calls on one core", ylabel="milliseconds")
    left.set_ylim(0, min(100.0, max(30.0, *late, *lag) * 1.1))
    left.set_xlim(0, max(TARGET_CALLS, *calls) * 1.08)
    right = left.twinx()
    used = [one["server"]["cpu_percent"] for one in stretches]
    right.plot(calls, used, "^--", color="#777777", alpha=0.6, label="CPU of the core")
    right.set(ylabel="CPU, %", ylim=(0, 105))
    right.grid(visible=False)
    lines = [*left.get_lines(), *right.get_lines()]
    left.legend(
        lines,
        [str(line.get_label()) for line in lines],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=3,
        fontsize=8,
    )
    left.set_title(f"{result.numbers['calls_per_core'].value:g} calls carried by one core")
    for axes in others:
        axes.barh(list(parts), list(parts.values()), color=OURS, height=0.65)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set(xlabel="share of the server's time, %")
        axes.set_title(f"Where the time goes, {calls[-1]} calls")
        label_bars(axes)
    save(figure, path, result)
