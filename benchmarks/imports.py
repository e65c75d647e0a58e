"""How long a program waits before it can begin: imports, a provider, a session.

Each measurement is a fresh process. `-X importtime` gives the time inside the import statement;
what must not be loaded by it is looked for by name.
"""

# pyright: reportUnknownMemberType=false
# matplotlib's methods are annotated in part only.
import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.results import Cell, Number, Result, Table, rounded

WHAT = "time of `import beluga_voice`, of a first provider and of a first session"
TARGET_MS = 60.0
UNWANTED = ("numpy", "pydantic", "opentelemetry")
STEPS = {
    "import beluga_voice": "import beluga_voice",
    "import VoiceSession": "from beluga_voice import VoiceSession",
    "import the silero detector": "from beluga_voice.providers.vad.silero import SileroVad",
    "import a recogniser (pocketsphinx)": (
        "from beluga_voice.providers.stt.pocketsphinx import Pocketsphinx"
    ),
    "make a session (embedded parts, model loaded)": (
        "from beluga_voice import VoiceSession; VoiceSession()"
    ),
    "make a second session": "VoiceSession()",
}
"""What is timed, in this order, in one process."""

_PROGRAM = """
import json, sys
from time import perf_counter
found = {"start_modules": len(sys.modules), "steps": {}}
names = {}
for label, code in json.loads(sys.argv[1]).items():
    began = perf_counter()
    exec(code, names)
    found["steps"][label] = (perf_counter() - began) * 1000
    if label == "import beluga_voice":
        found["modules"] = len(sys.modules) - found["start_modules"]
        found["unwanted"] = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
print(json.dumps(found))
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be asked."""
    parser.add_argument("--processes", type=int, default=15, help="default: %(default)s")


def measure(options: argparse.Namespace) -> Result:
    """Start the processes, one after the other."""
    imports = [_import_time() for _ in range(options.processes)]
    bare = [_wall("pass") for _ in range(options.processes)]
    whole = [_wall("import beluga_voice") for _ in range(options.processes)]
    runs = [_steps() for _ in range(options.processes)]
    numbers = {
        "import_beluga_voice": Number(value=rounded(median(imports), 2), unit="ms"),
        "bare_process": Number(value=rounded(median(bare), 1), unit="ms"),
        "process_that_imports": Number(value=rounded(median(whole), 1), unit="ms"),
        "modules": Number(value=runs[0]["modules"], unit="modules beyond the interpreter's"),
        "unwanted": Number(value=len(runs[0]["unwanted"]), unit="of " + ", ".join(UNWANTED)),
    }
    rows: list[list[Cell]] = [
        ["import beluga_voice, by -X importtime", numbers["import_beluga_voice"].value],
        ["a process that does nothing", numbers["bare_process"].value],
        ["a process that imports beluga_voice", numbers["process_that_imports"].value],
    ]
    steps: list[list[Cell]] = []
    for label in STEPS:
        value = rounded(median([run["steps"][label] for run in runs]), 2)
        numbers[label] = Number(value=value, unit="ms")
        steps.append([label, value])
    unwanted = ", ".join(runs[0]["unwanted"]) or "none"
    return Result(
        name="imports",
        what=WHAT,
        numbers=numbers,
        tables=[
            Table(
                title=f"Start, median of {options.processes} processes (target: {TARGET_MS:g} ms)",
                columns=["", "ms"],
                rows=rows,
            ),
            Table(
                title="One after the other, in one process, each on top of those before",
                columns=["", "ms"],
                rows=steps,
            ),
        ],
        series={"imports_ms": [round(one, 3) for one in imports], "steps": steps},
        notes=[
            f"Modules loaded by `import beluga_voice`: {runs[0]['modules']}; "
            f"unwanted among them ({', '.join(UNWANTED)}): {unwanted}."
        ],
    )


def _import_time() -> float:
    """Milliseconds in the import statement, everything below it included."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import beluga_voice"],
        capture_output=True,
        text=True,
        check=True,
    )
    for line in done.stderr.splitlines():
        if line.endswith("| beluga_voice"):
            return int(line.split("|")[1]) / 1000
    raise RuntimeError("the interpreter reported no import of beluga_voice")


def _wall(code: str) -> float:
    began = perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (perf_counter() - began) * 1000


def _steps() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps(STEPS), json.dumps(UNWANTED)],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def draw(result: Result, path: Path) -> None:
    """A bar for each step."""
    from benchmarks.pictures import LIMIT, OURS, canvas, label_bars, save

    figure, (axes,) = canvas(height=3.2)
    labels = ["import beluga_voice (-X importtime)", *[row[0] for row in result.series["steps"]]]
    lengths = [
        result.numbers["import_beluga_voice"].value or 0.0,
        *[row[1] for row in result.series["steps"]],
    ]
    axes.barh(labels, lengths, color=OURS, height=0.6)
    axes.axvline(TARGET_MS, color=LIMIT, linestyle="--", linewidth=1)
    axes.annotate(
        f"target for the import: {TARGET_MS:g} ms",
        (TARGET_MS, 0.02),
        xycoords=("data", "axes fraction"),
        xytext=(4, 0),
        textcoords="offset points",
        fontsize=8.5,
        color=LIMIT,
    )
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set(xlabel="milliseconds, median of fresh processes")
    axes.set_title("Time to begin")
    label_bars(axes)
    save(figure, path, result)
