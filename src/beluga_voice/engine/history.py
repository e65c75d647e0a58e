"""What was said, as it was heard.

How it works. An utterance takes its place when the service commits it, and its words are filled in
when they are known, which may be after the response to it began. A response takes its place when
it starts and its words are those heard once it is settled; before that it is not part of history.
"""

from dataclasses import dataclass

from beluga_voice.events import (
    HistoryItem,
    Message,
    ResponseId,
    Role,
    ToolResult,
    ToolUse,
    UtteranceId,
)

RECENT = 4
"""So many items back, words that are missing are still waited for."""


@dataclass(slots=True, eq=False)
class _Place:
    item: HistoryItem | None
    utterance_id: UtteranceId | None = None
    response_id: ResponseId | None = None


class History:
    """The conversation, oldest first; at most `limit` items are kept."""

    __slots__ = ("_limit", "_places", "_utterances")

    def __init__(self, items: tuple[HistoryItem, ...] = (), *, limit: int = 200) -> None:
        self._places = [_Place(item) for item in items]
        self._utterances: dict[UtteranceId, _Place] = {}
        self._limit = limit

    @property
    def items(self) -> tuple[HistoryItem, ...]:
        """What is known so far."""
        return tuple(place.item for place in self._places if place.item is not None)

    @property
    def is_unanswered(self) -> bool:
        """Whether the last thing said was the person's."""
        for place in reversed(self._places):
            if isinstance(place.item, Message):
                return place.item.role is Role.USER
        return False

    def commit(self, utterance_id: UtteranceId) -> None:
        """Keep a place for an utterance."""
        if utterance_id not in self._utterances:
            place = self._utterances[utterance_id] = _Place(None, utterance_id=utterance_id)
            self._places.append(place)

    def transcribe(self, utterance_id: UtteranceId, text: str) -> None:
        """Fill in the words of an utterance; none leave no trace."""
        self.commit(utterance_id)
        if text:
            self._utterances[utterance_id].item = Message(role=Role.USER, text=text)
        else:
            self._places.remove(self._utterances.pop(utterance_id))
        self._trim()

    @property
    def awaits_words(self) -> bool:
        """Whether the words of one of the last utterances are still to come."""
        return any(
            place.item is None and place.utterance_id is not None
            for place in self._places[-RECENT:]
        )

    def say(self, text: str) -> None:
        """The person wrote something."""
        self._places.append(_Place(Message(role=Role.USER, text=text)))
        self._trim()

    def respond(self, response_id: ResponseId) -> None:
        """Keep a place for a response."""
        self._places.append(_Place(None, response_id=response_id))

    def settle(self, response_id: ResponseId, heard_text: str, *, is_cut: bool) -> None:
        """Fill in what was heard of a response; nothing leaves no trace."""
        for place in reversed(self._places):
            if place.response_id == response_id:
                if heard_text:
                    place.item = Message(role=Role.AGENT, text=heard_text, is_cut=is_cut)
                else:
                    self._places.remove(place)
                break
        self._trim()

    def use_tool(self, use: ToolUse) -> None:
        """A tool was called."""
        self._places.append(_Place(use))
        self._trim()

    def answer_tool(self, result: ToolResult) -> None:
        """A tool gave its result: directly after its call, as the wires want it."""
        for index, place in enumerate(self._places):
            if isinstance(place.item, ToolUse) and place.item.call_id == result.call_id:
                self._places.insert(index + 1, _Place(result))
                break
        self._trim()

    def _trim(self) -> None:
        while len(self._places) > self._limit:
            dropped = self._places.pop(0)
            if dropped.utterance_id is not None:
                self._utterances.pop(dropped.utterance_id, None)
            if isinstance(dropped.item, ToolUse):
                call_id = dropped.item.call_id
                self._places = [
                    place
                    for place in self._places
                    if not (isinstance(place.item, ToolResult) and place.item.call_id == call_id)
                ]
