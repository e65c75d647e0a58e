"""The catalogue of faults: complete, usable, and what the guide says."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from beluga_voice.errors import ConfigurationError, ProviderError
from beluga_voice.testing import faults
from beluga_voice.testing.faults import Fault, Faulty, Kind, Phase
from beluga_voice.testing.faults.catalogue import PHASES, RECIPES, cases, recipe
from beluga_voice.testing.faults.troubles import TROUBLES, By
from faults import fault_tables
from faults.faulty_parts import Told, converse, ears, recognise, run, service, speak, voice

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "inject-faults.md"
TRIED = {
    Kind.S2S: (converse, service, {}),
    Kind.STT: (recognise, ears, {"args": ("hello", "bye")}),
    Kind.TTS: (speak, voice, {}),
}


def test_every_kind_of_fault_is_in_the_catalogue():
    """And each recipe has a name of its own, a sentence, and a class that says what it does."""
    made = {type(one.fault) for one in RECIPES}
    public = {
        one
        for name in faults.__all__
        if isinstance(one := getattr(faults, name), type) and issubclass(one, Fault)
    }
    assert made == public - {Fault}
    assert len({one.name for one in RECIPES}) == len(RECIPES)
    assert all(one.does and type(one.fault).__doc__ for one in RECIPES)
    assert recipe("hang") in RECIPES


def test_all_forty_six_troubles_are_told_of():
    """Each says what makes it, or why nothing does, and names recipes that there are."""
    assert [one.number for one in TROUBLES] == list(range(1, 47))
    for one in TROUBLES:
        assert one.by or one.missing
        assert bool(one.by) == bool(one.recipes or one.how)
        assert (By.FAULTY in one.by) == bool(one.recipes)
        for name in one.recipes:
            recipe(name)


def test_the_guide_shows_the_catalogue():
    """Both tables are those of the code: see fault_tables.py."""
    text = GUIDE.read_text(encoding="utf-8")
    assert "\n".join(fault_tables.recipes()) in text
    assert "\n".join(fault_tables.troubles()) in text


@pytest.mark.parametrize("kind", Kind)
def test_every_fault_can_strike_at_every_phase_that_it_names(kind):
    """Nothing is left behind, the link ends, and what raises is an error of a provider.

    Each is given to a link that gets to that phase; the moments of `interrupted`, `tool` are left
    to calls, because these links neither interrupt nor call tools.
    """
    scene, make, settings = TRIED[kind]
    never = {Phase.TOOL, Phase.INTERRUPTED}
    tried = 0
    for case in cases(kind):
        faulty = Faulty(make(), case.recipe.at(case.phase), seed=tried)

        async def play(faulty=faulty):
            try:
                async with asyncio.timeout(60):
                    return await scene(faulty, *settings.get("args", ()))
            except (ProviderError, TimeoutError) as error:
                return error

        told = run(lambda _, play=play: play(), faulty)
        if case.phase not in never:
            is_due = case.recipe.fault.when.every == 1
            assert bool(faulty.struck) == is_due, case
        if isinstance(told, Told):
            assert told.kinds[-1] == "LinkClosed"
        tried += 1
    assert tried > 100


def test_a_recipe_can_be_had_for_some_connections_only():
    """At another phase; where it cannot strike, that is said."""
    fault = recipe("reset").at(Phase.AWAITED, connections=1)
    assert fault == replace(fault, when=replace(fault.when, phase=Phase.AWAITED, connections=1))
    with pytest.raises(ConfigurationError, match="not at open"):
        recipe("denied").at(Phase.OPEN)
    assert recipe("no_final").phases(Kind.TTS) == ()
    assert set(PHASES) == set(Kind)
