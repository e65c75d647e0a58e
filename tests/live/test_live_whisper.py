"""Whisper itself, with its real weights: what our own voice says, it understands."""

import asyncio

import pytest

import beluga_voice
from beluga_voice.providers.stt.whisper import Whisper

pytestmark = pytest.mark.live
TEXT = "The whale swims north."


@pytest.mark.parametrize("model", ["tiny.en", "base"])
def test_it_understands_our_voice(model):
    """It is fetched from the Hugging Face Hub, 75 to 145 MB; without a way there, this fails."""

    async def scene():
        await Whisper(model=model).download()
        speech = await beluga_voice.tts("espeak").synthesize(TEXT)
        handle = beluga_voice.stt("whisper", model=model, wants_words=True)
        return await handle.transcribe(speech.audio, rate=speech.rate)

    found = asyncio.run(scene())
    assert "whale" in found.text.lower()
    assert [word.text for word in found.words] == found.text.split()


def test_it_finds_out_the_language():
    """German, without being told."""

    async def scene():
        await Whisper(model="base").download()
        speech = await beluga_voice.tts("espeak", language="de").synthesize("Guten Morgen, Berlin.")
        return await beluga_voice.stt("whisper", model="base").transcribe(
            speech.audio, rate=speech.rate
        )

    assert asyncio.run(scene()).language == "de"
