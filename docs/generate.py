"""Writes the pages that repeat the code: the reference, and the traces within other pages.

    ./dev run python docs/generate.py            write them
    ./dev run python docs/generate.py --check    fail if one is not what would be written

Docstrings are taken as they are. What stands below a field or a constant as a string is its
description. A trace stands between `<!-- scene: NAME -->` and `<!-- end -->`, see `scenes.py`; a
program likewise after `<!-- file: PATH -->`.
"""

import argparse
import ast
import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

from scenes import scenes

from beluga_voice import app, config, errors, events, interfaces
from beluga_voice.backends.websocket.protocol import Limits
from beluga_voice.engine.deadlines import DeadAirSettings
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.interruptions import InterruptionPolicy, InterruptionSettings
from beluga_voice.engine.link import ReconnectSettings
from beluga_voice.engine.patience import PatienceSettings
from beluga_voice.engine.renewal import RenewalSettings
from beluga_voice.engine.turns import TABLE, Floor, Turn, TurnSettings
from beluga_voice.engine.voice import VoiceSettings
from beluga_voice.providers.stt.pocketsphinx import Pocketsphinx
from beluga_voice.providers.tts.espeak import Espeak
from beluga_voice.providers.vad.energy import EnergyVad
from beluga_voice.session.jsonform import TYPES, schema

DOCS = Path(__file__).parent
WRITTEN = "<!-- Written by docs/generate.py: change the code instead. -->\n\n"
_SCENE = re.compile(r"<!-- scene: (.+?) -->\n.*?<!-- end -->", re.DOTALL)
_FILE = re.compile(r"<!-- file: (.+?) -->\n.*?<!-- end -->", re.DOTALL)
_FLOOR = re.compile(r"<!-- floor -->\n.*?<!-- end -->", re.DOTALL)


# ── reading code ────────────────────────────────────────────────────────────────────────────


def tree_of(module: str) -> ast.Module:
    """The syntax of a module."""
    return ast.parse(inspect.getsource(importlib.import_module(module)))


def class_of(kind: type[Any]) -> ast.ClassDef:
    """The syntax of a class."""
    for node in ast.walk(tree_of(kind.__module__)):
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__:
            return node
    raise LookupError(kind.__name__)


def fields_of(kind: type[Any]) -> Iterator[tuple[str, str, str, str]]:
    """Name, type, default and description of each field."""
    body = class_of(kind).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            default = "" if node.value is None else ast.unparse(node.value)
            yield node.target.id, ast.unparse(node.annotation).strip("'"), default, said(following)


