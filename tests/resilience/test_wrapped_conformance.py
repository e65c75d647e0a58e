"""Providers in wrappers keep all the rules that providers keep."""

from contextlib import asynccontextmanager

import pytest

from beluga_voice.resilience.adapted import Adapted
from beluga_voice.resilience.afresh import Afresh
from beluga_voice.resilience.budget import BudgetSettings, RetryBudget
from beluga_voice.resilience.fallback import Fallback
from beluga_voice.resilience.guarded import Guarded
from beluga_voice.resilience.hedged import Hedged
from beluga_voice.resilience.limited import Limited
from beluga_voice.testing.conformance import (
    check_speech_to_speech,
    check_speech_to_text,
    check_text_to_speech,
)
from conformance.parts import good_stt, good_tts, making
from scenarios.cascade_row import cascade
from scenarios.rows import openai_realtime


def spent():
    """Nothing to ask again with: what is lost is lost, which is what a check wants to see."""
    budget = RetryBudget(BudgetSettings(per_call=0, per_second=0, most=1))
    assert budget.spend(0)
    return budget


WRAPPERS = {
    "guarded": lambda one, _: Guarded(one),
    "limited": lambda one, _: Limited(one, limit=1, wait_ms=100),
    "adapted": lambda one, _: Adapted(one, lambda options: options),
    "hedged": lambda one, _: Hedged(one, one, after_ms=0),
    "fallback": Fallback,
    "afresh": lambda one, _: Afresh(one, budget=spent()),
    "all of them": lambda one, two: Fallback(Limited(Guarded(one), limit=2), Hedged(two, two)),
}


def wrapped(make, wrap):
    """A maker of what another maker makes, twice, in a wrapper. Where one is lost, both are."""

    @asynccontextmanager
    async def making_wrapped(peer):
        async with make(peer) as one, make(peer) as two:
            yield wrap(one, two)

    return making_wrapped


def wrapped_once(make, wrap):
    """A maker of what another maker makes, once, in a wrapper that may use it as its second."""

    @asynccontextmanager
    async def making_wrapped(peer):
        async with make(peer) as one:
            yield wrap(one, one)

    return making_wrapped


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapped_recogniser_keeps_the_rules(name):
    """As the one inside does."""
    make = making(good_stt)
    report = check_speech_to_text(wrapped(make, WRAPPERS[name]))
    assert report == check_speech_to_text(make)


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapped_voice_keeps_the_rules(name):
    """As the one inside does."""
    make = making(good_tts)
    report = check_text_to_speech(wrapped(make, WRAPPERS[name]))
    assert report == check_text_to_speech(make)


@pytest.mark.parametrize("name", ["guarded", "hedged", "fallback"])
@pytest.mark.parametrize("make", [cascade, openai_realtime])
def test_a_wrapped_speech_to_speech_service_keeps_the_rules(name, make):
    """As the one inside does."""
    report = check_speech_to_speech(wrapped_once(make, WRAPPERS[name]))
    assert len(report.kept) > 20
