"""Throws bytes at a codec for as long as it is let, led by which code they reach.

    VIRTUAL_ENV=.venv .uv/bin/uv run --active --no-project --with atheris \
        python tests/fuzz/bytes.py openai_realtime -max_total_time=300

The first argument names a row of `WIRES`, or is `all`, for one after the other; what follows are
options of libFuzzer. The messages of the row and what is kept of it (`kept/`) are where it begins.
Each input is a conversation, one message to a line; a first byte of `0xff` makes a message binary,
and `0xfe` makes it a command of ours, chosen by the byte after it. What breaks a promise of
`Talk`, takes over ten seconds or a gigabyte is written to a file `crash-…`, `timeout-…` or `oom-…`,
which is given as an argument to see it again. Once it is mended, `keep` it: a test plays it from
then on. Atheris is not among what `./dev` installs: it takes instrumented code, and minutes.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["beluga_voice", "base64", "fuzz"]):
    from fuzz.conversations import BINARY, COMMAND, converse, kept
    from fuzz.wires import COMMANDS, WIRES, Wire

LIMITS = ["-timeout=10", "-rss_limit_mb=1000"]


def write_beginnings(name: str, folder: Path) -> None:
    """Files to begin with: messages alone, together and with commands, and what is kept."""
    wire = WIRES[name]
    lines = [json.dumps(one).encode() for one in wire.messages]
    ours = [COMMAND + bytes([number]) for number in range(len(COMMANDS) + 4)]
    both = [line for pair in zip(lines, ours, strict=False) for line in pair]
    talks = [*lines, b"\n".join(lines), b"\n".join(lines * 2), b"\n".join(lines[:6] + ours)]
    talks += [b"\n".join(both), *(BINARY + one for one in (*wire.pieces, *lines[:1]))]
    talks += kept(name)
    for number, talk in enumerate(talks):
        (folder / f"{number:03}").write_bytes(talk)


def write_words(wire: Wire, path: Path) -> None:
    """Names and values of the protocol, which random bytes would hardly hit on."""
    words = {word for one in wire.messages for word in _words(one)}
    escaped = ("".join(f"\\x{byte:02x}" for byte in word.encode()) for word in sorted(words))
    path.write_text("".join(f'"{word}"\n' for word in escaped))


def _words(value: object) -> list[str]:
    if isinstance(value, dict):
        inner = [word for one in value.values() for word in _words(one)]
        return [*(json.dumps(key) for key in value), *inner]
    if isinstance(value, list):
        return [word for one in value for word in _words(one)]
    return [json.dumps(value)]


def fuzz(name: str, options: list[str]) -> None:
    """Fuzz the codec of a row; libFuzzer ends the process."""
    wire = WIRES[name]
    with tempfile.TemporaryDirectory() as folder:
        beginnings = Path(folder) / "beginnings"
        beginnings.mkdir()
        write_beginnings(name, beginnings)
        write_words(wire, Path(folder) / "words")
        is_again = any(Path(one).is_file() for one in options)
        given = [] if is_again else [f"-dict={folder}/words", str(beginnings)]
        arguments = [sys.argv[0], *LIMITS, *options, *given]
        atheris.Setup(arguments, lambda data: converse(wire, data))
        atheris.Fuzz()


def main() -> int:
    """Fuzz what was named; all of them each in a process of its own."""
    name, *options = sys.argv[1:]
    if name != "all":
        fuzz(name, options)
        return 0
    codes = [subprocess.call([sys.executable, __file__, one, *options]) for one in WIRES]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
