"""Piper itself, with a real voice: what it says, our own recogniser understands."""

import asyncio

import pytest

import beluga_voice
from beluga_voice.providers.tts.piper import Piper

pytestmark = pytest.mark.live
TEXT = "cancel my order please"


def test_it_is_understood():
    """It is fetched from the Hugging Face Hub, 63 MB; without a way there, this fails."""

    async def scene():
        await Piper().download()
        handle = beluga_voice.tts("piper")
        speech = await handle.synthesize(TEXT)
        heard = await beluga_voice.stt("pocketsphinx", phrases=[TEXT]).transcribe(
            speech.audio, rate=speech.rate
        )
        return heard.text, await handle.voices()

    text, voices = asyncio.run(scene())
    assert text == TEXT
    assert voices
