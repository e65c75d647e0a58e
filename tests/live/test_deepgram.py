"""Deepgram itself: what it is told by its own voice, it understands."""

import asyncio

import pytest

import beluga_voice

pytestmark = pytest.mark.live
TEXT = "The whale swims north."


@pytest.mark.parametrize(
    ("name", "model"),
    [("deepgram", "nova-3"), ("deepgram", "flux-general-en"), ("deepgram_files", "nova-3")],
)
def test_it_understands_what_it_says(name, model):
    """The key is in `DEEPGRAM_API_KEY`; without it, this fails."""

    async def scene():
        speech = await beluga_voice.tts("deepgram").synthesize(TEXT)
        handle = beluga_voice.stt(name, model=model, wants_words=True)
        return await handle.transcribe(speech.audio, rate=speech.rate)

    found = asyncio.run(scene())
    assert "whale" in found.text.lower()
    assert found.words
