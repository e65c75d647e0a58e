"""Stories that differ although no capability says so: each is a fault, or a limit of a wire.

A difference that is gone fails its test, and leaves this table.
"""

from collections.abc import Callable

from beluga_voice.interfaces import TurnOwner
from scenarios.play import Can
from scenarios.scenes import CALLED, CLOUDY


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
        "agent failed: we do as he",
        *can.turn("stop it"),
        *can.answer("as you like"),
        "session ended: closed",
    ]


def _final_with_the_next_voice(can: Can) -> list[str]:
    """Words may be mended until their answer sounds, or is given up for the next turn."""
    first, second = can.turn("count please"), can.turn("stop it")
    return _interwoven(can, first[:2], second[:1], first[2:], second[1:])


def _final_with_the_next_words(can: Can) -> list[str]:
    """Words have no end on the wire: those that got no answer end where the next ones begin."""
    first, second = can.turn("count please"), can.turn("stop it")
    return _interwoven(can, first[:2], second[:2], first[2:], second[2:])


def _two_turns_as_one(can: Can) -> list[str]:
    """Where the service finds the turns, it writes on where words that got no answer ended."""
    first, second = can.turn(""), can.turn("count please stop it")
    return _interwoven(can, first[:2], second)


def _interwoven(can: Can, *parts: list[str]) -> list[str]:
    told = [line for part in parts for line in part]
    return ["session started", *told, *can.answer("as you like"), "session ended: closed"]


def _tool_withdrawn(can: Can) -> list[str]:
    """Who speaks while a tool runs makes the service forget the tool, and ours stops it."""
    return [
        "session started",
        *can.turn("look there", CALLED),
        *can.turn("stop it"),
        *can.answer("as you like"),
        "session ended: closed",
    ]


def _error_in_words(can: Can) -> list[str]:
    """Results of its tools have no mark of an error: a word is put before what the tool said."""
    return [
        "session started",
        *can.turn("look there", CALLED, f"tool failed: {CLOUDY}"),
        *can.answer(f"it says error: {CLOUDY}"),
        "session ended: closed",
    ]


_EARLY = "barge-in before the first sound"
_LOST = "connection lost in mid-response"
_SLOW_TOOL = "slow tool while talking"

DIFFERENCES: dict[tuple[str, str, TurnOwner], Callable[[Can], list[str]]] = {
    (_LOST, "cascade", TurnOwner.FRAMEWORK): _error_told_twice,
    (_EARLY, "gemini_live", TurnOwner.PROVIDER): _two_turns_as_one,
    (_EARLY, "gemini_live", TurnOwner.FRAMEWORK): _final_with_the_next_words,
    (_EARLY, "grok", TurnOwner.FRAMEWORK): _final_with_the_next_voice,
    (_EARLY, "nova_sonic", TurnOwner.PROVIDER): _final_with_the_next_words,
    ("tool raises", "openai_live at work", TurnOwner.DUPLEX): _error_in_words,
    (_SLOW_TOOL, "cascade", TurnOwner.FRAMEWORK): _tool_withdrawn,
    (_SLOW_TOOL, "gemini_live", TurnOwner.PROVIDER): _tool_withdrawn,
    (_SLOW_TOOL, "gemini_live", TurnOwner.FRAMEWORK): _tool_withdrawn,
}
"""By scene, row and who owns the turns."""

_NO_TURNS = "a duplex model that is done speaking has not been interrupted"
_NO_TOOLS = "work is delegated to an agent of ours, which has the tools: see `at work`"

LEFT_OUT: dict[tuple[str, str], str] = {
    ("barge-in after generating", "openai_live"): _NO_TURNS,
    ("barge-in after generating", "openai_live at work"): _NO_TURNS,
    ("barge-in after generating", "a duplex model"): _NO_TURNS,
    ("tool", "openai_live"): _NO_TOOLS,
    (_SLOW_TOOL, "openai_live"): _NO_TOOLS,
    ("tool raises", "openai_live"): _NO_TOOLS,
}
"""The scenes that a row does not play, and why."""
