"""The programs of the tutorial and of the README: as somebody types them who begins."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_FILE = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def write_files(page: Path, folder: Path) -> list[str]:
    """Put every program of a page that has a name into a folder; gives the names."""
    programs = _FILE.findall(page.read_text(encoding="utf-8"))
    for name, source in programs:
        (folder / name).write_text(source, encoding="utf-8")
    return [name for name, _ in programs]


def ran(folder: Path, *command: str) -> str:
    """What a command of Python prints in that folder; it must succeed."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_programs_of_the_readme_run(tmp_path: Path) -> None:
    """The agent of the README answers its program, and ends."""
    assert write_files(ROOT / "README.md", tmp_path) == ["my_agent.py", "my_program.py"]
    out = ran(tmp_path, "my_program.py")
    heard = re.fullmatch(r"'You said: hello' was heard, in (\d+) bytes of speech\n", out)
    assert heard is not None, out
    assert int(heard[1]) > 24000


def test_the_tutorial_comes_to_its_end(tmp_path: Path) -> None:
    """Both agents of the tutorial answer, and its test passes."""
    page = ROOT / "docs/tutorials/first-agent.md"
    assert write_files(page, tmp_path) == ["my_agent.py", "my_waiter.py", "test_my_waiter.py"]
    question = str(ROOT / "examples/audio/questions.wav")
    said = ran(tmp_path, "-m", "beluga_voice.cli", "talk", question, "--agent", "my_agent:answer")
    assert "It is time for a walk." in said
    asked = ran(tmp_path, "-m", "beluga_voice.cli", "talk", question, "--agent", "my_waiter:waiter")
    assert "A table for two, or for four?" in asked
    assert "1 passed" in ran(
        tmp_path, "-m", "pytest", "-p", "no:cacheprovider", "test_my_waiter.py"
    )


@pytest.mark.parametrize("program", ["speech_to_speech", "external_reasoning"])
def test_an_example_without_its_arguments_says_which(program: str) -> None:
    """What is missing is told in one line, which says how the program is started."""
    done = subprocess.run(
        [sys.executable, "-m", f"examples.{program}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert re.fullmatch(rf"usage: python -m examples\.{program} .+\n", done.stderr)
