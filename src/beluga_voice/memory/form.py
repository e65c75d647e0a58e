"""A history as JSON, and back; and what is kept of one that is too long.

Each item is an object: its `kind`, and the fields of the item.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from beluga_voice.events import HistoryItem, Message, ToolResult, ToolUse

_KINDS: dict[str, type[HistoryItem]] = {
    "message": Message,
    "tool_use": ToolUse,
    "tool_result": ToolResult,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_decoder = msgspec.json.Decoder(list[dict[str, Any]])


def encode(items: Sequence[HistoryItem]) -> str:
    """A history as JSON."""
    forms = [{"kind": _NAMES[type(item)], **msgspec.to_builtins(item)} for item in items]
    return msgspec.json.encode(forms).decode()


def decode(text: str) -> tuple[HistoryItem, ...]:
    """What `encode` wrote; raises `ValueError` for anything else."""
    try:
        forms = _decoder.decode(text)
        return tuple(msgspec.convert(form, _KINDS[form.pop("kind")]) for form in forms)
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        # Not chained: it may quote what was said.
        raise ValueError(f"this is no history: {type(error).__name__}") from None


def newest(items: Sequence[HistoryItem], limit: int) -> tuple[HistoryItem, ...]:
    """The last of them, at most `limit`, and no result of a tool whose call is not among them."""
    kept = tuple(items[-limit:])
    # Such a result is an error to every service.
    while kept and isinstance(kept[0], ToolResult):
        kept = kept[1:]
    return kept
