"""The working model of an emulated Live session, behind `response.event`."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from beluga_voice.events import ToolCallId, ToolResult, ToolSpec
from beluga_voice.testing.emulators.openai_live_frames import Refused
from beluga_voice.testing.emulators.speech import Calls, Deed, Fails, Speaks

TOKENS = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}


class Backend:
    """Runs, calls functions, and waits until it is told to go on."""

    def __init__(self, emit: Callable[..., None], settings: dict[str, Any]) -> None:
        self._emit = emit
        self.settings = settings
        self._numbers = 0
        self._open: dict[str, str] = {}
        self._results: list[tuple[str, ToolResult]] = []

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """What it may call."""
        return tuple(
            ToolSpec(
                name=tool["name"],
                description=tool.get("description") or "",
                parameters=msgspec.json.encode(tool.get("parameters") or {}).decode(),
            )
            for tool in self.settings.get("tools") or ()
        )

    def run(self, delegation_id: str, deeds: Sequence[Deed]) -> None:
        """One response: everything it does, told in the events of the Responses API."""
        self._numbers += 1
        name = f"resp_{self._numbers}"
        response: dict[str, Any] = {"id": name, "object": "response", "output": []}

        def tell(kind: str, **fields: Any) -> None:
            event = {"type": kind, **fields}
            self._emit("response.event", delegation_id=delegation_id, event=event)

        tell("response.created", response={**response, "status": "in_progress"})
        calls: list[str] = []
        for index, deed in enumerate(deeds):
            match deed:
                case Speaks():
                    tell("response.output_text.delta", output_index=index, delta=deed.text)
                case Calls():
                    call_id = f"call_{self._numbers}_{index}"
                    calls.append(call_id)
                    item = {
                        "id": f"fc_{call_id}",
                        "type": "function_call",
                        "status": "completed",
                        "call_id": call_id,
                        "name": deed.name,
                        "arguments": deed.arguments,
                    }
                    tell("response.output_item.done", output_index=index, item=item)
                case Fails():
                    error = {"code": deed.code, "message": deed.message}
                    tell("response.failed", response={**response, "error": error})
                    return
        self._open |= dict.fromkeys(calls, delegation_id)
        tell("response.completed", response={**response, "status": "completed", "usage": TOKENS})

    def take(self, item: dict[str, Any]) -> None:
        """An item of the client: a result of a call that is open; raises `Refused`."""
        call_id = item.get("call_id")
        if item.get("type") == "message":
            return
        if item.get("type") != "function_call_output" or not isinstance(item.get("output"), str):
            raise Refused("invalid_value", "Invalid item.", param="item")
        if not isinstance(call_id, str) or call_id not in self._open:
            message = f"No tool call found for function call output with call_id {call_id}."
            raise Refused("invalid_value", message, param="item.call_id")
        delegation_id = self._open.pop(call_id)
        result = ToolResult(call_id=ToolCallId(call_id), output=item["output"])
        self._results.append((delegation_id, result))

    def go_on(self) -> list[tuple[str, ToolResult]]:
        """The results since it last ran, with what they are for; raises `Refused`."""
        if self._open:
            names = ", ".join(sorted(self._open))
            raise Refused("invalid_request", f"No tool output found for function calls {names}.")
        if not self._results:
            raise Refused("invalid_request", "There is nothing to go on with.")
        results, self._results = self._results, []
        return results
