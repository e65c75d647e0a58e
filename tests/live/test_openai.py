"""OpenAI itself: what its voice says, both transports understand."""

import asyncio

import pytest

import beluga_voice

pytestmark = pytest.mark.live
TEXT = "The whale swims north."


@pytest.mark.parametrize("model", ["gpt-live-transcribe", "gpt-transcribe"])
def test_it_understands_what_it_says(model):
    """The key is in `OPENAI_API_KEY`; without it, this fails, as it will without its voices."""

    async def scene():
        speech = await beluga_voice.tts("openai").synthesize(TEXT)
        return await beluga_voice.stt("openai", model=model).transcribe(
            speech.audio, rate=speech.rate
        )

    assert "whale" in asyncio.run(scene()).text.lower()
