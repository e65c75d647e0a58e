"""How long the agent talks on after the person has begun to speak.

In each trial the agent speaks, and the person begins at a random place of the agent's frame. What
is measured is from the first frame of voice to the line being told to be silent, once with settings
that wait for nothing, which is what the framework adds, and once with the settings as they come,
which wait until it is surely speech. Sound that is handed to the line in between leaks.
"""

# pyright: reportUnknownMemberType=false
# matplotlib's methods are annotated in part only.
import argparse
import asyncio
import random
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from time import perf_counter

from beluga_voice.agents.functions import agent_of
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.voice import VoiceSettings
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.session.session import Session
from benchmarks.fakes import (
    FRAME,
    QUIET,
    VOICED,
    CountingLine,
    InstantStt,
    InstantTts,
    LevelVad,
    Marks,
    instant_agent,
)
from benchmarks.floor import FloorSession
from benchmarks.latency import AT_ONCE, NOW
from benchmarks.loops import run
from benchmarks.results import Cell, Number, Result, Table, percentile, rounded

WHAT = "speech onset to the line being told to be silent, and the sound that leaks in between"
PATIENCE_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One interruption."""

    stop_ms: float
    leaked_frames: int
    """Handed to the line between the onset and the order to be silent."""
    late_frames: int
    """Handed over after the order: there must be none."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be asked."""
    parser.add_argument("--trials", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")


def measure(options: argparse.Namespace) -> Result:
    """Interrupt again and again."""
    shipped, voice = EngineSettings(), VoiceSettings()
    as_shipped = f"as it comes ({shipped.interruptions.normal.min_ms:g} ms of voice wanted)"
    cases = {
        "bare asyncio floor": run(_measure_floor(options.trials), options.loop),
        "at once (what we add)": run(_measure(options.trials, NOW, AT_ONCE), options.loop),
        as_shipped: run(_measure(max(1, options.trials // 4), shipped, voice), options.loop),
    }
    numbers: dict[str, Number] = {}
    rows: list[list[Cell]] = []
    for key, (name, trials) in zip(("floor", "at_once", "as_shipped"), cases.items(), strict=True):
        stops = [trial.stop_ms for trial in trials]
        p50, p99 = rounded(percentile(stops, 50)), rounded(percentile(stops, 99))
        leaked = rounded(fmean([trial.leaked_frames for trial in trials]), 2)
        late = sum(trial.late_frames for trial in trials)
        numbers[f"{key}_p50"] = Number(value=p50, unit="ms")
        numbers[f"{key}_p99"] = Number(value=p99, unit="ms")
        numbers[f"{key}_leaked"] = Number(value=leaked, unit="frames of 20 ms, mean")
        numbers[f"{key}_late"] = Number(value=late, unit="frames of 20 ms, all trials")
        rows.append([name, p50, p99, leaked, late, len(trials)])
    return Result(
        name="barge_in",
        what=WHAT,
        numbers=numbers,
        tables=[
            Table(
                title="Speech onset to silence ordered",
                columns=[
                    "",
                    "p50 ms",
                    "p99 ms",
                    "leaked frames, mean",
                    "frames after the order",
                    "trials",
                ],
                rows=rows,
            )
        ],
        series={
            "loop": options.loop,
            "at_once_ms": [round(trial.stop_ms, 4) for trial in cases["at once (what we add)"]],
            "as_shipped_ms": [round(trial.stop_ms, 3) for trial in cases[as_shipped]],
        },
    )


async def _measure(trials: int, engine: EngineSettings, voice: VoiceSettings) -> list[Trial]:
    marks = Marks()
    line = CountingLine(marks)
    session = Session(
        Cascade(
            InstantStt(marks),
            agent_of(instant_agent(marks)),
            InstantTts(marks, milliseconds=10_000),
        ),
        line=line,
        detector=LevelVad(),
        voice=voice,
        settings=engine,
    )
    rng = random.Random(1)
    found: list[Trial] = []
    async with session:
        await _say(session, 20)
        while len(found) < trials:
            await _until_answered(session, marks)
            await asyncio.sleep(0.1 + rng.uniform(0, FRAME))
            marks.clear()
            before = line.frames
            began = perf_counter()
            deadline = began + PATIENCE_SECONDS
            while "silenced" not in marks.times:
                session.send_audio(VOICED)
                await asyncio.sleep(FRAME)
                if perf_counter() > deadline:
                    raise TimeoutError("the session did not fall silent")
            found.append(
                Trial(
                    stop_ms=(marks.times["silenced"] - began) * 1000,
                    leaked_frames=line.frames_when_silenced - before,
                    late_frames=line.frames - line.frames_when_silenced,
                )
            )
            marks.clear()
    return found


async def _say(session: Session, frames: int) -> None:
    for _ in range(frames):
        session.send_audio(VOICED)
        await asyncio.sleep(FRAME)


async def _until_answered(session: Session, marks: Marks) -> None:
    """Be silent until the agent speaks."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while "line" not in marks.times:
            session.send_audio(QUIET)
            await asyncio.sleep(FRAME)


async def _measure_floor(trials: int) -> list[Trial]:
    marks = Marks()
    floor = FloorSession(marks, instant_agent(marks), frames=5)
    found: list[Trial] = []
    for _ in range(trials):
        floor.send_audio(VOICED)
        floor.send_audio(QUIET)
        await asyncio.sleep(2 * FRAME)
        marks.clear()
        sent = floor.sent
        began = perf_counter()
        floor.send_audio(VOICED)
        stop_ms = (marks.times["silenced"] - began) * 1000
        found.append(Trial(stop_ms=stop_ms, leaked_frames=floor.sent - sent, late_frames=0))
    return found


def draw(result: Result, path: Path) -> None:
    """Both distributions, and what leaked."""
    from benchmarks.pictures import OURS, THIRD, canvas, save

    figure, (left, right) = canvas(2, width=9.5)
    for axes, key, colour, unit, factor in (
        (left, "at_once_ms", OURS, "µs", 1000),
        (right, "as_shipped_ms", THIRD, "ms", 1),
    ):
        values = sorted(value * factor for value in result.series[key])
        shares = [100 * (at + 1) / len(values) for at in range(len(values))]
        axes.step([values[0], *values], [0, *shares], where="post", color=colour, linewidth=2)
        middle = percentile(values, 50) or 0.0
        axes.axvline(middle, color="#333333", linewidth=1, linestyle="--")
        axes.annotate(
            f"median {middle:.3g} {unit}",
            (middle, 0.04),
            xycoords=("data", "axes fraction"),
            xytext=(6, 0),
            textcoords="offset points",
            fontsize=8.5,
        )
        axes.set(xlabel=f"onset to silence ordered, {unit}", ylabel="trials, %", ylim=(0, 100))
        axes.set_xlim(0, values[-1] * 1.35)
    left.set_title("What the framework adds")
    right.set_title("With the settings as they come")
    save(figure, path, result)
