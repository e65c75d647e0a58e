"""ElevenLabs itself, with the key in `ELEVENLABS_API_KEY`: run with `-m live`."""

import asyncio
import os

import pytest

from beluga_voice import stt, tts

pytestmark = pytest.mark.live

TEXT = "The quick brown fox jumps over the lazy dog."


def test_what_its_voice_says_its_recogniser_understands() -> None:
    """A text is spoken, with times for its words, and understood again, with times too."""
    assert os.environ.get("ELEVENLABS_API_KEY"), "set ELEVENLABS_API_KEY to run the live tests"

    async def scene() -> None:
        speech = await tts("elevenlabs", wants_words=True).synthesize(TEXT)
        assert len(speech.words) == len(TEXT.split())
        assert speech.words[-1].end <= len(speech.audio) // 2
        heard = await stt("elevenlabs", language="en", wants_words=True).transcribe(
            speech.audio, rate=speech.rate
        )
        assert "brown fox" in heard.text.lower()
        assert heard.words
        posted = await stt("elevenlabs_files", language="en", wants_words=True).transcribe(
            speech.audio, rate=speech.rate
        )
        assert "brown fox" in posted.text.lower()
        assert posted.words

    asyncio.run(scene())


def test_it_has_voices() -> None:
    """The account lists some."""

    async def scene() -> None:
        assert await tts("elevenlabs").voices()

    asyncio.run(scene())
