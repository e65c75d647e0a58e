"""The conversation as an emulated service keeps it: items in order."""

from dataclasses import dataclass, field
from typing import Any

from beluga_voice.events import HistoryItem, Message, Role, ToolCallId, ToolResult, ToolUse
from beluga_voice.testing.emulators.realtime_frames import (
    FunctionCallItem,
    FunctionOutputItem,
    MessageItem,
    Refused,
)

type Item = MessageItem | FunctionCallItem | FunctionOutputItem

_KINDS = {
    "user": {"input_text", "input_audio"},
    "assistant": {"output_text"},
    "system": {"input_text"},
}
_ROLES = {"user": Role.USER, "assistant": Role.AGENT, "system": Role.SYSTEM}


@dataclass(slots=True)
class Kept:
    """One item, as it is on the wire, with the sound of it as words and their ends."""

    wire: dict[str, Any]
    words: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    """Each spoken word and where its sound ends, in milliseconds of the item's sound."""
    audio_ms: float = 0.0
    has_audio: bool = False

    @property
    def id(self) -> str:
        """The item's id."""
        item_id: str = self.wire["id"]
        return item_id

    @property
    def text(self) -> str:
        """The words of a message: of the agent's sound, only as much as is left."""
        if self.has_audio and self.words:
            return " ".join(word for word, end in self.words if end <= self.audio_ms)
        parts = (part.get("text") or part.get("transcript") for part in self.wire["content"])
        return " ".join(part for part in parts if part)


class Conversation:
    """Items, oldest first."""

    def __init__(self) -> None:
        self.items: list[Kept] = []
        self._numbers = 0

    def new_id(self) -> str:
        """An id that no item has."""
        self._numbers += 1
        return f"item_{self._numbers:04}"

    def get(self, item_id: str) -> Kept | None:
        """The item of that id."""
        return next((one for one in self.items if one.id == item_id), None)

    def last_id(self) -> str | None:
        """The id of the newest item."""
        return self.items[-1].id if self.items else None

    def add(self, kept: Kept, after: str | None = None) -> str | None:
        """Put an item in: last, first (`root`), or after another. Gives the one before it."""
        if after is None:
            previous = self.last_id()
            self.items.append(kept)
            return previous
        if after == "root":
            self.items.insert(0, kept)
            return None
        place = next((i for i, one in enumerate(self.items) if one.id == after), None)
        if place is None:
            raise Refused(
                "invalid_item_id", f"Item with id '{after}' does not exist.", param="item_id"
            )
        self.items.insert(place + 1, kept)
        return after

    def take(self, item: Item) -> Kept:
        """What a client's item becomes; raises `Refused` for what is none."""
        item_id = item.id or self.new_id()
        if self.get(item_id) is not None:
            raise Refused(
                "invalid_item_id", f"Item with id '{item_id}' already exists.", param="item.id"
            )
        common = {"id": item_id, "object": "realtime.item", "status": "completed"}
        match item:
            case MessageItem():
                return Kept({**common, "type": "message", **_message(item)})
            case FunctionCallItem():
                call = {"name": item.name, "arguments": item.arguments, "call_id": item.call_id}
                return Kept({**common, "type": "function_call", **call})
            case FunctionOutputItem():
                if not any(one.wire.get("call_id") == item.call_id for one in self.items):
                    raise Refused(
                        "invalid_tool_call_id",
                        f"Tool call ID '{item.call_id}' not found in conversation.",
                        param="item.call_id",
                    )
                output = {"call_id": item.call_id, "output": item.output}
                return Kept({**common, "type": "function_call_output", **output})

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> None:
        """Forget the sound after that, and the transcript; raises `Refused` as the service does."""
        kept = self.get(item_id)
        if kept is None or kept.wire.get("role") != "assistant" or not kept.has_audio:
            raise Refused(
                "item_truncate_invalid_item_id",
                "Only model output audio messages can be truncated",
                param="item_id",
            )
        if content_index != 0:
            raise Refused("invalid_value", "There is no such content part.", param="content_index")
        if audio_end_ms > kept.audio_ms:
            raise Refused(
                "invalid_value",
                f"Audio content of {kept.audio_ms:g}ms is already shorter than {audio_end_ms}ms",
                param="audio_end_ms",
            )
        kept.audio_ms = audio_end_ms
        for part in kept.wire["content"]:
            part.pop("transcript", None)

    def history(self) -> tuple[HistoryItem, ...]:
        """What was said, for the brain."""
        told: list[HistoryItem] = []
        for kept in self.items:
            wire = kept.wire
            match wire["type"]:
                case "message":
                    told.append(Message(role=_ROLES[wire["role"]], text=kept.text))
                case "function_call":
                    told.append(
                        ToolUse(
                            call_id=ToolCallId(wire["call_id"]),
                            name=wire["name"],
                            arguments=wire["arguments"],
                        )
                    )
                case _:
                    told.append(
                        ToolResult(call_id=ToolCallId(wire["call_id"]), output=wire["output"])
                    )
        return tuple(told)


def _message(item: MessageItem) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    for part in item.content:
        if part.type not in _KINDS[item.role]:
            raise Refused(
                "invalid_value",
                f"Invalid value: '{part.type}' in a message of the {item.role}.",
                param="item.content[0].type",
            )
        if part.type != "input_audio" and part.text is None:
            raise Refused(
                "missing_required_parameter",
                "Missing required parameter: 'item.content[0].text'.",
                param="item.content[0].text",
            )
        content.append({"type": part.type, "text": part.text})
    return {"role": item.role, "content": content}
