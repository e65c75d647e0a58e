"""Bytes as a conversation with a codec: what the fuzzer makes, and what it found and is kept."""

import json
from pathlib import Path

from fuzz.wires import Talk, Wire

BINARY = b"\xff"
COMMAND = b"\xfe"
KEPT = Path(__file__).parent / "kept"
"""A file for each row of `WIRES`: conversations that once broke a promise, and those by which the
fuzzer got far. Bytes are written as the characters of their numbers."""


def kept(name: str) -> list[bytes]:
    """What is kept of a row."""
    path = KEPT / f"{name}.json"
    talks: list[str] = json.loads(path.read_text()) if path.exists() else []
    return [one.encode("latin-1") for one in talks]


def keep(name: str, talks: list[bytes]) -> None:
    """Keep these of a row, and no others."""
    told = [one.decode("latin-1") for one in talks]
    (KEPT / f"{name}.json").write_text(json.dumps(told, indent=0) + "\n")


def converse(wire: Wire, data: bytes) -> Talk:
    """Each line is a message or a command; then the wire is gone."""
    talk = Talk(wire.make())
    for line in data.split(b"\n"):
        if line.startswith(BINARY):
            talk.hear(line[1:])
        elif line.startswith(COMMAND):
            commands = talk.commands
            talk.say(commands[(line[1] if len(line) > 1 else 0) % len(commands)])
        else:
            talk.hear(line.decode(errors="surrogateescape"))
    talk.end()
    return talk
