"""Settings of every installed recogniser and voice: what one cannot honour, it does not pass over.

Providers are used by themselves here, without a handle that would check before them.
"""

import asyncio
from dataclasses import replace

import pytest

from beluga_voice import registry
from beluga_voice.errors import Unsupported
from beluga_voice.interfaces import STT_SETTINGS, TTS_SETTINGS, SttOptions, TtsOptions

MODELS = {
    "deepgram": ("nova-3", "nova-2", "base", "nova-general", "enhanced", "flux-general-en"),
    "deepgram_files": ("nova-3", "nova-2", "base"),
    "openai": ("gpt-live-transcribe", "gpt-transcribe", "whisper-1"),
    "cartesia": ("ink-2", "ink-whisper"),
}
"""Recognisers whose capabilities depend on the model."""
OTHER = {
    "phrases": ("Graz",),
    "wants_words": True,
    "wants_punctuation": False,
    "alternatives": 3,
    "filters_profanity": True,
    "speed": 1.1,
    "pitch": 1.1,
    "volume": 1.1,
    "stability": 0.5,
    "style": "calm",
    "is_ssml": True,
}
"""A value for each setting that is not its default."""
RECOGNISERS = [
    (name, model) for name in registry.installed("stt") for model in MODELS.get(name, (None,))
]


def refuse(provider, options, setting):
    """Connecting is refused, before it touches anything, by the name of the setting."""

    async def scene():
        with pytest.raises(Unsupported, match=f"cannot honour settings: it takes no {setting}"):
            async with provider.connect(options):
                pass

    asyncio.run(scene())


@pytest.mark.parametrize(("name", "model"), RECOGNISERS)
def test_a_recogniser_refuses_what_it_cannot_honour(name, model):
    """Each setting that its capabilities do not list, by name."""
    made = registry.create("stt", name, **({} if model is None else {"model": model}))
    lacking = STT_SETTINGS - made.capabilities.settings
    for setting in lacking:
        refuse(made, replace(SttOptions(), **{setting: OTHER[setting]}), setting)


@pytest.mark.parametrize("name", registry.installed("tts"))
def test_a_voice_refuses_what_it_cannot_honour(name):
    """Each setting that its capabilities do not list, by name."""
    made = registry.create("tts", name)
    for setting in TTS_SETTINGS - made.capabilities.settings:
        refuse(made, replace(TtsOptions(), **{setting: OTHER[setting]}), setting)


def test_other_readings_are_given_by_those_that_have_them():
    """No service gives them any more, but for old models of one; what is on this machine does."""
    giving = {
        (name, model)
        for name, model in RECOGNISERS
        if "alternatives"
        in registry.create(
            "stt", name, **({} if model is None else {"model": model})
        ).capabilities.settings
    }
    assert giving == {
        ("pocketsphinx", None),
        *(("deepgram", model) for model in ("base", "nova-general", "enhanced")),
        ("deepgram_files", "base"),
    }
