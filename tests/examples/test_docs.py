"""The documentation: its links, its programs, and what is written by a script."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from beluga_voice import VoiceSession
from beluga_voice.interfaces import TextToSpeech
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedVad

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "changelog.d").glob("*.md")]
)
_CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def name(page: Path) -> str:
    """A page as the tests call it."""
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """What can be linked to within a page, as the usual hosts of repositories name it."""
    headings = _HEADING.findall(_CODE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def programs(page: str) -> list[str]:
    """The Python programs of a page that are not taken from a file."""
    text = (ROOT / page).read_text(encoding="utf-8")
    text = re.sub(r"<!-- file: .*?<!-- end -->", "", text, flags=re.DOTALL)
    return _PYTHON.findall(text)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there, and a heading that it has."""
    broken: list[str] = []
    for link in _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_written_pages_are_up_to_date() -> None:
    """The reference, the traces and the programs in the pages are those of the code."""
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("page", sorted((ROOT / "docs/how-to").glob("*.md")), ids=name)
def test_programs_in_the_guides_run(page: Path) -> None:
    """What a guide shows can be pasted into a file and imported."""
    for source in programs(name(page)):
        exec(compile(source, name(page), "exec"), {"__name__": "shown"})


def test_the_voice_in_the_guide_speaks() -> None:
    """The text-to-speech of the provider guide is a voice for a session."""
    (source,) = programs("docs/how-to/your-own-provider.md")
    shown: dict[str, Any] = {"__name__": "shown"}
    exec(compile(source, "guide", "exec"), shown)
    voice: TextToSpeech = shown["Hum"]()

    async def answer(text: str) -> str:
        return "hm hm hm"

    async def scene() -> float:
        caller = ScriptedCaller()
        session = VoiceSession(
            stt=ScriptedStt(), agent=answer, tts=voice, vad=ScriptedVad(), line=caller
        )
        async with session, caller.on(session):
            await caller.say("hello")
            await asyncio.sleep(3)
            return session.metrics().heard_ms

    assert simulate(scene) > 0
