"""What several providers have in common."""

from dataclasses import fields, replace

import pytest

from beluga_voice.audio.formats import pcm16
from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import Capabilities, Faithfulness, Resumption, TurnOwner
from beluga_voice.resilience.common import NEEDS, common

BASE = Capabilities()


def of(name, *values):
    """That field of what providers with these values have in common."""
    return getattr(common([replace(BASE, **{name: value}) for value in values], op="test"), name)


@pytest.mark.parametrize(
    "name", [one.name for one in fields(Capabilities) if isinstance(getattr(BASE, one.name), bool)]
)
def test_what_all_can_do_can_be_done_and_what_one_needs_is_needed(name):
    """So whichever is used, nothing is asked that it cannot, and nothing is missing."""
    is_need = name in NEEDS
    assert of(name, True, True) is True
    assert of(name, True, False) is is_need
    assert of(name, False, False) is False
    assert is_need == name.startswith("needs_")


@pytest.mark.parametrize(
    ("name", "values", "shared"),
    [
        (
            "input_formats",
            [(pcm16(8000), pcm16(16000), pcm16(24000)), (pcm16(24000), pcm16(16000))],
            (pcm16(16000), pcm16(24000)),  # in the order of the first
        ),
        (
            "turn_owners",
            [(TurnOwner.PROVIDER, TurnOwner.FRAMEWORK), (TurnOwner.FRAMEWORK,)],
            (TurnOwner.FRAMEWORK,),
        ),
        ("input_formats", [(), (pcm16(16000),)], ()),  # voices: nothing goes in
        ("mutable", [frozenset({"voice", "tools"}), frozenset({"tools"})], frozenset({"tools"})),
        ("max_connection_seconds", [None, 3600.0, 480.0], 480.0),
        ("max_contexts", [None, None], None),
        ("max_contexts", [5, None, 1], 1),
        ("say", [Faithfulness.EXACT, Faithfulness.BEST_EFFORT], Faithfulness.BEST_EFFORT),
        ("say", [Faithfulness.EXACT, Faithfulness.NONE], Faithfulness.NONE),
        ("resumption", [Resumption.HANDLE, Resumption.HISTORY], Resumption.HANDLE),
        ("resumption", [Resumption.HISTORY, Resumption.HISTORY], Resumption.HISTORY),
        ("resumption", [Resumption.HANDLE, Resumption.NONE], Resumption.NONE),
        ("languages", [frozenset(), frozenset()], frozenset()),
        ("languages", [frozenset({"en-US", "de"}), frozenset()], frozenset({"en-US", "de"})),
        ("languages", [frozenset({"en-US", "de"}), frozenset({"en-GB"})], frozenset({"en-US"})),
    ],
)
def test_each_field_is_what_holds_for_all(name, values, shared):
    """Formats and sets are what all have, limits the lowest, faithfulness the least."""
    assert of(name, *values) == shared


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("input_formats", [(pcm16(8000),), (pcm16(16000),)]),
        ("output_formats", [(pcm16(8000),), (pcm16(16000),)]),
        ("turn_owners", [(TurnOwner.PROVIDER,), (TurnOwner.DUPLEX,)]),
        ("languages", [frozenset({"de"}), frozenset({"en"})]),
    ],
)
def test_where_nothing_is_left_none_can_stand_in_for_another(name, values):
    """The message names what is missing."""
    with pytest.raises(ConfigurationError, match=name):
        of(name, *values)


def test_who_can_be_told_what_was_said_continues_by_history():
    """Such as the cascade, which has nothing else: the handle of another is kept for that one."""
    told = replace(BASE, can_seed_history=True)
    handle = replace(BASE, can_seed_history=True, resumption=Resumption.HANDLE)
    assert common([handle, told], op="test").resumption is Resumption.HANDLE
    assert common([told, told], op="test").resumption is Resumption.HISTORY
