"""What the service knows of a conversation, for when that is continued on another connection.

While there is no connection the person may write, and the tools that were called are stopped. The
service keeps what was said, so it is not told the history again; but of these it knows nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from beluga_voice.events import HistoryItem, Message, Role

REMEMBERED = 64
"""Conversations of which this is kept."""
REMEMBERED_WORDS = 200
"""What the person said that is remembered of each: as many times as a history has items."""


@dataclass(slots=True)
class Known:
    """One conversation: the person's words that the service has, and its calls without answer."""

    said: dict[str, None] = field(default_factory=dict[str, None])
    open_calls: set[str] = field(default_factory=set[str])

    def add(self, texts: Iterable[str]) -> None:
        """The service has these words of the person; the oldest are forgotten."""
        for text in texts:
            self.said.pop(text, None)
            self.said[text] = None
        while len(self.said) > REMEMBERED_WORDS:
            del self.said[next(iter(self.said))]

    def missing(self, history: Iterable[HistoryItem]) -> list[str]:
        """The person's last words, as far as the service does not have them."""
        texts: list[str] = []
        for item in reversed(tuple(history)):
            if not isinstance(item, Message) or item.role is not Role.USER:
                break
            if item.text in self.said:
                break
            texts.insert(0, item.text)
        return texts


class Conversations:
    """Those of one provider, by their ids; the oldest are forgotten."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}

    def get(self, conversation_id: str) -> Known | None:
        """What is known of it."""
        return self._known.get(conversation_id)

    def put(self, conversation_id: str, known: Known) -> None:
        """From now on this is known of it."""
        self._known.pop(conversation_id, None)
        self._known[conversation_id] = known
        while len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
