"""The tools of one session, and those of them that run."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from beluga_voice.engine.effects import RunTool
from beluga_voice.engine.happened import ToolFinished
from beluga_voice.errors import Misuse, ToolFailed
from beluga_voice.events import ToolCallId, ToolSpec
from beluga_voice.interfaces import Tool, ToolFunction
from beluga_voice.sendable import sendable
from beluga_voice.session.tools import run_tool, tools_of


class _Running(NamedTuple):
    task: asyncio.Task[None]
    runs_to_end: bool


class Toolbox:
    """Runs tools, each in a task of its own. `tell` is given what each of them gave."""

    def __init__(
        self, tools: Sequence[Tool | ToolFunction], tell: Callable[[ToolFinished], None]
    ) -> None:
        self._tools = tools_of(tools)
        self._tell = tell
        self._running: dict[ToolCallId, _Running] = {}
        self._answers: dict[ToolCallId, asyncio.Future[str]] = {}
        """Calls of tools that the application answers."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools as a model sees them."""
        return tuple(one.spec for one in self._tools.values())

    def replace(self, tools: Sequence[Tool | ToolFunction]) -> None:
        """Others take their place; what runs goes on."""
        self._tools = tools_of(tools)

    def run(self, effect: RunTool, group: asyncio.TaskGroup) -> None:
        """Begin a call."""
        name = f"beluga-voice tool {effect.name}"
        one = self._tools.get(effect.name)
        task = group.create_task(self._run(effect), name=name)
        self._running[effect.call_id] = _Running(task, one is not None and one.runs_to_end)

    def stop(self, call_id: ToolCallId, *, is_final: bool) -> None:
        """Nobody wants the result of a call: cancel it, unless it runs to its end.

        `is_final` cancels it even so.
        """
        running = self._running.get(call_id)
        if running is None:
            return
        if is_final or not running.runs_to_end or call_id in self._answers:
            del self._running[call_id]
            running.task.cancel()

    def close(self) -> None:
        """Cancel all of them."""
        for call_id in tuple(self._running):
            self.stop(call_id, is_final=True)

    def answer(self, call_id: ToolCallId, output: str, *, is_error: bool) -> None:
        """The application's result; raises `Misuse` if no such call waits for one."""
        waiting = self._answers.get(call_id)
        if waiting is None or waiting.done():
            raise Misuse(f"no tool call {call_id!r} waits for an answer", op="answer_tool")
        if is_error:
            waiting.set_exception(ToolFailed(output, op="tools"))
        else:
            waiting.set_result(output)

    async def _run(self, effect: RunTool) -> None:
        one = self._tools.get(effect.name)
        try:
            if one is None:
                raise ToolFailed(f"there is no tool named {effect.name!r}", op="tools")
            if one.function is None:
                output, is_error = await self._answer_of(one, effect.call_id), False
            else:
                output, is_error = await run_tool(one, effect.arguments), False
        except ToolFailed as error:
            output, is_error = error.message, True
        except asyncio.CancelledError:
            if (me := asyncio.current_task()) is not None and me.cancelling():
                raise
            # Something inside the tool was cancelled, not the tool by us.
            output, is_error = f"the tool {effect.name!r} was cancelled", True
        self._running.pop(effect.call_id, None)
        output = sendable(output)
        self._tell(ToolFinished(call_id=effect.call_id, output=output, is_error=is_error))

    async def _answer_of(self, one: Tool, call_id: ToolCallId) -> str:
        """What the application answers; raises `ToolFailed` if it does not in time."""
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._answers[call_id] = answer
        try:
            async with asyncio.timeout(one.timeout_seconds):
                return await answer
        except TimeoutError as error:
            limit = f"{one.timeout_seconds:g} s"
            message = f"nobody answered the tool {one.spec.name!r} within {limit}"
            raise ToolFailed(message, op="tools") from error
        finally:
            del self._answers[call_id]
