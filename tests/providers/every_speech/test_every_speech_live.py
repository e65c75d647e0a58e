"""Every recogniser and voice has a test with the service itself, which waits for `-m live`."""

import ast
from pathlib import Path

import pytest

from beluga_voice import registry

ROOT = Path(__file__).parents[3]
LIVE = sorted((ROOT / "tests" / "live").glob("test_*.py"))
HERE = {("stt", "pocketsphinx"), ("tts", "espeak")}
"""What is tried in all other tests: it needs no key and fetches nothing."""


def texts_in(tree):
    """All texts in a module."""
    return {one.value for one in ast.walk(tree) if isinstance(one, ast.Constant)}


def kinds_in(tree):
    """Which handles a module makes."""
    calls = [one.func for one in ast.walk(tree) if isinstance(one, ast.Call)]
    return {call.id if isinstance(call, ast.Name) else getattr(call, "attr", "") for call in calls}


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in ("stt", "tts") for name in registry.installed(kind)],
)
def test_each_is_tried_on_the_service_itself(kind, name):
    """In a module that makes handles of that kind and names it."""
    if (kind, name) in HERE:
        return
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in LIVE]
    assert any(kind in kinds_in(tree) and name in texts_in(tree) for tree in trees)


@pytest.mark.parametrize("path", LIVE, ids=lambda path: path.stem)
def test_it_is_left_out_by_a_marker_and_by_nothing_else(path):
    """Asked for, it runs, and fails without its key: no test of it skips itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    marks = [
        ast.unparse(one.value)
        for one in tree.body
        if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "pytestmark"
    ]
    assert marks == ["pytest.mark.live"]
    assert "skip" not in path.read_text(encoding="utf-8")
