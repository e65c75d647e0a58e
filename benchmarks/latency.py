"""How much time the framework itself puts between the person's last word and the agent's first.

A turn is three frames of voice and one of silence, in real time, with services that take none and
settings that wait for nothing. What is measured is from the silent frame to the first sound at the
line. Turns of the floor alternate with ours in the same loop, so both meet the same machine.
"""

# pyright: reportUnknownMemberType=false
# matplotlib's methods are annotated in part only.
import argparse
import asyncio
from pathlib import Path
from statistics import fmean
from time import perf_counter

from beluga_voice.agents.functions import agent_of
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.interruptions import InterruptionPolicy, InterruptionSettings
from beluga_voice.engine.turns import TurnSettings
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
from benchmarks.loops import run
from benchmarks.results import Number, Result, Table, percentile, rounded

WHAT = "framework-added time from the end of speech to the first sound at the line"
REPLY_MS = 40
WARM_UP = 5
NOW = EngineSettings(
    turns=TurnSettings(end_silence_ms=0),
    interruptions=InterruptionSettings(normal=InterruptionPolicy(min_ms=0, resumes=False)),
)
AT_ONCE = VoiceSettings(start_ms=0, stop_ms=0)

STAGES = (
    ("turn decided, words asked for", "began", "words"),
    ("words to the agent", "words", "agent"),
    ("agent's 20 words to the voice", "agent", "voice"),
    ("the voice's own trip", "voice", "sound"),
    ("sound to the line", "sound", "line"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be asked."""
    parser.add_argument("--turns", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")


def measure(options: argparse.Namespace) -> Result:
    """Hold the turns."""
    ours, floor = run(_measure(options.turns), options.loop)
    names = (("beluga-voice", ours), ("bare asyncio floor", floor))
    numbers: dict[str, Number] = {}
    rows: list[list[str | float | None]] = []
    for name, turns in names:
        totals = [(turn["line"] - turn["began"]) * 1000 for turn in turns]
        row: list[str | float | None] = [name]
        for percent in (50, 95, 99):
            value = rounded(percentile(totals, percent))
            key = "beluga" if turns is ours else "floor"
            numbers[f"{key}_p{percent}"] = Number(value=value, unit="ms")
            row.append(value)
        rows.append([*row, rounded(fmean(totals)), len(totals)])
    low, high = numbers["floor_p50"].value, numbers["beluga_p50"].value
    assert low
    assert high
    numbers["ratio_p50"] = Number(value=round(high / low, 2), unit="times the floor")
    numbers["added_p50"] = Number(value=round(high - low, 3), unit="ms")
    stages: list[list[str | float | None]] = []
    for label, start, end in STAGES:
        both = [
            rounded(percentile([(turn[end] - turn[start]) * 1000 for turn in turns], 50), 4)
            for _, turns in names
        ]
        stages.append([label, *both])
        numbers[f"stage_{start}_to_{end}_p50"] = Number(value=both[0], unit="ms")
    return Result(
        name="latency",
        what=WHAT,
        numbers=numbers,
        tables=[
            Table(
                title="End of speech to first sound, services without delay",
                columns=["", "p50 ms", "p95 ms", "p99 ms", "mean ms", "turns"],
                rows=[*rows, ["ratio", numbers["ratio_p50"].value, None, None, None, None]],
            ),
            Table(
                title="Where it goes, median",
                columns=["stage", "beluga-voice ms", "floor ms"],
                rows=stages,
            ),
        ],
        series={
            "loop": options.loop,
            "beluga_ms": [round((turn["line"] - turn["began"]) * 1000, 4) for turn in ours],
            "floor_ms": [round((turn["line"] - turn["began"]) * 1000, 4) for turn in floor],
            "stages": stages,
        },
    )


async def _measure(turns: int) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    ours, floors = Marks(), Marks()
    voice = InstantTts(ours, milliseconds=REPLY_MS)
    floor = FloorSession(floors, instant_agent(floors), frames=voice.frames)
    session = Session(
        Cascade(InstantStt(ours), agent_of(instant_agent(ours)), voice),
        line=CountingLine(ours, lead_ms=200),
        detector=LevelVad(),
        voice=AT_ONCE,
        settings=NOW,
    )
    found: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
    async with session:
        for at in range(turns + WARM_UP):
            for one, marks, kept in ((session, ours, found[0]), (floor, floors, found[1])):
                turn = await _turn(one, marks)
                if at >= WARM_UP:
                    kept.append(turn)
            floor.rest()
    return found


async def _turn(session: Session | FloorSession, marks: Marks) -> dict[str, float]:
    """Speak, stop, and let the answer sound."""
    for _ in range(3):
        session.send_audio(VOICED)
        await asyncio.sleep(FRAME)
    marks.clear()
    began = perf_counter()
    session.send_audio(QUIET)
    async with asyncio.timeout(2):
        await marks.reached("line")
    # The answer sounds, and one more frame passes.
    await asyncio.sleep(REPLY_MS / 1000 + FRAME)
    return {"began": began, **marks.times}


def draw(result: Result, path: Path) -> None:
    """The distribution of both, and our stages."""
    from benchmarks.pictures import FLOOR, OURS, canvas, label_bars, save

    figure, (left, right) = canvas(2, width=9.5)
    for name, key, colour in (
        ("bare asyncio floor", "floor_ms", FLOOR),
        ("beluga-voice", "beluga_ms", OURS),
    ):
        values = sorted(result.series[key])
        shares = [100 * (at + 1) / len(values) for at in range(len(values))]
        left.plot(values, shares, color=colour, label=name, linewidth=2)
    left.set(xlabel="end of speech to first sound, ms", ylabel="turns, %", ylim=(0, 100))
    left.set_xlim(left=0)
    left.legend(loc="lower right")
    left.set_title("Time added to each turn")
    labels = [str(row[0]) for row in result.series["stages"]]
    for offset, column, colour in ((-0.2, 1, OURS), (0.2, 2, FLOOR)):
        lengths = [row[column] * 1000 for row in result.series["stages"]]
        right.barh([at + offset for at in range(len(labels))], lengths, height=0.38, color=colour)
    right.set_yticks(range(len(labels)), labels)
    right.invert_yaxis()
    right.grid(axis="y", visible=False)
    right.set(xlabel="median, µs")
    right.set_title("Where it goes")
    label_bars(right)
    save(figure, path, result)
