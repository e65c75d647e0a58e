"""What each kind of service wants a history to be like, and what a history breaks of that.

A history is given to a service when a link is opened, renewed or taken over by another, and to an
agent with every turn: at any moment, so it has to be valid at any moment. The rules are those of
the services' documents, as our codecs' own pages cite them; each is held against what our own code
makes of the history for that wire.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from msgspec import to_builtins
from pydantic_ai import ModelRequest, ModelResponse, ToolCallPart, ToolReturnPart

from beluga_voice.agents.pydantic_ai._history import run_input
from beluga_voice.events import HistoryItem, Message, Role, ToolResult, ToolUse
from beluga_voice.providers.s2s.elevenlabs._codec import _seed as elevenlabs_seed
from beluga_voice.providers.s2s.gemini_live._codec import _turn as gemini_turn
from beluga_voice.providers.s2s.nova_sonic._settings import history_of, pieces
from beluga_voice.providers.s2s.openai_live._options import messages_of
from beluga_voice.providers.s2s.realtime_dialect.items import items_of


@dataclass(frozen=True)
class Said:
    """One thing on a wire: who, and what; of a tool its call."""

    who: str
    text: str
    call_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Wire:
    """What one kind of service takes."""

    form: Callable[[tuple[HistoryItem, ...]], Sequence[Said]]
    speakers: frozenset[str]
    alternates: bool = False
    """No two things in a row by the same speaker."""
    first: str = ""
    """Who has to be the first, if anybody."""
    takes_calls: bool = False
    """Calls and results of tools: each result behind its call, each call with one result."""
    most_items: int | None = None
    most_bytes: int | None = None


def _realtime(history: tuple[HistoryItem, ...]) -> Iterator[Said]:
    for one in items_of(history):
        item = to_builtins(one)
        match item["type"]:
            case "message":
                (content,) = item["content"]
                kind = "output_text" if item["role"] == "assistant" else "input_text"
                assert content["type"] == kind, "a speaker's words are of the speaker's kind"
                yield Said(item["role"], content["text"])
            case "function_call":
                assert isinstance(json.loads(item["arguments"]), dict)
                yield Said("call", item["name"], item["call_id"])
            case "function_call_output":
                yield Said("result", item["output"] or "(empty)", item["call_id"])
            case other:
                raise AssertionError(f"no item is {other}")


def _gemini(history: tuple[HistoryItem, ...]) -> Iterator[Said]:
    for one in history:
        if isinstance(one, Message):
            turn = gemini_turn(one.text, one.role)
            (part,) = turn["parts"]
            yield Said(turn["role"], part["text"])


def _nova(history: tuple[HistoryItem, ...]) -> Iterator[Said]:
    for role, text in history_of(history):
        assert "".join(pieces(text)) == text, "nothing is lost where a text is broken"
        yield Said("USER" if role is Role.USER else "ASSISTANT", text)


def _live(history: tuple[HistoryItem, ...]) -> Iterator[Said]:
    for one in messages_of(history):
        (content,) = one["content"]
        yield Said(one["role"], content["text"])


def _elevenlabs(history: tuple[HistoryItem, ...]) -> Iterator[Said]:
    for one in elevenlabs_seed(history):
        yield Said("context", json.loads(one)["text"])


@dataclass
class _Asked:
    history: tuple[HistoryItem, ...]
    text: str = "and now"


def _model(history: tuple[HistoryItem, ...]) -> Iterator[Said]:
    """A language model behind an agent: responses and requests."""
    turn: Any = _Asked(history)
    messages, prompt = run_input(turn)
    for message in messages:
        match message:
            case ModelRequest():
                parts = message.parts
                for part in parts:
                    if isinstance(part, ToolReturnPart):
                        yield Said("result", str(part.content) or "(empty)", part.tool_call_id)
                words = [p for p in parts if not isinstance(p, ToolReturnPart)]
                if words:
                    yield Said("user", "\n".join(str(part.content) for part in words))
            case ModelResponse():
                for part in message.parts:
                    if isinstance(part, ToolCallPart):
                        yield Said("call", part.tool_name, part.tool_call_id)
                    else:
                        yield Said("assistant", str(getattr(part, "content", "")))
    if prompt is not None:
        yield Said("user", prompt)


WIRES: dict[str, Wire] = {
    # OpenAI Realtime, Grok: text items in order, calls with their outputs.
    "openai_realtime, grok": Wire(
        form=lambda history: tuple(_realtime(history)),
        speakers=frozenset({"user", "assistant", "system"}),
        takes_calls=True,
    ),
    # Gemini Live: turns of `user` and `model`, no empty part; calls are not part of it.
    "gemini_live": Wire(
        form=lambda history: tuple(_gemini(history)), speakers=frozenset({"user", "model"})
    ),
    # Nova Sonic: text blocks by turns, the person first; sizes by its chat history page.
    "nova_sonic": Wire(
        form=lambda history: tuple(_nova(history)),
        speakers=frozenset({"USER", "ASSISTANT"}),
        alternates=True,
        first="USER",
        most_bytes=200 * 1024,
    ),
    # GPT-Live: at most 128 messages, one text part each, text only.
    "openai_live": Wire(
        form=lambda history: tuple(_live(history)),
        speakers=frozenset({"user", "assistant", "developer"}),
        most_items=128,
    ),
    # ElevenLabs Agents: one note.
    "elevenlabs": Wire(
        form=lambda history: tuple(_elevenlabs(history)),
        speakers=frozenset({"context"}),
        most_items=1,
    ),
    # Language models: every call is followed by its result before anybody speaks.
    "models": Wire(
        form=lambda history: tuple(_model(history)),
        speakers=frozenset({"user", "assistant"}),
        takes_calls=True,
    ),
}


def broken_rules(history: Sequence[HistoryItem], *, are_calls_over: bool = False) -> list[str]:
    """What the history breaks, of ours and of every wire; `[]` is valid.

    `are_calls_over` says that no tool runs: then each call has a result.
    """
    items = tuple(history)
    found = _our_own(items, are_calls_over=are_calls_over)
    for name, wire in WIRES.items():
        found += [f"{name}: {rule}" for rule in _of_wire(wire, wire.form(items))]
    return found


def _our_own(items: tuple[HistoryItem, ...], *, are_calls_over: bool) -> list[str]:
    found: list[str] = []
    calls: list[str] = []
    results: list[str] = []
    for before, one in zip((None, *items), items, strict=False):
        match one:
            case Message():
                if not one.text.strip():
                    found.append("a message is empty")
            case ToolUse():
                if one.call_id in calls:
                    found.append("a call stands twice")
                calls.append(one.call_id)
            case ToolResult():
                if one.call_id in results:
                    found.append("a call has two results")
                if not isinstance(before, ToolUse) or before.call_id != one.call_id:
                    found.append("a result is not directly behind its call")
                results.append(one.call_id)
    if are_calls_over and set(calls) != set(results):
        found.append("a call has no result, and nothing runs")
    return found


def _of_wire(wire: Wire, said: Sequence[Said]) -> list[str]:
    found: list[str] = []
    speakers = wire.speakers | ({"call", "result"} if wire.takes_calls else set())
    for one in said:
        if one.who not in speakers:
            found.append(f"{one.who} is none who may speak")
        if not one.text.strip():
            found.append(f"empty words of {one.who}")
    if said and wire.first and said[0].who != wire.first:
        found.append(f"{said[0].who} comes first")
    if wire.alternates and any(one.who == two.who for one, two in pairwise(said)):
        found.append("two in a row by the same")
    if wire.most_items is not None and len(said) > wire.most_items:
        found.append(f"{len(said)} items")
    if (
        wire.most_bytes is not None
        and sum(len(one.text.encode()) for one in said) > wire.most_bytes
    ):
        found.append("too long")
    if wire.takes_calls:
        found += _pairs(said)
    return found


def _pairs(said: Sequence[Said]) -> list[str]:
    """Calls have results before anybody speaks again."""
    found: list[str] = []
    waiting: list[str] = []
    for one in said:
        if one.who == "call":
            waiting.append(one.call_id)
        elif one.who == "result":
            if one.call_id not in waiting:
                found.append("a result without its call before it")
            else:
                waiting.remove(one.call_id)
        elif waiting:
            found.append(f"{one.who} speaks between a call and its result")
    if waiting:
        found.append("a call without a result")
    return found
