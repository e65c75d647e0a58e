"""What several providers have in common, so that any of them may be asked."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import Capabilities, Faithfulness, Resumption

NEEDS = frozenset({"needs_paced_input", "needs_continuous_input"})
"""What one of them needs, all of them are given; of everything else they have what all have."""
_SMALLEST = frozenset({"max_connection_seconds", "max_contexts"})
_ORDERED = ("input_formats", "output_formats", "turn_owners")
_HANDLES = (Resumption.HANDLE, Resumption.CONVERSATION_ID)


def common(all_of_them: Sequence[Capabilities], *, op: str) -> Capabilities:
    """The capabilities of whichever of these is used.

    Raises `ConfigurationError` where they have no format, turn owner or language in common. A
    handle to continue a conversation may be kept for the one that gave it, if history can be told
    to the others.
    """
    found: dict[str, Any] = {}
    for field in fields(Capabilities):
        values = [getattr(one, field.name) for one in all_of_them]
        if field.name == "resumption":
            values = [_resumes(one) for one in all_of_them]
        found[field.name] = _common(field.name, values, op)
    return Capabilities(**found)


def _common(name: str, values: list[Any], op: str) -> Any:
    if name in _ORDERED:
        shared = tuple(one for one in values[0] if all(one in other for other in values[1:]))
        # A voice has no sound that goes in, and says so, or has what is there by default.
        return _some(shared, name, op) if all(values) else ()
    if name in _SMALLEST:
        return min((one for one in values if one is not None), default=None)
    if name == "say":
        return max(values, key=list(Faithfulness).index)
    if name == "resumption":
        return _resumption(values)
    if name == "languages":
        told = [one for one in values if one]
        return _some(_languages(told), name, op) if told else frozenset[str]()
    if isinstance(values[0], frozenset):
        return frozenset[str].intersection(*values)
    return any(values) if name in NEEDS else all(values)


def _some[T](shared: T, name: str, op: str) -> T:
    if not shared:
        raise ConfigurationError(
            f"{name}: they have nothing in common, so none can stand in for another", op=op
        )
    return shared


def _languages(told: Sequence[Iterable[str]]) -> frozenset[str]:
    """Tags of the first that every one lists, if perhaps for another region."""
    primaries = [{tag.split("-")[0].lower() for tag in one} for one in told[1:]]
    return frozenset(
        tag for tag in told[0] if all(tag.split("-")[0].lower() in one for one in primaries)
    )


def _resumes(able: Capabilities) -> Resumption:
    """How it continues a conversation: who can be told what was said needs nothing else."""
    if able.resumption is Resumption.NONE and able.can_seed_history:
        return Resumption.HISTORY
    return able.resumption


def _resumption(values: list[Resumption]) -> Resumption:
    if Resumption.NONE in values:
        return Resumption.NONE
    return next((one for one in values if one in _HANDLES), Resumption.HISTORY)
