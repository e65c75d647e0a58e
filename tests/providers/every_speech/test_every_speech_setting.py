"""Settings of every installed recogniser and voice: what one cannot honour, it does not pass over.

Providers are used by themselves here, without a handle that would check before them.
"""

import asyncio
from dataclasses import replace

import pytest

from beluga_voice import registry
from beluga_voice.errors import Unsupported
from beluga_voice.interfaces import STT_SETTINGS, TTS_SETTINGS, SttOptions, TtsOptions
from beluga_voice.providers.phrases import PhraseLimits

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


def connect(provider, options):
    """Connect, if nothing is wrong with the options."""

    async def scene():
        async with provider.connect(options):
            pass

    asyncio.run(scene())


def refuse(provider, options, setting):
    """Connecting is refused, before it touches anything, by the name of the setting."""

    with pytest.raises(Unsupported, match=f"cannot honour settings: it takes no {setting}"):
        connect(provider, options)


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


LIMITS = {
    "deepgram": (100, None, None, None),
    "deepgram_files": (100, None, None, None),
    "elevenlabs": (50, 20, 5, None),
    "elevenlabs_files": (1000, 50, 5, None),
    "cartesia": (100, None, None, 1200),
    "openai": (None, None, None, None),
    "assemblyai": (100, 50, None, None),
    "pocketsphinx": (None, None, None, None),
    "whisper": (None, None, None, None),
}
"""Phrases; characters and words in each; characters in all."""


@pytest.mark.parametrize("name", registry.installed("stt"))
def test_phrases_that_a_service_would_not_take_are_refused(name):
    """More or longer ones than it says, with what to do; as many as it says pass."""
    made = registry.create("stt", name)
    limits = made.phrase_limits
    most, characters, words, total = LIMITS[name]
    assert limits == PhraseLimits(
        max_phrases=most,
        max_phrase_characters=characters,
        max_phrase_words=words,
        max_characters=total,
    )
    for phrases, told in (
        (most and ("Graz",) * (most + 1), "leave out the least likely"),
        (characters and ("a" * (characters + 1),), "shorten them"),
        (words and ("a " * (words + 1),), "split them"),
        (total and ("a" * 13,) * 99, "leave out the least likely"),
    ):
        if phrases:
            with pytest.raises(Unsupported, match=f"{name} cannot honour phrases: .*; {told}"):
                connect(registry.create("stt", name, api_key="k"), SttOptions(phrases=phrases))


def test_phrases_without_a_word_are_left_out():
    """Services refuse a request for nothing, or for blanks."""
    assert PhraseLimits(max_phrases=2).taken((" a  b ", "", "\n", "c"), "x") == ("a b", "c")


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
