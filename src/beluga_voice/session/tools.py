"""Runs tools: plain functions and coroutines, with the arguments a model wrote."""

import asyncio
import inspect
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, get_type_hints

import msgspec

from beluga_voice.errors import ConfigurationError, ToolFailed
from beluga_voice.events import ToolSpec
from beluga_voice.interfaces import Tool, ToolFunction

MAX_OUTPUT = 64 * 1024
"""Characters of a result that are given to a model; a longer one is a failure that says so."""


def tool(
    function: ToolFunction, *, timeout_seconds: float = 30.0, runs_to_end: bool = False
) -> Tool:
    """A tool from a function: its name, its docstring, and a JSON Schema of its parameters.

    One that `runs_to_end` is not cancelled when nobody waits for its answer any more.

    Raises `ConfigurationError` for parameters without a type, or with one that JSON does not have,
    and for `*args` and `**kwargs`.
    """
    name = getattr(function, "__name__", type(function).__name__)
    model = _arguments(name, function)
    try:
        schema = msgspec.json.schema(model)
    except TypeError as error:
        message = f"the tool {name!r} has a parameter of a type that JSON does not have"
        raise ConfigurationError(message, op="tools") from error
    definition = dict(next(iter(schema["$defs"].values())))
    definition.pop("title", None)
    others = {key: value for key, value in schema["$defs"].items() if key != model.__name__}
    if others:
        definition["$defs"] = others
    return Tool(
        spec=ToolSpec(
            name=name,
            description=inspect.cleandoc(function.__doc__ or name),
            parameters=msgspec.json.encode(definition).decode(),
        ),
        function=function,
        timeout_seconds=timeout_seconds,
        runs_to_end=runs_to_end,
    )


def tools_of(given: Sequence[Tool | ToolFunction]) -> dict[str, Tool]:
    """Tools by name; raises `ConfigurationError` if two share one."""
    found: dict[str, Tool] = {}
    for item in given:
        one = item if isinstance(item, Tool) else tool(item)
        if one.spec.name in found:
            raise ConfigurationError(f"two tools are named {one.spec.name!r}", op="tools")
        found[one.spec.name] = one
    return found


async def run_tool(one: Tool, arguments: str) -> str:
    """Run it and give its result as text; raises `ToolFailed` whatever goes wrong.

    A plain function runs on the event loop: it must be quick. The result is text as it is, and
    anything else as JSON.
    """
    name = one.spec.name
    if one.function is None:
        raise ToolFailed(f"the tool {name!r} has no function here", op="tools")
    try:
        given = msgspec.json.decode(arguments or "{}", type=_arguments(name, one.function))
    except msgspec.ValidationError as error:
        raise ToolFailed(f"wrong arguments for {name!r}: {error}", op="tools") from error
    except msgspec.DecodeError as error:
        message = f"the tool {name!r} failed: its arguments are not JSON"
        raise ToolFailed(message, op="tools") from error
    values = {field: getattr(given, field) for field in given.__struct_fields__}
    limit = asyncio.timeout(one.timeout_seconds)
    try:
        async with limit:
            result = one.function(**values)
            if inspect.isawaitable(result):
                result = await result
        output = result if isinstance(result, str) else msgspec.json.encode(result).decode()
    except Exception as error:
        message = f"the tool {name!r} failed: {type(error).__name__}"
        if limit.expired():
            message = f"the tool {name!r} took longer than {one.timeout_seconds:g} s"
        raise ToolFailed(message, op="tools") from error
    if len(output) > MAX_OUTPUT:
        message = f"the tool {name!r} gave {len(output)} characters; {MAX_OUTPUT} are the limit"
        raise ToolFailed(message, op="tools")
    return output


@lru_cache(maxsize=1024)
def _arguments(name: str, function: Callable[..., Any]) -> type[msgspec.Struct]:
    """A model of a function's parameters."""
    fields: list[Any] = []
    hints = get_type_hints(function)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigurationError(
                f"the tool {name!r} may not take *args or **kwargs", op="tools"
            )
        if parameter.name not in hints:
            raise ConfigurationError(
                f"the tool {name!r} needs a type for its parameter {parameter.name!r}", op="tools"
            )
        if parameter.default is parameter.empty:
            fields.append((parameter.name, hints[parameter.name]))
        else:
            fields.append((parameter.name, hints[parameter.name], parameter.default))
    return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
