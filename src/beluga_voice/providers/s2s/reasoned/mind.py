"""The agent behind a service: what it was told, and what it says.

How it works. The history is kept as in any link: what the person said when its words are final, and
what the agent said as it was heard. An agent's answer counts as heard until somebody says how much
of it was. Tools of the agent are run by the session: a call goes out as `ToolCalled`, and its
result comes back through `answer`.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

from beluga_voice.errors import BelugaError, ToolFailed, where
from beluga_voice.events import (
    AnswerTool,
    HistoryItem,
    Message,
    Role,
    S2sEvent,
    ToolCalled,
    ToolCallId,
    ToolResult,
    ToolSpec,
    ToolUse,
)
from beluga_voice.interfaces import Agent

HISTORY_LIMIT = 400
"""What an agent is told of at most; older things are forgotten."""

log = logging.getLogger(__name__)


class AgentFailed(Exception):
    """The agent gave no answer; the message says why, without anybody's words."""


@dataclass(slots=True, eq=False)
class Thought:
    """One answer in the making, and its place in the history."""

    pieces: list[str] = field(default_factory=list[str])
    heard: Message | None = None
    """What was heard of it, once that is known."""
    calls: set[ToolCallId] = field(default_factory=set[ToolCallId])
    """The tools it waits for."""

    @property
    def text(self) -> str:
        """The words so far."""
        return "".join(self.pieces)

    @property
    def item(self) -> Message:
        """What the history says of it."""
        return self.heard or Message(role=Role.AGENT, text=self.text)


class Turn:
    """What the agent is given."""

    def __init__(self, mind: "Mind", thought: Thought, text: str) -> None:
        self._mind = mind
        self._thought = thought
        self.text = text

    @property
    def history(self) -> Sequence[HistoryItem]:
        """What was said before, as heard."""
        return self._mind.history

    @property
    def instructions(self) -> str:
        """How the agent is to be."""
        return self._mind.instructions

    @property
    def tools(self) -> Sequence[ToolSpec]:
        """What it may call."""
        return self._mind.tools

    async def call_tool(self, name: str, arguments: str, /) -> str:
        """Let the session run a tool; raises `ToolFailed` when that does."""
        return await self._mind.call_tool(self._thought, name, arguments)


class Mind:
    """An agent with a memory of this conversation."""

    def __init__(
        self,
        agent: Agent,
        *,
        number: int,
        instructions: str,
        tools: tuple[ToolSpec, ...],
        history: tuple[HistoryItem, ...],
        give: Callable[[S2sEvent], None],
    ) -> None:
        self._agent = agent
        self._number = number
        self._give = give
        self.instructions = instructions
        self.tools = tools
        self._items: list[HistoryItem | Thought] = list(history)
        self._calls = 0
        self._waiting: dict[ToolCallId, asyncio.Future[str]] = {}

    @property
    def history(self) -> list[HistoryItem]:
        """What was said, as heard so far."""
        items = (one.item if isinstance(one, Thought) else one for one in self._items)
        return [one for one in items if not isinstance(one, Message) or one.text]

    def note(self, *items: HistoryItem) -> None:
        """That was said, or done."""
        self._items += items
        del self._items[:-HISTORY_LIMIT]

    @property
    def unanswered(self) -> str:
        """What the person said since the agent had the floor."""
        words: list[str] = []
        for item in reversed(self.history):
            if not isinstance(item, Message):
                continue  # a tool that ran for what was said
            if item.role is Role.AGENT:
                break
            if item.role is Role.USER:
                words.append(item.text)
        return " ".join(reversed(words))

    async def think(
        self, thought: Thought, text: str, *, is_remembered: bool = True
    ) -> AsyncGenerator[str]:
        """The pieces of the agent's answer; raises `AgentFailed`.

        They are remembered as said, unless it is heard from the service what is.
        """
        pieces: AsyncIterator[str] | None = None
        try:
            pieces = self._agent.respond(Turn(self, thought, text))
            async for piece in pieces:
                # An application's own function may yield anything, whatever its types say.
                if not isinstance(cast(object, piece), str):
                    raise AgentFailed(f"the agent gave {type(piece).__name__} instead of text")
                if piece:
                    if is_remembered:
                        self.remember(thought, piece)
                    yield piece
        except asyncio.CancelledError:
            if (me := asyncio.current_task()) is not None and me.cancelling():
                raise
            raise AgentFailed("the agent was cancelled from inside") from None
        except AgentFailed:
            raise
        except BelugaError as error:
            raise AgentFailed(str(error)) from error
        except Exception as error:
            log.error("the agent failed: %s", where(error))
            raise AgentFailed(f"the agent failed: {type(error).__name__}") from error
        finally:
            for call_id in thought.calls:
                self._waiting[call_id].cancel()
            if isinstance(pieces, AsyncGenerator):
                with suppress(Exception):
                    await pieces.aclose()

    def settle(self, thought: Thought, heard_text: str) -> None:
        """So much of it was heard, and no more."""
        thought.heard = Message(role=Role.AGENT, text=heard_text, is_cut=True)

    def remember(self, thought: Thought, piece: str) -> None:
        """The agent says that, as part of this."""
        if not thought.pieces:
            self._items.append(thought)
            del self._items[:-HISTORY_LIMIT]
        thought.pieces.append(piece)

    # ── tools ───────────────────────────────────────────────────────────────────────────────

    async def call_tool(self, thought: Thought, name: str, arguments: str) -> str:
        """Let the session run a tool for the agent."""
        self._calls += 1
        call_id = ToolCallId(f"agent-call-{self._number}-{self._calls}")
        waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[call_id] = waiting
        thought.calls.add(call_id)
        self.note(ToolUse(call_id=call_id, name=name, arguments=arguments))
        self._give(ToolCalled(call_id=call_id, name=name, arguments=arguments))
        try:
            return await waiting
        finally:
            thought.calls.discard(call_id)
            del self._waiting[call_id]

    def answer(self, command: AnswerTool) -> None:
        """The session has run a tool."""
        result = ToolResult(
            call_id=command.call_id, output=command.output, is_error=command.is_error
        )
        for index, item in enumerate(self._items):
            if isinstance(item, ToolUse) and item.call_id == command.call_id:
                self._items.insert(index + 1, result)  # next to its call
                break
        waiting = self._waiting.get(command.call_id)
        if waiting is None or waiting.done():
            return
        if command.is_error:
            waiting.set_exception(ToolFailed(command.output, op="tools"))
        else:
            waiting.set_result(command.output)
