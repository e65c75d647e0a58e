"""AssemblyAI itself: it understands a voice of this machine."""

import asyncio

import pytest

import beluga_voice

pytestmark = pytest.mark.live
TEXT = "The whale swims north."


@pytest.mark.parametrize("model", ["universal-streaming-english", "u3-rt-pro"])
def test_it_understands_a_voice(model):
    """The key is in `ASSEMBLYAI_API_KEY`; without it, this fails."""

    async def scene():
        speech = await beluga_voice.tts("espeak").synthesize(TEXT)
        handle = beluga_voice.stt("assemblyai", model=model, wants_words=True)
        return await handle.transcribe(speech.audio, rate=speech.rate)

    found = asyncio.run(scene())
    assert "north" in found.text.lower()
    assert found.words
