"""A program that nobody here wrote speaks through the emulated voices, on real sockets."""

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beluga_voice.testing.emulators.elevenlabs_speech import KEY
from beluga_voice.testing.emulators.elevenlabs_tts import ElevenLabsTtsEmulator, Quirks
from beluga_voice.testing.emulators.speech import Pace
from beluga_voice.testing.speech import words_in

PROGRAM = Path(__file__).parent / "livekit_tts_program.py"
TEXT = "Hello there my friend. See you soon again."
STOPPED = "STOP One two three four five six. Seven eight nine ten eleven twelve."


async def speak(python: Path, service: ElevenLabsTtsEmulator, *texts: str) -> list[dict[str, Any]]:
    """Run the program to its end; gives what it printed."""
    async with service.serving():
        process = await asyncio.create_subprocess_exec(
            python,
            PROGRAM,
            service.url,
            KEY,
            *texts,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(60):
                printed, said = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 0, said.decode()
    told: list[dict[str, Any]] = json.loads(printed)
    return told


@pytest.mark.parametrize("is_camel", [False, True])
@pytest.mark.parametrize("is_plural", [False, True])
def test_a_foreign_program_speaks_in_contexts(
    is_camel: bool, is_plural: bool, interpreter: Callable[[str], Path]
) -> None:
    """It gets the sound and the words of each text, in both spellings, over one connection."""
    service = ElevenLabsTtsEmulator(quirks=Quirks(is_camel=is_camel, is_plural=is_plural))
    first, second = asyncio.run(speak(interpreter("livekit_tts"), service, TEXT, TEXT))
    for told in (first, second):
        assert words_in(base64.b64decode(told["audio"])) == TEXT.split()
        assert [word for word, *_ in told["words"]] == TEXT.split()
    (session,) = service.sessions
    assert session.errors == []
    closed = [one.context_id for one in session.received if one.close_context]
    assert len(set(closed)) == 2
    assert session.most_contexts == 1


def test_a_foreign_program_is_interrupted(interpreter: Callable[[str], Path]) -> None:
    """It closes the context that it gives up, and hears nothing of it in the next ones."""
    service = ElevenLabsTtsEmulator(pace=Pace(word_ms=20))
    texts = (STOPPED, STOPPED, TEXT)
    *stopped, last = asyncio.run(speak(interpreter("livekit_tts"), service, *texts))
    assert all(len(words_in(base64.b64decode(told["audio"]))) < 12 for told in stopped)
    assert words_in(base64.b64decode(last["audio"])) == TEXT.split()
    (session,) = service.sessions
    assert session.errors == []
    assert len({one.context_id for one in session.received if one.close_context}) == 3
