"""A developer's function as an agent."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import pytest

from beluga_voice.agents.builtin import BuiltinAgent
from beluga_voice.agents.functions import FunctionAgent, agent_of
from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import AgentTurn


@dataclass
class Turn:
    """What an agent is given."""

    text: str = "words"
    history: tuple = ()
    instructions: str = "be kind"
    tools: tuple = ()

    async def call_tool(self, name, arguments, /):
        return f"{name} {arguments}"


def said(agent):
    async def collect():
        return [piece async for piece in agent_of(agent).respond(Turn())]

    return asyncio.run(collect())


async def echo(text: str) -> str:
    """Repeat."""
    return text


async def spell(text: str) -> AsyncIterator[str]:
    """Repeat, slowly."""
    for letter in text:
        yield letter


async def whole_turn(turn: AgentTurn) -> str:
    """Look at everything."""
    return f"{turn.text}/{turn.instructions}/{await turn.call_tool('look', '{}')}"


async def with_default(turn: AgentTurn, manner: str = "dry") -> str:
    """Have a setting of its own."""
    return f"{turn.text} {manner}"


async def untyped(given):
    """Say nothing of types."""
    return given


async def with_more(text: str, more: str) -> str:
    return text + more


class Callable:
    """An object that answers."""

    async def __call__(self, turn: AgentTurn) -> str:
        return turn.instructions

    async def method(self, text: str) -> str:
        return text.upper()


@pytest.mark.parametrize(
    ("agent", "pieces"),
    [
        (echo, ["words"]),
        (spell, list("words")),
        (whole_turn, ["words/be kind/look {}"]),
        (with_default, ["words dry"]),
        (untyped, ["words"]),
        (Callable(), ["be kind"]),
        (Callable().method, ["WORDS"]),
        (partial(with_more, more="!"), ["words!"]),
        (partial(whole_turn), ["words/be kind/look {}"]),
    ],
    ids=[
        *("coroutine", "generator", "turn", "default", "untyped", "object", "method"),
        *("partial", "partial turn"),
    ],
)
def test_a_function_is_given_what_it_asks_for(agent, pieces):
    """The words as text, or the whole turn where its parameter is annotated so."""
    assert said(agent) == pieces


def test_an_agent_is_an_agent():
    """What has `respond` already is taken as it is."""
    agent = BuiltinAgent()
    assert agent_of(agent) is agent
    assert isinstance(agent_of(echo), FunctionAgent)


def sync(text):
    return text


def sync_generator(text):
    yield text


async def nothing() -> str:
    return ""


async def two(text: str, more: str) -> str:
    return text


async def keyword(*, text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (sync, "sync is no agent: write 'async def sync"),
        (sync_generator, "sync_generator is no agent: write 'async def"),
        (lambda text: text, "is no agent: write an async function"),
        (7, "7 is no agent: give an async function"),
        (None, "None is no agent"),
        (nothing, "the agent nothing must take one argument"),
        (two, "the agent two must take one argument"),
        (keyword, "the agent keyword must take one argument"),
        (BuiltinAgent, "BuiltinAgent is a class: give an object of it"),
    ],
    ids=[
        *("sync", "sync generator", "lambda", "number", "none", "no argument", "two arguments"),
        *("keyword only", "class"),
    ],
)
def test_what_is_no_agent_is_refused(given, told):
    """The error says what was given and what to write instead."""
    with pytest.raises(ConfigurationError) as caught:
        agent_of(given)
    assert told in str(caught.value)


def test_closing_the_answer_stops_the_generator():
    """A generator is handed on as it is, so that closing it ends the work."""
    ended = []

    async def endless(text: str) -> AsyncIterator[str]:
        try:
            while True:
                yield "more "
        finally:
            ended.append(True)

    async def cut():
        pieces = agent_of(endless).respond(Turn())
        assert await anext(pieces) == "more "
        await pieces.aclose()

    asyncio.run(cut())
    assert ended == [True]
