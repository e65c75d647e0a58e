"""Finds plugins by their entry points, and loads them when they are used.

Ours are registered like anybody's: a package adds, for example,

    [project.entry-points."beluga_voice.stt"]
    my_service = "my_package:MyService"

and `stt("my_service")` finds it. What comes after a colon (`"my_service:large"`) is the model.
"""

from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from inspect import signature
from typing import Any

from beluga_voice.errors import BelugaError, ConfigurationError, UnknownPlugin

KINDS = ("s2s", "stt", "tts", "vad", "turns", "noise", "agent", "memory", "backend")


def installed(kind: str) -> tuple[str, ...]:
    """The names of the plugins of one kind, in order."""
    if kind not in KINDS:
        raise ConfigurationError(f"{kind!r} is no kind of plugin: {', '.join(KINDS)}", op=kind)
    return tuple(sorted(_points(kind)))


def load(kind: str, name: str) -> Callable[..., Any]:
    """What makes the plugin: a class or a function.

    Raises `UnknownPlugin`, `MissingExtra`, or `ConfigurationError` for one that is broken.
    """
    if name not in installed(kind):
        raise UnknownPlugin(kind, name, installed(kind))
    point = _points(kind)[name]
    try:
        made: Callable[..., Any] = point.load()
    except BelugaError:
        raise
    except Exception as error:  # whatever the code of another package does when it is imported
        package = "" if point.dist is None else f" of {point.dist.name}"
        message = f"the {kind} {name!r}{package} cannot be loaded: {type(error).__name__}: {error}"
        raise ConfigurationError(message, op=kind) from error
    return made


def origin(kind: str, name: str) -> Distribution | None:
    """The package that brings an installed plugin, if it is known."""
    return _points(kind)[name].dist


@cache
def _points(kind: str) -> dict[str, EntryPoint]:
    """The entry points of one kind. Reading them takes long enough to be done once."""
    return {point.name: point for point in entry_points(group=f"beluga_voice.{kind}")}


def create(kind: str, spec: str, **settings: Any) -> Any:
    """Make a plugin from `"name"` or `"name:model"` and its settings.

    Raises `UnknownPlugin`, `MissingExtra`, or `ConfigurationError` for settings that it does not
    take, naming those it does.
    """
    name, colon, model = spec.partition(":")
    if colon:
        settings["model"] = model
    made = load(kind, name)
    try:
        return made(**settings)
    except TypeError as error:
        message = _not_taken(made, settings) or f"has a setting of the wrong type: {error}"
        raise ConfigurationError(f"the {kind} {name!r} {message}", op=kind) from error


def _not_taken(made: Callable[..., Any], settings: Mapping[str, Any]) -> str:
    """What is wrong with the names of settings; nothing if something else is."""
    try:
        parameters = signature(made).parameters.values()
    except (TypeError, ValueError):
        return ""
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return ""
    known = [one.name for one in parameters if one.kind is not one.POSITIONAL_ONLY]
    if unknown := [one for one in settings if one not in known]:
        return f"does not take {', '.join(unknown)}; it takes {', '.join(known)}"
    missing = [one.name for one in parameters if one.default is one.empty]
    missing = [one for one in missing if one not in settings]
    return f"needs {', '.join(missing)}" if missing else ""
