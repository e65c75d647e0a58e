"""Throws bytes at a codec for as long as it is let, led by which code they reach.

    VIRTUAL_ENV=.venv .uv/bin/uv run --active --no-project --with atheris \
        python tests/fuzz/bytes.py openai_realtime -max_total_time=300

The first argument names a row of `WIRES`; what follows are options of libFuzzer. The messages of
the row are where it begins. Each input is a conversation, one message to a line; a first byte of
`0xff` makes a message binary. What breaks a promise of `Talk` is written to a file `crash-…`, which
is given as an argument to see it again. Atheris is not among what `./dev` installs: it takes
instrumented code, and minutes.
"""

import json
import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["beluga_voice", "base64", "fuzz"]):
    from fuzz.wires import WIRES, Talk, Wire

BINARY = b"\xff"


def conversation(wire: Wire, data: bytes) -> None:
    """Each line is a message; then the wire is gone."""
    talk = Talk(wire.make())
    for line in data.split(b"\n"):
        if line.startswith(BINARY):
            talk.hear(line[1:])
        else:
            talk.hear(line.decode(errors="surrogateescape"))
    talk.end()


def write_beginnings(wire: Wire, folder: Path) -> None:
    """Files to begin with: each message, all of them, and all of them twice."""
    lines = [json.dumps(one).encode() for one in wire.messages]
    talks = [*lines, b"\n".join(lines), b"\n".join(lines * 2), BINARY + lines[0]]
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


def main() -> None:
    """Fuzz the codec that was named."""
    wire = WIRES[sys.argv[1]]
    with tempfile.TemporaryDirectory() as folder:
        beginnings = Path(folder) / "beginnings"
        beginnings.mkdir()
        write_beginnings(wire, beginnings)
        write_words(wire, Path(folder) / "words")
        is_again = any(Path(one).is_file() for one in sys.argv[2:])
        given = [] if is_again else [f"-dict={folder}/words", str(beginnings)]
        atheris.Setup([sys.argv[0], *sys.argv[2:], *given], lambda data: conversation(wire, data))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
