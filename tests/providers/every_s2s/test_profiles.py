"""What is known of each service is data, and says where it is from."""

import logging
import re
from importlib import import_module

import pytest

from beluga_voice import s2s
from beluga_voice.errors import BelugaError, Unsupported
from beluga_voice.interfaces import TurnDetection
from beluga_voice.providers.s2s.grok import Grok, ServerVad
from beluga_voice.testing.emulators.catalogue import EMULATORS
from beluga_voice.testing.emulators.gemini_live_setup import VOICES as VOICES_OF_GEMINI
from beluga_voice.testing.loop import simulate

NAMES = sorted(EMULATORS["s2s"])


def profile(name):
    return import_module(f"beluga_voice.providers.s2s.{name}._capabilities")


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_names_its_sources_and_their_date(name):
    """At the top of the module."""
    told = profile(name).__doc__
    assert re.search(r"Sources.* read (on )?20\d\d-\d\d-\d\d", told, re.DOTALL)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_asked_for_by_default_has_a_price(name):
    """By the minute, or by the kind of token."""
    known = vars(profile(name))
    if "USD_PER_MINUTE" in known:
        assert 0 < known["USD_PER_MINUTE"] < 1
        return
    prices = known["USD_PER_MILLION_TOKENS"][known["DEFAULT_MODEL"]]
    assert {"input_text", "input_audio", "output_text", "output_audio"} <= set(prices)
    assert 0 < prices["input_audio"] < prices["output_audio"]


def handle(name, **wanted):
    return s2s(name, model="agent" if name == "elevenlabs" else None, **wanted)


@pytest.mark.parametrize("name", NAMES)
def test_the_pause_that_ends_a_turn_is_known_or_said_to_be_unknown(name):
    """What latency reports go by is what the profile has, with its source."""
    known = vars(profile(name))
    assert handle(name).capabilities.turn_silence_ms == known["TURN_SILENCE_MS"]


def test_a_pause_that_was_set_is_known():
    """Whoever sets it, the service or the handle."""
    made = Grok(turn_detection=ServerVad(silence_duration_ms=300))
    assert made.capabilities.turn_silence_ms == 300
    asked = handle("grok", turn_detection=TurnDetection(silence_ms=250))
    assert asked.options.turn_detection.silence_ms == 250


@pytest.mark.parametrize("name", NAMES)
def test_voices_are_listed_once(name):
    """Where they are not names of one's own account."""
    voices = profile(name).VOICES
    assert len(set(voices)) == len(voices)
    assert (name == "elevenlabs") == (not voices)


def test_the_list_of_voices_is_that_of_the_emulator():
    """Which refuses every other voice."""
    assert set(profile("gemini_live").VOICES) == VOICES_OF_GEMINI


CLOSED = {"nova_sonic"}
"""Those that have no voices but the listed ones."""
GUARDED = {"gemini_live", "openai_realtime"}
"""Those whose lists are all there is today, and may be longer tomorrow."""


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_voice(name, caplog, monkeypatch):
    """Is refused where the list is closed, warned of where it was complete, else taken as it is."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")

    async def connect():
        async with handle(name, voice="caruso", endpoint="https://127.0.0.1:9").connect():
            pass

    with caplog.at_level(logging.WARNING), pytest.raises(BelugaError) as caught:
        simulate(connect)
    assert isinstance(caught.value, Unsupported) == (name in CLOSED)
    if name in CLOSED:
        assert "it has ambre, amy" in str(caught.value)
    assert ("the voice 'caruso'" in caplog.text) == (name in GUARDED)


def test_a_voice_of_ones_own_is_no_surprise(caplog):
    """Its id tells it apart."""

    async def connect():
        async with handle("openai_realtime", voice="voice_1234").connect():
            pass

    with pytest.raises(BelugaError):
        simulate(connect)
    assert caplog.text == ""
