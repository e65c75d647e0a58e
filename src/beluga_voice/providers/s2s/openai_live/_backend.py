"""The working model of the service, and what it wants of our tools.

It asks, as a rule for several at once, and does not go on by itself: once it has stopped, and each
call of the session is answered, it is told to, once.
"""

from dataclasses import dataclass, field

from beluga_voice.events import (
    AnswerTool,
    S2sEvent,
    ToolCalled,
    ToolCallId,
    ToolCallWithdrawn,
    Usage,
    UsageReported,
)
from beluga_voice.providers.s2s.openai_live import _wire as wire

REMEMBERED = 64
"""Runs of the model that may be under way at once, and open calls of each."""


@dataclass(slots=True)
class _Run:
    """One response of the working model."""

    calls: dict[ToolCallId, str] = field(default_factory=dict[ToolCallId, str])
    """Those that are not answered, with the names the service has for them."""
    has_called: bool = False
    is_over: bool = False


class Backend:
    """The runs of one connection, by the delegation they are for; `prefix` makes ids unique."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._runs: dict[str | None, _Run] = {}

    def hear(self, said: wire.ResponseEvent) -> list[S2sEvent]:
        """An event of the working model."""
        event = said.event
        match event.type:
            case "response.created":
                events = self._drop(said.delegation_id)
                self._run(said.delegation_id)
                return events
            case "response.output_item.done":
                return self._made(said.delegation_id, event.item)
            case "response.completed":
                run = self._runs.get(said.delegation_id)
                if run is not None:
                    run.is_over = True
                    if not run.has_called:
                        del self._runs[said.delegation_id]
                return _usage(event.response)
            case "response.failed" | "response.incomplete":
                return self._drop(said.delegation_id) + _usage(event.response)
            case _:
                return []

    def answer(self, command: AnswerTool) -> str | None:
        """The service's name for a call that is answered; `None` if it is no longer open."""
        for run in self._runs.values():
            if (name := run.calls.pop(command.call_id, None)) is not None:
                return name
        return None

    def may_go_on(self) -> bool:
        """Whether it waits for nothing but to be told; true once."""
        asking = {key: run for key, run in self._runs.items() if run.has_called}
        if not asking or any(run.calls or not run.is_over for run in asking.values()):
            return False
        for key in asking:
            del self._runs[key]
        return True

    def give_up(self) -> list[S2sEvent]:
        """All work that is under way has failed."""
        return [event for key in list(self._runs) for event in self._drop(key)]

    def _run(self, key: str | None) -> _Run:
        if key not in self._runs:
            self._runs[key] = _Run()
            while len(self._runs) > REMEMBERED:
                del self._runs[next(iter(self._runs))]
        return self._runs[key]

    def _made(self, key: str | None, item: wire.BackendItem | None) -> list[S2sEvent]:
        if item is None or item.type != "function_call" or item.status not in (None, "completed"):
            return []
        if not item.call_id or not item.name:
            return []
        call_id = ToolCallId(f"{self._prefix}{item.call_id}")
        if any(call_id in run.calls for run in self._runs.values()):
            return []
        run = self._run(key)
        if len(run.calls) >= REMEMBERED:
            return []
        run.calls[call_id], run.has_called = item.call_id, True
        arguments = item.arguments or "{}"
        return [ToolCalled(call_id=call_id, name=item.name, arguments=arguments)]

    def _drop(self, key: str | None) -> list[S2sEvent]:
        """A run has failed: the service takes no results for it any more."""
        run = self._runs.pop(key, None)
        return [ToolCallWithdrawn(call_ids=tuple(run.calls))] if run and run.calls else []


def _usage(response: wire.BackendResponse | None) -> list[S2sEvent]:
    used = None if response is None else response.usage
    if used is None:
        return []
    usage = Usage(input_tokens=used.input_tokens, output_tokens=used.output_tokens)
    return [UsageReported(usage=usage)]
