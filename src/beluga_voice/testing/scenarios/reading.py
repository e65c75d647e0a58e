"""Reads files with scenarios, and says where one is wrong."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from beluga_voice.errors import ConfigurationError
from beluga_voice.testing.scenarios.model import Scenario

LIBRARY = Path(__file__).parent / "turns"
"""The scenarios that come with the package."""

_PLACE = re.compile(r"(.*) - at (?:`key` in )?`\$([^`]*)`", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def names(folder: Path = LIBRARY) -> list[str]:
    """Every scenario of a folder, in order."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def find(name: str) -> Path:
    """The file of a scenario: by its name in the library, or by its own path.

    Raises `ConfigurationError`, naming those that are like it, if there is none.
    """
    path = Path(name) if name.endswith(".yaml") else LIBRARY / f"{name}.yaml"
    if path.is_file():
        return path
    known = names()
    alike = [one for one in known if name in one] or known
    message = f"there is no scenario {name!r}; there are {', '.join(alike)}"
    raise ConfigurationError(message, op="simulate")


def read(path: Path) -> Scenario:
    """The scenario of a file; raises `ConfigurationError` with file, line and key."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}", op="simulate") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8 text", op="simulate") from None
    try:
        content: Any = yaml.safe_load(text)
        tree: Any = yaml.compose(text, Loader=yaml.SafeLoader)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # no stubs
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f":{mark.line + 1}" if mark is not None else ""
        raise ConfigurationError(f"{path}{at}: this is not YAML", op="simulate") from error
    try:
        return msgspec.convert(content, Scenario)
    except msgspec.ValidationError as error:
        problem, place = _problem_and_place(str(error))
        line = _line_of(tree, [key or index for key, index in _STEP.findall(place)])
        where = place.lstrip(".") or "the scenario"
        message = f"{path}:{line}: {where}: {problem[:1].lower()}{problem[1:]}"
        raise ConfigurationError(message, op="simulate") from error


def _problem_and_place(message: str) -> tuple[str, str]:
    """What msgspec has to say, and of what: keys with a dot each, and indices in brackets."""
    found = _PLACE.fullmatch(message)
    return (message, "") if found is None else (found[1], found[2])


def _line_of(node: Any, keys: Sequence[str]) -> int:
    """The line, from 1, of what those keys lead to, as far as they lead."""
    line = 1 if node is None else int(node.start_mark.line) + 1
    for key in keys:
        inner: Any = None
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                if str(name.value) == key:
                    line, inner = int(name.start_mark.line) + 1, value
        elif isinstance(node, yaml.SequenceNode) and key.isdigit() and int(key) < len(node.value):
            inner = node.value[int(key)]
            line = int(inner.start_mark.line) + 1
        if inner is None:
            break
        node = inner
    return line


def write_expected(path: Path, expected: dict[str, list[str]]) -> None:
    """Write what a scenario gives into its file, in place of what it gave; the rest stays."""
    text = path.read_text(encoding="utf-8")
    head, _, rest = text.partition("\nexpected:")
    if re.search(r"^[a-z_]+:", rest.partition("\n")[2], re.MULTILINE):
        message = f"{path}: expected should be the last key, so that it can be written anew"
        raise ConfigurationError(message, op="simulate")
    lines = [head.rstrip("\n"), "expected:"]
    for stage, trace in expected.items():
        lines.append(f"  {stage}: |2")
        lines += [f"    {line}" for line in trace]
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}", op="simulate") from error