def said(node: ast.stmt | None) -> str:
    """A string that stands alone."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return inspect.cleandoc(str(node.value.value))
    return ""


def doc(thing: object) -> str:
    """A docstring."""
    return inspect.cleandoc(getattr(thing, "__doc__", None) or "")


def cell(text: str) -> str:
    """Text within a table."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    """Code within a table."""
    return f"`{cell(text)}`" if text else ""


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


# ── events ──────────────────────────────────────────────────────────────────────────────────

UNIONS = (
    ("SessionEvent", "What an application is told", events.SessionEvent),
    ("CallEvent", "From the person's line to the session", events.CallEvent),
    ("CallCommand", "From the session to the person's line", events.CallCommand),
    ("S2sCommand", "From the session to a speech-to-speech service", events.S2sCommand),
    ("S2sEvent", "From a speech-to-speech service to the session", events.S2sEvent),
    ("SttCommand", "To a speech-to-text service", events.SttCommand),
    ("SttEvent", "From a speech-to-text service", events.SttEvent),
    ("TtsCommand", "To a text-to-speech service", events.TtsCommand),
    ("TtsEvent", "From a text-to-speech service", events.TtsEvent),
)


def events_page() -> str:
    """Every event and command."""
    parts = [
        WRITTEN,
        "# Events and commands\n\n",
        "All of them are frozen structs (`msgspec.Struct`) of `beluga_voice.events`, in closed "
        "unions: a `match` that ends in `assert_never` is complete; `msgspec.structs.replace` "
        "gives a changed copy. Events hold no time; `session.events()` gives each within a "
        "`Happening`, which has one. [The glossary](../glossary.md) explains the words, and [the "
        "life of a session](../explanation/session-lifecycle.md) shows the order.\n\n",
        "[`events.schema.json`](events.schema.json) is a JSON Schema of what an application is "
        "told, as `talk --json` and `beluga_voice.session.jsonform` write it.\n\n",
        "Every provider keeps these rules:\n\n",
        doc(events).split("every provider keeps:\n\n")[1].split("\n\nWords:")[0],
        "\n\n",
        *(
            f"* [{name}](#{name.lower()}): {title[0].lower()}{title[1:]}\n"
            for name, title, _ in UNIONS
        ),
        "* [Parts](#parts): what the fields hold\n",
    ]
    names = {kind: name for name, kind in TYPES.items()}
    told: set[type[Any]] = set()
    for name, title, union in UNIONS:
        parts.append(f"\n## {name}\n\n{title}.\n")
        for kind in get_args(union.__value__):
            if kind in told:
                parts.append(f"\n**`{kind.__name__}`**: see above.\n")
                continue
            told.add(kind)
            json_name = f" · in JSON `{names[kind]}`" if kind in names else ""
            parts.append(f"\n### `{kind.__name__}`{json_name}\n\n{doc(kind)}\n")
            parts.append(fields_table(kind))
    parts.append("\n## Parts\n")
    for kind in (events.Message, events.ToolUse, events.ToolResult, events.TimedWord, events.Usage):
        parts.append(f"\n### `{kind.__name__}`\n\n{doc(kind)}\n{fields_table(kind)}")
    for kind in vars(events).values():
        if inspect.isclass(kind) and issubclass(kind, StrEnum) and kind is not StrEnum:
            members = ", ".join(f"`{member.value}`" for member in kind)
            parts.append(f"\n### `{kind.__name__}`\n\n{doc(kind)} {members}\n")
    return "".join(parts)


def fields_table(kind: type[Any], head: str = "field") -> str:
    """The fields of a class."""
    rows = [
        (code(name), code(annotation), code(_default(default)), cell(description))
        for name, annotation, default, description in fields_of(kind)
    ]
    if not rows:
        return ""
    return "\n" + table((head, "type", "default", ""), rows)


def _default(default: str) -> str:
    made = re.fullmatch(r"field\(default_factory=(\w+)\)", default)
    return f"{made[1]}()" if made else default


# ── errors ──────────────────────────────────────────────────────────────────────────────────


def errors_page() -> str:
    """Every error, with its code."""
    intro = doc(errors)
    rows = [
        (
            code(kind.__name__),
            code(str(kind.code)),
            ("yes" if kind.is_retryable else "no")
            if issubclass(kind, errors.ProviderError)
            else "",
            cell(doc(kind)),
        )
        for kind in vars(errors).values()
        if inspect.isclass(kind) and issubclass(kind, errors.BelugaError)
    ]
    codes = ", ".join(f"`{one.value}`" for one in errors.ErrorCode)
    tree, rest = intro.split("\n\nEvery error", 1)
    first, drawing = tree.split("\n\n", 1)
    return (
        f"{WRITTEN}# Errors\n\n{first}\n\n```\n{inspect.cleandoc(drawing)}\n```\n\n"
        f"Every error{rest}"
        "\n\n## Classes\n\n`retryable` is `is_retryable`: whether the same request may succeed "
        "later. A session tries such an error again, up to `ReconnectSettings.attempts` times, "
        "and gives up at once for any other.\n\n"
        + table(("class", "code", "retryable", ""), rows)
        + f"\n## Codes\n\n{doc(errors.ErrorCode)} They are the `code` of an error, and of "
        f"the event `ErrorOccurred`.\n\n{codes}\n"
    )


# ── the command line ────────────────────────────────────────────────────────────────────────


def cli_page() -> str:
    """Every command and option."""
    # Untyped on purpose: argparse has no public way to ask a parser for its options.
    parser: Any = vars(importlib.import_module("beluga_voice.cli.main"))["_parser"]()
    parts = [
        f"{WRITTEN}# The command line\n\n",
        "`beluga-voice COMMAND`, or in a clone `./dev COMMAND`.\n\n",
        f"{parser.epilog}\n" if parser.epilog else "",
    ]
    (commands,) = (one for one in parser._actions if one.dest == "command")
    for name, command in commands.choices.items():
        rows: list[tuple[str, ...]] = []
        for action in command._actions:
            if action.dest == "help":
                continue
            value = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
            shown = (
                f"{action.option_strings[-1]} {value}" if action.option_strings else f"[{value}]"
            )
            rows.append(
                (code(shown.strip()), cell((action.help or "") % {"default": action.default}))
            )
        parts.append(f"\n## {name}\n\n{command.description}\n\n{table(('option', ''), rows)}")
    parts.append(
        "\n## Exit status\n\n0 is success, 1 a failure while it ran, 2 something to correct in "
        "what was asked, 130 Ctrl-C.\n"
    )
    return "".join(parts)


# ── settings ────────────────────────────────────────────────────────────────────────────────

GROUPS: tuple[tuple[str, str, tuple[type[Any], ...]], ...] = (
    (
        "How a conversation behaves",
        "`VoiceSession(settings=EngineSettings(turns=TurnSettings(end_silence_ms=400)))`. What "
        "they mean for a conversation is in [turn taking](../explanation/turn-taking.md).",
        (
            EngineSettings,
            TurnSettings,
            InterruptionSettings,
            InterruptionPolicy,
            DeadAirSettings,
            PatienceSettings,
            ReconnectSettings,
            RenewalSettings,
        ),
    ),
    ("When voice begins and ends", "`VoiceSession(voice_settings=...)`.", (VoiceSettings,)),
    ("The person's line", "A line states them.", (interfaces.LineOptions,)),
    ("What callers may ask of a server", "`WebSocketCarrier(limits=...)`.", (Limits,)),
    (
        "What is asked of a service",
        "A session fills these in; they are for those who write providers.",
        (interfaces.S2sOptions, interfaces.SttOptions, interfaces.TtsOptions),
    ),
    ("What a service can do", "", (interfaces.Capabilities,)),
)


def settings_page() -> str:
    """Every setting."""
    parts = [
        f"{WRITTEN}# Settings\n\n",
        "## Of the program\n\n",
        _program_settings(),
        "\n## Of a session\n\n",
        "`beluga_voice.VoiceSession(...)`. ",
        f"{_without_examples(doc(app.VoiceSession))}\n\n",
        _parameters(app.VoiceSession),
    ]
    for title, text, kinds in GROUPS:
        parts.append(f"\n## {title}\n\n{text}\n" if text else f"\n## {title}\n")
        parts += [
            f"\n### `{one.__name__}`\n\n{doc(one)}\n{fields_table(one, 'name')}" for one in kinds
        ]
    parts.append("\n## Of the embedded parts\n")
    for kind in (Pocketsphinx, Espeak, EnergyVad):
        parts.append(f"\n### `{kind.__name__}`\n\n{doc(kind)}\n\n{_parameters(kind)}")
    return "".join(parts)


def _program_settings() -> str:
    rows = [
        (
            code(name),
            code(f"{config.PREFIX}{name.upper()}"),
            code("" if field.default in (None, "", ()) else repr(field.default)),
            cell(field.description or ""),
        )
        for name, field in config.Settings.model_fields.items()
    ]
    intro = (
        f"From the environment, or from `{config.FILE_NAME}` in the current folder, or from the "
        f"file that `{config.PATH_VARIABLE}` names. The command line goes before the environment, "
        "and the environment before the file. In the environment the parts of a list are "
        "separated by `;`. Names that are unknown are errors.\n\n"
    )
    return intro + table(("in the file", "in the environment", "default", ""), rows)


def _parameters(kind: Callable[..., Any]) -> str:
    rows: list[tuple[str, ...]] = []
    for name, parameter in inspect.signature(kind).parameters.items():
        default = "" if parameter.default is parameter.empty else repr(parameter.default)
        rows.append((code(name), code(_annotation(kind, name)), code(default)))
    return table(("argument", "type", "default"), rows)


def _annotation(kind: Callable[..., Any], name: str) -> str:
    assert isinstance(kind, type)
    for node in class_of(kind).body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            for argument in (*node.args.args, *node.args.kwonlyargs):
                if argument.arg == name and argument.annotation is not None:
                    return ast.unparse(argument.annotation)
    return ""


def _without_examples(text: str) -> str:
    kept = [part for part in text.split("\n\n") if not part.startswith("    ")]
    return "\n\n".join(kept)


# ── traces and tables within pages ──────────────────────────────────────────────────────────


def floor_table() -> str:
    """Where each input leads, from `engine/turns.py`."""
    head = ("", *(f"`{given.name}`" for given in Turn))
    rows = [
        (
            f"`{state.name}`",
            *(
                "·"
                if (to := TABLE.get((state, given))) is None
                else "="
                if to is state
                else to.name
                for given in Turn
            ),
        )
        for state in Floor
    ]
    return table(head, rows)


def filled(text: str, traces: dict[str, list[str]]) -> str:
    """A page with its traces and tables as they are now."""

    def scene(found: re.Match[str]) -> str:
        lines = "\n".join(traces[found[1]])
        return f"<!-- scene: {found[1]} -->\n\n```text\n{lines}\n```\n\n<!-- end -->"

    def program(found: re.Match[str]) -> str:
        source = (DOCS.parent / found[1]).read_text(encoding="utf-8")
        return f"<!-- file: {found[1]} -->\n\n```python\n{source}```\n\n<!-- end -->"

    text = _FILE.sub(program, _SCENE.sub(scene, text))
    return _FLOOR.sub(lambda _: f"<!-- floor -->\n\n{floor_table()}\n<!-- end -->", text)


def event_schema() -> str:
    """The schema as a file; Python 3.12 leaves docstrings indented, 3.13 does not."""
    made = schema()
    for form in made["$defs"].values():
        if "description" in form:
            form["description"] = inspect.cleandoc(form["description"])
    return json.dumps(made, indent=1) + "\n"


def pages() -> dict[Path, str]:
    """Every page that is written here, and what is in it."""
    reference = DOCS / "reference"
    made = {
        reference / "events.md": events_page(),
        reference / "errors.md": errors_page(),
        reference / "cli.md": cli_page(),
        reference / "settings.md": settings_page(),
        reference / "events.schema.json": event_schema(),
    }
    traces = scenes()
    for path in sorted(DOCS.rglob("*.md")):
        if path not in made:
            text = path.read_text(encoding="utf-8")
            if (new := filled(text, traces)) != text or "<!-- end -->" in text:
                made[path] = new
    return made


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    is_check = parser.parse_args().check
    stale: list[str] = []
    for path, text in pages().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(str(path.relative_to(DOCS.parent)))
            if not is_check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"{'is not up to date' if is_check else 'written'}: {name}")
    if is_check and stale:
        print("run: ./dev run python docs/generate.py", file=sys.stderr)
    return 1 if is_check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
