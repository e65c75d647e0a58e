"""Turns events of OpenAI's shape into those that the Grok Voice Agent service sends."""

from typing import Any

from beluga_voice.testing.emulators.realtime_manners import Event

_TRANSCRIPTION = "conversation.item.input_audio_transcription"
_UNKNOWN = frozenset({"conversation.item.done", "rate_limits.updated"})
"""Events that it has not."""
_ERRORS = {"server_error": "internal_error"}
_LEFT_OUT = {
    "response.content_part.done": ("part",),
    "response.function_call_arguments.done": ("response_id",),
}


class Shape:
    """One connection's; it remembers the words of the utterances that are being written down."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}

    def __call__(self, event: Event, *, writes_along: bool) -> list[Event]:
        """What is sent for an event: nothing, one, or more."""
        kind: str = event["type"]
        if kind in _UNKNOWN:
            return []
        if kind == f"{_TRANSCRIPTION}.delta":
            return self._more(event) if writes_along else []
        if kind == f"{_TRANSCRIPTION}.completed":
            return self._written(event)
        if kind == "response.done":
            return [_done(event)]
        if kind == "response.created":
            return [{**event, "response": _response(event["response"])}]
        if kind == "error":
            return [_error(event)]
        left_out = _LEFT_OUT.get(kind, ())
        return [{name: value for name, value in event.items() if name not in left_out}]

    def _more(self, event: Event) -> list[Event]:
        """All the words so far, not those that are new."""
        item_id: str = event["item_id"]
        self._words[item_id] = self._words.get(item_id, "") + event["delta"]
        return [
            {
                "type": f"{_TRANSCRIPTION}.updated",
                "item_id": item_id,
                "transcript": self._words[item_id],
            }
        ]

    def _written(self, event: Event) -> list[Event]:
        """First without the last word, then all, and that once more."""
        self._words.pop(event["item_id"], None)
        whole = {name: value for name, value in event.items() if name != "usage"}
        words = whole["transcript"].split()
        early = {**whole, "transcript": " ".join(words[:-1]), "status": "in_progress"}
        return [early, {**whole, "status": "completed"}, whole]


def _response(response: dict[str, Any]) -> dict[str, Any]:
    """A response says less of itself."""
    kept = ("id", "object", "status", "status_details", "output", "metadata", "conversation_id")
    return {name: response[name] for name in kept}


def _done(event: Event) -> Event:
    """The usage stands beside the response, in totals; the reason is a word."""
    response = _response(event["response"])
    details = response["status_details"]
    if details is not None:
        response["status_details"] = details.get("reason") or details["error"]["message"]
    used = event["response"]["usage"]
    totals = {name: used[name] for name in ("input_tokens", "output_tokens", "total_tokens")}
    return {**event, "response": {**response, "usage": {}}, "usage": totals}


def _error(event: Event) -> Event:
    """It does not say which message it is about."""
    error = event["error"]
    kind = _ERRORS.get(error["type"], error["type"])
    kept = {"type": kind, "code": error["code"], "message": error["message"]}
    return {**event, "error": kept}
