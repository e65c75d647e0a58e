"""Imports point downwards, and the front door costs little."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent


def lint_imports(source):
    """Run the contracts of this project on the package in a folder."""
    return subprocess.run(
        [SCRIPTS / "lint-imports", "--config", ROOT / "pyproject.toml", "--no-cache"],
        cwd=source.parent,
        env={**os.environ, "PYTHONPATH": str(source), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_contract_is_kept():
    """The package as it is breaks none of the rules."""
    ran = lint_imports(ROOT / "src")
    assert ran.returncode == 0, ran.stdout
    assert "0 broken" in ran.stdout


NO_PROVIDERS = {"s2s.realtime_dialect"}
"""What some of them have in common."""


def test_every_provider_is_in_the_contract():
    """A provider that is added is held apart from the others, too."""
    listed = next(
        contract["modules"]
        for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
            "importlinter"
        ]["contracts"]
        if contract["name"] == "providers do not know each other"
    )
    folder = ROOT / "src/beluga_voice/providers"
    kinds = ("s2s", "stt", "tts")
    found = {
        f"{kind}.{one.parent.name}"
        for kind in kinds
        for one in folder.glob(f"{kind}/*/__init__.py")
    }
    expected = {f"beluga_voice.providers.{name}" for name in found - NO_PROVIDERS}
    assert expected <= {*listed}


BREAKS = {
    "the core is pure": ("engine/engine.py", "import asyncio"),
    "layers point downwards": ("engine/turns.py", "import beluga_voice.session.session"),
    "the codecs of providers are pure": ("providers/stt/deepgram/_wire.py", "import time"),
    "providers know neither the session nor the engine": (
        "providers/vad/energy.py",
        "from beluga_voice.session.session import Session",
    ),
    "providers do not know each other": (
        "providers/tts/espeak/provider.py",
        "import beluga_voice.providers.vad.energy",
    ),
    "what ships does not need the testing kit": (
        "session/session.py",
        "import beluga_voice.testing.loop",
    ),
}


def test_a_forbidden_import_breaks_its_contract(tmp_path):
    """In a copy of the package with one bad import per contract, every contract is broken."""
    copy = tmp_path / "src"
    shutil.copytree(ROOT / "src", copy, ignore=shutil.ignore_patterns("__pycache__", "static"))
    for module, line in BREAKS.values():
        path = copy / "beluga_voice" / module
        path.write_text(f"{path.read_text()}\n{line}\n")
    ran = lint_imports(copy)
    assert ran.returncode != 0
    told = ran.stdout.partition("Broken contracts")[2]
    assert [name for name in BREAKS if f"{name}\n" not in told] == []


HEAVY = (
    *("aiohttp", "asyncio", "beluga_voice.session", "msgspec", "numpy", "onnxruntime"),
    *("opentelemetry", "pocketsphinx", "pydantic", "pydantic_settings", "soxr", "ssl"),
    *("uvloop", "websockets", "yaml"),
)


def loaded(*lines):
    """The heavy modules that a fresh process has loaded after those lines."""
    code = "\n".join((*lines, "import sys", f"print(*(n for n in {HEAVY!r} if n in sys.modules))"))
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    return ran.stdout.split()


@pytest.mark.parametrize(
    ("module", "needed"),
    [
        ("beluga_voice", []),
        ("beluga_voice.errors", []),
        ("beluga_voice.audio.formats", []),
        ("beluga_voice.events", ["msgspec"]),
    ],
)
def test_the_front_door_loads_nothing_heavy(module, needed):
    """Importing the package or its errors loads no library; its events are structs of msgspec."""
    assert loaded(f"import {module}") == needed


def test_using_a_name_loads_what_it_needs_and_no_more():
    """The session brings asyncio, and neither a server nor a model nor a speech library."""
    found = loaded("import beluga_voice", "beluga_voice.VoiceSession")
    assert {"asyncio", "msgspec", "beluga_voice.session"} <= set(found)
    assert set(found) <= {"asyncio", "msgspec", "beluga_voice.session", "ssl"}


def test_every_name_of_the_front_door_is_there():
    """What `__all__` promises can be had, and nothing else."""
    import beluga_voice

    for name in beluga_voice.__all__:
        assert getattr(beluga_voice, name) is not None
    assert set(dir(beluga_voice)) == set(beluga_voice.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = beluga_voice.nothing
