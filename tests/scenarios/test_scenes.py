"""Every provider tells the same story of the same scene."""

import pytest

from beluga_voice.events import Role
from beluga_voice.interfaces import Capabilities, TurnOwner
from beluga_voice.testing.conformance import Peer
from beluga_voice.testing.loop import simulate
from conformance.broken import Duplex, LosesToolResults, TwoFinals, with_link, wrapping
from scenarios.differences import DIFFERENCES, LEFT_OUT
from scenarios.play import Can, play
from scenarios.rows import ROWS
from scenarios.scenes import SCENES

LONGEST_SECONDS = 120

STAGES = {**ROWS, "a duplex model": wrapping(ROWS["openai_realtime"], Duplex)}
"""The rows, and one that only seems to hear while it speaks."""


def capabilities_of(row: str) -> Capabilities:
    """What the provider of a row can do."""

    async def look() -> Capabilities:
        async with STAGES[row](Peer()) as provider:
            return provider.capabilities

    return simulate(look)


PLAYED = [(scene, row) for scene in SCENES for row in STAGES if (scene.name, row) not in LEFT_OUT]


@pytest.mark.parametrize(
    ("scene", "row"), PLAYED, ids=[f"{scene.name}-{row}" for scene, row in PLAYED]
)
def test_a_scene_has_one_story(scene, row):
    """Kinds, words and outcomes are as written, whoever owns the turns; so is what was heard."""
    capabilities = capabilities_of(row)
    assert scene.needs(capabilities)
    for owner in capabilities.turn_owners:
        can = Can(capabilities, owner)
        expected = can.comparable(scene.story(can))
        if (difference := DIFFERENCES.get((scene.name, row, owner))) is not None:
            expected = can.comparable(difference(can))
        told = simulate(lambda owner=owner: play(STAGES[row], scene, owner), until=LONGEST_SECONDS)
        assert can.comparable(told.lines) == expected, f"with turns owned by the {owner}"
        assert told.heard == heard_in(told.lines)
        assert told.history == history_in(told.lines)


@pytest.mark.parametrize(("name", "row"), LEFT_OUT)
def test_what_is_left_out_cannot_be_played(name, row):
    """And each service has a row that plays the scene, unless nobody could who is like it."""
    (scene,) = [one for one in SCENES if one.name == name]
    assert not scene.needs(capabilities_of(row))
    service = row.partition(" at work")[0]
    rows = [one for one in STAGES if one.partition(" at work")[0] == service]
    is_played = any((name, one) not in LEFT_OUT for one in rows)
    assert is_played is (TurnOwner.DUPLEX not in capabilities_of(row).turn_owners or "tool" in name)


@pytest.mark.parametrize(("name", "row", "owner"), DIFFERENCES)
def test_a_difference_is_one(name, row, owner):
    """What is written as a difference is none of what everybody tells."""
    (scene,) = [one for one in SCENES if one.name == name]
    can = Can(capabilities_of(row), owner)
    usual = can.comparable(scene.story(can))
    assert can.comparable(DIFFERENCES[name, row, owner](can)) != usual


@pytest.mark.parametrize(("name", "kind"), [("tool", LosesToolResults), ("greeting", TwoFinals)])
def test_a_fault_of_a_provider_shows(name, kind):
    """A provider that loses what tools give tells another story; others do where it matters."""
    (scene,) = [one for one in SCENES if one.name == name]
    make = wrapping(ROWS["openai_realtime"], with_link(kind))
    told = simulate(lambda: play(make, scene, TurnOwner.PROVIDER), until=LONGEST_SECONDS)
    expected = scene.story(Can(capabilities_of("openai_realtime"), TurnOwner.PROVIDER))
    assert (told.lines != expected) is (kind is LosesToolResults)


def heard_in(lines: list[str]) -> str:
    """All the words of the agent that a story tells of, one after the other."""
    return " ".join(
        line.split(": ", 1)[1] for line in lines if line.startswith("agent ") and ": " in line
    )


def history_in(lines: list[str]) -> list[str]:
    """The history that a story leads to."""
    kinds = {
        "user": f"{Role.USER}: ",
        "agent heard": f"{Role.AGENT}: ",
        "agent cut": f"{Role.AGENT}…: ",
        "agent failed": f"{Role.AGENT}…: ",
    }
    told = [line.split(": ", 1) for line in lines if ": " in line]
    return [kinds[kind] + words for kind, words in told if kind in kinds]
