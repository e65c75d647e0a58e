"""Runs an agent of Pydantic AI for each turn of a session.

How it works. What was said so far, as it was heard, is the run's message history; the tools of the
session are one more toolset, beside the agent's own. Of what the run streams, only text is spoken,
as it comes: neither thoughts nor the arguments of tools. Words that end where a tool is called are
a sentence, with or without a full stop, and sound while the tool runs. When the person interrupts,
the run is cancelled where it is.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from types import NoneType
from typing import Any, cast

import msgspec
from pydantic_ai import (
    AgentRunResultEvent,
    FunctionToolCallEvent,
    FunctionToolset,
    ModelMessage,
    ModelRequest,
    PartDeltaEvent,
    PartStartEvent,
    RunUsage,
    TextPart,
    TextPartDelta,
    Tool,
    ToolCallPart,
)
from pydantic_ai.agent import AbstractAgent, AgentRunEvents
from pydantic_ai.exceptions import (
    AgentRunError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    UsageLimitExceeded,
    UserError,
)
from pydantic_ai.exceptions import ToolFailed as ToolHasFailed

from beluga_voice.agents.pydantic_ai._history import run_input
from beluga_voice.errors import (
    BelugaError,
    BrokenProtocol,
    ConfigurationError,
    Denied,
    Overloaded,
    ProviderError,
    Rejected,
    ToolFailed,
    Unreachable,
)
from beluga_voice.events import ToolSpec
from beluga_voice.interfaces import AgentTurn

OP = "pydantic-ai"

FAILURES: tuple[tuple[type[Exception], type[BelugaError], str], ...] = (
    (ModelAuthenticationError, Denied, "the model's service refuses the key: check it"),
    (ModelRateLimitError, Overloaded, "the model's service asks us to come back later"),
    (ModelQuotaExceededError, Rejected, "the quota with the model's service is used up"),
    (ModelConnectionError, Unreachable, "the model's service cannot be reached"),
    (ModelRequestRejectedError, Rejected, "the model's service refuses the request"),
    (ModelAPIError, ProviderError, "the model's service failed"),
    (UsageLimitExceeded, Rejected, "the run went over the agent's usage limits"),
    (AgentRunError, BrokenProtocol, "the agent could not use what its model gave"),
    (UserError, ConfigurationError, "the library refuses how the agent is set up; see its cause"),
)
"""What a failed run means, by its exception; the first that fits. Their own messages may quote the
person and are left out. From `exceptions.py` of pydantic-ai-slim 2.68, read 2026-11-21."""

_object = msgspec.json.Decoder(dict[str, Any])


class PydanticAgent:
    """Answers with an agent of Pydantic AI.

    `VoiceSession(agent=...)` takes such an agent as it is, and makes one of these. Make it yourself
    to give the runs `deps`. One object serves any number of runs at once.

    Raises `ConfigurationError` for an agent whose output is not plain text, which could not be
    spoken while it comes, and for one that wants `deps` and was given none.
    """

    def __init__(self, agent: AbstractAgent[Any, Any], *, deps: object = None) -> None:
        _check(agent, deps)
        self._agent = agent
        self._deps = deps
        self.usage = RunUsage()
        """What all runs so far have used, also those that were interrupted or failed."""

    async def respond(self, turn: AgentTurn, /) -> AsyncGenerator[str]:
        """The words of one run, as they come.

        Raises a `ProviderError` for what the model's service does, and `ConfigurationError` for a
        tool that both the session and the agent have. What a tool of the agent raises comes out as
        it is.
        """
        tools = self._tools(turn)
        try:
            messages, prompt = run_input(turn)
            run = self._agent.run_stream_events(
                prompt,
                message_history=await self._introduced(messages),
                instructions=turn.instructions or None,
                deps=self._deps,
                toolsets=[tools],
                infer_name=False,
            )
            async with run as events, aclosing(self._spoken(events)) as pieces:
                async for piece in pieces:
                    yield piece
        except (AgentRunError, UserError) as error:
            raise _failure(error) from error

    async def _introduced(self, messages: list[ModelMessage]) -> list[ModelMessage]:
        """The history after the agent's system prompts, which a run with one would leave out."""
        if messages and (parts := await self._agent.system_prompt_parts(deps=self._deps)):
            return [ModelRequest(parts=parts), *messages]
        return messages

    async def _spoken(self, events: AgentRunEvents[Any]) -> AsyncGenerator[str]:
        """What of the events is to be spoken; counts what the run has used in the end."""
        last = ""
        is_streamed = False
        try:
            async for event in events:
                piece = ""
                match event:
                    case PartStartEvent(part=TextPart(content=text)):
                        piece = text
                    case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                        piece = text
                    case PartStartEvent(part=ToolCallPart()) | FunctionToolCallEvent():
                        # A line break ends a sentence, whatever comes before it.
                        piece = "\n" if last.strip() else ""
                    case AgentRunResultEvent(result=result) if not is_streamed:
                        piece = result.output  # of a run that a capability answered for the model
                    case _:
                        pass
                if piece:
                    last, is_streamed = piece, True
                    yield piece
        finally:
            with suppress(UserError):  # there is none, if the run was over before it began
                self.usage.incr(events.usage)

    def _tools(self, turn: AgentTurn) -> FunctionToolset[Any]:
        """The session's tools; it runs them, bounds their time, and tells of them."""
        own = {
            name
            for toolset in self._agent.toolsets
            if isinstance(toolset, FunctionToolset)
            for name in toolset.tools
        }
        for spec in turn.tools:
            if spec.name in own:
                message = f"both the agent and the session have a tool {spec.name!r}: rename one"
                raise ConfigurationError(message, op=OP)
        return FunctionToolset([_tool(turn, spec) for spec in turn.tools])


def _tool(turn: AgentTurn, spec: ToolSpec) -> Tool[Any]:
    async def call(**arguments: Any) -> str:
        try:
            return await turn.call_tool(spec.name, msgspec.json.encode(arguments).decode())
        except ToolFailed as error:
            # The model is told, and may try again or answer without.
            raise ToolHasFailed(error.message) from error

    return Tool.from_schema(call, spec.name, spec.description, _object.decode(spec.parameters))


def _check(agent: AbstractAgent[Any, Any], deps: object) -> None:
    """Raise `ConfigurationError` for what cannot be used in a call."""
    if not isinstance(cast(object, agent), AbstractAgent):
        raise ConfigurationError(f"a {type(agent).__name__} is no agent: give an Agent", op=OP)
    if agent.output_type not in (str, [str], (str,)):
        raise ConfigurationError(
            "only plain text can be spoken: give an agent whose output_type is str, or write an "
            "async function that runs this one and puts its output into words",
            op=OP,
        )
    wanted = cast(object, agent.deps_type)
    if deps is None and isinstance(wanted, type) and wanted not in (object, NoneType, Any):
        message = f"the agent wants deps of {wanted.__name__}: give PydanticAgent(agent, deps=...)"
        raise ConfigurationError(message, op=OP)


def _failure(error: Exception) -> BelugaError:
    kind, told = next((ours, told) for theirs, ours, told in FAILURES if isinstance(error, theirs))
    return kind(f"{told} ({type(error).__name__})", op=OP)
