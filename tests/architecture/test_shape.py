"""The shape of the code: what is opened, how long it is, and what it never holds."""

import ast
import re
from pathlib import Path

import pytest

from beluga_voice.registry import KINDS, installed

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "beluga_voice"
TESTS = ROOT / "tests"

MAX_MODULE = 600
MAX_FUNCTION = 80
MAX_DOOR = 110

LONG_MODULES = {
    "events.py": "the vocabulary, which is data and comes from one hand",
    "session/session.py": "one way in for whatever happens",
    "testing/loop.py": "an event loop has that many methods",
    "testing/network.py": "a network with all that can go wrong in it",
}
"""Modules over the limit, and why."""

LONG_FUNCTIONS = {
    "Engine.receive": "one `match` over every event, a line or two each",
    "Session.__init__": "everything is checked and made before anything is connected",
    "_parser": "the options of the command line, one after another",
}
"""Functions over the limit, and why."""

SKIPS = {"server/test_page.py": "it needs a browser; where one must be there, it fails without"}
"""Tests that may be skipped, and why."""

FORBIDDEN = {
    "a pause in real time": re.compile(r"\btime\.sleep\b"),
    "a mock": re.compile(r"\bunittest\.mock\b|\bMagicMock\b|\bmocker\b"),
    "work left undone": re.compile(r"\b(TODO|FIXME|XXX)\b"),
    "a skipped test": re.compile(r"\bmark\.(skip|skipif|xfail)\b|\bpytest\.skip\("),
}


def modules(folder):
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def problems(path, text, *, providers=frozenset()):
    """Everything that is wrong with one module of the package."""
    tree = ast.parse(text)
    return [
        *door(tree),
        *too_long(path, text),
        *long_functions(tree),
        *names_in_conditions(tree, providers),
        *words(text),
    ]


def door(tree):
    first = (ast.get_docstring(tree) or "").split("\n")[0]
    if not first:
        return ["has no docstring"]
    found = []
    if not re.search(r"[.:?]$", first):
        found.append(f"opens with what is no sentence: {first!r}")
    if len(first) >= MAX_DOOR:
        found.append("opens with a sentence that fits on no door")
    return found


def too_long(path, text):
    lines = len(text.splitlines())
    if lines > MAX_MODULE and path not in LONG_MODULES:
        return [f"is {lines} lines long"]
    return []


def functions(tree, prefix=""):
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node
            yield from functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")
        else:
            yield from functions(node, prefix)


def long_functions(tree):
    return [
        f"{name} is {length} lines long"
        for name, node in functions(tree)
        if (length := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION
        and name not in LONG_FUNCTIONS
    ]


def names_in_conditions(tree, providers):
    """Where a condition compares with the name of a provider: capabilities should be asked."""
    conditions = [
        node.test for node in ast.walk(tree) if isinstance(node, ast.If | ast.IfExp | ast.While)
    ]
    patterns = [node.pattern for node in ast.walk(tree) if isinstance(node, ast.match_case)]
    return [
        f"asks for the provider {node.value!r} by name"
        for condition in (*conditions, *patterns)
        for node in ast.walk(condition)
        if isinstance(node, ast.Constant) and node.value in providers
    ]


def words(text):
    return [f"holds {name}" for name, pattern in FORBIDDEN.items() if pattern.search(text)]


def provider_names():
    """Every installed plugin, but for kinds of plugins and words that mean something else."""
    return frozenset(name for kind in KINDS for name in installed(kind)) - {"energy"}


@pytest.mark.parametrize("path", [path.relative_to(SOURCE).as_posix() for path in modules(SOURCE)])
def test_a_module_keeps_to_the_shape(path):
    """It opens with a sentence, is not too long, and holds nothing that it should not."""
    text = (SOURCE / path).read_text()
    assert problems(path, text, providers=provider_names()) == []


def test_the_tests_hold_no_mocks_pauses_or_skips():
    """What is forbidden in the package is forbidden in its tests; this file names the words."""
    found = {
        path.relative_to(TESTS).as_posix(): words(path.read_text())
        for path in modules(TESTS)
        if path != Path(__file__)
    }
    wrong = {path: held for path, held in found.items() if held}
    assert wrong == {path: ["holds a skipped test"] for path in SKIPS}


def test_every_test_says_in_a_sentence_what_is_so():
    """Each test function has a docstring, and it ends with a full stop."""
    silent = [
        f"{path.name}: {name}"
        for path in modules(TESTS)
        for name, node in functions(ast.parse(path.read_text()))
        if name.startswith("test_")
        and "." not in name
        and not re.search(r"\.$", (ast.get_docstring(node) or "").strip())
    ]
    assert silent == []


def test_no_exception_to_the_length_is_out_of_date():
    """Each module that may be long is long."""
    lengths = {path: len((SOURCE / path).read_text().splitlines()) for path in LONG_MODULES}
    assert {path for path, lines in lengths.items() if lines <= MAX_MODULE} == set()


GOOD = '"""A good module."""\n\n\ndef good() -> int:\n    """Be good."""\n    return 1\n'
CALL = "\n    time." + "sleep(1)\n"


def test_a_good_sample_passes():
    """The sample that the next test spoils is good."""
    assert problems("good.py", GOOD) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (GOOD.replace('"""A good module."""', ""), "has no docstring"),
        (GOOD.replace("module.", "module"), "opens with what is no sentence"),
        (GOOD.replace("good module", "good " * 25 + "module"), "fits on no door"),
        (GOOD + "x = 1\n" * 600, "is 606 lines long"),
        (GOOD + "    x = 1\n" * 80, "good is 83 lines long"),
        (
            GOOD + "\n\nclass A:\n    async def b(self):\n" + "        x = 1\n" * 80,
            "A.b is 81 lines long",
        ),
        (GOOD + 'x = 1 if name == "espeak" else 2\n', "asks for the provider 'espeak' by name"),
        (GOOD + 'if name in ("a", "espeak"):\n    x = 1\n', "asks for the provider 'espeak'"),
        (GOOD + 'match name:\n    case "espeak":\n        x = 1\n', "asks for the provider"),
        (GOOD + CALL.strip() + "\n", "holds a pause in real time"),
        (GOOD + "from unittest." + "mock import Mock\n", "holds a mock"),
        (GOOD + "# TO" + "DO: more\n", "holds work left undone"),
        (GOOD + "@pytest.mark." + "skip\ndef f(): ...\n", "holds a skipped test"),
    ],
)
def test_a_bad_sample_is_found(text, problem):
    """Each rule sees the sample that breaks it."""
    found = problems("bad.py", text, providers={"espeak"})
    assert len(found) == 1
    assert problem in found[0]
