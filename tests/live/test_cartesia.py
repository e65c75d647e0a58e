"""Cartesia itself, with the key in `CARTESIA_API_KEY`: run with `-m live`."""

import asyncio

import pytest

import beluga_voice

pytestmark = pytest.mark.live
TEXT = "The whale swims north."


@pytest.mark.parametrize("settings", [{}, {"manual": True}, {"model": "ink-whisper"}])
def test_it_understands_what_it_says(settings):
    """A text is spoken, with the places of its words, and understood again; the key is needed."""

    async def scene():
        speech = await beluga_voice.tts("cartesia").synthesize(TEXT)
        found = await beluga_voice.stt("cartesia", **settings).transcribe(
            speech.audio, rate=speech.rate
        )
        return speech, found

    speech, found = asyncio.run(scene())
    assert [word.text.strip(".") for word in speech.words] == TEXT.strip(".").split()
    assert "whale" in found.text.lower()


def test_it_lists_its_voices():
    """With the one that is spoken with where none is named."""
    voices = asyncio.run(beluga_voice.tts("cartesia").voices())
    assert "f786b574-daa5-4673-aa0c-cbe3e8534c02" in {voice.id for voice in voices}
