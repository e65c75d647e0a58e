"""What was said, as it was heard.

How it works. An utterance takes its place when the service commits it, and its words are filled in
when they are known, which may be after the response to it began. A response takes its place when
it starts and its words are those heard once it is settled; before that it is not part of history.

The older half may be summarised. That takes a while, in which the conversation goes on; so what was
offered is remembered, and just that is replaced.
"""

from dataclasses import dataclass

from msgspec.structs import replace

from beluga_voice.events import (
    HistoryItem,
    Message,
    ResponseId,
    Role,
    ToolCallId,
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

    __slots__ = ("_limit", "_offered", "_places", "_utterances")

    def __init__(self, items: tuple[HistoryItem, ...] = (), *, limit: int = 200) -> None:
        self._places = [_Place(item) for item in items]
        self._utterances: dict[UtteranceId, _Place] = {}
        self._limit = limit
        self._offered: list[_Place] = []
        """What was last offered to be summarised."""

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
        """A tool was called. An older call of that id, over another link, gets another name."""
        self._rename(use.call_id)
        self._places.append(_Place(use))
        self._trim()

    def _rename(self, call_id: ToolCallId) -> None:
        named = [
            (place, place.item)
            for place in self._places
            if isinstance(place.item, ToolUse | ToolResult)
        ]
        if not any(item.call_id == call_id for _, item in named):
            return
        other = ToolCallId(f"{call_id}-before")
        self._rename(other)
        for place, item in named:
            if item.call_id == call_id:
                place.item = replace(item, call_id=other)

    def answer_tool(self, result: ToolResult) -> None:
        """A tool gave its result: directly after its call, as the wires want it.

        A result that comes after all takes the place of the word that none would.
        """
        for place in self._places:
            if isinstance(place.item, ToolResult) and place.item.call_id == result.call_id:
                place.item = result
                return
        for index, place in enumerate(self._places):
            if isinstance(place.item, ToolUse) and place.item.call_id == result.call_id:
                self._places.insert(index + 1, _Place(result))
                break
        self._trim()

    def offer(self) -> tuple[HistoryItem, ...]:
        """The older half, up to where the person spoke: what may be summarised.

        Nothing while that is what was offered last, or a single item: a summary saves nothing then.
        """
        half = self._places[: len(self._places) // 2]
        while half and not _begins_turn(self._places[len(half)]):
            half.pop()
        known = [place for place in half if place.item is not None]
        if len(known) < 2 or known == self._offered:
            return ()
        self._offered = known
        return tuple(place.item for place in known if place.item is not None)

    def condense(self, count: int, text: str) -> int:
        """Let a summary take the place of the first `count` items that were offered.

        Gives how many are left, with responses that are not settled. Of what was offered, a call
        whose result came since then stays with it, and what was forgotten since then is no loss.
        """
        gone = self._offered[:count]
        self._offered = []
        gone = [place for place in gone if not self._has_news(place, gone)]
        for place in gone:
            if place.utterance_id is not None:
                self._utterances.pop(place.utterance_id, None)
        self._places = [place for place in self._places if place not in gone]
        self._trim(room=1)
        kept = [one for one in self._places if one.item is not None or one.response_id is not None]
        self._places.insert(0, _Place(Message(role=Role.SYSTEM, text=text)))
        return len(kept)

    def _has_news(self, place: _Place, told: list[_Place]) -> bool:
        """Whether it is a call that has a result which was not told with it."""
        if not isinstance(place.item, ToolUse):
            return False
        at = self._result_of(place.item.call_id)
        return at is not None and at not in told

    def _result_of(self, call_id: ToolCallId) -> _Place | None:
        for place in self._places:
            if isinstance(place.item, ToolResult) and place.item.call_id == call_id:
                return place
        return None

    @property
    def is_long(self) -> bool:
        """Whether there is so much that the oldest will soon be forgotten."""
        return len(self._places) * 4 >= self._limit * 3

    def _trim(self, *, room: int = 0) -> None:
        while len(self._places) > self._limit - room:
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


def _begins_turn(place: _Place) -> bool:
    """Whether the person speaks there, so that nothing before it belongs to what follows."""
    return isinstance(place.item, Message) and place.item.role is Role.USER
