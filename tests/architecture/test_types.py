"""Types are checked strictly, and a checker that passes everything would be noticed."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

SNIPPET = '''"""What a user might write."""

from typing import Any

from beluga_voice import AgentTurn, VoiceSession
from beluga_voice.events import Transcription, UtteranceId


async def agent(turn: AgentTurn) -> str:
    return turn.text


def told(text: str) -> Transcription:
    return Transcription(utterance_id=UtteranceId("u"), text=text, is_final=True)


session = VoiceSession(agent=agent)
things: dict[str, Any] = {}
'''

MISTAKES = {
    "VoiceSession(agents=agent)": "call-arg",
    "VoiceSession(greeting=7)": "arg-type",
    'Transcription(utterance_id="u", text="t", is_final=True)': "arg-type",
    'told("x").text = "y"': "misc",
    "told(7)": "arg-type",
    "session.nothing()": "attr-defined",
}


def check(text, folder):
    """What the type checker says of a module, with this project's settings."""
    path = folder / "snippet.py"
    path.write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_what_users_write_is_checked(tmp_path):
    """A correct program passes; each mistake, and a function without types, is found."""
    good = check(SNIPPET, tmp_path)
    assert good.returncode == 0, good.stdout
    lines = SNIPPET.count("\n")
    bad = check(SNIPPET + "\n".join(MISTAKES) + "\n\ndef untyped(x): return x\n", tmp_path)
    assert bad.returncode == 1
    found = {
        int(line.split(":")[1]): line.rpartition("[")[2].rstrip("]")
        for line in bad.stdout.splitlines()
        if ": error: " in line
    }
    expected = dict(enumerate(MISTAKES.values(), lines + 1))
    assert found == {**expected, lines + len(MISTAKES) + 2: "no-untyped-def"}
