"""What the codec knows of each response: its sound item by item, and its tool calls."""

from dataclasses import dataclass, field

import msgspec

from beluga_voice.events import ResponseId, ResponseOrigin

MAX_ITEMS = 64
"""Messages of one response; those beyond are not cut when it is."""


@dataclass(slots=True)
class SpokenItem:
    """A message of a response, and how much of its sound came."""

    content_index: int
    samples: int = 0
    is_truncated: bool = False


@dataclass(frozen=True, slots=True)
class Truncation:
    """Of that item, only so much was heard."""

    item_id: str
    content_index: int
    audio_end_ms: int


@dataclass(slots=True)
class Reply:
    """One response of the service."""

    wire_id: str
    id: ResponseId
    is_hidden: bool = False
    """Nobody is told of it: it was not wanted any more when it began."""
    is_silent: bool = False
    """It was interrupted: no more of it is passed on."""
    is_done: bool = False
    began_over_voice: bool = False
    """The person was speaking when it began."""
    items: dict[str, SpokenItem] = field(default_factory=dict[str, SpokenItem])
    text_item: str = ""
    calls: set[str] = field(default_factory=set[str])
    open_calls: set[str] = field(default_factory=set[str])
    is_continued: bool = False
    """Its calls were answered, and the response to that was asked for."""

    @property
    def is_unheard(self) -> bool:
        """Whether nothing of it is passed on from here."""
        return self.is_hidden or self.is_silent

    def sounded(self, item_id: str, content_index: int, samples: int) -> None:
        """More sound of it came."""
        item = self.items.get(item_id)
        if item is None:
            if len(self.items) >= MAX_ITEMS:
                return
            item = self.items[item_id] = SpokenItem(content_index)
        item.samples += samples

    def truncate(self, heard: int, rate: int) -> list[Truncation]:
        """What to tell the service about the items, if so many samples of the whole were heard.

        Never more milliseconds of an item than came, which would be an error. An item that may
        still be growing is cut also if it was heard as far as it came.
        """
        cuts: list[Truncation] = []
        last = next(reversed(self.items), None)
        for item_id, item in self.items.items():
            part = min(max(heard, 0), item.samples)
            heard -= item.samples
            is_growing = not self.is_done and item_id == last
            if item.is_truncated or (part == item.samples and not is_growing):
                continue
            item.is_truncated = True
            cuts.append(Truncation(item_id, item.content_index, part * 1000 // rate))
        return cuts


@dataclass(slots=True)
class Request:
    """A response that we asked for, and that has not begun.

    `id` is the name of its message, which comes back with the response, or with an error.
    """

    id: str
    frame: msgspec.Struct
    origin: ResponseOrigin
    is_wanted: bool = True
