"""What is known of each service is data, and says where it is from."""

import re
from importlib import import_module

import pytest

from beluga_voice.testing.emulators.catalogue import EMULATORS

NAMES = sorted(EMULATORS["s2s"])
PRICELESS = {"elevenlabs"}
"""What an agent costs depends on how it is set up, and on the plan."""


def profile(name):
    return import_module(f"beluga_voice.providers.s2s.{name}._capabilities")


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_names_its_sources_and_their_date(name):
    """At the top of the module."""
    told = profile(name).__doc__
    assert re.search(r"Sources.* read (on )?20\d\d-\d\d-\d\d", told, re.DOTALL)


@pytest.mark.parametrize("name", sorted(set(NAMES) - PRICELESS))
def test_what_is_asked_for_by_default_has_a_price(name):
    """By the minute, or by the kind of token."""
    known = vars(profile(name))
    if "USD_PER_MINUTE" in known:
        assert 0 < known["USD_PER_MINUTE"] < 1
        return
    prices = known["USD_PER_MILLION_TOKENS"][known["DEFAULT_MODEL"]]
    assert {"input_text", "input_audio", "output_text", "output_audio"} <= set(prices)
    assert 0 < prices["input_audio"] < prices["output_audio"]
