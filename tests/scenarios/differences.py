"""Stories that differ although no capability says so: each is a fault, here or there.

A difference that is gone fails its test, and leaves this table.
"""

from collections.abc import Callable

from beluga_voice.interfaces import TurnOwner
from scenarios.play import Can
from scenarios.scenes import CALLED


def _error_told_twice(can: Can) -> list[str]:
    """The loss is told as a failed response and as a failed service."""
    return [
        "session started",
        *can.turn("count please"),
        "turn measured",
        "agent speaks",
        "error provider_error",
        "error provider_error",
        "reconnecting",
        "reconnected",
        "agent failed: one two three four",
        *can.turn("stop it"),
        *can.answer("as you like"),
        "session ended: closed",
    ]


def _two_turns_as_one(can: Can) -> list[str]:
    """Words that got no answer are final only with those of the next turn, and run into them."""
    space = " " if can.owner is TurnOwner.FRAMEWORK else ""
    return [
        "session started",
        "user speaks",
        "user is done",
        "user speaks",
        "user is done",
        f"user: count please{space}stop it",
        *can.answer("as you like"),
        "session ended: closed",
    ]


def _tool_withdrawn(can: Can) -> list[str]:
    """Who speaks while a tool runs makes the service forget the tool, and ours stops it."""
    return [
        "session started",
        *can.turn("look there", CALLED),
        *can.turn("stop it"),
        *can.answer("as you like"),
        "session ended: closed",
    ]


DIFFERENCES: dict[tuple[str, str], Callable[[Can], list[str]]] = {
    ("connection lost in mid-response", "cascade"): _error_told_twice,
    ("barge-in before the first sound", "gemini_live"): _two_turns_as_one,
    ("slow tool while talking", "gemini_live"): _tool_withdrawn,
}
"""By scene and row."""
