"""A developer's function, or another framework's agent, as an agent."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Protocol, cast, get_type_hints

from beluga_voice.errors import ConfigurationError, MissingExtra
from beluga_voice.interfaces import Agent, AgentTurn

type AgentFunction = Callable[[Any], AsyncIterator[str] | Awaitable[str]]
"""An async function that gives the answer, or an async generator that yields pieces of it.

It takes what the person said as `str`; if its parameter is annotated `AgentTurn`, the whole turn.
"""


class ForeignAgent(Protocol):
    """An agent of Pydantic AI, as far as it can be told without importing that."""

    def run_stream_events(self, *args: Any, **settings: Any) -> Any: ...


type GivenAgent = Agent | AgentFunction | ForeignAgent
"""What an agent is made from."""


class FunctionAgent:
    """Answers with an async function or an async generator."""

    def __init__(self, function: AgentFunction) -> None:
        self._function = function
        self._takes_turn = _takes_turn(function)

    def respond(self, turn: AgentTurn, /) -> AsyncIterator[str]:
        """The pieces of the answer; a generator is handed on as it is."""
        answer = self._function(turn if self._takes_turn else turn.text)
        return answer if isinstance(answer, AsyncIterator) else _whole(answer)


def _pydantic_agent(given: Any) -> Agent:
    try:
        from beluga_voice.agents.pydantic_ai import PydanticAgent
    except ImportError as error:
        raise MissingExtra("an agent of Pydantic AI", extra="pydantic-ai", op="agent") from error
    return PydanticAgent(given)


ADAPTERS: dict[str, Callable[[Any], Agent]] = {"pydantic_ai": _pydantic_agent}
"""What makes an agent of another framework's, by the package that its class is from."""


async def _whole(answer: Awaitable[str]) -> AsyncIterator[str]:
    yield await answer


def agent_of(given: GivenAgent) -> Agent:
    """An agent from an agent, a function, or an agent of a framework in `ADAPTERS`.

    Raises `ConfigurationError` for anything else, and `MissingExtra` where the framework is not
    installed as it has to be.
    """
    _refuse_class(given)
    if hasattr(given, "respond"):
        return cast(Agent, given)  # structural: it has the one method
    for kind in inspect.getmro(type(given)):
        if (adapter := ADAPTERS.get(kind.__module__.partition(".")[0])) is not None:
            return adapter(given)
    if not callable(given):
        raise ConfigurationError(f"{given!r} is no agent: give an async function", op="agent")
    plain = _unbound(given)
    call = plain if inspect.isroutine(plain) else type(plain).__call__
    if not (inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)):
        name = getattr(given, "__name__", repr(given))
        if not name.isidentifier():
            raise ConfigurationError(f"{name} is no agent: write an async function", op="agent")
        raise ConfigurationError(
            f"{name} is no agent: write 'async def {name}(text: str)' with return or yield",
            op="agent",
        )
    return FunctionAgent(given)


def _refuse_class(given: object) -> None:
    if isinstance(given, type):
        message = f"{given.__name__} is a class: give an object of it"
        raise ConfigurationError(message, op="agent")


def _unbound(given: Any) -> Any:
    """The function that some arguments were bound to, or what was given."""
    return cast(Any, given.func) if isinstance(given, partial) else given


def _takes_turn(function: AgentFunction) -> bool:
    parameters = list(inspect.signature(function).parameters.values())
    required = [one for one in parameters if one.default is one.empty]
    is_given = parameters and parameters[0].kind is not inspect.Parameter.KEYWORD_ONLY
    if not is_given or len(required) > 1:
        name = getattr(function, "__name__", repr(function))
        raise ConfigurationError(f"the agent {name} must take one argument", op="agent")
    plain = _unbound(function)
    routine = plain if inspect.isroutine(plain) else type(plain).__call__
    return get_type_hints(routine).get(parameters[0].name) is AgentTurn
