"""Environments for programs that nobody here wrote: made on first use, and kept.

They pin other versions of what we use, so each lives in a folder of its own, `.foreign/NAME`, with
what `requirements/foreign-NAME.txt` locks. A folder whose lock or interpreter has changed is made
anew.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".foreign"
UV = ROOT / ".uv" / "bin" / "uv"


def run(*command: str | Path, **variables: str) -> None:
    """Run a command to its end; raises with what it said if it fails."""
    environment = {"UV_SYSTEM_CERTS": "true", **os.environ, **variables}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr}")


def find_uv() -> Path:
    """The private uv that `./dev` makes; makes it where `./dev` did not need it."""
    if not UV.exists():
        run(sys.executable, "-m", "venv", UV.parents[1])
        run(UV.with_name("python"), "-m", "pip", "install", "--quiet", "uv")
    return UV


def made(name: str) -> Path:
    """The interpreter of an environment, which is made if it is not there as it should be."""
    lock = ROOT / "requirements" / f"foreign-{name}.txt"
    folder = FOLDER / name
    stamp = folder / ".installed"
    wanted = f"# {sys.version}\n{lock.read_text()}"
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # of several runs of the tests, one makes it
        if not stamp.exists() or stamp.read_text() != wanted:
            uv = find_uv()
            run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder)
            # The lock is whole, and holds what is installed: nothing is to be resolved or built.
            options = ("--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:")
            run(uv, "pip", "install", *options, "-r", lock, VIRTUAL_ENV=str(folder))
            stamp.write_text(wanted)
    return folder / "bin" / "python"


@pytest.fixture(scope="session")
def interpreter() -> Callable[[str], Path]:
    """Gives the interpreter of the environment of that name."""
    return cache(made)
