"""What was said, as items of a conversation."""

from collections.abc import Iterator
from typing import Literal

from beluga_voice.events import HistoryItem, Message, Role, ToolResult, ToolUse
from beluga_voice.providers.s2s.realtime_dialect import wire

type _Speaker = Literal["user", "assistant", "system"]
type _Kind = Literal["input_text", "output_text"]

_SPEAKERS: dict[Role, tuple[_Speaker, _Kind]] = {
    Role.USER: ("user", "input_text"),
    Role.SYSTEM: ("system", "input_text"),
    Role.AGENT: ("assistant", "output_text"),
}


def message_item(role: Role, text: str) -> wire.MessageItem:
    """Words: of the agent too only as text, for its sound cannot be put in."""
    speaker, kind = _SPEAKERS[role]
    return wire.MessageItem(role=speaker, content=[wire.Content(type=kind, text=text)])


def items_of(history: tuple[HistoryItem, ...]) -> Iterator[wire.ClientItem]:
    """What was said before; calls and results only in pairs, as the service wants them."""
    used = {item.call_id for item in history if isinstance(item, ToolUse)}
    paired = used & {item.call_id for item in history if isinstance(item, ToolResult)}
    for item in history:
        match item:
            case Message():
                yield message_item(item.role, item.text)
            case ToolUse(call_id=call_id) if call_id in paired:
                yield wire.FunctionCall(name=item.name, call_id=call_id, arguments=item.arguments)
            case ToolResult(call_id=call_id) if call_id in paired:
                yield wire.FunctionCallOutput(call_id=call_id, output=item.output)
            case ToolUse() | ToolResult():
                pass
